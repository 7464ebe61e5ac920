import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Chat, type How, type Link, type Options } from "./client";
import { base, FakeFiles, FakeSocket, fakeEnvironment, fakeStorage, json, message, pass, welcome } from "./fake";
import type { ChatError } from "./outbox";
import type { Event } from "./protocol";

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
});
afterEach(() => {
  vi.useRealTimers();
});

interface Seen {
  chat: Chat;
  events: (Event & { how: How })[];
  links: (Link | string)[];
  resets: number;
  texts(): string[];
}

function enter(options: Partial<Options> = {}): Seen {
  const seen: Seen = {
    chat: undefined as never,
    events: [],
    links: [],
    resets: 0,
    texts: () => seen.events.flatMap((e) => (e.type === "message" ? [e.text] : [])),
  };
  seen.chat = new Chat({
    url: "https://host/live/x/chat",
    environment: fakeEnvironment(),
    on: {
      event: (e, how) => seen.events.push({ ...e, how }),
      reset: () => seen.resets++,
      link: (l, code) => seen.links.push(code === undefined ? l : `${l} ${code}`),
    },
    ...options,
  });
  seen.chat.start();
  return seen;
}

/** Enters a room that answers at once. */
function inside(options: Partial<Options> = {}, more = {}): Seen {
  const seen = enter(options);
  FakeSocket.last.open().say(welcome(more));
  return seen;
}

test("it joins with what it knows", () => {
  const storage = fakeStorage();
  const env = { ...fakeEnvironment(), storage };
  enter({ name: "Ann", url: "https://host/live/x/chat?token=t%26", environment: env });
  FakeSocket.last.open();
  expect(FakeSocket.last.url).toBe("wss://host/live/x/chat");
  expect(FakeSocket.last.protocol).toBe("miju.chat.v1");
  const [join] = FakeSocket.last.of("join");
  expect(join).toMatchObject({ id: "join", name: "Ann", token: "t&" });
  expect(join?.guest).toMatch(/^[0-9a-f]{32}$/);
  enter({ environment: env }); // another tab, or the next visit
  FakeSocket.last.open();
  expect(FakeSocket.last.of("join")[0]?.guest).toBe(join?.guest);
});

test("it comes back to where it was, with no event twice", async () => {
  const s = inside({}, { offset: 4, replay: 1 });
  FakeSocket.last.say(message(4), message(5));
  FakeSocket.last.fail();
  expect(s.links).toEqual(["open", "reconnecting 1006"]);
  await pass(1000);
  FakeSocket.last.open();
  expect(FakeSocket.last.of("join")[0]?.resume).toEqual({ epoch: 100, offset: 5 });
  FakeSocket.last.say(welcome({ offset: 7, replay: 2, resumed: true }), message(6));
  FakeSocket.last.fail(4000); // in the middle of what it missed
  await pass(2000);
  FakeSocket.last.open();
  expect(FakeSocket.last.of("join")[0]?.resume).toEqual({ epoch: 100, offset: 6 });
  FakeSocket.last.say(welcome({ offset: 7, replay: 1, resumed: true }), message(7), message(8), message(8));
  expect(s.texts()).toEqual(["t4", "t5", "t6", "t7", "t8"]);
  expect(s.events.filter((e) => e.type === "message").map((e) => e.how.replayed)).toEqual([
    true,
    false,
    true,
    true,
    false,
  ]);
  expect(s.resets).toBe(1);
});

test("it misses nothing over a start of the server, though offsets begin anew", async () => {
  const s = inside();
  for (let i = 1; i <= 5; i++) FakeSocket.last.say(message(i));
  FakeSocket.last.fail();
  await pass(1000);
  const before = message(6);
  const [n1, n2] = [message(1, { id: "n1", text: "u1" }), message(2, { id: "n2", text: "u2" })];
  const again = welcome({ epoch: 200, offset: 2, replay: 3, resumed: true });
  FakeSocket.last.open().say(again, before, n1).fail(); // in the middle of it
  await pass(2000);
  FakeSocket.last.open();
  expect(FakeSocket.last.of("join")[0]?.resume).toEqual({ epoch: 100, offset: 5 });
  FakeSocket.last.say(again, before, n1, n2, message(3, { id: "n3", text: "u3" }));
  expect(s.texts()).toEqual(["t1", "t2", "t3", "t4", "t5", "t6", "u1", "u2", "u3"]);
  FakeSocket.last.fail();
  await pass(10_000);
  FakeSocket.last.open();
  expect(FakeSocket.last.of("join")[0]?.resume).toEqual({ epoch: 200, offset: 3 });
});

