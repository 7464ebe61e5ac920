// Starts Debian's Chromium for the end-to-end scripts.
import { chromium } from "playwright-core";

export async function launch() {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: process.getuid() === 0 ? ["--no-sandbox"] : [],
  });
}

/** Notes what a page complains about. */
export function complaints(page) {
  const all = [];
  page.on("pageerror", (e) => all.push(String(e)));
  page.on("console", (m) => {
    if (m.type() === "error") all.push(m.text());
  });
  return all;
}
