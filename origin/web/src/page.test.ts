import { expect, test } from "vitest";
import { comesBack } from "./chat";
import { Backoff } from "./chat/backoff";
import { overOf } from "./engines";
import { hue } from "./log";
import { placeOf } from "./place";
import { languageOf, textsOf } from "./texts";

test("a path names a stream", () => {
  expect(placeOf("/live/alice", "")).toEqual({ key: "live/alice", player: undefined, query: "" });
  expect(placeOf("/live/alice", "?player=flv&token=a%26b")).toEqual({
    key: "live/alice",
    player: "flv",
    query: "?token=a%26b",
  });
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

test("a name keeps its colour", () => {
  expect(hue("阿丽")).toBe(hue("阿丽"));
  expect(hue("a")).not.toBe(hue("b"));
});
