// Media time: which picture a message belongs to, and where the viewer is.

import type { Mapping } from "./protocol";

/** A moment of a stream. */
export interface Moment {
  /** The life of the stream that the time is of. */
  broadcast: number;
  /** In milliseconds. */
  mediaTime: number;
}

/** What a viewer's player shows: a time of the stream, as FLV has it, or the
 * wall clock of the picture, as HLS has it; in milliseconds. Without a broadcast
 * it is the one that is live. */
export type Playback = { mediaTime: number; broadcast?: number | undefined } | { wallClock: number };

/** How many mappings are kept: far more than there are in the time that a
 * viewer may be behind. */
const kept = 64;

/** Knows the wall clock of media times. */
export class Timeline {
  #mappings: Mapping[] = [];

  add(m: Mapping | undefined): void {
    if (m === undefined) return;
    this.#mappings.push({ broadcast: m.broadcast, media: m.media, wall: m.wall });
    if (this.#mappings.length > kept) this.#mappings.shift();
  }

  /** The moment of a picture, by the newest mapping that begins before it; who
   * has just come knows only one that begins at the live edge. */
  at(wall: number): Moment | undefined {
    let m = this.#mappings[0];
    for (const later of this.#mappings) if (later.wall <= wall) m = later;
    return m && { broadcast: m.broadcast, mediaTime: m.media + wall - m.wall };
  }
}

/** Whether a is b or comes after it. */
export function reached(a: Moment, b: Moment): boolean {
  return a.broadcast > b.broadcast || (a.broadcast === b.broadcast && a.mediaTime >= b.mediaTime);
}
