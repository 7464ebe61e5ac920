// The connection to the chat room; docs/chat.md has the protocol.

import { Backoff } from "./chat/backoff";
import { type Command, type Event, type Position, subprotocol } from "./chat/protocol";

export type Link = "open" | "reconnecting" | "closed";

export interface ChatListener {
  event(e: Event): void;
  link(l: Link): void;
}

/** Ask for a sign of life after this many seconds without one, and connect
 * anew after twice as many: a phone that changes networks is never told that
 * its old connection is gone. */
const quiet = 20;

/** Whether a close code asks to come back: 41xx and what WebSocket itself
 * calls our fault do not. */
export function comesBack(code: number): boolean {
  return code < 4100 && code !== 1002 && code !== 1007 && code !== 1009;
}

export class Chat {
  #socket: WebSocket | undefined;
  #timer: number | undefined;
  #silence = 0;
  #said = 0;
  #position: Position | undefined;
  #replay = 0;
  readonly #guest = secret();
  readonly #backoff = new Backoff(1500, 30_000);

  constructor(
    readonly url: string,
    public name: string,
    readonly on: ChatListener,
  ) {}

  /** Connects, or connects anew to take another name. */
  connect(): void {
    window.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#silence = 0;
    const old = this.#socket;
    const socket = new WebSocket(this.url, subprotocol);
    this.#socket = socket;
    old?.close(1000);
    socket.onopen = () => {
      this.#send({ type: "join", name: this.name, guest: this.#guest, resume: this.#position });
    };
    socket.onmessage = (m) => {
      if (this.#socket === socket) this.#hear(JSON.parse(m.data as string) as Event);
    };
    socket.onclose = (e) => {
      if (this.#socket === socket) this.#lost(e.code);
    };
  }

  /** Says something; false if there is no connection to say it on. */
  say(text: string): boolean {
    this.#said++;
    return this.#send({ type: "say", id: `${this.#guest.slice(0, 8)}-${this.#said}`, text });
  }

  /** Looks, once a second, whether the room is still there. */
  look(): void {
    if (this.#socket === undefined) return;
    this.#silence++;
    if (this.#silence === quiet) this.#send({ type: "ping" });
    if (this.#silence >= 2 * quiet) {
      const socket = this.#socket;
      this.#lost(1006);
      socket.close();
    }
  }

  /** The browser has a network again: do not wait any longer. */
  wake(): void {
    if (this.#timer !== undefined) this.connect();
  }

  #send(command: Command): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  #hear(e: Event): void {
    this.#silence = 0;
    if (e.type === "welcome") {
      this.#backoff.reset();
      this.#replay = e.replay;
      this.#position = { epoch: e.epoch, offset: e.offset };
      this.on.link("open");
    } else if ("offset" in e && e.type !== "ack") {
      if (this.#replay > 0) this.#replay--;
      else if (this.#position) this.#position.offset = e.offset;
    }
    if (e.type === "error" && e.code === "bad_name" && this.name !== "") {
      // A name that was fine once may not be any more: join as a guest.
      this.name = "";
      this.#send({ type: "join", guest: this.#guest });
    }
    this.on.event(e);
  }

  #lost(code: number): void {
    this.#socket = undefined;
    if (!comesBack(code)) {
      this.on.link("closed");
      return;
    }
    this.on.link("reconnecting");
    this.#timer = window.setTimeout(() => this.connect(), this.#backoff.next());
  }
}

/** A secret by which a guest stays the same over connections. */
function secret(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
