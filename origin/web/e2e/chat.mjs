// chat.mjs URL has two visitors talk through the watch page. It prints what
// each said and saw as one JSON object.
import { complaints, launch } from "./browser.mjs";

const [url] = process.argv.slice(2);
const patience = 30_000;
const browser = await launch();
const errors = [];

async function visitor(name) {
  const page = await (await browser.newContext({ locale: "en-US" })).newPage();
  const said = complaints(page);
  await page.goto(url);
  await page.fill("#name", name);
  await page.press("#name", "Tab"); // taken when the field is left
  await page.waitForFunction(() => document.body.dataset.online !== undefined, null, { timeout: patience });
  return { page, said, name };
}

async function say(v, text) {
  await v.page.fill("#text", text);
  await v.page.press("#text", "Enter");
}

/** The texts of others that a visitor sees, once text is among them. */
async function hears(v, text) {
  await v.page
    .waitForFunction((t) => [...document.querySelectorAll("#log li")].some((l) => l.dataset.text === t), text, {
      timeout: patience,
    })
    .catch(() => errors.push(`${v.name} does not see ${JSON.stringify(text)}`));
  return v.page.$$eval("#log .message:not(.mine)", (lines) => lines.map((l) => l.dataset.text));
}

try {
  const ann = await visitor("Ann");
  const bob = await visitor("阿丽");
  for (const v of [ann, bob]) {
    await v.page
      .waitForFunction(() => document.body.dataset.online === "2", null, { timeout: patience })
      .catch(() => errors.push(`${v.name} does not see two online`));
  }
  const sent = ["hello <b>Bob</b>", "你好,Ann"];
  await say(ann, sent[0]);
  await hears(bob, sent[0]);
  await say(bob, sent[1]);
  const received = [...(await hears(bob, sent[0])), ...(await hears(ann, sent[1]))];
  const online = await Promise.all([ann, bob].map((v) => v.page.evaluate(() => Number(document.body.dataset.online))));
  const names = await bob.page.$$eval("#log .message b", (all) => all.map((b) => b.textContent));
  errors.push(...ann.said, ...bob.said);
  console.log(JSON.stringify({ sent, received, online, names, errors }));
} finally {
  await browser.close();
}
