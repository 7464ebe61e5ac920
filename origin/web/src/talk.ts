// The room beside the stream.

import { Chat, type ChatError, type How, type Link, type Playback, type Event as RoomEvent } from "./chat";
import { by, recall, remember } from "./dom";
import { Log } from "./log";
import { Moderation } from "./moderation";
import type { Place } from "./place";
import { Reactions } from "./reactions";
import type { Texts } from "./texts";

export interface TalkListener {
  /** How many are here; undefined if that is unknown. */
  online(users: number | undefined): void;
  /** The room says that the stream is live. */
  live(): void;
}

/** How long a refusal is shown, in milliseconds. */
const shown = 6000;

export class Talk {
  readonly chat: Chat;
  readonly #log: Log;
  readonly #reactions: Reactions;
  readonly #moderation: Moderation;
  readonly #name = by<HTMLInputElement>("name");
  readonly #text = by<HTMLInputElement>("text");
  readonly #send = by<HTMLButtonElement>("send");
  readonly #trouble = by("trouble");

  #link: Link = "connecting";
  #code: number | undefined;
  /** A refusal, until when it is shown, and from when on one may try again;
   * Date.now(). */
  #refusal: { code: string; message: string; until: number; again: number } | undefined;
  /** When one last said something, and until when slow mode refused more. */
  #said = Number.NEGATIVE_INFINITY;
  #slowUntil = 0;
  #ticking: number | undefined;

