// Where this page is: which stream it shows and which wishes its URL holds.

export type Engine = "hls" | "flv" | "native";

export interface Place {
  /** The stream key, "live/alice". */
  key: string;
  /** The engine that ?player= forces, if any. */
  player: Engine | undefined;
  /** The query that every request for the stream carries: the token, or nothing. */
  query: string;
  token: string | undefined;
  /** ?chat=read shows the room without taking part in it. */
  readOnly: boolean;
}

/** Reads a location's path and query; undefined if it names no stream. */
export function placeOf(path: string, search: string): Place | undefined {
  const match = /^\/([\w-]{1,64})\/([\w-]{1,64})$/.exec(path);
  if (!match) return undefined;
  const params = new URLSearchParams(search);
  const player = params.get("player");
  const token = params.get("token");
  return {
    key: `${match[1]}/${match[2]}`,
    player: player === "hls" || player === "flv" || player === "native" ? player : undefined,
    query: token ? `?token=${encodeURIComponent(token)}` : "",
    token: token ?? undefined,
    readOnly: params.get("chat") === "read",
  };
}
