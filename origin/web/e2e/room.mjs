// room.mjs URL [FOLDER] has a moderator (?token=mod) and guests use all that the
// room of a watch page offers. It prints what did not happen as one JSON object,
// and leaves pictures in the folder.
import { complaints, launch } from "./browser.mjs";

const [url, folder] = process.argv.slice(2);
const patience = 30_000;
const browser = await launch();
const errors = [];
const pages = [];

async function visitor(name, { token, size = { width: 1280, height: 800 }, ...more } = {}) {
  const context = await browser.newContext({ locale: "en-US", viewport: size, ...more });
  const page = await context.newPage();
  const v = { page, name, said: complaints(page), context };
  pages.push(v);
  await page.goto(token ? `${url}?token=${token}` : url);
  if (name && !token) {
    await page.fill("#name", name);
    await page.press("#name", "Tab");
  }
  await sees(v, "the room", () => document.body.dataset.link === "open");
  return v;
}

/** Waits until a condition holds in a page. */
async function sees(v, what, condition, arg) {
  await v.page
    .waitForFunction(condition, arg, { timeout: patience })
    .catch(() => errors.push(`${v.name} does not see ${what}`));
}

const line = (v, text) =>
  sees(v, text, (t) => [...document.querySelectorAll("#log li")].some((l) => l.dataset.text === t), text);
const noLine = (v, text) =>
  sees(v, `${text} gone`, (t) => ![...document.querySelectorAll("#log li")].some((l) => l.dataset.text === t), text);

async function say(v, text) {
  await v.page.fill("#text", text);
  await v.page.press("#text", "Enter");
}

/** Chooses from the menu of a message by keyboard, as the n-th item. */
async function choose(v, text, item) {
  await v.page.locator(`#log li[data-text="${text}"] .more`).focus();
  await v.page.keyboard.press("Enter");
  await sees(v, "the menu", () => document.activeElement?.role === "menuitem");
  const items = await v.page.$$eval("#menu button", (all) => all.map((b) => b.textContent));
  for (let i = 0; i < items.indexOf(item); i++) await v.page.keyboard.press("ArrowDown");
  if (!items.includes(item)) errors.push(`no ${item} among ${items}`);
  await v.page.keyboard.press("Enter");
}

async function tools(v) {
  if (!(await v.page.locator("#tools").isVisible())) await v.page.click("#moderate");
}

async function picture(v, name) {
  if (folder) await v.page.screenshot({ path: `${folder}/${name}.png` });
}

