// The watch page: one stream, and the room beside it.

import { by, recall, remember } from "./dom";
import type { Over } from "./engines";
import { hideToken, keptToken, type Place, placeOf } from "./place";
import { Player, type State } from "./player";
import { Talk } from "./talk";
import { type Language, languageOf, type Texts, textsOf } from "./texts";

const page = {
  state: by("state"),
  online: by("online"),
  engine: by("engine"),
  latency: by("latency"),
  notice: by("notice"),
  log: by("log"),
  video: by<HTMLVideoElement>("video"),
  sound: by<HTMLButtonElement>("sound"),
  language: by<HTMLButtonElement>("language"),
};

let language: Language = languageOf(recall("language"), navigator.languages);
let texts = textsOf(language);
let state: State = "connecting";
let why: Over | undefined;
let wasLive = false;
let wantsTap = false;
let online: number | undefined;
let talk: Talk | undefined;

/** Shows all that depends on the language or on what changed. */
function render(): void {
  document.documentElement.lang = language;
  document.body.dataset.state = state;
  for (const e of document.querySelectorAll<HTMLElement>("[data-label]")) {
    e.setAttribute("aria-label", plain(e.dataset.label));
  }
  for (const e of document.querySelectorAll<HTMLElement>("[data-text]:not(li)")) e.textContent = plain(e.dataset.text);
  page.state.textContent = texts[state];
  page.notice.hidden = state === "live" || state === "connecting";
  page.notice.textContent = why && why !== "offline" ? texts[why] : wasLive ? texts.ended : texts.waiting;
  document.body.dataset.online = online === undefined ? "" : String(online);
  page.online.textContent = online ? texts.online(online) : "";
  page.log.dataset.empty = texts.silence;
  page.sound.textContent = texts.sound;
  page.sound.hidden = !wantsTap || !page.notice.hidden;
  page.video.controls = page.notice.hidden; // what nobody sees is not focused
  page.language.textContent = texts.otherShort;
  page.language.setAttribute("aria-label", texts.other);
  by("moderate").textContent = texts.moderate;
  by("unpin").textContent = texts.unpin;
  by<HTMLInputElement>("announcement").placeholder = texts.announcement;
  by("announcement").setAttribute("aria-label", texts.announcement);
}

/** The text of a name, if it is one of those without parts. */
function plain(name: string | undefined): string {
  const text = texts[name as keyof Texts];
  return typeof text === "string" ? text : "";
}

function watch(place: Place): Player {
  const player = new Player(page.video, place, {
    state(s, reason) {
      state = s;
      why = reason;
      wasLive ||= s === "live";
      render();
    },
    engine(e) {
      document.body.dataset.engine = e;
      page.engine.textContent = e;
    },
    muted(tap) {
      wantsTap = tap;
      render();
    },
  });
  page.sound.addEventListener("click", () => {
    player.unmute();
    page.video.focus(); // the button is gone
  });
  window.setInterval(() => {
    const latency = player.latency();
    document.body.dataset.latency = latency === undefined ? "" : latency.toFixed(2);
    page.latency.textContent = latency === undefined ? "" : `${latency.toFixed(1)} s`;
    player.look();
  }, 1000);
  window.addEventListener("online", () => player.wake());
  void player.start();
  return player;
}

page.language.addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  texts = textsOf(language);
  remember("language", language);
  render();
  if (talk) {
    talk.texts = texts;
    talk.render();
  }
});

const place = placeOf(window.location.pathname, window.location.search, keptToken());
if (place?.token) hideToken(place);
by("room").textContent = place?.key ?? "Miju";
document.title = texts.title(place?.key ?? "");
render();
if (place) {
  const player = watch(place);
  talk = new Talk(place, texts, () => player.playback(), {
    online(users) {
      online = users;
      render();
    },
    live: () => player.wake(),
  });
  talk.render();
} else {
  page.notice.hidden = false;
  page.notice.textContent = texts.noStream;
}
