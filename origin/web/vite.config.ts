import { defineConfig } from "vite";

// The server answers /assets/ with the built files and everything else with
// the page, so all URLs in it are absolute.
export default defineConfig({
  base: "/",
  build: { outDir: "dist", emptyOutDir: true, chunkSizeWarningLimit: 900, target: "es2022" },
  server: { proxy: { "^/[^/]+/[^/]+(\\.(flv|m3u8)|/.*)$": { target: "http://localhost:8080", ws: true } } },
});
