// The client of a chat room; docs/chat.md has the protocol and says how to use
// this.

import { Addresses } from "./addresses";
import { Backoff } from "./backoff";
import { type Environment, environment, guestSecret, randomHex } from "./environment";
import { Held } from "./held";
import { ChatError, Outbox } from "./outbox";
import type { Ack, Command, Event, Index, Join, Position, Sanctions, State, Welcome } from "./protocol";
import { Chunks, Events, type Reader } from "./readers";
import { learn, type Room, roomOf } from "./room";
import { Shown } from "./shown";
import { comesBack, Socket } from "./socket";
import { type Moment, type Playback, Timeline } from "./timeline";

/** How the room is reached: "reading" is without a socket, so nothing can be
 * said; "closed" is for good. */
export type Link = "connecting" | "open" | "reading" | "reconnecting" | "closed";

export interface Listener {
  /** Something happened, to be shown now. */
  event(e: Event, how: How): void;
  /** Take all messages away: what is known of them begins anew. */
  reset?(): void;
  /** The link changed; with the code if the room closed it. */
  link?(l: Link, code?: number): void;
  /** What is known of the room changed. */
  room?(r: Room): void;
}

/** How an event came. */
export interface How {
  /** It happened before, and was not seen then. */
  replayed: boolean;
  /** It is of oneself. */
  own: boolean;
}

export interface Options {
  /** The room: https://host/live/alice/chat. */
  url: string;
  name?: string | undefined;
  /** The secret that says who one is; also from the URL's query. */
  token?: string | undefined;
  /** Never open a socket: for pages that only show a room. */
  readOnly?: boolean | undefined;
  /** How many of the newest messages to begin with. */
  history?: number | undefined;
  /** What the player shows now; undefined if it shows nothing. */
  playback?: (() => Playback | undefined) | undefined;
  on: Listener;
  environment?: Partial<Environment> | undefined;
}

/** How long a connection must last, in milliseconds, for waits to begin anew:
 * who is closed as slow again and again comes back less and less often. */
const steady = 10_000;

/** Connections in a row that failed until the room is read without one. */
const enough = 2;

/** How long, in milliseconds, until a crowded room is asked again for a
 * socket. */
const crowdedWait = 60_000;

/** How long reactions are gathered, in milliseconds, and how many go at once. */
const gather = { time: 250, count: 20 };

/** Codes of a room that has no socket for us. */
const crowded = 4004;

export class Chat {
  /** The name that is asked for. */
  name: string;
  room: Room | undefined;

  readonly #options: Options;
  readonly #env: Environment;
  readonly #addresses: Addresses;
  readonly #guest: string;
  readonly #tag = randomHex(6); // of this client's commands
  readonly #backoff: Backoff;
  readonly #outbox: Outbox;
  readonly #timeline = new Timeline();
  readonly #held: Held;
  readonly #shown = new Shown();
  readonly #pending = new Map<string, { resolve(e: Ack | Sanctions): void; reject(e: ChatError): void }>();

  #link: Link = "connecting";
  #socket: Socket | undefined;
  #joined = false;
  #reader: Reader | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #since = 0; // it joined, performance.now()
  #failures = 0;
  #opened = false; // a socket has worked here
  #readFailures = 0;
  #chunks = false; // rather than events
  #position: Position | undefined;
  #replay: { left: number; end: Position; resumed: boolean } | undefined;
  #commands = 0;
  #taps = new Map<string, number>();
  #tapped: ReturnType<typeof setTimeout> | undefined;
  readonly #wake = () => this.wake();