test("a message that a server lost and its sender said again is there once", async () => {
  const s = inside();
  const said = { clientId: "c-1", text: "hello" };
  FakeSocket.last.say(message(1, said), message(2, { clientId: "c-2" })).fail();
  await pass(1000);
  FakeSocket.last.open().say(welcome({ epoch: 200, offset: 1, replay: 1, resumed: true }));
  FakeSocket.last.say(message(1, { ...said, id: "n1" }));
  FakeSocket.last.say(message(2, { clientId: "c-2", from: { id: "~c", name: "Cid" }, id: "n2" })); // another's
  FakeSocket.last.say(message(3, { ...said, id: "n3", at: 9_000_000 })); // long after
  expect(
    s.events.flatMap((e) => (e.type === "message" ? [e.id] : e.type === "deleted" ? [`-${e.message}`] : [])),
  ).toEqual(["m1", "m2", "-m1", "n1", "n2", "n3"]);
});

test("a gap begins the messages anew", async () => {
  const s = inside();
  FakeSocket.last.say(message(9)).fail();
  await pass(1000);
  FakeSocket.last.open().say(welcome({ epoch: 200, offset: 2, replay: 2 }), { type: "gap", reason: "unknown" });
  // What was said before the server's start has offsets of another epoch.
  FakeSocket.last.say(message(9), message(1), message(3));
  expect(s.resets).toBe(2);
  expect(s.texts()).toEqual(["t9", "t9", "t1", "t3"]);
  FakeSocket.last.fail();
  await pass(2000);
  FakeSocket.last.open();
  expect(FakeSocket.last.of("join")[0]?.resume).toEqual({ epoch: 200, offset: 3 });
});

test("waits between connections grow, and begin anew after a steady one", async () => {
  inside();
  const waits: number[] = [];
  const waited = async () => {
    const n = FakeSocket.all.length;
    for (let ms = 0; ms < 60_000; ms += 100) {
      if (FakeSocket.all.length > n) {
        waits.push(ms);
        return;
      }
      await pass(100);
    }
  };
  for (let i = 0; i < 3; i++) {
    FakeSocket.last
      .open()
      .say(welcome({ resumed: true }))
      .fail(4000); // slow, at once
    await waited();
  }
  FakeSocket.last.open().say(welcome({ resumed: true }));
  await pass(12_000);
  FakeSocket.last.fail(1001);
  await waited();
  expect(waits).toEqual([1000, 2000, 4000, 1000]);
});

test("what is said while there is no connection is sent once there is, until it is answered", async () => {
  const s = inside();
  FakeSocket.last.fail();
  const answer = s.chat.say("hello");
  const id = FakeSocket.all.length;
  FakeSocket.last.open(); // say does not wait for the next try
  expect(FakeSocket.last.of("say")).toEqual([]); // not before the welcome
  FakeSocket.last.say(welcome({ resumed: true }));
  const [first] = FakeSocket.last.of("say");
  expect(first).toMatchObject({ type: "say", text: "hello" });
  FakeSocket.last.fail(); // whether it was taken is unknown
  await pass(3000);
  expect(FakeSocket.all.length).toBeGreaterThan(id);
  FakeSocket.last.open().say(welcome({ resumed: true }));
  expect(FakeSocket.last.of("say")).toEqual([first]);
  FakeSocket.last.say({ type: "ack", id: first?.id, message: "m1", offset: 1, duplicate: true, kept: false });
  expect(await answer).toMatchObject({ duplicate: true, kept: false });
  FakeSocket.last.fail();
  await pass(5000);
  FakeSocket.last.open().say(welcome({ resumed: true }));
  expect(FakeSocket.last.of("say")).toEqual([]);
});

test("two clients of one guest never use an id twice", async () => {
  const env = fakeEnvironment();
  const ids = new Set<unknown>();
  for (let i = 0; i < 2; i++) {
    const s = inside({ environment: env });
    for (let n = 0; n < 3; n++) s.chat.say("x").catch(() => undefined);
    for (const c of FakeSocket.last.of("say")) ids.add(c.id);
  }
  expect(ids.size).toBe(6);
});

