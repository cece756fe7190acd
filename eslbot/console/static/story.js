// A call's events, one after another, as the lines of a conversation. No DOM.
//
// An event: {what, at, ...}; at: seconds since the call began. They come from the listener's door
// while one calls, and from the call's log for whoever looks at it: the same events.

const NOTES = {
  menu: (of) => `The DTMF menu: ${of.reason ?? ""}`,
  resumed: () => "Back to the assistant",
  transfer: (of) => `Transfer to ${of.destination}`,
  ended: (of) => `${cap(of.outcome)}${of.reason ? `: ${of.reason}` : ""}`,
  hangup: (of) => `Hung up by ${of.by}`,
};
const FAILURES = {
  failed: (of) => `${stage(of)} failed: ${of.reason}`,
  rung: (of) => of.rung === "backup"
    ? `${stage(of)}: the next engine${of.reason ? ` (${of.reason})` : ""}`
    : `${stage(of)}: another worker${of.reason ? ` (${of.reason})` : ""}`,
};
const VOID = ["merged", "discarded"];

const cap = (text) => String(text ?? "").replace(/^./, (c) => c.toUpperCase());
const stage = (of) => ({ stt: "Speech-to-text", llm: "Language model", tts: "Voice" })[of.stage] ?? of.stage;

export class Story {
  constructor() {
    this.lines = []; // {who: caller|bot|note|bad|tool, text, at, ...}
    this.turns = []; // {number, outcome, *_ms, at, line}
    this.failures = [];
    this.tools = [];
    this.variables = {};
    this.intent = "";
    this.slots = {};
    this.state = "";
    this.outcome = "";
    this.call = {};
    this.open = null; // the caller's line that is still being recognised
    this.asked = null; // the caller's line whose turn is not over
  }

  take(event) {
    const known = this[`on_${event.what}`];
    if (known) known.call(this, event);
    else if (NOTES[event.what]) this.note(event, NOTES[event.what](event));
    else if (FAILURES[event.what]) this.failed(event, FAILURES[event.what](event));
    else if (event.what.startsWith("tool")) this.tool(event);
    if (event.what === "ended") this.outcome = event.outcome;
  }

  push(line) {
    this.lines.push(line);
    return line;
  }

  note(event, text) {
    this.bubble = null;
    this.push({ who: "note", text, at: event.at });
    if (event.variables) Object.assign(this.variables, event.variables);
  }

  failed(event, text) {
    this.failures.push({ at: event.at, text });
    this.push({ who: "bad", text, at: event.at });
  }

  tool(event) {
    const { what, at, ...of } = event;
    this.tools.push({ at, of });
    const name = of.name ?? of.tool ?? "tool";
    const took = of.ms ?? of.took_ms;
    this.push({ who: "tool", at, text: `${name}${took === undefined ? "" : `, ${took} ms`}` });
    const line = this.asked;
    if (line && took !== undefined) (line.tools ??= []).push({ name, ms: took, after_s: at - line.heardAt });
  }

  on_call(event) {
    this.call = event;
    Object.assign(this.variables, event.known ?? {});
  }

  on_state(event) {
    this.state = event.state;
  }

  on_variables(event) {
    Object.assign(this.variables, event.values ?? {});
  }

  on_partial(event) {
    if (!event.text) return;
    this.open ??= this.push({ who: "caller", at: event.at, text: "", partial: true });
    this.open.text = event.text;
    this.open.version = (this.open.version ?? 0) + 1;
  }

  on_heard(event) {
    const line = this.open ?? this.push({ who: "caller", at: event.at, text: "" });
    line.text = event.text || "(nothing understood)";
    line.partial = false;
    line.keyed = Boolean(event.keyed);
    line.confidence = event.confidence;
    line.heardAt = event.at;
    line.version = (line.version ?? 0) + 1;
    this.open = null;
    this.asked = line;
    this.bubble = null;
  }

  on_decided(event) {
    this.intent = event.intent ?? "";
    this.slots = event.slots ?? {};
    if (this.asked) {
      this.asked.intent = event.intent;
      this.asked.version = (this.asked.version ?? 0) + 1;
    }
  }

  on_said(event) {
    const one = this.bubble;
    if (one && !event.filler && !one.filler && !one.cut && one.turn === this.asked) {
      one.parts.push(event.text);
      one.text = one.parts.join(" ");
      one.version = (one.version ?? 0) + 1;
      return;
    }
    this.bubble = this.push({
      who: "bot", at: event.at, text: event.text, parts: [event.text], filler: Boolean(event.filler),
      turn: this.asked,
    });
  }

  // What was not heard of it stays to be seen, struck out.
  on_interrupted(event) {
    const one = this.bubble;
    if (!one) return;
    one.heard = event.heard ?? "";
    one.cut = true;
    one.version = (one.version ?? 0) + 1;
    this.bubble = null;
  }

  on_turn(event) {
    const line = this.asked;
    if (VOID.includes(event.outcome)) {
      // The next utterance holds this one too, or there was none.
      for (const gone of [this.open, event.outcome === "merged" ? line : null]) {
        if (gone) { gone.gone = true; gone.version = (gone.version ?? 0) + 1; }
      }
      this.open = this.asked = null;
      return;
    }
    const turn = { ...event, line, tools: line?.tools ?? [] };
    this.turns.push(turn);
    if (line) {
      line.turn = turn;
      line.version = (line.version ?? 0) + 1;
    }
    this.asked = null;
    this.open = null;
  }
}

/** Of a bot's line that was interrupted: [what was heard, what was not]. */
export function heardOf(line) {
  if (!line.cut) return [line.text, ""];
  const heard = line.heard.trim();
  const at = line.text.indexOf(heard);
  if (!heard) return ["", line.text];
  return at < 0 ? [heard, ""] : [line.text.slice(0, at + heard.length), line.text.slice(at + heard.length)];
}
