// How long to wait before trying again.

/** Waits that double from first to longest, in milliseconds. Each is spread
 * by half to both sides, so that many clients do not return as one. */
export class Backoff {
  #wait: number;

  constructor(
    readonly first: number,
    readonly longest: number,
    readonly random: () => number = Math.random,
  ) {
    this.#wait = first;
  }

  next(): number {
    const wait = this.#wait;
    this.#wait = Math.min(this.longest, wait * 2);
    return wait * (0.5 + this.random());
  }

  reset(): void {
    this.#wait = this.first;
  }
}
