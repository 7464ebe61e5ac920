// The list of what was said.

import type { Announcement, Message, System } from "./chat";
import { button, element } from "./dom";
import type { Texts } from "./texts";

/** How many lines are kept: a room talks for hours. */
const longest = 300;

/** What a line may be asked to do, by who moderates. */
export type Menu = (m: Message | Announcement, from: HTMLElement) => void;

export class Log {
  #following = true;
  #missed = 0;
  /** Set where the viewer moderates. */
  menu: Menu | undefined;

  constructor(
    readonly list: HTMLElement,
    /** Comes up when there is something below what is seen. */
    readonly newest: HTMLElement,
    public texts: Texts,
  ) {
    list.addEventListener("scroll", () => {
      this.#following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
      if (this.#following) this.#show(0);
    });
    newest.addEventListener("click", () => {
      this.#following = true;
      this.#follow();
      this.#show(0);
      list.focus();
    });
    // A keyboard that opens takes room: what was newest stays in view.
    new ResizeObserver(() => this.#follow()).observe(list);
  }

  message(m: Message, mine: boolean): void {
    const said = this.#waiting(m.clientId);
    const line = this.#said(m.from.name, m.text, m.at, mine, m.from.role);
    line.dataset.id = m.id;
    line.dataset.user = m.from.id;
    if (m.mediaTime !== undefined) line.dataset.media = String(m.mediaTime);
    this.#offer(line, m);
    if (mine && said) {
      // It keeps the place where it was waiting.
      if (said.dataset.lost) this.#mark(line, said.dataset.lost);
      said.replaceWith(line);
    } else {
      this.#add(line);
    }
  }

  /** Shows what oneself said before the room has it. */
  sending(id: string, name: string, text: string): void {
    const line = this.#said(name, text, Date.now(), true, undefined);
    line.classList.add("waiting");
    line.dataset.client = id;
    this.#following = true;
    this.#add(line);
  }

  /** The room did not take it. */
  refused(id: string): void {
    this.#waiting(id)?.remove();
  }

  /** It was delivered, and will be forgotten with the server's next start. */
  notKept(message: string | undefined, id: string): void {
    const line = this.#line("id", message) ?? this.#waiting(id);
    if (line?.dataset.id) this.#mark(line, this.texts.notKept);
    else if (line) line.dataset.lost = this.texts.notKept;
  }

  announcement(a: Announcement): void {
    const title = a.from ? `${this.texts.announcement} · ${a.from.name}` : this.texts.announcement;
    const line = this.#entry("announcement", element("b", title), " ", element("span", a.text));
    line.dataset.id = a.id;
    line.dataset.text = a.text;
    this.#offer(line, a);
    this.#add(line);
  }

  system(s: System): void {
    const text = textOf(s.payload);
    const line = this.#entry("system", element("b", s.name), " ", element("span", text));
    line.dataset.id = s.id;
    line.dataset.text = text;
    this.#add(line);
  }

  notice(text: string): void {
    const last = this.list.lastElementChild;
    if (last?.className === "notice-line" && last.textContent === text) return; // once is enough
    this.#add(this.#entry("notice-line", text));
  }

  deleted(message: string | undefined, user: string | undefined): void {
    this.#line("id", message)?.remove();
    if (user !== undefined) for (const l of this.#lines("user", user)) l.remove();
  }

  /** Takes all away, but what oneself is just sending. */
  clear(): void {
    this.list.replaceChildren(...this.list.querySelectorAll(".waiting"));
    this.#show(0);
  }

  #said(name: string, text: string, at: number, mine: boolean, role: string | undefined): HTMLElement {
    const who = element("b", name);
    who.style.setProperty("--hue", String(hue(name)));
    const parts: (Node | string)[] = [who, " ", element("span", text), when(at)];
    const badge = role === "host" || role === "moderator" ? element("i", this.texts[role], `role ${role}`) : undefined;
    if (badge) parts.unshift(badge, " ");
    const line = this.#entry(mine ? "message mine" : "message", ...parts);
    line.dataset.text = text;
    return line;
  }

  #mark(line: HTMLElement, why: string): void {
    line.append(" ", element("i", why, "mark"));
  }

  #offer(line: HTMLElement, m: Message | Announcement): void {
    const menu = this.menu;
    if (!menu) return;
    const more = button("⋯", () => menu(m, more), "plain more");
    more.ariaHasPopup = "menu";
    more.ariaLabel = this.texts.more(m.from?.name ?? this.texts.announcement);
    line.append(more);
  }

  #entry(kind: string, ...parts: (Node | string)[]): HTMLElement {
    const line = element("li", "", kind);
    line.append(...parts); // strings become text, never markup
    return line;
  }

  #add(line: HTMLElement): void {
    this.list.append(line);
    while (this.list.childElementCount > longest) this.list.firstElementChild?.remove();
    this.#follow();
    if (!this.#following && line.className !== "notice-line") this.#show(this.#missed + 1);
  }

  #waiting(id: string | undefined): HTMLElement | undefined {
    return this.#line("client", id);
  }

  #line(what: string, value: string | undefined): HTMLElement | undefined {
    return value === undefined ? undefined : this.#lines(what, value)[0];
  }

  #lines(what: string, value: string): HTMLElement[] {
    return [...this.list.querySelectorAll<HTMLElement>(`[data-${what}="${CSS.escape(value)}"]`)];
  }

  #follow(): void {
    if (this.#following) this.list.scrollTop = this.list.scrollHeight;
  }

  #show(missed: number): void {
    this.#missed = missed;
    this.newest.hidden = missed === 0;
    this.newest.textContent = this.texts.newer(missed);
  }
}

/** What an application's event says, where it says it in words. */
export function textOf(payload: unknown): string {
  if (typeof payload === "string") return payload;
  const text = (payload as { text?: unknown } | null | undefined)?.text;
  return typeof text === "string" ? text : "";
}

function when(at: number): HTMLElement {
  return element("time", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }));
}

/** A colour that stays with a name. */
export function hue(name: string): number {
  let h = 0;
  for (const c of name) h = (h * 31 + (c.codePointAt(0) ?? 0)) % 360;
  return h;
}
