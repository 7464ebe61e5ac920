// Reactions: buttons with their sums, and what rises when somebody taps.

import type { Reactions as Sums } from "./chat";
import { button, element } from "./dom";

/** How many rise at once, and of one sum, at most. */
const most = { rising: 24, together: 4 };

export class Reactions {
  readonly #buttons = new Map<string, HTMLElement>();
  readonly #still = window.matchMedia("(prefers-reduced-motion: reduce)");

  constructor(
    readonly bar: HTMLElement,
    /** What rises does so over this. */
    readonly floor: HTMLElement,
    readonly tap: (emoji: string) => void,
  ) {}

  /** Offers these, with the sums so far. */
  offer(emoji: readonly string[], totals: Record<string, number>): void {
    const same = emoji.length === this.#buttons.size && emoji.every((e) => this.#buttons.has(e));
    if (!same) {
      this.#buttons.clear();
      this.bar.replaceChildren(...emoji.map((e) => this.#button(e)));
    }
    for (const e of emoji) this.#show(e, totals[e] ?? 0);
  }

  add(sums: Sums): void {
    for (const [e, n] of Object.entries(sums.totals)) this.#show(e, n);
    for (const [e, n] of Object.entries(sums.added)) {
      if (this.#still.matches) continue;
      for (let i = 0; i < Math.min(n, most.together); i++) this.#rise(e, i);
    }
  }

  set enabled(on: boolean) {
    for (const b of this.bar.querySelectorAll("button")) b.disabled = !on;
  }

  #button(e: string): HTMLElement {
    const count = element("span", "", "count");
    const b = button("", () => this.tap(e), "plain reaction");
    b.append(element("span", e, "emoji"), count);
    b.dataset.emoji = e;
    this.#buttons.set(e, count);
    return b;
  }

  #show(e: string, n: number): void {
    const count = this.#buttons.get(e);
    if (count) count.textContent = n > 0 ? short(n) : "";
  }

  #rise(e: string, i: number): void {
    if (this.floor.childElementCount >= most.rising) return;
    const up = element("span", e);
    up.style.setProperty("--x", String(Math.random()));
    up.style.setProperty("--wait", `${i * 90}ms`);
    up.addEventListener("animationend", () => up.remove());
    this.floor.append(up);
  }
}

/** A count that fits on a button. */
export function short(n: number): string {
  if (n < 1000) return String(n);
  const [unit, name] = n < 1_000_000 ? [1000, "k"] : [1_000_000, "M"];
  return `${(Math.floor((n / unit) * 10) / 10).toFixed(n < 10 * unit ? 1 : 0)}${name}`;
}
