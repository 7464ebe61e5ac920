import type { Event } from "./protocol";

/** How many messages are remembered, and for how long a sender's name for one
 * names no other, in milliseconds. */
const most = 2000;
const kept = 600_000;

/** Which messages were shown lately: some come again. */
export class Shown {
  readonly #ids = new Set<string>();
  readonly #said = new Map<string, { id: string; at: number }>();

  /** Notes an event. "known" if it was shown; an id if the message of that id
   * is not kept and this one is in its place: a server that crashed had
   * delivered it, and its sender has said it again. */
  add(e: Event): "new" | "known" | { instead: string } {
    if (e.type !== "message" && e.type !== "announcement" && e.type !== "system") return "new";
    if (this.#ids.has(e.id)) return "known";
    this.#ids.add(e.id);
    for (const old of this.#ids) {
      if (this.#ids.size <= most) break;
      this.#ids.delete(old);
    }
    if (e.type !== "message" || e.clientId === undefined) return "new";
    const name = `${e.from.id} ${e.clientId}`;
    const before = this.#said.get(name);
    this.#said.delete(name); // to stand last
    this.#said.set(name, { id: e.id, at: e.at });
    for (const old of this.#said.keys()) {
      if (this.#said.size <= most) break;
      this.#said.delete(old);
    }
    return before && Math.abs(e.at - before.at) < kept ? { instead: before.id } : "new";
  }

  /** Forgets all, as the screen does. */
  clear(): void {
    this.#ids.clear();
    this.#said.clear();
  }
}
