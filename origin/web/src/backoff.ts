// How long to wait before trying again.

/** Waits that grow by half from first to longest, in milliseconds, each with
 * up to a third of chance, so that many clients do not return as one. */
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
    this.#wait = Math.min(this.longest, wait * 1.5);
    return wait * (1 + this.random() / 3);
  }

  reset(): void {
    this.#wait = this.first;
  }
}
