// One call: what was said against its sound, each turn's waterfall, and what became of it.

import { get } from "./api.js";
import { chip, clock, h, replace, seconds, table, when } from "./dom.js";
import { Story } from "./story.js";
import { Transcript } from "./transcript.js";
import { Wave } from "./wave.js";
import { legend, total } from "./waterfall.js";

const AGAIN_MS = 1000; // while the call is in progress

export function show(main, who, uuid) {
  const back = h("a", { href: "#/calls", class: "back" }, "← Calls");
  replace(main, back, h("p", { class: "empty", role: "status" }, "Looking for the call…"));
  let timer = 0;
  let ended = false;
  let view = null;

  async function look() {
    try {
      const found = await get(`/api/calls/${encodeURIComponent(uuid)}`);
      if (ended) return;
      view ??= new View(main, back, uuid);
      view.take(found);
      if (!found.events.some((event) => event.what === "hangup")) timer = setTimeout(look, AGAIN_MS);
    } catch (error) {
      if (!ended && !view) replace(main, back, h("p", { class: "empty", role: "alert" }, error.message));
    }
  }
  look();
  return () => { ended = true; clearTimeout(timer); view?.leave(); };
}

class View {
  constructor(main, back, uuid) {
    this.uuid = uuid;
    this.story = new Story();
    this.taken = 0;
    this.offset = 0;
    this.began = null;
    this.wave = null;
    this.transcript = new Transcript({ open: true, onLine: (line) => this.wave?.seek(line.at - this.offset) });
    this.title = h("h1", {});
    this.sub = h("p", { class: "sub" });
    this.sound = h("div", { class: "card sound", hidden: true });
    this.facts = h("div", { class: "facts" });
    this.side = h("div", { class: "side" });
    replace(main, back,
      h("header", { class: "head" }, this.title, this.sub), this.facts, this.sound,
      h("div", { class: "one-call" },
        h("section", { class: "card talk", "aria-label": "Conversation" }, this.transcript.element,
          h("footer", { class: "talk-foot" }, legend())),
        this.side));
  }

  leave() { this.wave?.leave(); }

  take({ events, audio }) {
    const fresh = events.slice(this.taken);
    this.taken = events.length;
    this.began ??= events[0]?.at ?? 0;
    for (const event of fresh) this.story.take({ ...event, at: event.at - this.began });
    this.last = (events.at(-1)?.at ?? this.began) - this.began;
    const over = events.some((event) => event.what === "ended");
    if (audio !== null && over && !this.wave) {
      this.offset = audio - this.began; // the recording begins later than the call
      this.wave = new Wave(`/api/calls/${encodeURIComponent(this.uuid)}/audio.wav`,
        (at) => this.transcript.mark(at + this.offset));
      replace(this.sound, this.wave.element);
      this.sound.hidden = false;
    }
    if (fresh.length) this.draw();
  }

  draw() {
    const { story } = this;
    const { caller_shown: caller, called, bot, listener } = story.call;
    const waits = story.turns.map(total).filter((ms) => ms !== null).sort((a, b) => a - b);
    this.title.textContent = `${caller || `Call ${this.uuid.slice(0, 8)}`}${called ? ` → ${called}` : ""}`;
    replace(this.sub, `${when(this.began)} · ${bot ?? ""} · `, h("code", {}, this.uuid));
    const over = story.outcome;
    const facts = [
      ["Outcome", over ? chip(over, over === "native menu" ? "warn" : "ok") : chip(story.state || "connecting", "busy")],
      ["Length", clock(this.last)],
      ["Turns", String(story.turns.length)],
      ["Median answer", seconds(waits[Math.floor(waits.length / 2)])],
      ["Slowest answer", seconds(waits.at(-1))],
      ["Failures", String(story.failures.length)],
    ];
    replace(this.facts, facts.map(([name, value]) =>
      h("div", { class: "fact" }, h("span", {}, name), h("strong", {}, value))));
    const variables = Object.entries({ ...story.slots, ...story.variables }).filter(([, value]) => value !== "");
    replace(this.side,
      panel("Variables", variables.length
        ? h("dl", { class: "known" }, variables.map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))]))
        : null),
      panel("Tools", story.tools.length
        ? h("ul", { class: "events" }, story.tools.map(({ at, of }) =>
          h("li", {}, h("time", {}, clock(at)), " ", h("code", {}, toolLine(of)))))
        : null),
      panel("Failures", story.failures.length
        ? h("ul", { class: "events" }, story.failures.map(({ at, text }) =>
          h("li", {}, h("time", {}, clock(at)), " ", text)))
        : null),
      panel("Turns", story.turns.length
        ? table("Turns", ["#", "Outcome", "Answer"], story.turns.map((turn) =>
          [String(turn.number ?? ""), turn.outcome, seconds(total(turn))]))
        : null),
      listener ? h("p", { class: "hint" }, `Listener ${listener}`) : null);
    this.transcript.show(story);
  }
}

const toolLine = ({ name, status, code, ms, ...more }) => [name, status, code ? `HTTP ${code}` : "",
  ms === undefined ? "" : `${ms} ms`, ...Object.entries(more).map(([key, value]) => `${key} ${value}`)]
  .filter(Boolean).join(" · ");

const panel = (title, body) => h("section", { class: "card" }, h("h2", {}, title),
  body ?? h("p", { class: "hint" }, "None."));
