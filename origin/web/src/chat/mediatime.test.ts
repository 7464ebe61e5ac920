import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Chat, type Options } from "./client";
import { FakeSocket, fakeEnvironment, message, pass, welcome } from "./fake";
import type { Announcement, Event } from "./protocol";
import { type Playback, Timeline } from "./timeline";

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
});
afterEach(() => {
  vi.useRealTimers();
});

/** A viewer whose player is under the test's control. */
class Viewer {
  shown: string[] = [];
  at: number | undefined; // what the player shows
  rate = 1;
  wall: number | undefined; // if it tells the wall clock instead
  broadcast: number | undefined;
  readonly chat: Chat;

  constructor(more = {}, options: Partial<Options> = {}) {
    this.chat = new Chat({
      url: "https://host/live/x/chat",
      environment: fakeEnvironment(),
      playback: () => this.#playback(),
      on: {
        event: (e: Event) => {
          if (e.type === "message" || e.type === "announcement") this.shown.push(e.text);
        },
      },
      ...options,
    });
    this.chat.start();
    FakeSocket.last.open().say(welcome(more));
  }

  #playback(): Playback | undefined {
    if (this.wall !== undefined) return { wallClock: this.wall };
    return this.at === undefined ? undefined : { mediaTime: this.at, broadcast: this.broadcast };
  }

  /** The player plays for a time. */
  async play(ms: number): Promise<void> {
    for (let t = 0; t < ms; t += 10) {
      await pass(10);
      if (this.at !== undefined) this.at += 10 * this.rate;
      if (this.wall !== undefined) this.wall += 10 * this.rate;
    }
  }

  get said() {
    return FakeSocket.last.of("say");
  }
}

test("a message of others waits for its picture", async () => {
  const v = new Viewer();
  v.at = 10_000;
  FakeSocket.last.say(message(1, { mediaTime: 12_000 }), message(2, { mediaTime: 12_500 }));
  await v.play(1980);
  expect(v.shown).toEqual([]);
  await v.play(40);
  expect(v.shown).toEqual(["t1"]);
  await v.play(500);
  expect(v.shown).toEqual(["t1", "t2"]);
  FakeSocket.last.say(message(3, { mediaTime: 9000 }));
  expect(v.shown.at(-1)).toBe("t3"); // long shown
});

test("one's own, what happened before, and what a moderator gets do not wait", () => {
  const v = new Viewer({ offset: 1, replay: 1 });
  v.at = 0;
  FakeSocket.last.say(
    message(1, { mediaTime: 9000 }),
    message(2, { mediaTime: 9000, from: { id: "~me", name: "me" } }),
  );
  expect(v.shown).toEqual(["t1", "t2"]);
  const m = new Viewer({ you: { id: "mo", name: "Mo", role: "moderator" } });
  m.at = 0;
  FakeSocket.last.say(message(1, { mediaTime: 9000 }));
  expect(m.shown).toEqual(["t1"]);
});

test("who has no player, or whose player says nothing, waits for nothing", async () => {
  const without = new Viewer({}, { playback: undefined });
  FakeSocket.last.say(message(1, { mediaTime: 9000 }));
  expect(without.shown).toEqual(["t1"]);
  const silent = new Viewer();
  FakeSocket.last.say(message(1, { mediaTime: 9000 }));
  expect(silent.shown).toEqual(["t1"]);
});

test("a player that comes back within a moment has lost nothing", async () => {
  const v = new Viewer();
  v.at = 1000;
  FakeSocket.last.say(message(1, { mediaTime: 5000 }));
  await v.play(1000);
  v.at = undefined;
  await v.play(2000);
  expect(v.shown).toEqual([]);
  v.at = 4000;
  await v.play(1050);
  expect(v.shown).toEqual(["t1"]);
  FakeSocket.last.say(message(2, { mediaTime: 50_000 }));
  v.at = undefined; // for longer
  await v.play(3300);
  expect(v.shown).toEqual(["t1", "t2"]);
});

test("a player that stands still holds for as long as the room allows, and in order", async () => {
  const v = new Viewer();
  v.at = 10_000;
  v.rate = 0;
  FakeSocket.last.say(message(1, { mediaTime: 12_000 }));
  await v.play(1000);
  FakeSocket.last.say(message(2, { mediaTime: 11_000 }));
  await v.play(28_900);
  expect(v.shown).toEqual([]);
  await v.play(200);
  expect(v.shown).toEqual(["t1"]);
  await v.play(1000);
  expect(v.shown).toEqual(["t1", "t2"]);
});