try {
  const mod = await visitor("Mo", { token: "mod" });
  const ann = await visitor("Ann");
  const bob = await visitor("阿丽", { size: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true });

  await say(ann, "good evening");
  await say(mod, "welcome, everybody");
  for (const v of [mod, ann, bob]) await line(v, "welcome, everybody");
  await sees(ann, "the moderator's badge", () => document.querySelector("#log .role.moderator")?.textContent === "Mod");
  await sees(ann, "no tools", () => document.getElementById("moderate").hidden && !document.querySelector(".more"));

  // Reactions.
  await bob.page.click('#reactions button[data-emoji="🎉"]', { clickCount: 3 });
  for (const v of [ann, bob]) {
    await sees(v, "three reactions", () => document.querySelector('[data-emoji="🎉"] .count')?.textContent === "3");
  }

  // Pinned and announced.
  await choose(mod, "welcome, everybody", "Pin");
  await sees(
    bob,
    "the pinned message",
    () => document.getElementById("pinned-text").textContent === "welcome, everybody",
  );
  await tools(mod);
  await mod.page.fill("#announcement", "The show begins at eight");
  await picture(mod, "tools");
  await mod.page.press("#announcement", "Enter");
  await sees(
    ann,
    "the announcement",
    () => document.querySelector("#log .announcement")?.dataset.text === "The show begins at eight",
  );
  await picture(ann, "wide");
  await picture(bob, "phone-dark");

  // Deleted.
  await say(bob, "first");
  await say(bob, "second");
  await line(mod, "second");
  await mod.page.locator('#log li[data-text="first"] .more').click();
  await picture(mod, "menu");
  await mod.page.keyboard.press("Escape");
  await choose(mod, "first", "Delete");
  for (const v of [mod, ann, bob]) await noLine(v, "first");
  await line(ann, "second");

  // Slow mode.
  await tools(mod);
  await mod.page.selectOption("#slow", "30");
  await mod.page.keyboard.press("Escape");
  await say(ann, "one");
  await sees(ann, "the countdown", () => /\d+ s/.test(document.getElementById("send").textContent));
  await tools(mod);
  await mod.page.selectOption("#slow", "0");

  // Members only, and back.
  await mod.page.check("#members");
  await sees(ann, "that members write", () => document.getElementById("text").disabled);
  await mod.page.uncheck("#members");
  await sees(ann, "that all write", () => !document.getElementById("text").disabled);
  await mod.page.keyboard.press("Escape");

  // Muted, and back.
  await choose(mod, "second", "Mute for 10 min");
  await sees(bob, "being muted", () => document.getElementById("text").placeholder.startsWith("You are muted until"));
  await picture(bob, "phone-muted");
  await choose(mod, "second", "Unmute");
  await sees(bob, "being heard", () => !document.getElementById("text").disabled);
  await say(bob, "thanks");
  await line(ann, "thanks");

  // The connection goes, and what is said meanwhile arrives once.
  await ann.context.setOffline(true);
  await ann.page.evaluate(() => window.dispatchEvent(new Event("online"))); // or it would wait for silence
  await sees(ann, "the trouble", () => document.body.dataset.link === "reconnecting");
  await ann.page.fill("#text", "while away");
  await ann.page.press("#text", "Enter");
  await sees(ann, "it waiting", () => document.querySelector("#log .waiting")?.dataset.text === "while away");
  await picture(ann, "reconnecting");
  await say(bob, "meanwhile");
  await ann.context.setOffline(false);
  for (const v of [bob, ann]) await line(v, "while away");
  await line(ann, "meanwhile");
  await sees(ann, "it sent", () => !document.querySelector("#log .waiting"));
  const twice = await bob.page.$$eval('#log li[data-text="while away"]', (all) => all.length);
  if (twice !== 1) errors.push(`what was said while away is there ${twice} times`);

  // Another tab of the same guest is the same guest.
  const before = await ann.page.evaluate(() => document.body.dataset.online);
  const tab = await ann.context.newPage();
  await tab.goto(url);
  await tab.waitForFunction(() => document.body.dataset.link === "open", null, { timeout: patience });
  await tab.fill("#text", "from my other tab");
  await tab.press("#text", "Enter");
  await sees(ann, "its other tab's words as its own", () =>
    document.querySelector('#log .mine[data-text="from my other tab"]'),
  );
  const after = await ann.page.evaluate(() => document.body.dataset.online);
  if (before !== after) errors.push(`${after} online with two tabs, ${before} with one`);
  await tab.close();

  // Chinese, small and dark.
  const zh = await visitor("", { locale: "zh-CN", size: { width: 320, height: 640 }, colorScheme: "dark" });
  await sees(zh, "Chinese", () => document.getElementById("send").textContent === "发送");
  await line(zh, "thanks");
  await picture(zh, "zh-320");
  if (folder) {
    await mod.page.emulateMedia({ colorScheme: "dark" });
    await picture(mod, "moderator-dark");
    await mod.page.setViewportSize({ width: 844, height: 390 });
    await picture(mod, "sideways");
    await mod.page.setViewportSize({ width: 390, height: 844 });
    await tools(mod);
    await picture(mod, "phone-tools");
    await mod.page.keyboard.press("Escape");
  }
  const wide = await zh.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  if (wide) errors.push("320 pixels are not enough");

  // Banned for good, with all that was said.
  await choose(mod, "thanks", "Ban for good");
  await sees(bob, "being banned", () => document.getElementById("trouble").textContent.startsWith("You are banned"));
  await noLine(ann, "thanks");
  await picture(bob, "phone-banned");
  await tools(mod);
  mod.page.once("dialog", (d) => d.accept());
  await mod.page.click("#clear");
  await noLine(ann, "while away");

  for (const v of pages) {
    // What a browser says of a network that was taken away is no mistake.
    errors.push(
      ...v.said.filter((e) => !/ERR_INTERNET_DISCONNECTED|WebSocket connection/.test(e)).map((e) => `${v.name}: ${e}`),
    );
  }
  console.log(JSON.stringify({ errors }));
} finally {
  await browser.close();
}
