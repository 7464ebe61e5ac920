// One connection to a room.

import type { Environment } from "./environment";
import { type Command, type Event, type Join, subprotocol } from "./protocol";

/** How long a connection may take to open, how long silence may last until a
 * sign of life is asked for, and until the connection is taken for dead, in
 * milliseconds. A phone that changes networks is never told that its old
 * connection is gone. */
const patience = { open: 10_000, quiet: 15_000, dead: 25_000 };

/** How long it may take to answer when something happened to the network. */
const wakeful = 4000;

export interface Ears {
  hear(e: Event): void;
  /** The connection is over: with the code of the room, or 1006. */
  lost(code: number): void;
}

export class Socket {
  readonly #socket: WebSocket;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heard = performance.now();
  #over = false;

  constructor(
    env: Environment,
    url: string,
    join: () => Join,
    readonly ears: Ears,
  ) {
    this.#socket = new env.WebSocket(url, subprotocol);
    this.#socket.onopen = () => {
      this.#heard = performance.now();
      this.send({ ...join(), id: "join" });
      this.#watch(patience.quiet);
    };
    this.#socket.onmessage = (m) => {
      this.#heard = performance.now();
      const e = parse(m.data);
      if (e && !this.#over) ears.hear(e);
    };
    this.#socket.onclose = (e) => this.#lost(e.code);
    this.#watch(patience.open);
  }

  /** Sends a command; false if that is impossible now. */
  send(command: Command): boolean {
    if (this.#over || this.#socket.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  /** Asks for a sign of life, and does not wait for it for long. */
  check(): void {
    if (!this.send({ type: "ping" })) return;
    this.#heard = Math.min(this.#heard, performance.now() - (patience.dead - wakeful));
    this.#watch(wakeful);
  }

  /** Ends the connection; nothing is heard of it any more. */
  close(code = 1000): void {
    this.#end();
    this.#socket.close(code);
  }

  #watch(wait: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.max(wait, 1));
  }

  #look(): void {
    const silence = performance.now() - this.#heard;
    if (this.#socket.readyState !== 1 || silence >= patience.dead) {
      this.#lost(1006);
      this.#socket.close();
      return;
    }
    if (silence >= patience.quiet) this.send({ type: "ping" });
    this.#watch((silence >= patience.quiet ? patience.dead : patience.quiet) - silence);
  }

  #lost(code: number): void {
    if (this.#over) return;
    this.#end();
    this.ears.lost(code);
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }
}

/** Reads a frame; undefined if it is none of ours. */
export function parse(data: unknown): Event | undefined {
  try {
    const e = JSON.parse(data as string);
    return typeof e?.type === "string" ? (e as Event) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a close code asks to come back: 41xx and what WebSocket itself
 * calls our fault do not. */
export function comesBack(code: number): boolean {
  return code < 4100 && code !== 1002 && code !== 1007 && code !== 1009;
}
