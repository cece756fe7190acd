// Calls in progress: what is said in them, as it is recognised.

import { liveTable } from "./calls-table.js";
import { h, replace } from "./dom.js";

const KEEP_S = 8; // a call that ended stays to be seen for so long

export function show(main) {
  const calls = new Map();
  const ended = new Map();
  const body = h("div", { class: "card flush" });
  const count = h("p", { class: "sub", role: "status" });
  replace(main, h("header", { class: "head" }, h("h1", {}, "Live calls"), count), body);

  const news = new EventSource("/api/live");
  let told = false;
  news.addEventListener("live", (event) => {
    told = true;
    calls.clear();
    for (const call of JSON.parse(event.data)) calls.set(call.uuid, call);
    soon();
  });
  news.addEventListener("call", (event) => {
    const call = JSON.parse(event.data);
    calls.set(call.uuid, call);
    if (call.outcome && !ended.has(call.uuid)) ended.set(call.uuid, Date.now());
    soon();
  });
  news.addEventListener("full", () => { news.close(); count.textContent = "Too many pages are looking."; });
  news.onerror = () => { count.textContent = "The connection is lost; trying again."; };

  function draw() {
    for (const [uuid, at] of ended) {
      if (Date.now() - at > KEEP_S * 1000) { calls.delete(uuid); ended.delete(uuid); }
    }
    const shown = [...calls.values()].sort((a, b) => b.began - a.began);
    const going = shown.filter((call) => !call.outcome).length;
    count.textContent = !told ? "Connecting…" : going === 1 ? "1 call in progress" : `${going} calls in progress`;
    const focused = document.activeElement?.closest?.("a[href]")?.getAttribute("href");
    replace(body, shown.length ? liveTable(shown, Date.now() / 1000)
      : h("p", { class: "empty" }, "No call at the moment. ", h("a", { href: "#/phone" }, "Make one.")));
    if (focused?.startsWith("#/calls/")) body.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }

  let frame = 0;
  const soon = () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); };
  const tick = setInterval(soon, 1000);
  draw();
  return () => { news.close(); clearInterval(tick); cancelAnimationFrame(frame); };
}
