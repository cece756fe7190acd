// The conversation, line by line; a line that changes is drawn anew, the others stay.

import { clock, h, replace } from "./dom.js";
import { heardOf } from "./story.js";
import { waterfall } from "./waterfall.js";

const WHO = { caller: "Caller", bot: "Bot" };

export class Transcript {
  /** onLine(line): where lines may be chosen. open: whether waterfalls are. */
  constructor({ onLine = null, open = false, empty = "" } = {}) {
    this.list = h("ol", { class: "lines", role: "log", "aria-live": "polite", "aria-label": "Conversation" });
    this.empty = h("p", { class: "empty" }, empty);
    this.element = h("div", { class: "transcript" }, this.empty, this.list);
    this.onLine = onLine;
    this.open = open;
    this.drawn = new Map(); // line → {item, version}
  }

  show(story) {
    this.empty.hidden = story.lines.length > 0;
    const atEnd = this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < 80;
    for (const line of story.lines) {
      const version = line.version ?? 0;
      const drawn = this.drawn.get(line);
      if (drawn?.version === version) continue;
      const item = drawn?.item ?? this.list.appendChild(h("li", {}));
      const open = item.querySelector("details")?.open ?? this.open;
      item.className = `line ${line.who}${line.partial ? " partial" : ""}`;
      item.hidden = Boolean(line.gone);
      replace(item, this.draw(line, open));
      this.drawn.set(line, { item, version });
    }
    if (atEnd) this.element.scrollTop = this.element.scrollHeight;
  }

  clear() {
    this.drawn.clear();
    replace(this.list);
    this.empty.hidden = false;
  }

  /** The line that is heard at `at`, in seconds. */
  mark(at) {
    let current = null;
    for (const [line, { item }] of this.drawn) {
      if (line.at <= at && !line.gone && WHO[line.who]) current = item;
      item.classList.remove("now");
    }
    current?.classList.add("now");
  }

  draw(line, open) {
    if (!WHO[line.who]) {
      return [h("p", { class: "aside" }, line.text, " ", h("time", {}, clock(line.at)))];
    }
    const [heard, unheard] = heardOf(line);
    const about = [WHO[line.who], line.keyed ? "keyed in" : "", line.filler ? "while waiting" : "",
      line.cut ? "interrupted" : "", line.intent ? line.intent : ""].filter(Boolean).join(" · ");
    const words = [heard, unheard ? h("s", { title: "not heard by the caller" }, unheard) : null];
    return [
      h("div", { class: "meta" }, h("span", {}, about), h("time", {}, clock(line.at))),
      this.onLine
        ? h("button", { type: "button", class: "words", onclick: () => this.onLine(line) }, words)
        : h("p", { class: "words" }, words),
      line.who === "caller" && line.turn ? waterfall(line.turn, open) : null,
    ];
  }
}