test("a refusal is told, a short one is waited for", async () => {
  const s = inside();
  const slow = s.chat.say("a");
  const [say] = FakeSocket.last.of("say");
  FakeSocket.last.say({ type: "error", id: say?.id, code: "slow", message: "slow mode", retryAfter: 4000 });
  await expect(slow).rejects.toMatchObject({ code: "slow", retryAfter: 4000 });

  const rated = s.chat.say("b");
  const again = () => FakeSocket.last.of("say").filter((c) => c.text === "b");
  const refuse = () =>
    FakeSocket.last.say({ type: "error", id: again()[0]?.id, code: "rate", message: "rate", retryAfter: 500 });
  refuse();
  await pass(499);
  expect(again().length).toBe(1);
  await pass(200);
  expect(again().length).toBe(2);
  refuse();
  await pass(700);
  refuse();
  await expect(rated).rejects.toMatchObject({ code: "rate" });
  expect(again().length).toBe(3);
});

test("what cannot be sent in a minute is given up", async () => {
  const s = inside();
  FakeSocket.last.fail();
  let e: ChatError | undefined;
  s.chat.say("x").catch((x) => {
    e = x;
  });
  await pass(59_000);
  expect(e).toBeUndefined();
  await pass(1100);
  expect(e?.code).toBe("timeout");
});

test("a silent connection is asked, and left within 30 s", async () => {
  const s = inside();
  await pass(14_000);
  FakeSocket.last.say({ type: "presence", users: 1, connections: 1 });
  await pass(14_900);
  expect(FakeSocket.last.of("ping").length).toBe(0);
  await pass(200);
  expect(FakeSocket.last.of("ping").length).toBe(1);
  FakeSocket.last.say({ type: "pong", at: 1 });
  await pass(24_900);
  expect(s.links).toEqual(["open"]);
  await pass(200);
  expect(s.links).toEqual(["open", "reconnecting 1006"]);
});

test("a network that comes back is not waited for", async () => {
  const s = inside();
  s.chat.wake();
  expect(FakeSocket.last.of("ping").length).toBe(1);
  await pass(4100);
  expect(s.links).toEqual(["open", "reconnecting 1006"]);
  const n = FakeSocket.all.length;
  s.chat.wake();
  expect(FakeSocket.all.length).toBe(n + 1);
});

test("a connection that never opens is given up", async () => {
  enter();
  await pass(10_000);
  await pass(1500);
  expect(FakeSocket.all.length).toBe(2);
});

test("a room that does not want it back is left for good", async () => {
  const s = inside();
  const said = s.chat.say("x");
  FakeSocket.last.fail(4105);
  await expect(said).rejects.toMatchObject({ code: "closed" });
  await expect(s.chat.say("y")).rejects.toMatchObject({ code: "closed" });
  await pass(600_000);
  expect(FakeSocket.all.length).toBe(1);
  expect(s.links).toEqual(["open", "closed 4105"]);
});

test("other commands are answered once, or in doubt", async () => {
  const s = inside();
  const pin = s.chat.command({ type: "pin", message: "m1" });
  const ban = s.chat.command({ type: "ban", user: "~b" });
  const mute = s.chat.command({ type: "mute", user: "~b" });
  const id = (type: string) => FakeSocket.last.of(type)[0]?.id;
  FakeSocket.last.say(
    { type: "ack", id: id("pin") },
    { type: "error", id: id("ban"), code: "forbidden", message: "no" },
  );
  await expect(pin).resolves.toMatchObject({ type: "ack" });
  await expect(ban).rejects.toMatchObject({ code: "forbidden" });
  FakeSocket.last.fail();
  await expect(mute).rejects.toMatchObject({ code: "lost" });
  await expect(s.chat.command({ type: "clear" })).rejects.toMatchObject({ code: "offline" });
});

test("taps of a moment go together", async () => {
  const s = inside();
  for (let i = 0; i < 25; i++) s.chat.react("👍");
  s.chat.react("🔥");
  await pass(300);
  expect(FakeSocket.last.of("react")).toEqual([
    { type: "react", emoji: "👍", count: 20 },
    { type: "react", emoji: "🔥", count: 1 },
  ]);
});

