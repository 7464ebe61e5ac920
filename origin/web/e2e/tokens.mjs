// tokens.mjs ORIGIN STREAM TOKEN plays a stream that asks for a token, in each
// place where players can put one, and opens the watch page with it. It prints
// what came of it as one JSON object and leaves the judgement to its caller.
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";

const [origin, stream, token] = process.argv.slice(2);
const patience = 40_000;
const site = createServer((_, answer) =>
  answer.setHeader("Content-Type", "text/html").end('<video id="video" muted autoplay></video>'),
);
await new Promise((done) => site.listen(0, "127.0.0.1", done));
const browser = await launch();
const players = {
  "hls.js, query": { library: "hls.js", url: `${origin}/${stream}.m3u8?token=${token}` },
  "hls.js, path": { library: "hls.js", url: `${origin}/t/${token}/${stream}.m3u8` },
  "hls.js, header": { library: "hls.js", url: `${origin}/${stream}.m3u8`, bearer: token },
  "mpegts.js, query": { library: "mpegts.js", url: `${origin}/${stream}.flv?token=${token}` },
  "mpegts.js, path": { library: "mpegts.js", url: `${origin}/t/${token}/${stream}.flv` },
  "hls.js, nowhere": { library: "hls.js", url: `${origin}/${stream}.m3u8` },
};
const scripts = { "hls.js": "hls.js/dist/hls.min.js", "mpegts.js": "mpegts.js/dist/mpegts.js" };

/** Plays as a page of another site would; returns "plays" or why not. */
async function play({ library, url, bearer }) {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.addScriptTag({ path: fileURLToPath(new URL(`../node_modules/${scripts[library]}`, import.meta.url)) });
  await page.evaluate(
    ({ library, url, bearer }) => {
      const video = document.getElementById("video");
      window.failure = "";
      if (library === "hls.js") {
        const xhrSetup = bearer ? (x) => x.setRequestHeader("Authorization", `Bearer ${bearer}`) : undefined;
        const hls = new Hls({ lowLatencyMode: true, xhrSetup });
        hls.on(Hls.Events.ERROR, (_, e) => {
          if (e.fatal) window.failure = `${e.details} ${e.response?.code}`;
        });
        hls.loadSource(url);
        hls.attachMedia(video);
      } else {
        mpegts.LoggingControl.enableAll = false;
        const player = mpegts.createPlayer({ type: "flv", isLive: true, url });
        player.on(mpegts.Events.ERROR, (...e) => (window.failure = JSON.stringify(e)));
        player.attachMediaElement(video);
        player.load();
      }
      video.play().catch(() => {});
    },
    { library, url, bearer },
  );
  await page
    .waitForFunction(() => window.failure || document.getElementById("video").currentTime > 0.5, null, {
      timeout: patience,
    })
    .catch(() => {});
  const [failure, at] = await page.evaluate(() => [window.failure, document.getElementById("video").currentTime]);
  await page.close();
  return failure || (at > 0.5 ? "plays" : "does not begin");
}

/** Opens the watch page, and loads it again if told to. */
async function watch({ path, again }) {
  const page = await (await browser.newContext()).newPage();
  const referrers = new Set();
  // The page's own files are asked for before it can take the token out of its URL.
  page.on("request", (r) => r.url().includes("/assets/") || referrers.add(r.headers().referer ?? ""));
  const saw = [];
  const look = async () => {
    await page
      .waitForFunction(
        () => document.getElementById("video").currentTime > 0.5 && document.body.dataset.link === "open",
        null,
        { timeout: patience },
      )
      .catch(() => {});
    saw.push(
      await page.evaluate(() => ({
        played: document.getElementById("video").currentTime > 0.5,
        link: document.body.dataset.link,
        engine: document.body.dataset.engine,
        href: window.location.href,
      })),
    );
  };
  await page.goto(origin + path);
  await look();
  if (again) {
    await page.reload();
    await look();
  }
  await page.close();
  return { saw, referrers: [...referrers] };
}

try {
  const [played, watched] = await Promise.all([
    Promise.all(Object.entries(players).map(async ([name, p]) => [name, await play(p)])),
    Promise.all(
      [{ path: `/${stream}?player=hls&token=${token}`, again: true }, { path: `/t/${token}/${stream}?player=flv` }].map(
        watch,
      ),
    ),
  ]);
  console.log(JSON.stringify({ played: Object.fromEntries(played), watched }));
} finally {
  await browser.close();
  site.close();
}
