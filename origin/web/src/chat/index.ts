// A client of Miju's chat rooms without anything else: no page, no dependency.

export { Chat, type How, type Link, type Listener, type Options } from "./client";
export type { Environment } from "./environment";
export { ChatError } from "./outbox";
export * from "./protocol";
export type { Room } from "./room";
export { type Moment, type Playback, reached } from "./timeline";
