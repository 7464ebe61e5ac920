// Plays one stream: by hls.js, by mpegts.js or by the browser itself.

import Hls from "hls.js";
import mpegts from "mpegts.js";
import { Backoff } from "./backoff";
import type { Engine, Place } from "./place";

export type State = "connecting" | "live" | "offline" | "error";

export interface PlayerListener {
  state(s: State): void;
  engine(e: Engine): void;
  /** The browser wants a tap before it lets sound out. */
  muted(wantsTap: boolean): void;
}

/** One attempt to play, until it ends or fails. */
interface Attempt {
  latency(): number | undefined;
  stop(): void;
}

/** Why an attempt is over: the stream is not there, or something else. */
type Over = "offline" | "error";

export function chooseEngine(forced: Engine | undefined): Engine | undefined {
  if (forced) return forced;
  // Chromium says "maybe" to HLS in a video element, so it is asked last.
  if (Hls.isSupported()) return "hls";
  if (mpegts.isSupported()) return "flv";
  if (document.createElement("video").canPlayType("application/vnd.apple.mpegurl")) return "native";
  return undefined;
}

export class Player {
  #attempt: Attempt | undefined;
  #timer: number | undefined;
  #engine: Engine | undefined;
  #live = false;
  readonly #backoff = new Backoff(1000, 10_000);

  constructor(
    readonly video: HTMLVideoElement,
    readonly place: Place,
    readonly on: PlayerListener,
  ) {
    video.addEventListener("playing", () => {
      this.#backoff.reset();
      this.#live = true;
      on.state("live");
    });
    video.addEventListener("ended", () => this.#over("offline"));
    video.addEventListener("volumechange", () => {
      if (!video.muted) on.muted(false);
    });
  }

  start(): void {
    window.clearTimeout(this.#timer);
    this.#attempt?.stop();
    this.#engine = chooseEngine(this.place.player);
    if (!this.#engine) {
      this.on.state("error");
      return;
    }
    this.on.engine(this.#engine);
    const base = `/${this.place.key}`;
    switch (this.#engine) {
      case "hls":
        this.#attempt = playHLS(this.video, `${base}.m3u8${this.place.query}`, (o) => this.#over(o));
        break;
      case "flv":
        this.#attempt = playFLV(this.video, `${base}.flv${this.place.query}`, (o) => this.#over(o));
        break;
      case "native":
        this.#attempt = playNative(this.video, `${base}.m3u8${this.place.query}`, (o) => this.#over(o));
        break;
    }
    void this.#play();
  }

  /** Something says that the stream is live now: do not wait any longer. */
  wake(): void {
    if (!this.#live && this.#attempt === undefined) this.start();
  }

  /** Seconds from the newest media there is to what is shown. */
  latency(): number | undefined {
    return this.#live ? this.#attempt?.latency() : undefined;
  }

  unmute(): void {
    this.video.muted = false;
    this.video.play().catch(() => undefined); // it is playing, or start() will
  }

  async #play(): Promise<void> {
    try {
      await this.video.play();
    } catch (e) {
      if (!(e instanceof DOMException) || e.name !== "NotAllowedError") return; // it was stopped again
      this.video.muted = true;
      this.on.muted(true);
      this.video.play().catch(() => undefined); // the controls are there
    }
  }

  #over(why: Over): void {
    if (this.#attempt === undefined) return;
    this.#attempt.stop();
    this.#attempt = undefined;
    this.#live = false;
    this.on.state(why);
    this.#timer = window.setTimeout(() => this.start(), this.#backoff.next());
  }
}

function playHLS(video: HTMLVideoElement, url: string, over: (o: Over) => void): Attempt {
  const hls = new Hls({ lowLatencyMode: true, backBufferLength: 30, maxLiveSyncPlaybackRate: 1.1 });
  let recovered = 0;
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && recovered < 3) {
      recovered++;
      hls.recoverMediaError();
      return;
    }
    over(data.response?.code === 404 ? "offline" : "error");
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    latency: () => (hls.latency > 0 ? hls.latency : undefined),
    stop: () => hls.destroy(),
  };
}

function playFLV(video: HTMLVideoElement, url: string, over: (o: Over) => void): Attempt {
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url: new URL(url, window.location.href).href },
    {
      enableStashBuffer: false,
      lazyLoad: false,
      autoCleanupSourceBuffer: true,
      // What the GOP burst put it behind, it makes good by playing a little
      // faster; a jump would be seen.
      liveSync: true,
      liveSyncTargetLatency: 0.8,
      liveSyncMaxLatency: 1.4,
      liveSyncPlaybackRate: 1.08,
    },
  );
  player.on(mpegts.Events.ERROR, (_type: string, detail: string, info?: { code?: number }) => {
    over(detail === mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID && info?.code === 404 ? "offline" : "error");
  });
  player.on(mpegts.Events.LOADING_COMPLETE, () => over("offline"));
  player.attachMediaElement(video);
  player.load();
  return { latency: () => buffered(video), stop: () => player.destroy() };
}

function playNative(video: HTMLVideoElement, url: string, over: (o: Over) => void): Attempt {
  const failed = () => over("offline"); // the element does not say why
  video.addEventListener("error", failed);
  video.src = url;
  return {
    latency: () => buffered(video),
    stop: () => {
      video.removeEventListener("error", failed);
      video.removeAttribute("src");
      video.load();
    },
  };
}

function buffered(video: HTMLVideoElement): number | undefined {
  const b = video.buffered;
  return b.length > 0 ? b.end(b.length - 1) - video.currentTime : undefined;
}
