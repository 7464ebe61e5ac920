// time.mjs URL SECONDS opens two pages of one stream, FLV and LL-HLS, lets the
// second fall seconds behind, and has somebody talk. The stream's pictures hold
// their number in 16 squares, black and white. It prints which picture each
// page showed when a message came up in it, and how far the pages were apart,
// as one JSON object.
import { complaints, launch } from "./browser.mjs";

const [url, seconds] = process.argv.slice(2);
const patience = 40_000;
const browser = await launch();

async function viewer(engine) {
  const page = await (await browser.newContext({ locale: "en-US" })).newPage();
  const errors = complaints(page);
  await page.goto(`${url}?player=${engine}`);
  await page.waitForFunction(
    () => document.getElementById("video").currentTime > 0.5 && document.body.dataset.link === "open",
    null,
    { timeout: patience },
  );
  await page.evaluate(() => {
    const video = document.getElementById("video");
    const canvas = new OffscreenCanvas(256, 64).getContext("2d", { willReadFrequently: true });
    /** The number of the picture that is shown. */
    window.picture = () => {
      canvas.drawImage(video, 0, 0, 256, 64);
      let n = 0;
      for (let bit = 0; bit < 16; bit++) {
        if (canvas.getImageData(bit * 16 + 8, 32, 1, 1).data[0] > 128) n += 2 ** bit;
      }
      return n;
    };
    window.shown = {};
    new MutationObserver(() => {
      for (const line of document.querySelectorAll("#log .message")) {
        window.shown[line.dataset.text] ??= window.picture();
      }
    }).observe(document.getElementById("log"), { childList: true });
  });
  return { page, errors };
}

try {
  const [flv, hls] = await Promise.all([viewer("flv"), viewer("hls")]);
  const apart = [];
  const look = async () => {
    const [a, b] = await Promise.all([flv, hls].map((v) => v.page.evaluate(() => window.picture())));
    return a - b;
  };
  // Who goes back a little catches up slowly.
  for (let i = 0; i < 3 && (await look()) < 90; i++) {
    await hls.page.waitForFunction(() => document.getElementById("video").currentTime > 4, null, { timeout: patience });
    await hls.page.evaluate(async () => {
      const video = document.getElementById("video");
      video.currentTime -= 3.5;
      await new Promise((done) => video.addEventListener("seeked", done, { once: true }));
    });
  }
  // Somebody without a player, whose words are of the live edge.
  await flv.page.evaluate(async (url) => {
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/chat`, "miju.chat.v1");
    await new Promise((done, failed) => {
      socket.onerror = failed;
      socket.onopen = () => socket.send(JSON.stringify({ type: "join", name: "edge" }));
      socket.onmessage = (m) => JSON.parse(m.data).type === "welcome" && done();
    });
    window.edge = (text) => socket.send(JSON.stringify({ type: "say", id: text, text }));
  }, url);
  const texts = [];
  const run = Date.now() % 100_000; // who tries again finds what was said before
  for (let i = 0; i < Number(seconds); i++) {
    texts.push(`edge ${run} ${i}`, `flv ${run} ${i}`);
    await flv.page.evaluate((text) => window.edge(text), `edge ${run} ${i}`);
    await new Promise((done) => setTimeout(done, 430));
    // What is said on the page that is ahead belongs to what it shows then.
    await flv.page.fill("#text", `flv ${run} ${i}`);
    await flv.page.press("#text", "Enter");
    apart.push(await look());
    await new Promise((done) => setTimeout(done, 510));
  }
  for (const v of [flv, hls]) {
    await v.page
      .waitForFunction((all) => all.every((t) => window.shown[t] !== undefined), texts, { timeout: patience })
      .catch(() => v.errors.push("some messages never came up"));
  }
  const [a, b] = await Promise.all([flv, hls].map((v) => v.page.evaluate(() => window.shown)));
  const pictures = Object.fromEntries(texts.map((t) => [t, [a[t] ?? -1, b[t] ?? -1]]));
  console.log(JSON.stringify({ apart, pictures, errors: [...flv.errors, ...hls.errors] }));
} finally {
  await browser.close();
}
