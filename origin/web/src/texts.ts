// What the page says, in English and Chinese.

const english = {
  title: (key: string) => `${key} · Miju`,
  player: "Player",
  chat: "Chat",
  connecting: "Connecting",
  live: "Live",
  offline: "Offline",
  error: "Trouble",
  online: (n: number) => (n === 1 ? "1 here" : `${n} here`),
  waiting: "The stream is not live yet. It starts here by itself.",
  ended: "The stream has ended. If it comes back, it starts here by itself.",
  denied: "This stream is not for everyone. Open it with the whole link you were given.",
  unplayable: "This browser cannot play the stream's video or sound.",
  unreachable: "The stream cannot be reached. Trying again…",
  noStream: "This address names no stream. It should look like /live/name.",
  sound: "Tap for sound",
  name: "Your name",
  named: (name: string) => `Your name (${name})`,
  say: "Say something",
  send: "Send",
  silence: "Nothing has been said since you came.",
  joined: (name: string) => `${name} joined`,
  left: (name: string) => `${name} left`,
  wentLive: "The stream is live",
  wentOff: "The stream has ended",
  operator: "Announcement",
  reconnecting: "The chat is reconnecting…",
  closed: "The chat was closed. Reload the page to come back.",
  refused: (code: string, message: string) => (code === "rate" ? "Slower, please" : message),
  other: "中文",
  otherShort: "中文",
};

const chinese: typeof english = {
  title: (key) => `${key} · Miju`,
  player: "播放器",
  chat: "聊天",
  connecting: "连接中",
  live: "直播中",
  offline: "未开播",
  error: "出错了",
  online: (n) => `${n} 人在线`,
  waiting: "还没有开播，开播后会自动播放。",
  ended: "直播已结束，再次开播后会自动播放。",
  denied: "该直播不公开，请用收到的完整链接打开。",
  unplayable: "此浏览器不支持该直播的画面或声音格式。",
  unreachable: "暂时连不上直播，正在重试…",
  noStream: "这个地址不是直播间，应当形如 /live/name。",
  sound: "点击打开声音",
  name: "你的昵称",
  named: (name) => `你的昵称（${name}）`,
  say: "说点什么",
  send: "发送",
  silence: "你来之后还没有人说话。",
  joined: (name) => `${name} 进来了`,
  left: (name) => `${name} 离开了`,
  wentLive: "直播开始了",
  wentOff: "直播结束了",
  operator: "公告",
  reconnecting: "聊天正在重新连接…",
  closed: "聊天已断开，刷新页面可重新加入。",
  refused: (code, message) =>
    ({ rate: "说得太快了", bad_name: "昵称不可用", bad_text: "这条消息无法发送" })[code] ?? message,
  other: "English",
  otherShort: "EN",
};

export type Texts = typeof english;
export type Language = "en" | "zh";

/** The language to begin with: the one chosen before, else the browser's. */
export function languageOf(stored: string | null, browser: readonly string[]): Language {
  if (stored === "en" || stored === "zh") return stored;
  return browser[0]?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function textsOf(language: Language): Texts {
  return language === "zh" ? chinese : english;
}
