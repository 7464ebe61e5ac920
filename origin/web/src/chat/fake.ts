// A room for tests: sockets and files that a script answers.

import { vi } from "vitest";
import type { Environment } from "./environment";
import type { Command, Event, Message, Welcome } from "./protocol";

export class FakeSocket {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    const s = FakeSocket.all.at(-1);
    if (!s) throw new Error("no socket was opened");
    return s;
  }

  readyState = 0;
  sent: (Command & { id?: string })[] = [];
  onopen?: () => void;
  onmessage?: (m: { data: string }) => void;
  onclose?: (e: { code: number }) => void;

  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    FakeSocket.all.push(this);
  }

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(): void {
    this.readyState = 3;
  }

  open(): this {
    this.readyState = 1;
    this.onopen?.();
    return this;
  }

  say(...events: (Event | Record<string, unknown>)[]): this {
    for (const e of events) this.onmessage?.({ data: JSON.stringify(e) });
    return this;
  }

  /** The server, or the network, ends it. */
  fail(code = 1006): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }

  of(type: string): (Command & { id?: string; [member: string]: unknown })[] {
    return this.sent.filter((c) => c.type === type) as never;
  }
}

export const base = {
  users: 1,
  connections: 1,
  settings: { slow: 0, membersOnly: false, links: "all" as const },
  limits: { text: 500, delay: 30_000, history: 50, reactions: ["👍"] },
  live: true,
  broadcast: 7,
  mapping: { broadcast: 7, media: 0, wall: 1_000_000 },
  at: 1_000_000,
};

export function welcome(more: Partial<Welcome> = {}): Welcome {
  const you = { id: "~me", name: "guest-1", role: "guest" as const };
  return { type: "welcome", id: "join", version: 1, epoch: 100, offset: 0, replay: 0, you, ...base, ...more };
}

export function message(offset: number, more: Partial<Message> = {}): Message {
  return {
    type: "message",
    offset,
    at: 1_000_000,
    id: `m${offset}`,
    from: { id: "~b", name: "Bob" },
    text: `t${offset}`,
    ...more,
  };
}

/** Answers by URL path; what has no answer is 404. */
export class FakeFiles {
  asked: string[] = [];
  answers: Record<string, () => Response | Promise<Response>> = {};

  fetch = ((url: string, init?: RequestInit) => {
    const u = new URL(url);
    this.asked.push(u.pathname + u.search);
    const answer = this.answers[u.pathname];
    return new Promise<Response>((resolve, reject) => {
      init?.signal?.addEventListener("abort", () => reject(new Error("aborted")));
      Promise.resolve(answer ? answer() : new Response("{}", { status: 404 })).then(resolve, reject);
    });
  }) as typeof fetch;
}

export function json(x: unknown, status = 200): Response {
  return new Response(JSON.stringify(x), { status });
}

export function fakeStorage(): Pick<Storage, "getItem" | "setItem"> {
  const kept = new Map<string, string>();
  return { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => void kept.set(k, v) };
}

export function fakeEnvironment(files = new FakeFiles()): Partial<Environment> {
  return { WebSocket: FakeSocket as never, fetch: files.fetch, storage: fakeStorage(), random: () => 0.5 };
}

/** Lets time pass, and what waits for it happen. */
export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}
