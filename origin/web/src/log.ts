// The list of what was said.

/** How many lines are kept: a room talks for hours. */
const longest = 300;

export class Log {
  #following = true;

  constructor(readonly list: HTMLElement) {
    list.addEventListener("scroll", () => {
      this.#following = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    });
    // A keyboard that opens takes room: what was newest stays in view.
    new ResizeObserver(() => this.#follow()).observe(list);
  }

  message(name: string, text: string, at: number | undefined, mine: boolean): void {
    const who = element("b", name);
    who.style.setProperty("--hue", String(hue(name)));
    const when = element("time", time(at));
    const line = this.#line(mine ? "message mine" : "message", who, " ", element("span", text), when);
    line.dataset.text = text;
  }

  notice(text: string): void {
    const last = this.list.lastElementChild;
    if (last?.className === "notice-line" && last.textContent === text) return; // once is enough
    this.#line("notice-line", text);
  }

  announcement(title: string, text: string): void {
    this.#line("announcement", element("b", title), " ", element("span", text)).dataset.text = text;
  }

  #line(kind: string, ...parts: (Node | string)[]): HTMLElement {
    const line = element("li", "");
    line.className = kind;
    line.append(...parts); // strings become text, never markup
    this.list.append(line);
    while (this.list.childElementCount > longest) this.list.firstElementChild?.remove();
    this.#follow();
    return line;
  }

  #follow(): void {
    if (this.#following) this.list.scrollTop = this.list.scrollHeight;
  }
}

function element(tag: string, text: string): HTMLElement {
  const e = document.createElement(tag);
  e.textContent = text;
  e.dir = "auto";
  return e;
}

function time(at: number | undefined): string {
  const d = at === undefined ? new Date() : new Date(at);
  return d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** A colour that stays with a name. */
export function hue(name: string): number {
  let h = 0;
  for (const c of name) h = (h * 31 + (c.codePointAt(0) ?? 0)) % 360;
  return h;
}