test("the room is known as it changes", () => {
  const s = inside();
  FakeSocket.last.say(
    { type: "joined", user: { id: "~b", name: "Bob" }, users: 2, connections: 3 },
    { type: "settings", offset: 1, at: 1, settings: { slow: 5000, membersOnly: true, links: "members" } },
    { type: "reactions", added: { "👍": 2 }, totals: { "👍": 2 } },
    { type: "sanctioned", kind: "mute", until: 5, reason: "spam" },
    { type: "pinned", offset: 2, at: 1, message: message(1) },
  );
  expect(s.chat.room).toMatchObject({ users: 2, connections: 3, settings: { slow: 5000 }, reactions: { "👍": 2 } });
  expect(s.chat.room).toMatchObject({ muted: { until: 5, reason: "spam" }, pinned: { id: "m1" } });
  FakeSocket.last.say(
    { type: "sanctioned", kind: "mute", lifted: true },
    { type: "pinned", offset: 3, at: 1 },
    { type: "ended", offset: 4, at: 1, broadcast: 7 },
  );
  expect(s.chat.room?.muted).toBeUndefined();
  expect(s.chat.room?.pinned).toBeUndefined();
  expect(s.chat.room?.live).toBe(false);
});

test("what is no event is left alone", () => {
  const s = inside();
  FakeSocket.last.onmessage?.({ data: "{" });
  FakeSocket.last.onmessage?.({ data: "null" });
  FakeSocket.last.say({ kind: "x" }, { type: "of-a-later-time", offset: 1 }, message(2));
  expect(s.texts()).toEqual(["t2"]);
});

test("a name that is not taken any more is given up", () => {
  enter({ name: "Ann" });
  FakeSocket.last.open().say({ type: "error", id: "join", code: "bad_name", message: "no" });
  expect(FakeSocket.last.of("join").map((c) => c.name)).toEqual(["Ann", undefined]);
});

// Without a socket.

function index(offset: number, events: Event[], more = {}): Response {
  return json({ type: "index", epoch: 100, offset, duration: 1000, next: 50, ...base, events, ...more });
}

function chunk(number: number, offset: number, events: unknown[], epoch = 100): () => Promise<Response> {
  return async () => {
    await new Promise((done) => setTimeout(done, 1000));
    return json({ type: "chunk", number, epoch, offset, events });
  };
}

test("who only reads reads chunks", async () => {
  const files = new FakeFiles();
  files.answers["/t/t.-_/live/x/chat/index.json"] = () => index(3, [message(2), message(3)]);
  files.answers["/t/t.-_/live/x/chat/50.json"] = chunk(50, 4, [
    message(3),
    message(4),
    { type: "presence", users: 9, connections: 9 },
  ]);
  files.answers["/t/t.-_/live/x/chat/51.json"] = chunk(51, 4, []);
  files.answers["/t/t.-_/live/x/chat/52.json"] = chunk(52, 6, [message(6)]);
  const s = enter({ readOnly: true, token: "t.-_", environment: fakeEnvironment(files) });
  await pass(3500);
  expect(FakeSocket.all.length).toBe(0);
  expect(files.asked.slice(0, 4)).toEqual([
    "/t/t.-_/live/x/chat/index.json",
    "/t/t.-_/live/x/chat/50.json",
    "/t/t.-_/live/x/chat/51.json",
    "/t/t.-_/live/x/chat/52.json",
  ]);
  expect(s.texts()).toEqual(["t2", "t3", "t4", "t6"]);
  expect(s.chat.room?.users).toBe(9);
  expect(s.links).toEqual(["reading"]);
  await expect(s.chat.say("x")).rejects.toMatchObject({ code: "read_only" });
  s.chat.close();
  const n = files.asked.length;
  await pass(10_000);
  expect(files.asked.length).toBe(n);
});

test("chunks that are gone, or of another start, begin anew", async () => {
  const files = new FakeFiles();
  let begun = 0;
  files.answers["/live/x/chat/index.json"] = () => {
    begun++;
    return begun === 1 ? index(3, [message(3)]) : index(1, [message(1)], { epoch: 200, next: 60 });
  };
  files.answers["/live/x/chat/50.json"] = chunk(50, 1, [message(1)], 200);
  files.answers["/live/x/chat/60.json"] = chunk(60, 2, [message(2)], 200);
  const s = enter({ readOnly: true, environment: fakeEnvironment(files) });
  await pass(3000);
  expect(s.texts()).toEqual(["t3", "t1", "t2"]);
  expect(s.resets).toBe(2);
  await pass(5000); // 61 never comes
  expect(begun).toBeGreaterThan(2);
  expect(s.resets).toBe(3); // the index did not hold t2: where that is known differs
});

