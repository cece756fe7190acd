// The assistant off: orders, who gave them, and taking them back.

import { get, send } from "./api.js";
import { h, replace, table, when } from "./dom.js";

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export function show(main) {
  const form = orderForm(give);
  const wrong = h("p", { class: "wrong", role: "alert" });
  const orders = h("section", { class: "card flush" });
  const audit = h("section", { class: "card flush" });
  form.append(wrong);
  replace(main,
    h("header", { class: "head" }, h("h1", {}, "AI off"),
      h("p", { class: "sub" }, "Calls that an order holds for go to the keypad menu at once. Calls that have begun go on.")),
    h("div", { class: "off" }, form, h("div", {}, orders, audit)));

  async function give(order) {
    wrong.textContent = "";
    try {
      await send("POST", "/api/ai-off", order);
      form.reset();
      await look();
    } catch (error) {
      wrong.textContent = error.message;
    }
  }

  async function takeBack(key) {
    try {
      await send("DELETE", `/api/ai-off/${encodeURIComponent(key)}`);
    } catch (error) {
      wrong.textContent = error.message;
    }
    await look();
  }

  async function look() {
    let told;
    try {
      told = await get("/api/ai-off");
    } catch (error) {
      wrong.textContent = error.message;
      return;
    }
    replace(orders, h("h2", {}, "In force"), told.orders.length
      ? table("Orders in force", ["Calls", "When", "Reason", ""], told.orders.map((order) => [
        which(order), times(order), order.reason,
        h("button", { type: "button", class: "quiet", onclick: () => takeBack(order.key) }, "Switch on again")]))
      : h("p", { class: "empty" }, "The assistant answers all calls."));
    replace(audit, h("h2", {}, "History"), told.audit.length
      ? table("History of orders", ["At", "What", "Calls", "By"], told.audit.map((one) => [
        when(one.at), one.what, which(one.order), one.by]))
      : h("p", { class: "empty" }, "No order was ever given."));
  }
  look();
}

function orderForm(give) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const hours = h("fieldset", { class: "hours", disabled: true, "aria-label": "Hours" },
    h("div", { class: "days" }, DAYS.map((day, i) => h("label", { class: "day" },
      h("input", { type: "checkbox", name: "day", value: i, checked: i < 5 }), day))),
    h("div", { class: "row" },
      field("From", h("input", { type: "time", name: "since", value: "18:00" })),
      field("Until", h("input", { type: "time", name: "until", value: "08:00" }))),
    h("p", { class: "hint" }, `Time zone ${zone}`));
  const scheduled = h("input", { type: "checkbox", name: "scheduled",
    onchange: () => { hours.disabled = !scheduled.checked; } });
  const form = h("form", { class: "card form", onsubmit: submit, onreset: () => { hours.disabled = true; } },
    h("h2", {}, "New order"),
    field("Number", h("input", { name: "number", placeholder: "all numbers", maxlength: "42", autocomplete: "off" }),
      "The caller's or the one called; * at an end stands for anything."),
    field("Which number", h("select", { name: "side" },
      h("option", { value: "either" }, "either"), h("option", { value: "called" }, "the one called"),
      h("option", { value: "caller" }, "the caller's"))),
    field("Share of these calls, %", h("input", { type: "number", name: "share", min: "1", max: "100", value: "100" })),
    h("label", { class: "check" }, scheduled, "Only at these hours, each week"), hours,
    field("Ends by itself after", h("select", { name: "minutes" },
      [["", "never"], ["15", "15 minutes"], ["60", "1 hour"], ["480", "8 hours"], ["1440", "1 day"]].map(
        ([value, text]) => h("option", { value }, text)))),
    field("Reason", h("input", { name: "reason", maxlength: "120", autocomplete: "off" }), "Stands in each call's log."),
    h("button", { type: "submit", class: "danger" }, "Switch the assistant off"));

  function submit(event) {
    event.preventDefault();
    const of = form.elements;
    const number = of.number.value.trim();
    const minutes = Number(of.minutes.value);
    give({
      number,
      side: number ? of.side.value : "either",
      share_percent: Number(of.share.value),
      reason: of.reason.value.trim(),
      until: minutes ? Math.round(Date.now() / 1000) + minutes * 60 : null,
      schedule: scheduled.checked ? {
        days: [...form.querySelectorAll('[name="day"]:checked')].map((box) => Number(box.value)),
        since: of.since.value, until: of.until.value, zone,
      } : null,
    });
  }
  return form;
}

const field = (name, input, hint = "") => h("label", { class: "field" }, h("span", {}, name), input,
  hint ? h("small", { class: "hint" }, hint) : null);

function which(order) {
  const share = order.share_percent === 100 ? "all calls" : `${order.share_percent} % of calls`;
  const side = { either: "from or to", called: "to", caller: "from" }[order.side];
  return order.number ? `${share} ${side} ${order.number}` : share;
}

function times({ schedule, until }) {
  const hours = schedule
    ? `${schedule.days.map((day) => DAYS[day]).join(" ")}, ${schedule.since}–${schedule.until} (${schedule.zone})` : "always";
  return until ? `${hours}, until ${when(until)}` : hours;
}
