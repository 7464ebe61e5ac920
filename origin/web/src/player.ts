// Keeps one stream playing: begins, notices ends and standstills, tries again.

import type { Playback } from "./chat";
import { Backoff } from "./chat/backoff";
import { type Attempt, chooseEngine, type Over, open } from "./engines";
import type { Engine, Place } from "./place";

export type State = "connecting" | "live" | "offline" | "error";

export interface PlayerListener {
  /** The state, and what is wrong if it is "error". */
  state(s: State, why?: Over): void;
  engine(e: Engine): void;
  /** The browser wants a tap before it lets sound out. */
  muted(wantsTap: boolean): void;
}

/** How many looks, one a second, a picture may stand still: when nothing more
 * will come, while more should, and before the first one. An encoder may send
 * a random access point only every 10 s, and HLS waits for one after it. */
const patience = { ended: 1, live: 8, connecting: 30 };

/** A viewer that resumes this many seconds late is brought back to live. */
const late = 3;

export class Player {
  #attempt: Attempt | undefined;
  /** Counts attempts, so that what an earlier one still says is not heard. */
  #turn = 0;
  #waiting: number | undefined;
  #live = false;
  /** The viewer has paused, so what comes back does not play by itself. */
  #hold = false;
  #still = 0;
  #lastTime = 0;
  readonly #backoff = new Backoff(1000, 10_000);

  constructor(
    readonly video: HTMLVideoElement,
    readonly place: Place,
    readonly on: PlayerListener,
  ) {
    video.addEventListener("playing", () => {
      if (this.#attempt === undefined) return;
      this.#backoff.reset();
      this.#live = true;
      if (this.#still > 1) this.#catchUp();
      on.state("live");
    });
    video.addEventListener("ended", () => {
      if (this.#attempt) this.#over(this.#turn, "offline");
    });
    video.addEventListener("play", () => {
      this.#hold = false;
      this.#catchUp();
    });
    video.addEventListener("volumechange", () => {
      if (!video.muted) on.muted(false);
    });
  }

  async start(): Promise<void> {
    window.clearTimeout(this.#waiting);
    this.#waiting = undefined;
    this.#attempt?.stop();
    this.#attempt = undefined;
    this.#still = 0;
    const turn = ++this.#turn;
    try {
      const engine = await chooseEngine(this.place.player);
      if (turn !== this.#turn) return;
      if (!engine) {
        this.on.state("error", "unplayable");
        return;
      }
      this.on.engine(engine);
      const attempt = await open(engine, this.video, this.place, (why) => this.#over(turn, why));
      if (turn !== this.#turn) {
        attempt.stop();
        return;
      }
      this.#attempt = attempt;
    } catch {
      this.#over(turn, "unreachable"); // the engine's own code did not arrive
      return;
    }
    if (this.#hold) this.on.state("connecting");
    else await this.#play();
  }

  /** Something says that the stream is live now: do not wait any longer. */
  wake(): void {
    if (this.#waiting !== undefined) void this.start();
  }

  /** Seconds from the newest media there is to what is shown. */
  latency(): number | undefined {
    return this.#live ? this.#attempt?.latency() : undefined;
  }

  /** What is shown, in the stream's time or by the wall clock. */
  playback(): Playback | undefined {
    return this.#live ? this.#attempt?.playback() : undefined;
  }

  unmute(): void {
    this.video.muted = false;
    this.video.play().catch(() => undefined); // it is playing, or start() will
  }

  /** Looks, once a second, whether the picture moves. A connection that died
   * silently says nothing otherwise. */
  look(): void {
    const moved = this.video.currentTime !== this.#lastTime;
    this.#lastTime = this.video.currentTime;
    if (moved || this.video.paused || this.#attempt === undefined) {
      this.#still = 0;
      return;
    }
    this.#still++;
    const ended = this.#attempt.ended();
    if (this.#still > patience[ended ? "ended" : this.#live ? "live" : "connecting"]) {
      this.#over(this.#turn, ended ? "offline" : "unreachable");
    }
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

  #catchUp(): void {
    const edge = this.#live ? this.#attempt?.edge() : undefined;
    if (edge !== undefined && edge - this.video.currentTime > late) this.video.currentTime = edge;
  }

  #over(turn: number, why: Over): void {
    if (turn !== this.#turn) return;
    this.#turn++;
    this.#hold ||= this.#live && this.video.paused && !this.video.ended;
    this.#live = false;
    this.#attempt?.stop();
    this.#attempt = undefined;
    this.on.state(why === "offline" ? "offline" : "error", why);
    this.#waiting = window.setTimeout(() => void this.start(), this.#backoff.next());
  }
}
