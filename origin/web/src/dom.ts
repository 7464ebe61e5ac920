// Small helps with the page.

/** The element with an id, which the page has. */
export function by<T extends HTMLElement>(id: string): T {
  const e = document.getElementById(id);
  if (!e) throw new Error(`#${id} is missing`);
  return e as T;
}

/** An element of a text that may be written in any direction. */
export function element(tag: string, text: string, kind = ""): HTMLElement {
  const e = document.createElement(tag);
  e.textContent = text; // text, never markup
  e.dir = "auto";
  if (kind) e.className = kind;
  return e;
}

export function button(text: string, press: () => void, kind = ""): HTMLButtonElement {
  const b = element("button", text, kind) as HTMLButtonElement;
  b.type = "button";
  b.addEventListener("click", press);
  return b;
}

export function recall(what: string): string | null {
  try {
    return localStorage.getItem(`miju-${what}`);
  } catch {
    return null; // storage is forbidden here
  }
}

export function remember(what: string, value: string): void {
  try {
    localStorage.setItem(`miju-${what}`, value);
  } catch {
    // then it is forgotten
  }
}
