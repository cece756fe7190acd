// A phone in the browser: a real call, and beside it what becomes of it.

import { clock, h, replace } from "./dom.js";
import { line } from "./line.js";
import { Story } from "./story.js";
import { Transcript } from "./transcript.js";
import { legend } from "./waterfall.js";

const KEYS = [["1", ""], ["2", "abc"], ["3", "def"], ["4", "ghi"], ["5", "jkl"], ["6", "mno"],
  ["7", "pqrs"], ["8", "tuv"], ["9", "wxyz"], ["*", ""], ["0", "person"], ["#", "enter"]];
const SAID = {
  connecting: "Connecting", speaking: "The bot speaks", listening: "Listening", hearing: "Hears you",
  thinking: "Thinking", menu: "Keypad menu", leaving: "Transferring", ended: "Call ended",
};

// They outlive the view: a call goes on while another one is looked at.
let story = new Story();
let began = 0;
let trouble = "";

line.addEventListener("told", ({ detail }) => {
  const { type, ...event } = detail;
  if (type === "call") began = performance.now() / 1000 - (detail.at ?? 0);
  story.take({ ...event, what: type });
});

export function show(main, who) {
  const status = h("p", { class: "status", role: "status" });
  const time = h("p", { class: "time" });
  const problem = h("p", { class: "wrong", role: "alert" });
  const mine = h("span", { class: "meter-fill" });
  const theirs = h("span", { class: "meter-fill" });
  const network = h("p", { class: "hint network" });
  const dial = h("button", { type: "button", class: "dial", onclick: toggle });
  const mute = h("button", { type: "button", class: "quiet", onclick: () => line.mute(!line.muted) });
  const keys = KEYS.map(([digit, letters]) =>
    h("button", { type: "button", class: "key", onclick: () => press(digit), "aria-label": `Key ${digit}` },
      digit, h("small", { "aria-hidden": "true" }, letters)));
  const known = h("dl", { class: "known" });
  const transcript = new Transcript({ empty: "The conversation will stand here, word for word." });

  replace(main,
    h("header", { class: "head" }, h("h1", {}, "Phone"),
      h("p", { class: "sub" }, "A real call to the running bot, from this browser's microphone.")),
    h("div", { class: "phone" },
      h("section", { class: "card device", "aria-label": "Phone" },
        status, time, dial, problem,
        h("div", { class: "meters" },
          h("span", { class: "meter-name" }, "You"), h("span", { class: "meter" }, mine),
          h("span", { class: "meter-name" }, "Bot"), h("span", { class: "meter bot" }, theirs)),
        mute,
        h("details", { class: "pad", open: matchMedia("(min-width: 46rem)").matches },
          h("summary", {}, "Keypad"),
          h("div", { class: "keys", role: "group", "aria-label": "Keypad" }, keys)),
        network),
      h("section", { class: "card talk", "aria-label": "Conversation" }, transcript.element,
        h("footer", { class: "talk-foot" }, legend())),
      h("section", { class: "card knows", "aria-label": "What the bot knows" },
        h("h2", {}, "What the bot knows"), known)));

  async function toggle() {
    if (line.busy) {
      line.hangup();
      return;
    }
    story = new Story();
    trouble = "";
    began = 0;
    transcript.clear();
    try {
      await line.call();
    } catch (error) {
      trouble = error.message;
    }
    draw();
  }

  function press(digit) {
    if (!line.busy) return;
    line.key(digit);
    const key = keys[KEYS.findIndex(([one]) => one === digit)];
    key.classList.add("pressed");
    setTimeout(() => key.classList.remove("pressed"), 150);
  }

  function typed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (/^[0-9*#]$/.test(event.key)) press(event.key);
    else if (event.key === "m" && line.busy) line.mute(!line.muted);
  }

  function draw() {
    const ready = line.busy && story.state;
    status.textContent = line.busy ? SAID[story.state || "connecting"] ?? story.state
      : story.outcome ? `Call ended: ${story.outcome}` : who.phone ? "No phone" : "Ready to call";
    status.dataset.state = line.busy ? story.state || "connecting" : "idle";
    dial.textContent = line.busy ? "Hang up" : "Call the bot";
    dial.classList.toggle("hang", line.busy);
    dial.disabled = Boolean(who.phone) && !line.busy;
    mute.disabled = !line.busy;
    mute.setAttribute("aria-pressed", String(line.muted));
    mute.textContent = line.muted ? "Unmute" : "Mute";
    for (const key of keys) key.disabled = !ready;
    problem.textContent = trouble || line.why || (line.busy ? "" : who.phone);
    const facts = { ...(story.intent ? { intent: story.intent } : {}), ...story.slots, ...story.variables };
    replace(known, Object.entries(facts).filter(([, value]) => value !== "").map(([name, value]) =>
      [h("dt", {}, name), h("dd", {}, String(value))]));
    if (!known.childElementCount) replace(known, h("dd", { class: "hint" }, "Nothing yet."));
    if (!line.busy) {
      mine.style.width = theirs.style.width = "0";
      network.textContent = "";
    }
    transcript.show(story);
  }

  let frame = 0;
  const soon = () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); };
  const loud = (level) => `${Math.min(100, Math.max(0, 100 + 33 * Math.log10(level + 1e-4)))}%`;
  const levels = ({ detail }) => {
    if (!line.busy) return; // its last word comes after the end
    mine.style.width = loud(detail.mine);
    theirs.style.width = loud(detail.theirs);
    const trip = detail.rtt === null ? "" : `round trip ${detail.rtt.toFixed(0)} ms, `;
    network.textContent = `${trip}buffer ${detail.buffered.toFixed(0)} ms`;
  };
  const tick = setInterval(() => {
    if (line.busy) time.textContent = began ? clock(performance.now() / 1000 - began) : "";
  }, 250);
  line.addEventListener("told", soon);
  line.addEventListener("state", soon);
  line.addEventListener("levels", levels);
  document.addEventListener("keydown", typed);
  draw();
  return () => {
    clearInterval(tick);
    cancelAnimationFrame(frame);
    line.removeEventListener("told", soon);
    line.removeEventListener("state", soon);
    line.removeEventListener("levels", levels);
    document.removeEventListener("keydown", typed);
  };
}
