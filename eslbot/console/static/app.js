// The page's frame: which view is shown, the theme, the session.

import { send, session } from "./api.js";
import { h, replace } from "./dom.js";
import { line } from "./line.js";

const VIEWS = {
  phone: { title: "Phone", icon: "M6 3h4l2 5-2.5 1.5a11 11 0 0 0 5 5L16 12l5 2v4a3 3 0 0 1-3 3C9.7 21 3 14.3 3 6a3 3 0 0 1 3-3z" },
  live: { title: "Live", icon: "M3 12h4l3-8 4 16 3-8h4" },
  calls: { title: "Calls", icon: "M4 6h16M4 12h16M4 18h10" },
  health: { title: "Health", icon: "M12 21s-8-4.6-8-11a4.5 4.5 0 0 1 8-2.8A4.5 4.5 0 0 1 20 10c0 6.400-8 11-8 11z" },
  off: { title: "AI off", icon: "M12 3v9M6.300 6.300a8 8 0 1 0 11.400 0" },
};
const THEMES = ["auto", "light", "dark"];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const theme = document.getElementById("theme");
let leave = null;
let who = null;

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const one = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  one.setAttribute("d", path);
  svg.append(one);
  return svg;
}

async function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const view = VIEWS[name] ? name : "phone";
  leave?.();
  leave = null;
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const one = view === "calls" && rest[0] ? "call" : view;
  document.title = `${VIEWS[view].title} · eslbot`;
  const module = await import(`./view-${one}.js`);
  replace(main);
  main.dataset.view = one;
  leave = module.show(main, who, decodeURIComponent(rest.join("/"))) ?? null;
  main.scrollTo(0, 0);
  if (document.activeElement?.closest("#nav")) main.focus();
}

function setTheme(next) {
  const wanted = THEMES.includes(next) ? next : "auto";
  if (wanted === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = wanted;
  theme.textContent = `Theme: ${wanted}`;
  theme.dataset.theme = wanted;
  localStorage.setItem("theme", wanted);
}

replace(nav, Object.entries(VIEWS).map(([name, { title, icon: path }]) =>
  h("li", {}, h("a", { href: `#/${name}`, "data-view": name }, icon(path), h("span", {}, title)))));
theme.addEventListener("click", () =>
  setTheme(THEMES[(THEMES.indexOf(theme.dataset.theme) + 1) % THEMES.length]));
setTheme(localStorage.getItem("theme"));

// A call in the browser goes on while other views are looked at.
line.addEventListener("state", () =>
  nav.querySelector('[data-view="phone"]').classList.toggle("busy", line.busy));
addEventListener("beforeunload", (event) => { if (line.busy) event.preventDefault(); });

who = await session();
const logout = document.getElementById("logout");
logout.hidden = !who.login;
logout.addEventListener("click", async () => {
  await send("POST", "/logout");
  location.replace("/login");
});
addEventListener("hashchange", show);
await show();
