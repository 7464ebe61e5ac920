// What the page says, in English and Chinese.

/** Why the room closed a connection for good, by code. */
const closedFor: Record<number, string> = {
  4100: "You sent too much.",
  4101: "You may not join this chat.",
  4104: "You were taken out of the chat.",
  4105: "You are banned from this chat.",
  4106: "Your link has expired.",
};

const closedForChinese: typeof closedFor = {
  4100: "你发得太多了。",
  4101: "你不能加入这个聊天。",
  4104: "你被移出了聊天。",
  4105: "你已被封禁。",
  4106: "你的链接已过期。",
};

/** Why something was not done, by code; others say it themselves. */
const refusals: Record<string, string> = {
  rate: "Slower, please.",
  busy: "Too much is said here just now.",
  slow: "Slow mode.",
  bad_name: "That name cannot be used.",
  bad_text: "That cannot be sent.",
  muted: "You are muted.",
  members_only: "Only members may write now.",
  read_only: "You may only read here.",
  forbidden: "You may not do that.",
  filtered: "That has words or links that are not allowed here.",
  unavailable: "That does not work just now.",
  offline: "There is no connection.",
  lost: "The connection was lost; it may have been done or not.",
  timeout: "It could not be sent in time.",
  full: "Too much waits to be sent.",
  closed: "The chat is closed.",
};

const refusalsChinese: typeof refusals = {
  rate: "说得太快了。",
  busy: "现在消息太多了。",
  slow: "慢速模式。",
  bad_name: "昵称不可用。",
  bad_text: "这条消息无法发送。",
  muted: "你被禁言了。",
  members_only: "现在只有会员可以发言。",
  read_only: "你只能看消息。",
  forbidden: "你没有这个权限。",
  filtered: "消息含有不允许的词或链接。",
  unavailable: "暂时无法处理。",
  offline: "没有连接。",
  lost: "连接断开了，可能已生效，也可能没有。",
  timeout: "未能及时发送。",
  full: "等待发送的消息太多。",
  closed: "聊天已关闭。",
};

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
  joined: (name: string, others: number) => (others > 0 ? `${name} and ${others} more joined` : `${name} joined`),
  left: (name: string) => `${name} left`,
  wentLive: "The stream is live",
  wentOff: "The stream has ended",
  announcement: "Announcement",
  cleared: "The messages were cleared",
  host: "Host",
  moderator: "Mod",
  notKept: "not kept",
  newer: (n: number) => (n === 1 ? "1 new message ↓" : `${n} new messages ↓`),
  more: (name: string) => `Actions on what ${name} said`,
  reactions: "Reactions",
  seconds: (n: number) => `${n} s`,
  reconnecting: "The chat is reconnecting…",
  reading: "There is no way to write just now; you are reading along.",
  readOnly: "You may read here",
  membersOnlyHere: "Only members may write now",
  closedShort: "The chat is closed",
  closed: (code: number) =>
    (closedFor[code] ?? "The chat was closed.") + (code === 4105 ? "" : " Reload the page to come back."),
  muted: (until: string | undefined, reason: string | undefined) =>
    (until ? `You are muted until ${until}` : "You are muted") + (reason ? `: ${reason}` : ""),
  sanctioned: (kind: string, lifted: boolean, until: string | undefined, reason: string | undefined) => {
    const what = kind === "ban" ? "banned" : "muted";
    if (lifted) return `You are no longer ${what}`;
    return `You were ${what}${until ? ` until ${until}` : ""}${reason ? `: ${reason}` : ""}`;
  },
  refused: (code: string, message: string, wait: number) =>
    (refusals[code] ?? message) + (wait > 0 ? ` Again in ${wait} s.` : ""),
  moderate: "Moderate",
  slowMode: "Slow mode",
  slowBy: (s: number) => (s === 0 ? "Off" : s < 120 ? `${s} s` : `${s / 60} min`),
  membersOnly: "Members only",
  announce: "Announce",
  clear: "Clear all messages",
  sureToClear: "Take all messages away, for everybody?",
  pin: "Pin",
  pinned: "Pinned",
  unpin: "Unpin",
  delete: "Delete",
  deleteAll: "Delete all of theirs",
  muteFor: (minutes: number) => `Mute for ${minutes} min`,
  mute: "Mute for good",
  unmute: "Unmute",
  banFor: (minutes: number) => `Ban for ${minutes} min`,
  ban: "Ban for good",
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
  joined: (name, others) => (others > 0 ? `${name} 等 ${others + 1} 人进来了` : `${name} 进来了`),
  left: (name) => `${name} 离开了`,
  wentLive: "直播开始了",
  wentOff: "直播结束了",
  announcement: "公告",
  cleared: "消息已被清空",
  host: "主播",
  moderator: "房管",
  notKept: "未保存",
  newer: (n) => `${n} 条新消息 ↓`,
  more: (name) => `对 ${name} 的消息操作`,
  reactions: "表情",
  seconds: (n) => `${n} 秒`,
  reconnecting: "聊天正在重新连接…",
  reading: "现在不能发言，可以继续看消息。",
  readOnly: "你只能看消息",
  membersOnlyHere: "现在只有会员可以发言",
  closedShort: "聊天已关闭",
  closed: (code) => (closedForChinese[code] ?? "聊天已断开。") + (code === 4105 ? "" : "刷新页面可重新加入。"),
  muted: (until, reason) => (until ? `你被禁言到 ${until}` : "你被禁言了") + (reason ? `：${reason}` : ""),
  sanctioned: (kind, lifted, until, reason) => {
    const what = kind === "ban" ? "封禁" : "禁言";
    if (lifted) return `你的${what}已解除`;
    return `你被${what}了${until ? `，到 ${until}` : ""}${reason ? `：${reason}` : ""}`;
  },
  refused: (code, message, wait) => (refusalsChinese[code] ?? message) + (wait > 0 ? `${wait} 秒后再试。` : ""),
  moderate: "管理",
  slowMode: "慢速模式",
  slowBy: (s) => (s === 0 ? "关闭" : s < 120 ? `${s} 秒` : `${s / 60} 分钟`),
  membersOnly: "仅会员发言",
  announce: "发公告",
  clear: "清空消息",
  sureToClear: "为所有人清空全部消息？",
  pin: "置顶",
  pinned: "置顶",
  unpin: "取消置顶",
  delete: "删除",
  deleteAll: "删除此人全部消息",
  muteFor: (minutes) => `禁言 ${minutes} 分钟`,
  mute: "永久禁言",
  unmute: "解除禁言",
  banFor: (minutes) => `封禁 ${minutes} 分钟`,
  ban: "永久封禁",
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