  constructor(options: Options) {
    this.#options = options;
    this.name = options.name ?? "";
    this.#env = environment(options.environment);
    this.#addresses = new Addresses(options.url, options.token);
    this.#guest = guestSecret(this.#env);
    this.#backoff = new Backoff(1000, 30_000, this.#env.random);
    this.#outbox = new Outbox((c) => this.#joined && this.#send(c), this.#env.random);
    this.#held = new Held(
      () => this.moment(),
      (e) => options.on.event(e, { replayed: false, own: false }),
    );
  }

  get link(): Link {
    return this.#link;
  }

  /** Enters the room, and stays until close. */
  start(): void {
    globalThis.addEventListener?.("online", this.#wake);
    if (this.#options.readOnly) {
      this.#chunks = true;
      this.#read();
    } else {
      this.#connect();
    }
  }

  /** Leaves the room. What was not acknowledged is given up. */
  close(): void {
    this.#end(undefined);
  }

  /** Says something. The answer is that of the room, or a ChatError; over lost
   * connections it is sent again until there is one, and delivered once. */
  say(text: string): Promise<Ack> {
    return this.sending(text).answer;
  }

  /** As say, with the id that the message will carry as its clientId. */
  sending(text: string): { id: string; answer: Promise<Ack> } {
    const id = this.#id();
    if (this.#link === "closed") return { id, answer: Promise.reject(new ChatError("closed", "the chat is closed")) };
    if (this.#options.readOnly) {
      return { id, answer: Promise.reject(new ChatError("read_only", "this client only reads")) };
    }
    const at = this.moment();
    const seen = at !== undefined && at.broadcast === this.room?.broadcast && this.room.live;
    const say = { type: "say" as const, id, text, mediaTime: seen ? Math.max(0, Math.round(at.mediaTime)) : undefined };
    const answer = this.#outbox.say(say);
    if (this.#link !== "open") this.#hurry();
    return { id, answer };
  }

  /** Adds a reaction. Those of a moment are sent together. */
  react(emoji: string): void {
    this.#taps.set(emoji, (this.#taps.get(emoji) ?? 0) + 1);
    this.#tapped ??= setTimeout(() => this.#sendTaps(), gather.time);
  }

  /** Sends any other command. It is not sent again: "lost" is in doubt. */
  command(c: Command): Promise<Ack | Sanctions> {
    const id = this.#id();
    return new Promise((resolve, reject) => {
      if (!this.#joined || !this.#send({ ...c, id })) {
        reject(new ChatError(this.#link === "closed" ? "closed" : "offline", "there is no connection"));
        return;
      }
      this.#pending.set(id, { resolve, reject });
    });
  }

  /** Takes another name, "" for that of a guest. */
  rename(name: string): void {
    this.name = name;
    if (this.#link === "closed" || this.#options.readOnly) return;
    this.#drop();
    this.#connect();
  }

  /** Something happened to the network, or the page is looked at again: find
   * out at once whether the connection still is one. */
  wake(): void {
    this.#held.look();
    if (this.#retry !== undefined) this.#hurry();
    else this.#socket?.check();
  }

  /** What the player shows, undefined if that is unknown. */
  moment(): Moment | undefined {
    const p = this.#options.playback?.();
    if (p === undefined) return undefined;
    if ("wallClock" in p) return this.#timeline.at(p.wallClock);
    const broadcast = p.broadcast ?? this.room?.broadcast;
    return broadcast === undefined ? undefined : { broadcast, mediaTime: p.mediaTime };
  }

  #id(): string {
    this.#commands++;
    return `${this.#tag}-${this.#commands}`;
  }

  #send(c: Command): boolean {
    return this.#socket?.send(c) ?? false;
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#reader === undefined && this.#link !== "connecting") this.#setLink("reconnecting");
    try {
      this.#socket = new Socket(this.#env, this.#addresses.socket, () => this.#join(), {
        hear: (e) => this.#hear(e),
        lost: (code) => this.#lost(code),
      });
    } catch {
      this.#lost(1006); // a policy of the page forbids it
    }
  }

  /** Connects now instead of later. */
  #hurry(): void {
    if (this.#retry !== undefined) this.#connect();
  }

  #join(): Join {
    return {
      type: "join",
      name: this.name || undefined,
      token: this.#addresses.token,
      guest: this.#guest,
      resume: this.#position,
      history: this.#options.history,
    };
  }

  /** Forgets the connection. */
  #drop(): void {
    this.#joined = false;
    this.#socket?.close();
    this.#socket = undefined;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#failAll(new ChatError("lost", "the connection was lost"));
  }

  #lost(code: number): void {
    if (!this.#joined) this.#failures++;
    else if (performance.now() - this.#since > steady) this.#backoff.reset();
    this.#drop();
    if (!comesBack(code)) {
      this.#end(code);
      return;
    }
    if (code === crowded) this.#chunks = true;
    if ((code === crowded || this.#failures >= enough) && this.#reader === undefined) {
      // Where no socket ever opened it is a proxy, or the room is full.
      this.#chunks ||= this.#opened;
      this.#read();
    }
    if (this.#reader === undefined) this.#setLink("reconnecting", code);
    const wait = code === crowded ? crowdedWait * (0.5 + this.#env.random()) : this.#backoff.next();
    this.#retry = setTimeout(() => this.#connect(), wait);
  }

  #end(code: number | undefined): void {
    globalThis.removeEventListener?.("online", this.#wake);
    this.#drop();
    this.#stopReading();
    clearTimeout(this.#tapped);
    this.#tapped = undefined;
    this.#held.flush();
    this.#setLink("closed", code);
    this.#outbox.close(new ChatError("closed", "the chat is closed"));
  }

  #failAll(e: ChatError): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const p of all) p.reject(e);
  }

  #read(): void {
    this.#stopReading();
    const ears = {
      index: (i: Index) => this.#index(i),
      hear: (e: Event) => this.#hear(e),
      position: (p: Position) => {
        this.#position = { epoch: p.epoch, offset: p.offset };
      },
      failed: () => this.#readFailed(),
      closed: (code: number) => this.#end(code),
    };
    const reader = this.#chunks
      ? new Chunks(this.#env, this.#addresses, ears)
      : new Events(this.#env, this.#addresses, ears, () => this.#position);
    this.#reader = reader;
    void reader.run();
  }

  #stopReading(): void {
    this.#reader?.close();
    this.#reader = undefined;
    this.#readFailures = 0;
  }

  #readFailed(): void {
    if (this.#link !== "connecting") this.#setLink("reconnecting");
    if (++this.#readFailures < enough) return;
    this.#chunks = !this.#chunks; // the other way, then
    this.#read();
  }

  #index(i: Index): void {
    this.#readFailures = 0;
    this.#enter(i);
    if (i.epoch !== this.#position?.epoch || i.offset !== this.#position.offset) {
      this.#reset();
      for (const e of i.events) this.#tell(e, true);
      this.#position = { epoch: i.epoch, offset: i.offset };
    }
    this.#setLink("reading");
  }

  /** Takes what a room says of itself. */
  #enter(s: State & Partial<Pick<Welcome, "you" | "muted">>): void {
    this.room = roomOf(s, this.room?.you);
    this.#timeline.add(s.mapping);
    if (this.#seesAll()) this.#held.flush();
    this.#options.on.room?.(this.room);
  }

  #reset(): void {
    this.#held.drop(() => true);
    this.#shown.clear();
    this.#options.on.reset?.();
  }

  #welcome(w: Welcome): void {
    const socket = w.id !== undefined; // server-sent events answer to no join
    if (socket) {
      this.#joined = this.#opened = true;
      this.#failures = 0;
      this.#chunks = false;
      this.#since = performance.now();
      this.#stopReading();
    }
    this.#readFailures = 0;
    if (!w.resumed) this.#reset();
    this.#replay = { left: w.replay, end: { epoch: w.epoch, offset: w.offset }, resumed: w.resumed === true };
    this.#endReplay();
    this.#enter(socket || !this.room?.you ? w : { ...w, you: this.room.you });
    this.#options.on.event(w, { replayed: false, own: false });
    this.#setLink(socket ? "open" : "reading");
    if (socket) this.#outbox.joined();
  }

  #endReplay(): void {
    const r = this.#replay;
    if (r === undefined || r.left > 0) return;
    this.#replay = undefined;
    const p = this.#position;
    // A reader may have been further already.
    if (p?.epoch !== r.end.epoch || p.offset < r.end.offset || !r.resumed) this.#position = r.end;
  }

  #hear(e: Event): void {
    switch (e.type) {
      case "welcome":
        this.#welcome(e);
        return;
      case "ack":
      case "error":
      case "sanctions":
        this.#answer(e);
        return;
      case "pong":
        return;
    }
    const replayed = this.#replay !== undefined;
    if (!("offset" in e)) {
      this.#tell(e, false);
      return;
    }
    if (this.#isNew(e.offset)) this.#tell(e, replayed);
    this.#endReplay();
  }

  /** Counts an event; false if it is known. */
  #isNew(offset: number): boolean {
    const r = this.#replay;
    if (r) r.left--;
    // The newest messages, or those missed over a start of the server: their
    // offsets are of several epochs.
    if (r && (!r.resumed || r.end.epoch !== this.#position?.epoch)) return true;
    if (this.#position && offset <= this.#position.offset) return false;
    if (this.#position) this.#position.offset = offset;
    return true;
  }

  #answer(e: Ack | Sanctions | Extract<Event, { type: "error" }>): void {
    if (e.type === "error" && e.id === "join" && e.code === "bad_name" && this.name !== "") {
      // A name that was fine once may not be any more: join as a guest.
      this.name = "";
      this.#send({ ...this.#join(), id: "join" });
    }
    if (e.type !== "sanctions" && this.#outbox.answer(e)) return;
    const waiting = this.#pending.get(e.id ?? "");
    if (waiting) {
      this.#pending.delete(e.id ?? "");
      if (e.type === "error") waiting.reject(new ChatError(e.code, e.message, e.retryAfter));
      else waiting.resolve(e);
      return;
    }
    this.#options.on.event(e, { replayed: false, own: false });
  }

  /** Shows an event, now or when the player is there. */
  #tell(e: Event, replayed: boolean): void {
    const shown = this.#shown.add(e);
    if (shown === "known") return;
    if (typeof shown === "object" && e.type === "message") {
      this.#tell({ type: "deleted", offset: e.offset, at: e.at, message: shown.instead }, replayed);
    }
    if (this.room) learn(this.room, e);
    if (e.type === "live") this.#timeline.add(e.mapping);
    if (e.type === "mapping") this.#timeline.add(e);
    this.#dropHeld(e);
    const own = "from" in e && e.from !== undefined && e.from.id === this.room?.you?.id;
    const how = { replayed, own };
    const waits = e.type === "message" || e.type === "announcement" || e.type === "system";
    if (!waits || replayed || own || this.#seesAll() || !this.#options.playback) {
      this.#options.on.event(e, how);
    } else {
      this.#held.add(e, this.#momentOf(e.mediaTime), this.room?.limits.delay ?? 0);
    }
    if (!waits && this.room) this.#options.on.room?.(this.room);
  }

  /** Lets go of held messages that are taken away again. */
  #dropHeld(e: Event): void {
    if (e.type === "cleared") this.#held.drop(() => true);
    if (e.type !== "deleted") return;
    const { message, user } = e;
    this.#held.drop(
      (h) =>
        (message !== undefined && "id" in h && h.id === message) ||
        (user !== undefined && h.type === "message" && h.from.id === user),
    );
  }

  #momentOf(mediaTime: number | undefined): Moment | undefined {
    const broadcast = this.room?.broadcast;
    return mediaTime === undefined || broadcast === undefined || !this.room?.live
      ? undefined
      : { broadcast, mediaTime };
  }

  #seesAll(): boolean {
    const role = this.room?.you?.role;
    return role === "host" || role === "moderator";
  }

  #sendTaps(): void {
    this.#tapped = undefined;
    const taps = this.#taps;
    this.#taps = new Map();
    for (const [emoji, count] of taps) {
      if (this.#joined) this.#send({ type: "react", emoji, count: Math.min(count, gather.count) });
    }
  }

  #setLink(l: Link, code?: number): void {
    if (l === this.#link) return;
    this.#link = l;
    this.#options.on.link?.(l, code);
  }
}
