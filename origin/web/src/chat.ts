// The connection to the chat room; docs/chat.md has the protocol.

import { Backoff } from "./backoff";

export interface ChatEvent {
  type: string;
  seq?: number;
  id?: string;
  name?: string;
  from?: { id: string; name: string };
  text?: string;
  at?: number;
  online?: number;
  live?: boolean;
  code?: string;
  message?: string;
}

export type Link = "open" | "reconnecting" | "closed";

export interface ChatListener {
  event(e: ChatEvent): void;
  link(l: Link): void;
}

/** Whether a close code asks to come back: 41xx and what WebSocket itself
 * calls our fault do not. */
export function comesBack(code: number): boolean {
  return code < 4100 && code !== 1007 && code !== 1009;
}

export class Chat {
  #socket: WebSocket | undefined;
  #timer: number | undefined;
  readonly #backoff = new Backoff(1000, 30_000);

  constructor(
    readonly url: string,
    public name: string,
    readonly on: ChatListener,
  ) {}

  /** Connects, or connects anew to take another name. */
  connect(): void {
    window.clearTimeout(this.#timer);
    const old = this.#socket;
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    old?.close(1000);
    socket.onopen = () => socket.send(JSON.stringify({ type: "join", name: this.name }));
    socket.onmessage = (m) => {
      if (this.#socket !== socket) return;
      const e = JSON.parse(m.data as string) as ChatEvent;
      if (e.type === "welcome") {
        this.#backoff.reset();
        this.on.link("open");
      }
      if (e.type === "error" && e.code === "bad_name" && this.name !== "") {
        // A name that was fine once may not be any more: join as a guest.
        this.name = "";
        socket.send(JSON.stringify({ type: "join" }));
      }
      this.on.event(e);
    };
    socket.onclose = (e) => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      if (!comesBack(e.code)) {
        this.on.link("closed");
        return;
      }
      this.on.link("reconnecting");
      this.#timer = window.setTimeout(() => this.connect(), this.#backoff.next());
    };
  }

  /** Says something; false if there is no connection to say it on. */
  say(text: string): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ type: "say", text }));
    return true;
  }
}
