// Events that wait for their picture.

import type { Event } from "./protocol";
import { type Moment, reached } from "./timeline";

interface Item {
  event: Event;
  /** What it waits for, and until when at most. */
  moment: Moment;
  until: number;
}

/** How often, in milliseconds, to look at least where the player is: it may
 * pause, seek or change its speed. */
const look = 100;

/** For how long a player that says nothing is thought to come back. */
const lapse = 3000;

/** Releases each event when playback reaches it, and at its bound at the
 * latest. What becomes due together is released in the order of the room. */
export class Held {
  #items: Item[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #known = Number.NEGATIVE_INFINITY; // when the player last said where it is

  constructor(
    readonly playback: () => Moment | undefined,
    readonly release: (e: Event) => void,
  ) {}

  /** Takes an event. Without a moment it belongs behind those that wait. */
  add(event: Event, moment: Moment | undefined, delay: number): void {
    const last = this.#items.at(-1);
    if (moment === undefined && last === undefined) {
      this.release(event);
      return;
    }
    this.#items.push({
      event,
      moment: moment ?? (last as Item).moment,
      until: moment ? performance.now() + delay : (last as Item).until,
    });
    this.look();
  }

  /** Lets go of all, in order. */
  flush(): void {
    const all = this.#items;
    this.#items = [];
    clearTimeout(this.#timer);
    for (const i of all) this.release(i.event);
  }

  /** Forgets those that gone names. */
  drop(gone: (e: Event) => boolean): void {
    this.#items = this.#items.filter((i) => !gone(i.event));
    if (this.#items.length === 0) clearTimeout(this.#timer);
  }

  get size(): number {
    return this.#items.length;
  }

  /** Releases what is due. It looks by itself, but less often in pages that nobody
   * sees. */
  look(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    const at = this.playback();
    if (at) this.#known = now;
    const lost = at === undefined && now - this.#known > lapse;
    const due = (i: Item) => lost || i.until <= now || (at !== undefined && reached(at, i.moment));
    const ready = this.#items.filter(due);
    this.#items = this.#items.filter((i) => !ready.includes(i));
    let wait = look;
    for (const i of this.#items) {
      wait = Math.min(wait, i.until - now);
      if (at?.broadcast === i.moment.broadcast) wait = Math.min(wait, i.moment.mediaTime - at.mediaTime);
    }
    if (this.#items.length > 0) this.#timer = setTimeout(() => this.look(), Math.max(wait, 1));
    for (const i of ready) this.release(i.event);
  }
}
