import { expect, test } from "vitest";
import { Backoff } from "./chat/backoff";
import { comesBack } from "./chat/socket";
import { clockOf, overOf } from "./engines";
import { hue, textOf } from "./log";
import { placeOf } from "./place";
import { short } from "./reactions";
import { languageOf, textsOf } from "./texts";

test("a path names a stream", () => {
  expect(placeOf("/live/alice", "")).toMatchObject({
    key: "live/alice",
    player: undefined,
    query: "",
    readOnly: false,
  });
  expect(placeOf("/live/alice", "?player=flv&token=a%26b")).toEqual({
    key: "live/alice",
    player: "flv",
    before: "",
    query: "?token=a%26b",
    token: "a&b",
    readOnly: false,
  });
  for (const [path, search, kept] of [
    ["/live/alice", "?token=ey.a-b_c", "old"],
    ["/t/ey.a-b_c/live/alice", "", "old"],
    ["/live/alice", "", "ey.a-b_c"],
  ] as const) {
    expect(placeOf(path, search, kept)).toMatchObject({
      key: "live/alice",
      before: "/t/ey.a-b_c",
      query: "",
      token: "ey.a-b_c",
    });
  }
  expect(placeOf("/live/alice", "?chat=read")?.readOnly).toBe(true);
  expect(placeOf("/live/alice", "?player=vlc")?.player).toBeUndefined();
  for (const path of ["/", "/live", "/live/", "/live/a.b", "/live/a/b", `/live/${"a".repeat(65)}`]) {
    expect(placeOf(path, ""), path).toBeUndefined();
  }
});

test("waits grow to a bound and begin anew", () => {
  const b = new Backoff(1000, 3000, () => 0.5);
  expect([b.next(), b.next(), b.next(), b.next()]).toEqual([1000, 2000, 3000, 3000]);
  b.reset();
  expect(b.next()).toBe(1000);
});

test("waits are spread", () => {
  expect(new Backoff(900, 900, () => 0).next()).toBe(450);
  expect(new Backoff(900, 900, () => 1).next()).toBe(1350);
});

test("a status says why there is nothing to play", () => {
  expect([404, 403, 401, 503, 0, undefined].map(overOf)).toEqual([
    "offline",
    "denied",
    "denied",
    "unreachable",
    "unreachable",
    "unreachable",
  ]);
});

test("close codes tell whether to come back", () => {
  for (const code of [1001, 1006, 4000, 4001]) expect(comesBack(code), String(code)).toBe(true);
  for (const code of [1002, 1007, 1009, 4100, 4102]) expect(comesBack(code), String(code)).toBe(false);
});

test("the language is the one chosen, else the browser's", () => {
  expect(languageOf(null, ["zh-CN", "en"])).toBe("zh");
  expect(languageOf(null, ["fr", "zh"])).toBe("en");
  expect(languageOf("en", ["zh-CN"])).toBe("en");
  expect(languageOf("xx", [])).toBe("en");
});

test("both languages say everything", () => {
  expect(Object.keys(textsOf("zh"))).toEqual(Object.keys(textsOf("en")));
  expect(textsOf("zh").online(2)).toContain("2");
});

test("only a clock tag is a clock", () => {
  expect(clockOf({ name: "miju.clock", broadcast: 7, mediaTime: 61_250, wallClock: 1 })).toEqual({
    broadcast: 7,
    mediaTime: 61_250,
  });
  for (const x of [undefined, null, 1, "x", {}, { broadcast: 7 }, { broadcast: "7", mediaTime: 1 }]) {
    expect(clockOf(x)).toBeUndefined();
  }
});

test("counts fit on a button", () => {
  expect([7, 999, 1000, 1999, 15_400, 2_000_000].map(short)).toEqual(["7", "999", "1.0k", "1.9k", "15k", "2.0M"]);
});

test("an application's event says what it says in words", () => {
  expect([{ text: "a" }, "b", { text: 1 }, null, undefined, 7].map(textOf)).toEqual(["a", "b", "", "", "", ""]);
});

test("a name keeps its colour", () => {
  expect(hue("阿丽")).toBe(hue("阿丽"));
  expect(hue("a")).not.toBe(hue("b"));
});
