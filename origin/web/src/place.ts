// Where this page is: which stream it shows and which wishes its URL holds.

export type Engine = "hls" | "flv" | "native";

export interface Place {
  /** The stream key, "live/alice". */
  key: string;
  /** The engine that ?player= forces, if any. */
  player: Engine | undefined;
  /** What stands before the path of every request for the stream, and behind it: the
   * token, or nothing. Before it the token reaches all that a playlist lists, also through
   * an edge. */
  before: string;
  query: string;
  token: string | undefined;
  /** ?chat=read shows the room without taking part in it. */
  readOnly: boolean;
}

/** Reads a location's path and query; undefined if it names no stream. The token is the
 * URL's, else the one that the page kept from it. */
export function placeOf(path: string, search: string, kept?: string): Place | undefined {
  const match = /^(?:\/t\/([^/]+))?\/([\w-]{1,64})\/([\w-]{1,64})$/.exec(path);
  if (!match) return undefined;
  const params = new URLSearchParams(search);
  const player = params.get("player");
  const token = params.get("token") || match[1] || kept;
  const plain = token !== undefined && /^[\w.~-]+$/.test(token);
  return {
    key: `${match[2]}/${match[3]}`,
    player: player === "hls" || player === "flv" || player === "native" ? player : undefined,
    before: plain ? `/t/${token}` : "",
    query: token && !plain ? `?token=${encodeURIComponent(token)}` : "",
    token: token || undefined,
    readOnly: params.get("chat") === "read",
  };
}

/** Takes the token out of the address bar, where it would be seen, copied and kept in
 * the history, to where a reload finds it. */
export function hideToken(place: Place): void {
  const params = new URLSearchParams(window.location.search);
  params.delete("token");
  const query = params.size > 0 ? `?${params}` : "";
  window.history.replaceState({ token: place.token }, "", `/${place.key}${query}${window.location.hash}`);
}

/** The token that hideToken kept for this entry of the history. */
export function keptToken(): string | undefined {
  const token: unknown = window.history.state?.token;
  return typeof token === "string" ? token : undefined;
}
