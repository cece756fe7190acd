// Where a turn's time went, from the caller's last word to the ear.

import { h, s, seconds } from "./dom.js";

// Each ends where its field says, and begins where the one before it ended; the network's is a
// length of its own.
const STAGES = [
  ["endpoint_ms", "End of speech", "w-end"],
  ["final_ms", "Speech-to-text", "w-stt"],
  ["decision_ms", "Decision", "w-token"],
  ["first_sentence_ms", "First sentence", "w-llm"],
  ["first_speech_ms", "First audio", "w-tts"],
  ["first_frame_ms", "Playback", "w-out"],
];
const WIDTH = 1000;

export function segments(turn) {
  const found = [];
  let from = 0;
  for (const [field, name, kind] of STAGES) {
    const at = turn[field];
    if (typeof at !== "number") continue;
    const to = Math.max(from, at);
    found.push({ name, kind, from, to });
    from = to;
  }
  if (typeof turn.network_ms === "number" && found.length) {
    found.push({ name: "Network", kind: "w-net", from, to: from + turn.network_ms });
  }
  return found;
}

// A tool is called by the language model's worker, between decision and first sentence. Its end is
// told by the same clock as the words, whose place in the turn is known.
function calls(turn) {
  if (typeof turn.final_ms !== "number") return [];
  return turn.tools?.map(({ name, ms, after_s: after }) => {
    const to = turn.final_ms + Math.max(ms, after * 1000);
    return { name: `Tool ${name}`, kind: "w-tool", from: to - ms, to };
  }) ?? [];
}

export const total = (turn) => segments(turn).at(-1)?.to ?? null;

function bar({ from, to, kind }, scale, y, height) {
  return s("rect", {
    x: from * scale, y, width: Math.max(2, (to - from) * scale), height, class: kind,
  });
}

/** One line: all stages in a row. */
export function strip(turn, span = Math.max(1500, total(turn) ?? 0)) {
  const parts = segments(turn);
  const told = parts.map(({ name, from, to }) => `${name} ${Math.round(to - from)} ms`).join(", ");
  return s("svg", {
    class: "strip", viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none", role: "img",
    "aria-label": told || "no times",
  },
  s("rect", { x: 0, y: 0, width: WIDTH, height: 10, class: "w-ground" }),
  parts.map((part) => bar(part, WIDTH / span, 0, 10)));
}

/** A row for each stage. */
export function rows(turn) {
  const parts = [...segments(turn), ...calls(turn)].sort((a, b) => a.from - b.from);
  const span = Math.max(1500, ...parts.map(({ to }) => to));
  return h("div", { class: "fall" }, parts.map((part) => [
    h("span", { class: "fall-name" }, part.name),
    s("svg", { viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { x: 0, y: 0, width: WIDTH, height: 10, class: "w-ground" }),
      bar(part, WIDTH / span, 0, 10)),
    h("span", { class: "fall-ms" }, `${Math.round(part.to - part.from)} ms`),
  ]));
}

/** As shown under what the caller said: a strip that opens into rows. */
export function waterfall(turn, open = false) {
  const parts = segments(turn);
  if (!parts.length) return null;
  const outcome = turn.outcome === "answered" ? "" : ` · ${turn.outcome}`;
  return h("details", { class: "turn", open },
    h("summary", {}, strip(turn), h("span", { class: "turn-total" }, seconds(total(turn)) + outcome)),
    rows(turn));
}

export function legend() {
  return h("ul", { class: "legend" }, [...STAGES, ["", "Tool", "w-tool"], ["", "Network", "w-net"]].map(([, name, kind]) =>
    h("li", {}, s("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" },
      s("rect", { width: 10, height: 10, rx: 2, class: kind })), name)));
}
