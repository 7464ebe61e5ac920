// What is known of a room.

import type { Event, State, User, Welcome } from "./protocol";

/** A room as it is now. */
export interface Room extends Omit<State, "reactions"> {
  /** Who one is; undefined for who only reads. */
  you?: User | undefined;
  /** Sums of this broadcast by emoji. */
  reactions: Record<string, number>;
  /** Given if one is muted: until when (Unix milliseconds; undefined: for good)
   * and why. */
  muted?: { until?: number | undefined; reason?: string | undefined } | undefined;
}

/** The room of a welcome or an index; you stay who you were. */
export function roomOf(s: State & Partial<Pick<Welcome, "you" | "muted">>, you: User | undefined): Room {
  return {
    users: s.users,
    connections: s.connections,
    settings: s.settings,
    limits: s.limits,
    pinned: s.pinned,
    live: s.live,
    broadcast: s.broadcast,
    mediaTime: s.mediaTime,
    mapping: s.mapping,
    at: s.at,
    you: s.you ?? you,
    reactions: { ...s.reactions },
    muted: s.muted,
  };
}

/** Changes what is known by what happened. */
export function learn(room: Room, e: Event): void {
  switch (e.type) {
    case "presence":
    case "joined":
    case "left":
      room.users = e.users;
      room.connections = e.connections;
      break;
    case "settings":
      room.settings = e.settings;
      break;
    case "pinned":
      room.pinned = e.message;
      break;
    case "reactions":
      Object.assign(room.reactions, e.totals);
      break;
    case "live":
      if (room.broadcast !== e.broadcast) room.reactions = {};
      room.live = true;
      room.broadcast = e.broadcast;
      room.mapping = e.mapping;
      break;
    case "ended":
      room.live = false;
      break;
    case "mapping":
      room.mapping = { broadcast: e.broadcast, media: e.media, wall: e.wall };
      break;
    case "sanctioned":
      if (e.kind === "mute") room.muted = e.lifted ? undefined : { until: e.until, reason: e.reason };
      break;
  }
}
