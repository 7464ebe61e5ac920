// embed.mjs SITE WELCOME UNWELCOME opens a page of another site that shows two
// watch pages in frames, and then tries in the first what its policy forbids.
// It prints what came of it as one JSON object.
import { launch } from "./browser.mjs";

const [site, welcome, unwelcome] = process.argv.slice(2);
const patience = 30_000;
const browser = await launch();
try {
  const page = await browser.newPage();
  const referrers = [];
  page.on("request", (r) => {
    if (r.headers().referer && !r.isNavigationRequest()) referrers.push(r.headers().referer);
  });
  await page.goto(site);
  const shows = async (url) => {
    const frame = await page.waitForSelector(`iframe[src="${url}"]`).then((f) => f.contentFrame());
    return frame
      .waitForFunction(() => document.getElementById("video")?.currentTime > 0, null, { timeout: patience })
      .then(() => frame)
      .catch(() => null);
  };
  const refused = async (url) => {
    const frame = await page.waitForSelector(`iframe[src="${url}"]`).then((f) => f.contentFrame());
    await frame.waitForLoadState("load");
    return (await frame.$("#video")) === null;
  };
  const inside = await shows(welcome);
  const tried = inside
    ? await inside.evaluate(async (elsewhere) => {
        const script = document.createElement("script");
        script.textContent = "window.evil = true";
        document.body.append(script);
        const fetched = await fetch(elsewhere).then(
          () => true,
          () => false,
        );
        const connected = await new Promise((done) => {
          try {
            const socket = new WebSocket(elsewhere.replace(/^http/, "ws"));
            socket.onopen = () => done(true);
            socket.onerror = () => done(false);
          } catch {
            done(false);
          }
        });
        return { script: window.evil === true, fetched, connected };
      }, site)
    : {};
  console.log(JSON.stringify({ shown: inside !== null, refused: await refused(unwelcome), referrers, ...tried }));
} finally {
  await browser.close();
}
