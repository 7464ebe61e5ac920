// What hosts and moderators may do: a menu on each message, and the room's
// settings.

import type { Announcement, Chat, ChatError, Command, Message, Room } from "./chat";
import { button, by } from "./dom";
import type { Texts } from "./texts";

const minute = 60_000;

/** Slow modes to choose from, in seconds. */
export const slowModes = [0, 3, 5, 10, 30, 60, 300];

export class Moderation {
  readonly #menu = by("menu");
  readonly #tools = by("tools");
  readonly #moderate = by<HTMLButtonElement>("moderate");
  readonly #slow = by<HTMLSelectElement>("slow");
  readonly #members = by<HTMLInputElement>("members");
  readonly #announcement = by<HTMLInputElement>("announcement");
  readonly #unpin = by<HTMLButtonElement>("unpin");
  #shown = "";

  constructor(
    readonly chat: Chat,
    public texts: Texts,
    readonly failed: (e: ChatError) => void,
  ) {
    this.#slow.addEventListener("change", () => this.#do({ type: "set", slow: Number(this.#slow.value) * 1000 }));
    this.#members.addEventListener("change", () => this.#do({ type: "set", membersOnly: this.#members.checked }));
    by("announce").addEventListener("click", () => this.#announce());
    this.#announcement.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && !e.isComposing) this.#announce();
    });
    by("clear").addEventListener("click", () => {
      if (window.confirm(this.texts.sureToClear)) this.#do({ type: "clear" });
      this.#tools.hidePopover();
    });
    this.#unpin.addEventListener("click", () => this.#do({ type: "unpin" }));
    this.#menu.addEventListener("keydown", (e) => this.#walk(e));
    this.#tools.addEventListener("toggle", (e) => {
      if ((e as ToggleEvent).newState === "open") place(this.#tools, this.#moderate);
    });
  }

  /** Shows what the room says. */
  show(room: Room | undefined, moderates: boolean): void {
    this.#moderate.hidden = this.#unpin.hidden = !moderates;
    if (!moderates || !room) {
      this.#tools.hidePopover();
      this.#menu.hidePopover();
      return;
    }
    const now = JSON.stringify([room.settings, this.texts.slowMode]);
    if (now === this.#shown) return; // a list that is open stays open
    this.#shown = now;
    this.#members.checked = room.settings.membersOnly;
    const slow = Math.round(room.settings.slow / 1000);
    const modes = slowModes.includes(slow) ? slowModes : [...slowModes, slow].sort((a, b) => a - b);
    this.#slow.replaceChildren(...modes.map((s) => new Option(this.texts.slowBy(s), String(s), false, s === slow)));
  }

  /** Opens the menu of a message. */
  readonly menu = (m: Message | Announcement, from: HTMLElement): void => {
    const t = this.texts;
    const items: [string, Command][] = [
      [t.pin, { type: "pin", message: m.id }],
      [t.delete, { type: "delete", message: m.id }],
    ];
    const user = m.type === "message" ? m.from.id : undefined;
    if (user !== undefined && user !== this.chat.room?.you?.id) {
      items.push(
        [t.deleteAll, { type: "delete", user }],
        [t.muteFor(10), { type: "mute", user, for: 10 * minute }],
        [t.mute, { type: "mute", user }],
        [t.unmute, { type: "unmute", user }],
        [t.banFor(60), { type: "ban", user, for: 60 * minute }],
        [t.ban, { type: "ban", user, purge: true }],
      );
    }
    this.#menu.replaceChildren(...items.map(([text, command]) => this.#item(text, command, from)));
    this.#menu.showPopover();
    place(this.#menu, from);
    this.#menu.querySelector("button")?.focus();
  };

  #item(text: string, command: Command, from: HTMLElement): HTMLButtonElement {
    const item = button(
      text,
      () => {
        this.#menu.hidePopover();
        (from.isConnected ? from : by("text")).focus();
        this.#do(command);
      },
      "plain",
    );
    item.role = "menuitem";
    return item;
  }

  #walk(e: KeyboardEvent): void {
    const items = [...this.#menu.querySelectorAll("button")];
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[e.key];
    if (e.key === "Tab") this.#menu.hidePopover();
    if (to === undefined) return;
    e.preventDefault();
    items.at(to % items.length)?.focus();
  }

  #announce(): void {
    const text = this.#announcement.value.trim();
    if (!text) return;
    this.#announcement.value = "";
    this.#do({ type: "announce", text });
    this.#tools.hidePopover();
  }

  #do(command: Command): void {
    this.chat.command(command).catch((e: ChatError) => {
      this.failed(e);
      this.#shown = "";
      this.show(this.chat.room, true); // as it still is
    });
  }
}

/** Puts a popover beside what it belongs to, inside of the window. */
function place(what: HTMLElement, from: HTMLElement): void {
  const at = from.getBoundingClientRect();
  const { offsetWidth: w, offsetHeight: h } = what;
  const below = at.bottom + h <= window.innerHeight;
  what.style.left = `${Math.max(8, Math.min(at.right - w, window.innerWidth - w - 8))}px`;
  what.style.top = `${Math.max(8, below ? at.bottom : at.top - h)}px`;
}