test("a crowded room is read by chunks until it has a socket again", async () => {
  const files = new FakeFiles();
  files.answers["/live/x/chat/index.json"] = () => index(1, [message(1)]);
  files.answers["/live/x/chat/50.json"] = chunk(50, 2, [message(2)]);
  files.answers["/live/x/chat/51.json"] = chunk(51, 3, [message(3)]);
  const s = enter({ environment: fakeEnvironment(files) });
  FakeSocket.last.open().fail(4004);
  await pass(1500);
  expect(s.links).toEqual(["reading"]);
  expect(s.texts()).toEqual(["t1", "t2"]);
  await pass(58_000);
  expect(FakeSocket.all.length).toBe(1);
  await pass(1000);
  FakeSocket.last.open();
  expect(FakeSocket.last.of("join")[0]?.resume).toMatchObject({ epoch: 100 });
  FakeSocket.last.say(welcome({ offset: 5, replay: 2, resumed: true }), message(4), message(5));
  expect(s.texts().slice(-2)).toEqual(["t4", "t5"]);
  expect(s.links).toEqual(["reading", "open"]);
  const n = files.asked.length;
  await pass(5000);
  expect(files.asked.length).toBe(n);
});

function stream(...lines: string[]): () => Response {
  return () => {
    const body = new ReadableStream({
      start(c) {
        for (const l of lines) c.enqueue(new TextEncoder().encode(l));
      },
    });
    return new Response(body);
  };
}

test("where no socket ever opens it reads server-sent events", async () => {
  const files = new FakeFiles();
  const w = JSON.stringify(welcome({ offset: 1, replay: 1 })).replace('"id":"join",', "");
  files.answers["/live/x/chat/events"] = stream(
    `id: 100-1\ndata: ${w}\n\n:\n\nda`,
    `ta: ${JSON.stringify(message(1))}\n\ndata: ${JSON.stringify(message(2))}\n\n`,
  );
  const s = enter({ environment: fakeEnvironment(files) });
  FakeSocket.last.fail();
  await pass(1000);
  FakeSocket.last.fail();
  await pass(500);
  expect(s.texts()).toEqual(["t1", "t2"]);
  expect(s.links).toEqual(["reconnecting 1006", "reading"]);
  // It dies without a word, and goes on from there.
  files.answers["/live/x/chat/events"] = stream();
  FakeSocket.last.close();
  await pass(40_000);
  expect(files.asked.filter((f) => f.includes("events")).at(-1)).toContain("resume=100-2");
});

test("events that do not work either are chunks", async () => {
  const files = new FakeFiles();
  files.answers["/live/x/chat/events"] = () => new Response("", { status: 503 });
  files.answers["/live/x/chat/index.json"] = () => index(1, [message(1)]);
  const s = enter({ environment: fakeEnvironment(files) });
  FakeSocket.last.fail();
  await pass(1000);
  FakeSocket.last.fail();
  await pass(5000);
  expect(s.texts()).toEqual(["t1"]);
});

test("who may not read is told", async () => {
  const files = new FakeFiles();
  files.answers["/live/x/chat/index.json"] = () => new Response("{}", { status: 403 });
  const s = enter({ readOnly: true, environment: fakeEnvironment(files) });
  await pass(1000);
  expect(s.links).toEqual(["closed 4101"]);
});

test("it can be taken out of here alone", () => {
  const files = import.meta.glob<string>("./*.ts", { query: "?raw", import: "default", eager: true });
  for (const [name, text] of Object.entries(files)) {
    if (/\.test\.ts$|fake\.ts$/.test(name)) continue;
    for (const [, from] of text.matchAll(/from "([^"]+)"/g)) expect(from, name).toMatch(/^\.\/\w+$/);
    expect(text, name).not.toMatch(/\bdocument\.|\bwindow\./);
  }
  expect(Object.keys(files).length).toBeGreaterThan(10);
});
