// play.mjs URL SECONDS opens the watch page, waits until the picture moves and
// then looks once a second. It prints what it saw as one JSON object and
// leaves the judgement to its caller.
import { complaints, launch } from "./browser.mjs";

const [url, seconds] = process.argv.slice(2);
const browser = await launch();
try {
  const page = await browser.newPage();
  const errors = complaints(page);
  await page.goto(url);
  const started = await page
    .waitForFunction(() => document.getElementById("video").currentTime > 0.1, null, { timeout: 40_000 })
    .then(
      () => true,
      () => false,
    );
  const saw = await page.evaluate(async (samples) => {
    const video = document.getElementById("video");
    let stalls = 0;
    video.addEventListener("waiting", () => stalls++);
    const seen = [];
    for (let i = 0; i <= samples; i++) {
      seen.push({
        t: performance.now() / 1000,
        currentTime: video.currentTime,
        latency: Number(document.body.dataset.latency || 0),
      });
      await new Promise((done) => setTimeout(done, 1000));
    }
    return {
      engine: document.body.dataset.engine,
      state: document.body.dataset.state,
      samples: seen,
      stalls,
      videoWidth: video.videoWidth,
      muted: video.muted,
      offersSound: !document.getElementById("sound").hidden,
    };
  }, Number(seconds));
  console.log(JSON.stringify({ started, errors, ...saw }));
} finally {
  await browser.close();
}
