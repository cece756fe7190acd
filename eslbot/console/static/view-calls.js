// The calls there were, with a search.

import { poll } from "./api.js";
import { callsTable } from "./calls-table.js";
import { h, replace } from "./dom.js";

export function show(main, who) {
  const search = h("input", { type: "search", id: "search", placeholder: "Number, words, intent, outcome…",
    autocomplete: "off", spellcheck: "false", maxlength: "200", oninput: later });
  const body = h("div", { class: "card flush" });
  const count = h("p", { class: "sub", role: "status" });
  replace(main,
    h("header", { class: "head" }, h("h1", {}, "Calls"), count,
      h("div", { class: "search" }, h("label", { class: "unseen", for: "search" }, "Search calls"), search)),
    body);

  let timer = 0;
  let stop = null;
  function later() {
    clearTimeout(timer);
    timer = setTimeout(look, 200);
  }
  function look() {
    stop?.();
    const query = search.value.trim();
    stop = poll(`/api/calls?limit=200&q=${encodeURIComponent(query)}`, 5000, ({ calls }) => {
      const kept = who.archive ? "" : " of the last hour";
      count.textContent = `${calls.length} call${calls.length === 1 ? "" : "s"}${query ? " found" : kept}`;
      if (body.contains(document.activeElement)) return; // not under the reader's hands
      replace(body, calls.length ? callsTable(calls)
        : h("p", { class: "empty" }, query ? "No call holds all of these words." : "No call yet."));
    }, (error) => { count.textContent = error.message; });
  }
  look();
  return () => { clearTimeout(timer); stop?.(); };
}

