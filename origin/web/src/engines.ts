// The three ways to play: hls.js, mpegts.js and the browser itself. The two
// libraries are large, so only the one in use is fetched.

import type { ErrorData, LevelLoadedData } from "hls.js";
import type { Playback } from "./chat";
import type { Engine, Place } from "./place";

/** Why an attempt is over. */
export type Over = "offline" | "denied" | "unplayable" | "unreachable";

/** One attempt to play, until it ends or fails. */
export interface Attempt {
  /** Seconds from the newest media there is to what is shown. */
  latency(): number | undefined;
  /** Where a live viewer belongs, in the video's time. */
  edge(): number | undefined;
  /** What is shown, if the stream has told. */
  playback(): Playback | undefined;
  /** The server says that nothing more will come. */
  ended(): boolean;
  stop(): void;
}

/** The delay that the FLV player keeps, in seconds. */
const flvLatency = 0.8;

/** The engine to play with: the forced one, else the first that works. */
export async function chooseEngine(forced: Engine | undefined): Promise<Engine | undefined> {
  if (forced) return forced;
  // Chromium says "maybe" to HLS in a video element, so it is asked last.
  if ((await import("hls.js")).default.isSupported()) return "hls";
  if ((await import("mpegts.js")).default.isSupported()) return "flv";
  if (document.createElement("video").canPlayType("application/vnd.apple.mpegurl")) return "native";
  return undefined;
}

export function open(engine: Engine, video: HTMLVideoElement, place: Place, over: (o: Over) => void): Promise<Attempt> {
  const url = `${place.before}/${place.key}.${engine === "flv" ? "flv" : "m3u8"}${place.query}`;
  switch (engine) {
    case "hls":
      return playHLS(video, url, over);
    case "flv":
      return playFLV(video, url, over);
    case "native":
      return Promise.resolve(playNative(video, url, over));
  }
}

/** What an HTTP status says about a stream; 0 is no answer at all. */
export function overOf(status: number | undefined): Over {
  if (status === 404) return "offline";
  if (status === 401 || status === 403) return "denied";
  return "unreachable";
}

async function playHLS(video: HTMLVideoElement, url: string, over: (o: Over) => void): Promise<Attempt> {
  const Hls = (await import("hls.js")).default;
  const hls = new Hls({ lowLatencyMode: true, backBufferLength: 30, maxLiveSyncPlaybackRate: 1.1 });
  const codec: string[] = [
    Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR,
    Hls.ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR,
    Hls.ErrorDetails.BUFFER_ADD_CODEC_ERROR,
  ];
  let recovered = Number.NEGATIVE_INFINITY;
  hls.on(Hls.Events.ERROR, (_: string, data: ErrorData) => {
    if (!data.fatal) return;
    if (codec.includes(data.details)) {
      over("unplayable");
      return;
    }
    // One recovery may help. A second at once would not: begin anew.
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && performance.now() - recovered > 10_000) {
      recovered = performance.now();
      hls.recoverMediaError();
      return;
    }
    over(overOf(data.response?.code));
  });
  // hls.js does not always fetch the last part before EXT-X-ENDLIST and then
  // waits for ever. And what had ended before we came is not played again.
  let ended = false;
  hls.on(Hls.Events.LEVEL_LOADED, (_: string, data: LevelLoadedData) => {
    ended = !data.details.live;
    if (ended && video.played.length === 0) over("offline");
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    latency: () => (hls.latency > 0 ? hls.latency : undefined),
    edge: () => hls.liveSyncPosition ?? undefined,
    playback: () => (hls.playingDate ? { wallClock: hls.playingDate.getTime() } : undefined),
    ended: () => ended,
    stop: () => hls.destroy(),
  };
}

async function playFLV(video: HTMLVideoElement, url: string, over: (o: Over) => void): Promise<Attempt> {
  const mpegts = (await import("mpegts.js")).default;
  mpegts.LoggingControl.enableAll = false; // each failed attempt would write many lines
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url: new URL(url, window.location.href).href },
    {
      enableStashBuffer: false,
      lazyLoad: false,
      autoCleanupSourceBuffer: true,
      // What the GOP burst put it behind, it makes good by playing a little
      // faster; a jump would be seen. It jumps if that would take a minute.
      liveBufferLatencyChasing: true,
      liveBufferLatencyMaxLatency: 5,
      liveBufferLatencyMinRemain: flvLatency,
      liveSync: true,
      liveSyncTargetLatency: flvLatency,
      liveSyncMaxLatency: 1.4,
      liveSyncPlaybackRate: 1.08,
    },
  );
  player.on(mpegts.Events.ERROR, (_type: string, detail: string, info?: { code?: number }) => {
    const codec =
      detail === mpegts.ErrorDetails.MEDIA_CODEC_UNSUPPORTED ||
      (detail === mpegts.ErrorDetails.MEDIA_MSE_ERROR && info?.code === DOMException.NOT_SUPPORTED_ERR);
    // It still uses itself after it has said this, so it is not destroyed here.
    queueMicrotask(() => over(codec ? "unplayable" : overOf(info?.code)));
  });
  // It shows timestamps less that of the first frame. The stream's clock comes
  // right before that frame.
  let first: Clock | undefined;
  player.on(mpegts.Events.SCRIPTDATA_ARRIVED, (data: { onCuePoint?: unknown }) => {
    first ??= clockOf(data?.onCuePoint);
  });
  player.attachMediaElement(video);
  player.load();
  return {
    latency: () => behind(video),
    edge: () => newest(video, flvLatency),
    playback: () => first && { broadcast: first.broadcast, mediaTime: first.mediaTime + video.currentTime * 1000 },
    ended: () => false, // the video element says so
    stop: () => player.destroy(),
  };
}

function playNative(video: HTMLVideoElement, url: string, over: (o: Over) => void): Attempt {
  const failed = () => over("offline"); // the element does not say why
  video.addEventListener("error", failed);
  video.src = url;
  return {
    latency: () => behind(video),
    edge: () => undefined, // it knows better
    playback: () => {
      const begun = (video as DatedVideo).getStartDate?.().getTime();
      return begun ? { wallClock: begun + video.currentTime * 1000 } : undefined; // NaN without dates
    },
    ended: () => false, // the video element says so
    stop: () => {
      video.removeEventListener("error", failed);
      video.removeAttribute("src");
      video.load();
    },
  };
}

/** What Safari knows of HLS. */
interface DatedVideo extends HTMLVideoElement {
  getStartDate?(): Date;
}

/** What a clock tag of FLV says, in milliseconds. */
interface Clock {
  broadcast: number;
  mediaTime: number;
}

/** Reads a cue point; undefined if it is none of ours. */
export function clockOf(x: unknown): Clock | undefined {
  const c = x as (Partial<Clock> & { name?: unknown }) | null | undefined;
  if (c?.name !== "miju.clock" || typeof c.broadcast !== "number" || typeof c.mediaTime !== "number") return undefined;
  return { broadcast: c.broadcast, mediaTime: c.mediaTime };
}

/** The time that lies before the end of what is buffered. */
function newest(video: HTMLVideoElement, before: number): number | undefined {
  const b = video.buffered;
  return b.length > 0 ? b.end(b.length - 1) - before : undefined;
}

function behind(video: HTMLVideoElement): number | undefined {
  const end = newest(video, 0);
  return end === undefined ? undefined : Math.max(0, end - video.currentTime);
}
