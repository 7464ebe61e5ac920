// player.mjs ENGINE URL SECONDS plays a stream's multivariant playlist with
// hls.js or shaka-player as they come, in a page of another origin, and looks
// twice a second once the picture moves. It prints what it saw as one JSON
// object and leaves the judgement to its caller.
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { complaints, launch } from "./browser.mjs";

const [engine, url, seconds] = process.argv.slice(2);
const scripts = { "hls.js": "hls.js/dist/hls.min.js", shaka: "shaka-player/dist/shaka-player.compiled.js" };
// A page of the loopback address may do what one of HTTPS may.
const site = createServer((_, answer) =>
  answer.setHeader("Content-Type", "text/html").end('<video id="video" muted autoplay></video>'),
);
await new Promise((done) => site.listen(0, "127.0.0.1", done));
const browser = await launch();
try {
  const page = await browser.newPage();
  const errors = complaints(page);
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.addScriptTag({ path: fileURLToPath(new URL(`../node_modules/${scripts[engine]}`, import.meta.url)) });
  await page.evaluate(
    async ({ engine, url }) => {
      const video = document.getElementById("video");
      window.failures = [];
      if (engine === "shaka") {
        const player = new shaka.Player();
        await player.attach(video);
        player.configure({ streaming: { lowLatencyMode: true } });
        player.addEventListener("error", (e) => window.failures.push(`shaka ${e.detail.category} ${e.detail.code}`));
        window.playingDate = () => player.getPlayheadTimeAsDate();
        window.variants = () => player.getVariantTracks().length;
        await player.load(url);
      } else {
        const hls = new Hls({ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1 });
        hls.on(Hls.Events.ERROR, (_, e) => (e.fatal ? window.failures : window.minor).push(`${e.type} ${e.details}`));
        window.minor = [];
        window.playingDate = () => hls.playingDate;
        window.variants = () => hls.levels.length;
        hls.loadSource(url);
        hls.attachMedia(video);
      }
      video.play().catch((e) => window.failures.push(String(e)));
    },
    { engine, url },
  );
  const started = await page
    .waitForFunction(() => document.getElementById("video").currentTime > 0 && window.playingDate(), null, {
      timeout: 40_000,
    })
    .then(
      () => true,
      () => false,
    );
  const saw = await page.evaluate(async (seconds) => {
    const video = document.getElementById("video");
    const seen = [];
    const begun = performance.now();
    const origin = video.currentTime;
    let last = { t: begun, currentTime: origin };
    let still = 0;
    const waits = [];
    video.addEventListener("waiting", () => waits.push({ at: video.currentTime - origin, from: performance.now() }));
    video.addEventListener("playing", () => {
      const wait = waits.at(-1);
      if (wait && !wait.lasted) wait.lasted = performance.now() - wait.from;
    });
    while (performance.now() - begun < seconds * 1000) {
      await new Promise((done) => setTimeout(done, 500));
      const now = { t: performance.now(), currentTime: video.currentTime };
      if (now.currentTime === last.currentTime) still += now.t - last.t;
      last = now;
      seen.push({
        t: now.t / 1000,
        currentTime: now.currentTime,
        latency: (Date.now() - Number(window.playingDate())) / 1000,
      });
    }
    return {
      samples: seen,
      waits: waits.map((w) => ({ at: w.at, lasted: (w.lasted ?? performance.now() - w.from) / 1000 })),
      still: still / 1000,
      failures: window.failures,
      minor: window.minor,
      variants: window.variants(),
      width: video.videoWidth,
      dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
    };
  }, Number(seconds));
  console.log(JSON.stringify({ started, errors, ...saw }));
} finally {
  await browser.close();
  site.close();
}
