// Where a room is.

import type { Position } from "./protocol";

/** The addresses of a room: https://host/live/alice/chat, or the same with
 * wss:, http: or ws:. */
export class Addresses {
  readonly #base: URL;

  constructor(
    url: string,
    readonly token: string | undefined,
  ) {
    this.#base = new URL(url, globalThis.location?.href);
    this.token ??= this.#base.searchParams.get("token") ?? undefined;
    this.#base.search = "";
    this.#base.hash = "";
  }

  /** The socket; its token goes with the join, since logs keep URLs. */
  get socket(): string {
    return this.#base.href.replace(/^http/, "ws");
  }

  get index(): string {
    return this.#file("index.json", {});
  }

  chunk(n: number): string {
    return this.#file(`${n}.json`, {});
  }

  events(resume: Position | undefined): string {
    return this.#file("events", { resume: resume && `${resume.epoch}-${resume.offset}` });
  }

  #file(name: string, query: Record<string, string | undefined>): string {
    const url = new URL(`${this.#base.href.replace(/^ws/, "http").replace(/\/$/, "")}/${name}`);
    // Before the path, where an edge looks for it; if it can stand there.
    if (this.token && /^[\w.~-]+$/.test(this.token)) {
      url.pathname = url.pathname.replace(/(\/[^/]+){4}$/, (room) => `/t/${this.token}${room}`);
    } else if (this.token) {
      url.searchParams.set("token", this.token);
    }
    for (const [k, v] of Object.entries(query)) if (v !== undefined) url.searchParams.set(k, v);
    return url.href;
  }
}
