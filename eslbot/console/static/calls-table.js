// Calls as rows; each leads to its own page.

import { chip, clock, h, seconds, table, when } from "./dom.js";

const KINDS = { speaking: "bot", hearing: "caller", thinking: "busy", menu: "warn", leaving: "warn" };
const GOOD = ["transferred", "hung up", "caller gone"];

export const stateChip = (call) => call.outcome
  ? chip(call.outcome, GOOD.includes(call.outcome) ? "" : "warn")
  : chip(call.state, KINDS[call.state] ?? "ok");

export const slow = (ms) => (ms === null ? "" : ms > 1500 ? "slow" : ms > 1000 ? "so-so" : "fast");

const from = (call) => h("a", { href: `#/calls/${encodeURIComponent(call.uuid)}` }, call.caller || `call ${call.uuid.slice(0, 8)}`,
  call.called ? h("span", { class: "to" }, ` → ${call.called}`) : null);

const words = (call) => h("span", { class: "last-words" },
  call.words ? [h("b", {}, call.who === "bot" ? "Bot " : "Caller "), call.words] : "");

const wait = (call) => h("span", { class: `wait ${slow(call.wait_ms)}` }, seconds(call.wait_ms));

export const liveTable = (calls, now) => table("Calls in progress",
  ["State", "Call", "Words", "Turns", "Last answer", "For"],
  calls.map((call) => [stateChip(call), from(call), words(call), String(call.turns), wait(call),
    clock(now - call.began)]));

export const callsTable = (calls) => table("Calls",
  ["Began", "Call", "Intent", "Turns", "Last answer", "Lasted", "Outcome"],
  calls.map((call) => [when(call.began), from(call), call.intent, String(call.turns), wait(call),
    clock(call.last - call.began),
    h("span", {}, stateChip(call), call.failures ? chip(`${call.failures} failed`, "bad") : null)]));
