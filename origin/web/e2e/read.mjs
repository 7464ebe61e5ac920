// read.mjs URL opens the watch page in the ways in which a room is read without
// a socket, where the room has two places. It prints how each page reads and
// what it saw of three messages, as one JSON object.
import { complaints, launch } from "./browser.mjs";

const [url] = process.argv.slice(2);
const patience = 30_000;
const browser = await launch();
const errors = [];

async function visitor(query, link, init) {
  const page = await (await browser.newContext({ locale: "en-US" })).newPage();
  const said = complaints(page);
  const asked = [];
  page.on("request", (r) => asked.push(new URL(r.url()).pathname));
  if (init) await page.addInitScript(init);
  await page.goto(url + query);
  await page
    .waitForFunction((l) => document.body.dataset.link === l, link, { timeout: patience })
    .catch(() => errors.push(`${query} is not ${link}`));
  return { page, said, asked };
}

/** What a proxy makes of WebSockets. */
function withoutSockets() {
  window.WebSocket = class {
    readyState = 3;
    constructor() {
      setTimeout(() => this.onclose({ code: 1006 }), 10);
    }
    close() {}
  };
}

/** A room whose disk is full: what is said is delivered, and not kept. */
function withoutDisk() {
  const Real = window.WebSocket;
  window.WebSocket = class extends Real {
    set onmessage(hear) {
      super.onmessage = (m) => hear({ data: m.data.replace('"type":"ack"', '"type":"ack","kept":false') });
    }
  };
}

try {
  const ann = await visitor("", "open", withoutDisk);
  const pages = {
    events: await visitor("", "reading", withoutSockets),
    crowded: await visitor("", "reading"),
    reader: await visitor("?chat=read", "reading"),
  };
  const texts = ["one", "two", "three"];
  for (const text of texts) {
    await ann.page.fill("#text", text);
    await ann.page.press("#text", "Enter");
  }
  const saw = {};
  for (const [name, v] of Object.entries(pages)) {
    await v.page
      .waitForFunction(() => document.querySelectorAll("#log .message").length >= 3, null, { timeout: patience })
      .catch(() => errors.push(`${name} does not see what is said`));
    saw[name] = {
      texts: await v.page.$$eval("#log .message", (all) => all.map((l) => l.dataset.text)),
      chunks: v.asked.some((p) => /\/chat\/\d+\.json$/.test(p)),
      events: v.asked.some((p) => p.endsWith("/chat/events")),
      form: await v.page.isVisible("#form"),
    };
    errors.push(...v.said.filter((e) => !/WebSocket connection/.test(e)));
  }
  await ann.page
    .waitForFunction(() => document.querySelectorAll("#log .mine .mark").length >= 3, null, { timeout: patience })
    .catch(() => errors.push("the writer's own messages are not all marked"));
  const marks = await ann.page.$$eval("#log .mine .mark", (all) => all.map((m) => m.textContent));
  if (marks.join() !== "not kept,not kept,not kept") errors.push(`what is not kept is marked ${marks}`);
  errors.push(...ann.said);
  // Whoever leaves makes room: what the crowded page says goes out at once.
  await ann.page.close();
  await pages.events.page.close();
  await pages.crowded.page.fill("#text", "me too");
  await pages.crowded.page.press("#text", "Enter");
  await pages.crowded.page
    .waitForFunction(() => document.querySelector('#log .mine[data-text="me too"]:not(.waiting)'), null, {
      timeout: patience,
    })
    .catch(() => errors.push("the crowded page cannot write when there is room"));
  console.log(JSON.stringify({ saw, errors }));
} finally {
  await browser.close();
}
