// The watch page: one stream, and the room beside it.

import { Chat } from "./chat";
import type { Event as ChatEvent } from "./chat/protocol";
import type { Over } from "./engines";
import { Log } from "./log";
import { type Place, placeOf } from "./place";
import { Player, type State } from "./player";
import { type Language, languageOf, textsOf } from "./texts";

function by<T extends HTMLElement>(id: string): T {
  const e = document.getElementById(id);
  if (!e) throw new Error(`#${id} is missing`);
  return e as T;
}

const page = {
  state: by("state"),
  online: by("online"),
  engine: by("engine"),
  latency: by("latency"),
  notice: by("notice"),
  trouble: by("trouble"),
  log: by("log"),
  video: by<HTMLVideoElement>("video"),
  sound: by<HTMLButtonElement>("sound"),
  language: by<HTMLButtonElement>("language"),
  send: by<HTMLButtonElement>("send"),
  name: by<HTMLInputElement>("name"),
  text: by<HTMLInputElement>("text"),
};

let language: Language = languageOf(recall("language"), navigator.languages);
let texts = textsOf(language);
let state: State = "connecting";
let why: Over | undefined;
let wasLive = false;
let wantsTap = false;
let online = 0;
let granted = "";
let trouble: "reconnecting" | "closed" | undefined;

function recall(what: string): string | null {
  try {
    return localStorage.getItem(`miju-${what}`);
  } catch {
    return null; // storage is forbidden here
  }
}

function remember(what: string, value: string): void {
  try {
    localStorage.setItem(`miju-${what}`, value);
  } catch {
    // then it is forgotten
  }
}

/** Shows all that depends on the language or on what changed. */
function render(): void {
  document.documentElement.lang = language;
  document.body.dataset.state = state;
  for (const e of document.querySelectorAll<HTMLElement>("[data-label]")) {
    e.setAttribute("aria-label", e.dataset.label === "chat" ? texts.chat : texts.player);
  }
  page.state.textContent = texts[state];
  page.notice.hidden = state === "live" || state === "connecting";
  page.notice.textContent = why && why !== "offline" ? texts[why] : wasLive ? texts.ended : texts.waiting;
  page.online.textContent = online > 0 && !trouble ? texts.online(online) : "";
  page.log.dataset.empty = texts.silence;
  page.sound.textContent = texts.sound;
  page.sound.hidden = !wantsTap || !page.notice.hidden;
  page.video.controls = page.notice.hidden; // what nobody sees is not focused
  page.language.textContent = texts.otherShort;
  page.language.setAttribute("aria-label", texts.other);
  page.send.textContent = texts.send;
  page.name.placeholder = granted ? texts.named(granted) : texts.name;
  page.name.setAttribute("aria-label", texts.name);
  page.text.placeholder = texts.say;
  page.text.setAttribute("aria-label", texts.say);
  page.trouble.hidden = trouble === undefined;
  page.trouble.textContent = trouble ? texts[trouble] : "";
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
  void player.start();
  return player;
}

function talk(place: Place, player: Player): void {
  const log = new Log(page.log);
  let me = "";
  let said = "";
  const scheme = window.location.protocol === "https:" ? "wss:" : "ws:";
  const url = `${scheme}//${window.location.host}/${place.key}/chat${place.query}`;
  page.name.value = recall("name") ?? "";
  const chat = new Chat(url, page.name.value, {
    event(e) {
      if (e.type === "welcome") {
        me = e.you.id;
        granted = e.you.name;
      }
      show(e, log, me);
      // What was refused can be sent again, or mended.
      if (e.type === "error" && page.text.value === "") page.text.value = said;
      if (e.type === "live" || (e.type === "welcome" && e.live)) player.wake();
    },
    link(l) {
      trouble = l === "open" ? undefined : l;
      render();
    },
  });
  page.name.addEventListener("change", () => {
    const name = page.name.value.trim();
    if (name === chat.name) return;
    remember("name", name);
    chat.name = name;
    chat.connect();
  });
  by<HTMLFormElement>("form").addEventListener("submit", (e) => {
    e.preventDefault();
    const text = page.text.value.trim();
    if (text && chat.say(text)) {
      said = text;
      page.text.value = "";
    }
    page.text.focus();
  });
  window.setInterval(() => chat.look(), 1000);
  window.addEventListener("online", () => {
    chat.wake();
    player.wake();
  });
  chat.connect();
}

function show(e: ChatEvent, log: Log, me: string): void {
  if ("users" in e) {
    online = e.users;
    document.body.dataset.online = String(online);
    render();
  }
  switch (e.type) {
    case "message":
      log.message(e.from.name, e.text, e.at, e.from.id === me);
      break;
    case "joined":
      log.notice(texts.joined(e.user.name));
      break;
    case "left":
      log.notice(texts.left(e.user.name));
      break;
    case "live":
      log.notice(texts.wentLive);
      break;
    case "ended":
      log.notice(texts.wentOff);
      break;
    case "announcement":
      log.announcement(texts.operator, e.text);
      break;
    case "error":
      log.notice(texts.refused(e.code, e.message));
      break;
  }
}

page.language.addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  texts = textsOf(language);
  remember("language", language);
  render();
});

const place = placeOf(window.location.pathname, window.location.search);
by("room").textContent = place?.key ?? "Miju";
document.title = texts.title(place?.key ?? "");
render();
if (place) {
  talk(place, watch(place));
} else {
  page.notice.hidden = false;
  page.notice.textContent = texts.noStream;
}
