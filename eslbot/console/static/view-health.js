// How the house is.

import { poll } from "./api.js";
import { chip, h, replace, table } from "./dom.js";

const EVERY_MS = 2000;
const ROLES = { stt: "Speech-to-text", llm: "Language model", tts: "Voice" };

export function show(main) {
  const body = h("div", {});
  const sub = h("p", { class: "sub", role: "status" }, "Looking…");
  replace(main, h("header", { class: "head" }, h("h1", {}, "Health"), sub), body);
  return poll("/api/health", EVERY_MS, (told) => {
    sub.textContent = told.troubles.length ? `${told.troubles.length} thing${told.troubles.length > 1 ? "s" : ""} to look at`
      : "All is well.";
    replace(body, draw(told));
  }, (error) => { sub.textContent = error.message; });
}

function draw(told) {
  const { redis, listeners = [], workers = [], queues = [], breakers = [] } = told;
  return [
    told.troubles.length
      ? h("ul", { class: "banner bad" }, told.troubles.map((one) => h("li", {}, one))) : null,
    h("div", { class: "tiles" },
      tile("Calls", listeners.length ? `${sum(listeners, "calls")} / ${sum(listeners, "max_calls")}` : "–",
        `${listeners.length} listener${listeners.length === 1 ? "" : "s"}`),
      tile("Redis", redis.ok ? `${redis.ping_ms} ms` : "away",
        redis.ok ? `${redis.version} · ${redis.memory_mb} MB${redis.memory_max_mb ? ` of ${redis.memory_max_mb}` : ""} · ${redis.commands_per_s}/s` : redis.why,
        redis.ok ? "" : "bad"),
      tile("Loop lag", listeners.length ? `${Math.max(...listeners.map((one) => one.lag_ms ?? 0)).toFixed(1)} ms` : "–",
        `console ${told.console.lag_ms} ms`),
      tile("The switch", ...theSwitch(listeners))),
    section("Engines and workers", workers.length ? table("Workers",
      ["Role", "Engine", "Fallbacks", "State", "Slots", "Requests", "Retries", "Worker"],
      workers.map((one) => [
        ROLES[one.role] ?? one.role,
        h("span", { title: one.why }, one.engine),
        (one.levels ?? []).slice(1).join(", ") || "none",
        one.alive ? (one.usable ?? []).every(Boolean) ? chip("alive", "ok") : chip("an engine is out", "warn") : chip("mute", "bad"),
        String(one.slots ?? ""), String(one.requests ?? 0), String(one.retries ?? 0),
        h("code", {}, one.id)])) : none("No worker.")),
    h("div", { class: "pair" },
      section("Queues", queues.length ? table("Queues", ["Queue", "Waiting", "Oldest"], queues.map((one) =>
        [ROLES[one.name] ?? one.name, String(one.jobs),
          one.age_s === null ? "–" : h("span", { class: one.age_s > 2 ? "slow" : "" }, `${one.age_s.toFixed(1)} s`)]))
        : none("Unknown.")),
      section("Breakers", breakers.length ? table("Breakers", ["Provider", "State", "Failures"], breakers.map((one) =>
        [one.name, chip(one.state, one.state === "closed" ? "ok" : "bad"), String(one.failures)]))
        : none("No provider has failed lately."))),
    section("Listeners", listeners.length ? table("Listeners",
      ["Listener", "State", "Calls", "Lag", "Writes lost", "Bot"],
      listeners.map((one) => [h("code", {}, one.id),
        one.draining ? chip("draining", "warn") : one.not_ready ? chip(one.not_ready, "bad") : chip("ready", "ok"),
        `${one.calls} / ${one.max_calls ?? "–"}`, `${(one.lag_ms ?? 0).toFixed(1)} ms`, String(one.lost ?? 0),
        h("span", { title: one.bot }, one.name ?? "")])) : none("No listener.")),
  ];
}

function theSwitch(listeners) {
  const load = listeners.map((one) => one.switch).find(Boolean);
  if (!load) return ["–", "asked over the socket of a call; there is none"];
  const idle = load.idle_percent === null ? "" : `${load.idle_percent.toFixed(0)} % idle`;
  return [`${load.sessions ?? "–"} / ${load.max_sessions ?? "–"}`, `sessions · ${idle}`];
}

const sum = (those, name) => those.reduce((all, one) => all + (one[name] ?? 0), 0);
const none = (text) => h("p", { class: "empty" }, text);
const section = (title, body) => h("section", { class: "card flush" }, h("h2", {}, title), body);
const tile = (name, value, more, kind = "") => h("div", { class: `card tile ${kind}` },
  h("span", {}, name), h("strong", {}, value), h("small", {}, more));
