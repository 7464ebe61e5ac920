// What was said and is not acknowledged yet.

import type { Ack, Command, ErrorEvent, Say } from "./protocol";

/** Why a command failed: the room's word for it, or one of ours: "closed" (the
 * room does not want us back), "lost" (the connection went, it may have been
 * obeyed or not), "offline" (there is none), "timeout" (in doubt for too long),
 * "full" (too much waits). */
export class ChatError extends Error {
  constructor(
    readonly code: string,
    message: string,
    /** After how many milliseconds the same may succeed; undefined: it will not. */
    readonly retryAfter?: number,
  ) {
    super(message);
    this.name = "ChatError";
  }
}

/** How much may wait, how long, and how often and how soon (in milliseconds) a
 * message is sent again by itself when the room asks for a moment. */
const bound = { waiting: 50, time: 60_000, tries: 3, retry: 5000 };

type Saying = Say & { id: string };

interface Waiting {
  say: Saying;
  tries: number;
  expiry: ReturnType<typeof setTimeout>;
  again?: ReturnType<typeof setTimeout>;
  resolve(a: Ack): void;
  reject(e: ChatError): void;
}

/** Sends each message, again on every connection, until the room has
 * acknowledged or refused it. The room takes each id once. */
export class Outbox {
  readonly #waiting = new Map<string, Waiting>();

  constructor(
    readonly send: (c: Command) => boolean,
    readonly random: () => number,
  ) {}

  get size(): number {
    return this.#waiting.size;
  }

  say(say: Saying): Promise<Ack> {
    if (this.#waiting.size >= bound.waiting) {
      return Promise.reject(new ChatError("full", "too many messages wait to be sent"));
    }
    return new Promise((resolve, reject) => {
      const expiry = setTimeout(
        () => this.#fail(say.id, new ChatError("timeout", "the message could not be sent in time")),
        bound.time,
      );
      this.#waiting.set(say.id, { say, tries: 1, expiry, resolve, reject });
      this.send(say);
    });
  }

  /** There is a new connection: whether the last one took them is unknown. */
  joined(): void {
    for (const w of this.#waiting.values()) {
      clearTimeout(w.again);
      this.send(w.say);
    }
  }

  /** Takes an answer; false if it is to nothing of here. */
  answer(e: Ack | ErrorEvent): boolean {
    const w = this.#waiting.get(e.id ?? "");
    if (!w) return false;
    if (e.type === "ack") {
      this.#forget(w);
      w.resolve(e);
      return true;
    }
    const soon = e.code === "rate" || e.code === "busy" || e.code === "unavailable";
    if (soon && e.retryAfter !== undefined && e.retryAfter <= bound.retry && w.tries < bound.tries) {
      w.tries++;
      w.again = setTimeout(() => this.send(w.say), e.retryAfter * (1 + this.random() / 4));
      return true;
    }
    this.#fail(w.say.id, new ChatError(e.code, e.message, e.retryAfter));
    return true;
  }

  /** Gives all up. */
  close(e: ChatError): void {
    for (const id of [...this.#waiting.keys()]) this.#fail(id, e);
  }

  #fail(id: string, e: ChatError): void {
    const w = this.#waiting.get(id);
    if (!w) return;
    this.#forget(w);
    w.reject(e);
  }

  #forget(w: Waiting): void {
    clearTimeout(w.expiry);
    clearTimeout(w.again);
    this.#waiting.delete(w.say.id);
  }
}