  constructor(
    readonly place: Place,
    public texts: Texts,
    playback: () => Playback | undefined,
    readonly on: TalkListener,
  ) {
    this.#name.value = recall("name") ?? "";
    this.chat = new Chat({
      url: `${window.location.origin}/${place.key}/chat`,
      token: place.token,
      name: this.#name.value,
      readOnly: place.readOnly,
      playback,
      on: {
        event: (e, how) => this.#event(e, how),
        reset: () => this.#log.clear(),
        link: (l, code) => {
          this.#link = l;
          if (code !== undefined) this.#code = code;
          this.render();
        },
        room: () => this.render(),
      },
    });
    this.#log = new Log(by("log"), by("newest"), texts);
    this.#reactions = new Reactions(by("reactions"), by("floor"), (e) => this.chat.react(e));
    this.#moderation = new Moderation(this.chat, texts, (e) => this.#refused(e));
    by<HTMLFormElement>("form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.#say();
    });
    this.#name.addEventListener("change", () => this.#rename());
    this.#name.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && !e.isComposing) {
        e.preventDefault(); // it names, and does not send
        this.#text.focus();
      }
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.chat.wake();
    });
    this.chat.start();
  }

  /** Shows all that depends on the language or on what changed. */
  render(): void {
    const t = this.texts;
    const room = this.chat.room;
    const role = room?.you?.role;
    const moderates = role === "host" || role === "moderator";
    this.#log.texts = this.#moderation.texts = t;
    this.#log.menu = moderates ? this.#moderation.menu : undefined;
    document.body.dataset.link = this.#link;
    document.body.dataset.role = role ?? "member";
    this.on.online(this.#link === "open" || this.#link === "reading" ? room?.users : undefined);
    this.#moderation.show(room, moderates);

    const pinned = room?.pinned;
    by("pinned").hidden = pinned === undefined;
    by("pinned-name").textContent = pinned?.from?.name ?? "";
    by("pinned-text").textContent = pinned?.text ?? "";

    const emoji = room?.limits.reactions ?? [];
    by("reactions").hidden = emoji.length === 0 || this.place.readOnly;
    this.#reactions.offer(emoji, room?.reactions ?? {});
    this.#reactions.enabled = this.#link === "open" && role !== "reader";

    const silent = this.#silence();
    const wait = this.#wait();
    by("form").hidden = this.place.readOnly;
    this.#text.disabled = silent !== undefined;
    this.#text.maxLength = room?.limits.text ?? 500;
    this.#text.placeholder = silent ?? t.say;
    this.#text.setAttribute("aria-label", t.say);
    this.#send.disabled = silent !== undefined || wait > 0;
    this.#send.textContent = wait > 0 ? t.seconds(wait) : t.send;
    this.#name.placeholder = room?.you ? t.named(room.you.name) : t.name;
    this.#name.setAttribute("aria-label", t.name);
    this.#name.disabled = this.#link === "closed";

    const trouble = this.#complaint();
    this.#trouble.hidden = trouble === "";
    if (this.#trouble.textContent !== trouble) this.#trouble.textContent = trouble;
    this.#tick(wait > 0 || this.#refusal !== undefined || room?.muted?.until !== undefined);
  }

  /** For how many seconds slow mode keeps one from writing. */
  #wait(): number {
    const room = this.chat.room;
    const slow = room?.settings.slow ?? 0;
    const role = room?.you?.role;
    if (slow === 0 || role === "host" || role === "moderator") return 0;
    return Math.ceil((Math.max(this.#said + slow, this.#slowUntil) - Date.now()) / 1000);
  }

  /** Why one may not write, undefined if one may. */
  #silence(): string | undefined {
    const t = this.texts;
    const room = this.chat.room;
    const muted = room?.muted;
    if (this.#link === "closed") return t.closedShort;
    if (room?.you?.role === "reader") return t.readOnly;
    if (muted && (muted.until === undefined || muted.until > Date.now()))
      return t.muted(clock(muted.until), muted.reason);
    if (room?.settings.membersOnly && room.you?.role === "guest") return t.membersOnlyHere;
    return undefined;
  }

  /** What is wrong now, "" if nothing is. */
  #complaint(): string {
    const t = this.texts;
    const r = this.#refusal;
    if (this.#link === "closed") return t.closed(this.#code ?? 0);
    if (this.#link === "reconnecting") return t.reconnecting;
    if (r && r.until > Date.now()) return t.refused(r.code, r.message, Math.ceil((r.again - Date.now()) / 1000));
    this.#refusal = undefined;
    return this.#link === "reading" && !this.place.readOnly ? t.reading : "";
  }

  /** Renders once a second while a time runs down. */
  #tick(running: boolean): void {
    window.clearTimeout(this.#ticking);
    this.#ticking = running ? window.setTimeout(() => this.render(), 500) : undefined;
  }

  #say(): void {
    const text = this.#text.value.trim();
    this.#text.focus();
    if (!text || this.#send.disabled) return;
    this.#text.value = "";
    this.#refusal = undefined;
    const { id, answer } = this.chat.sending(text);
    this.#log.sending(id, this.chat.room?.you?.name ?? this.chat.name, text);
    const before = this.#said;
    this.#said = Date.now();
    this.render();
    answer.then(
      (a) => {
        if (a.kept === false) this.#log.notKept(a.message, id);
      },
      (e: ChatError) => {
        this.#log.refused(id);
        // What was refused can be sent again, or mended.
        if (this.#text.value === "") this.#text.value = text;
        this.#said = before;
        if (e.code === "slow") this.#slowUntil = Date.now() + (e.retryAfter ?? 0);
        this.#refused(e);
      },
    );
  }

  #refused(e: ChatError): void {
    const again = Date.now() + (e.retryAfter ?? 0);
    this.#refusal = { code: e.code, message: e.message, until: Math.max(Date.now() + shown, again), again };
    this.render();
  }

  #rename(): void {
    const name = this.#name.value.trim();
    if (name === this.chat.name) return;
    remember("name", name);
    this.chat.rename(name);
  }

  #event(e: RoomEvent, how: How): void {
    const t = this.texts;
    switch (e.type) {
      case "welcome":
        this.render(); // lines that follow have the menu of moderators
        if (e.live) this.on.live();
        break;
      case "message":
        this.#log.message(e, how.own);
        break;
      case "announcement":
        this.#log.announcement(e);
        break;
      case "system":
        this.#log.system(e);
        break;
      case "deleted":
        this.#log.deleted(e.message, e.user);
        break;
      case "cleared":
        this.#log.clear();
        this.#log.notice(t.cleared);
        break;
      case "joined":
        this.#log.notice(t.joined(e.user.name, e.others ?? 0));
        break;
      case "left":
        this.#log.notice(t.left(e.user.name));
        break;
      case "live":
        if (!how.replayed) this.#log.notice(t.wentLive);
        this.on.live();
        break;
      case "ended":
        if (!how.replayed) this.#log.notice(t.wentOff);
        break;
      case "reactions":
        this.#reactions.add(e);
        break;
      case "sanctioned":
        this.#log.notice(t.sanctioned(e.kind, e.lifted === true, clock(e.until), e.reason));
        break;
      case "error":
        this.#refusal = { code: e.code, message: e.message, until: Date.now() + shown, again: 0 };
        this.render();
        break;
    }
  }
}

/** A time of the day, undefined for no time. */
function clock(at: number | undefined): string | undefined {
  return at === undefined
    ? undefined
    : new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}
