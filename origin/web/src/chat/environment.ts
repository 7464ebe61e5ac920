// What the client needs of the world. Programs that are no browser, and tests,
// bring their own.

export interface Environment {
  WebSocket: typeof WebSocket;
  fetch: typeof fetch;
  /** Where the guest's secret is kept; undefined: nowhere. */
  storage: Pick<Storage, "getItem" | "setItem"> | undefined;
  random: () => number;
}

/** The environment of this program, with what is given instead. */
export function environment(given: Partial<Environment> = {}): Environment {
  return {
    WebSocket: globalThis.WebSocket,
    fetch: (...args) => globalThis.fetch(...args),
    storage: storage(),
    random: Math.random,
    ...given,
  };
}

function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined; // it is forbidden here
  }
}

/** The secret by which a guest stays the same: over connections, and over tabs
 * and visits where it can be stored. */
export function guestSecret(env: Environment): string {
  const key = "miju-guest";
  const fresh = randomHex(16);
  try {
    const kept = env.storage?.getItem(key);
    if (kept && /^[\x21-\x7e]{16,128}$/.test(kept)) return kept;
    env.storage?.setItem(key, fresh);
    return env.storage?.getItem(key) ?? fresh; // another tab may have been faster
  } catch {
    return fresh; // full, or forbidden
  }
}

/** n random bytes in hexadecimal. */
export function randomHex(n: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(n)), (b) => b.toString(16).padStart(2, "0")).join("");
}
