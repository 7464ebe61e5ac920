// Completes package-lock.json with the platform packages that the registry
// at hand does not serve. npm leaves these out of the lock, and "npm ci" then
// refuses it. They get no checksum: whoever is on such a platform adds it.
import { readFileSync, writeFileSync } from "node:fs";

const file = new URL("package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(file, "utf8"));
const systems = /android|darwin|freebsd|linux|netbsd|openbsd|openharmony|win32/;
const processors = /arm64|x64|arm|ia32|loong64|ppc64|riscv64|s390x|wasm32/;

for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key]) continue;
    const platform = name.slice(name.lastIndexOf("/") + 1);
    const added = { version, optional: true, dev: true };
    const os = systems.exec(platform)?.[0];
    const cpu = processors.exec(platform)?.[0];
    if (os) added.os = [os];
    if (cpu) added.cpu = [cpu];
    if (platform.includes("musl")) added.libc = ["musl"];
    lock.packages[key] = added;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
