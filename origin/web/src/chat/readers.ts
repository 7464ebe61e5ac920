// The two ways to read a room without a socket: chunks that a CDN carries, and
// server-sent events.

import type { Addresses } from "./addresses";
import { Backoff } from "./backoff";
import type { Environment } from "./environment";
import type { Chunk, Event, Index, Position } from "./protocol";
import { parse } from "./socket";

/** How long an answer may take, in milliseconds: a chunk waits for a second. */
const patience = 10_000;

/** How long a stream of events may be silent: a sign of life comes every 15 s. */
const silence = 35_000;

export interface ReaderEars {
  /** What the room is like; the newest messages follow as events. */
  index(i: Index): void;
  /** Events in order, some of which may be known already. */
  hear(e: Event): void;
  /** Where the room is after them. */
  position(p: Position): void;
  /** It did not work; it is tried again. */
  failed(): void;
  /** Nobody may read here, for the reason that a socket would be closed with. */
  closed(code: number): void;
}

/** Reads until it is closed. */
export interface Reader {
  close(): void;
}

class Failure extends Error {
  constructor(readonly status: number) {
    super(`HTTP ${status}`);
  }
}

abstract class Loop implements Reader {
  readonly abort = new AbortController();
  readonly backoff: Backoff;

  constructor(
    readonly env: Environment,
    readonly addresses: Addresses,
    readonly ears: ReaderEars,
  ) {
    this.backoff = new Backoff(1000, 15_000, env.random);
  }

  abstract read(): Promise<void>;

  close(): void {
    this.abort.abort();
  }

  get over(): boolean {
    return this.abort.signal.aborted;
  }

  async run(): Promise<void> {
    while (!this.over) {
      try {
        await this.read();
        await this.pause(500); // it begins anew
      } catch (e) {
        if (this.over) return;
        if (e instanceof Failure && e.status === 403) {
          this.ears.closed(4101);
          return;
        }
        this.ears.failed();
        await this.pause(this.backoff.next());
      }
    }
  }

  /** Waits, unless it is closed. */
  pause(ms: number): Promise<void> {
    if (this.over) return Promise.resolve();
    return new Promise((done) => {
      const end = () => {
        clearTimeout(timer);
        this.abort.signal.removeEventListener("abort", end);
        done();
      };
      const timer = setTimeout(end, ms);
      this.abort.signal.addEventListener("abort", end);
    });
  }

  /** Does something that may not be silent for longer than a time. */
  async within<T>(ms: number, work: (alive: () => void, signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const ended = new Promise<never>((_, reject) => {
      stop.signal.addEventListener("abort", () => reject(new Failure(0)));
    });
    const end = () => stop.abort();
    this.abort.signal.addEventListener("abort", end);
    let timer = setTimeout(end, ms);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(end, ms);
    };
    try {
      return await Promise.race([work(alive, stop.signal), ended]);
    } finally {
      clearTimeout(timer);
      this.abort.signal.removeEventListener("abort", end);
    }
  }
}

/** Reads index.json and the chunks after it. */
export class Chunks extends Loop {
  async read(): Promise<void> {
    const index = await this.#get<Index>(this.addresses.index);
    if (this.over) return;
    this.ears.index(index);
    for (let n = index.next, missing = 0; !this.over; ) {
      const chunk = await this.#chunk(n);
      if (this.over) return;
      if (chunk === undefined) {
        // Not begun yet, since clocks differ, or gone.
        if (++missing > 4) return;
        await this.pause(index.duration / 2);
        continue;
      }
      if (chunk.epoch !== index.epoch) return; // the server began anew
      missing = 0;
      n++;
      this.backoff.reset();
      for (const e of chunk.events) this.ears.hear(e);
      this.ears.position(chunk);
    }
  }

  async #chunk(n: number): Promise<Chunk | undefined> {
    try {
      return await this.#get<Chunk>(this.addresses.chunk(n));
    } catch (e) {
      if (e instanceof Failure && e.status === 404) return undefined;
      throw e;
    }
  }

  #get<T>(url: string): Promise<T> {
    return this.within(patience, async (_, signal) => {
      const r = await this.env.fetch(url, { signal });
      if (!r.ok) throw new Failure(r.status);
      return (await r.json()) as T;
    });
  }
}

/** Reads server-sent events. They are fetched, since an EventSource does not
 * show the signs of life, or why it is refused. */
export class Events extends Loop {
  constructor(
    env: Environment,
    addresses: Addresses,
    ears: ReaderEars,
    readonly resume: () => Position | undefined,
  ) {
    super(env, addresses, ears);
  }

  async read(): Promise<void> {
    await this.within(silence, async (alive, signal) => {
      const r = await this.env.fetch(this.addresses.events(this.resume()), {
        signal,
        headers: { Accept: "text/event-stream" },
      });
      if (!r.ok || !r.body) throw new Failure(r.status);
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) throw new Failure(0);
        alive();
        const lines = (rest + value).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) this.#line(line);
      }
    });
  }

  #line(line: string): void {
    if (this.over || !line.startsWith("data:")) return;
    const e = parse(line.slice(5));
    if (e?.type === "closed") {
      if (e.code >= 4100) this.ears.closed(e.code);
      return;
    }
    if (e?.type === "welcome") this.backoff.reset();
    if (e) this.ears.hear(e);
  }
}