test("seeking shows what has become due, in the order of the room", async () => {
  const v = new Viewer();
  v.at = 10_000;
  FakeSocket.last.say(
    message(1, { mediaTime: 14_000 }),
    message(2, { mediaTime: 13_000 }),
    message(3, { mediaTime: 30_000 }),
  );
  await v.play(100);
  v.at = 20_000;
  await v.play(110);
  expect(v.shown).toEqual(["t1", "t2"]);
  v.at = 5000; // and back: the third is bounded
  await v.play(20_000);
  expect(v.shown).toEqual(["t1", "t2"]);
  await v.play(10_000);
  expect(v.shown).toEqual(["t1", "t2", "t3"]);
});

test("a player that plays faster is followed", async () => {
  const v = new Viewer();
  v.at = 0;
  v.rate = 2;
  FakeSocket.last.say(message(1, { mediaTime: 4000 }));
  await v.play(1900);
  expect(v.shown).toEqual([]);
  await v.play(200);
  expect(v.shown).toEqual(["t1"]);
});

test("after the end everything comes, in order", async () => {
  const v = new Viewer();
  v.at = 10_000;
  FakeSocket.last.say(message(1, { mediaTime: 12_000 }), { type: "ended", offset: 2, at: 1, broadcast: 7 }, message(3));
  await v.play(1000);
  expect(v.shown).toEqual([]); // the player still has some to play
  v.at = undefined; // it is over
  await v.play(3200);
  expect(v.shown).toEqual(["t1", "t3"]);
  FakeSocket.last.say(message(4));
  expect(v.shown.at(-1)).toBe("t4");
});

test("a new broadcast has a time of its own", async () => {
  const v = new Viewer();
  v.at = 100_000;
  v.broadcast = 7;
  FakeSocket.last.say(
    message(1, { mediaTime: 101_000 }),
    { type: "ended", offset: 2, at: 1, broadcast: 7 },
    { type: "live", offset: 3, at: 1, broadcast: 8, mapping: { broadcast: 8, media: 0, wall: 2_000_000 } },
    message(4, { mediaTime: 500 }),
  );
  await v.play(500);
  expect(v.shown).toEqual([]); // of the next one, though 500 < 100,500
  v.broadcast = 8;
  v.at = 0;
  await v.play(150);
  expect(v.shown).toEqual(["t1"]);
  await v.play(500);
  expect(v.shown).toEqual(["t1", "t4"]);
});

test("what is taken away is not shown later", async () => {
  const v = new Viewer();
  v.at = 0;
  const bob = { id: "~bob", name: "Bob" };
  const announcement: Announcement = { type: "announcement", offset: 5, at: 1, id: "a", text: "news", mediaTime: 1000 };
  FakeSocket.last.say(
    message(1, { mediaTime: 1000 }),
    message(2, { mediaTime: 1000, from: bob }),
    message(3, { mediaTime: 1000, from: bob }),
    message(4, { mediaTime: 1000, from: { id: "~c", name: "C" } }),
    announcement,
    { type: "deleted", offset: 6, at: 1, message: "m1" },
    { type: "deleted", offset: 7, at: 1, user: "~bob" },
  );
  await v.play(1200);
  expect(v.shown).toEqual(["t4", "news"]);
  FakeSocket.last.say(message(8, { mediaTime: 9000 }), { type: "cleared", offset: 9, at: 1 });
  await v.play(9000);
  expect(v.shown).toEqual(["t4", "news"]);
});

test("a reader of HLS goes by the picture's wall clock", async () => {
  const v = new Viewer(); // media 0 is at 1,000,000
  v.wall = 1_010_000;
  FakeSocket.last.say(message(1, { mediaTime: 12_000 }));
  await v.play(1950);
  expect(v.shown).toEqual([]);
  await v.play(100);
  expect(v.shown).toEqual(["t1"]);
  v.chat.say("seen").catch(() => undefined);
  expect(v.said[0]?.mediaTime).toBe(12_050);
});

test("an encoder that was away moves the wall clock, not what was before", () => {
  const t = new Timeline();
  expect(t.at(5)).toBeUndefined();
  t.add({ broadcast: 7, media: 1000, wall: 100_000 });
  t.add({ broadcast: 7, media: 5000, wall: 114_000 }); // ten seconds without media
  expect(t.at(99_000)).toEqual({ broadcast: 7, mediaTime: 0 });
  expect(t.at(103_000)).toEqual({ broadcast: 7, mediaTime: 4000 });
  expect(t.at(115_000)).toEqual({ broadcast: 7, mediaTime: 6000 });
});

test("what is said carries what its writer saw", () => {
  const v = new Viewer();
  const say = () => void v.chat.say("x").catch(() => undefined);
  say();
  v.at = 1234.5;
  say();
  v.broadcast = 6; // the player still shows the last broadcast
  say();
  expect(v.said.map((c) => c.mediaTime)).toEqual([undefined, 1235, undefined]);
});

test("who leaves gets what was held", () => {
  const v = new Viewer();
  v.at = 0;
  FakeSocket.last.say(message(1, { mediaTime: 9000 }));
  v.chat.close();
  expect(v.shown).toEqual(["t1"]);
});
