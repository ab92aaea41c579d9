// The console: the list of endpoints, the key, and which endpoint is shown. The address names the endpoint, and only it.

import { fill, make } from "./page.js";
import { ask, useKey } from "./service.js";
import { showEndpoint } from "./endpoint.js";

const FILTER_FROM = 8;
const list = document.getElementById("endpoints");
const listNote = document.getElementById("list-note");
const filter = document.getElementById("filter");
const keyInput = document.getElementById("key");
const main = document.getElementById("the-endpoint");
let endpoints = [];
let shownName = null;
let page = null;
let showing = 0;

/** Ask which endpoints there are, and show them. */
async function loadList() {
  const answer = await ask("endpoints");
  endpoints = answer.status === 200 ? answer.document.endpoints : [];
  const wantsKey = answer.status === 401;
  document.body.classList.toggle("wants-key", wantsKey);
  if (wantsKey) listNote.textContent = "This service wants an API key.";
  else if (answer.status !== 200) listNote.textContent = answer.document.error?.message ?? "";
  else listNote.textContent = endpoints.length ? "" : "None yet: nothing was deployed that you may ask.";
  filter.hidden = endpoints.length < FILTER_FROM;
  showList();
  if (wantsKey) keyInput.focus();
  return answer.status === 200;
}

function showList() {
  const wanted = filter.hidden ? "" : filter.value.trim().toLowerCase();
  fill(list, ...endpoints.filter((one) => one.endpoint.includes(wanted)).map(entry));
}

function entry(one) {
  const link = make("a", { href: `#${encodeURIComponent(one.endpoint)}` }, make("span.name", {}, one.endpoint),
    make(`span.state.${one.state}`, {}, { live: "live", asleep: "asleep", waiting: "not live" }[one.state]));
  if (one.endpoint === shownName) link.setAttribute("aria-current", "page");
  return make("li", {}, link, one.waiting ? make("p.note", {}, one.waiting) : null);
}

/** Show the endpoint that the address names, or the first that is live: looking at the page wakes none. */
async function showChosen() {
  const named = location.hash.slice(1).match(/^[a-z][a-z0-9_]*$/)?.[0];
  const first = endpoints.find((one) => one.state === "live");
  const name = named ?? shownName ?? first?.endpoint;
  if (name === undefined || name === shownName) return;
  shownName = name;
  showList();
  document.title = `${name} · Rasen console`;
  const turn = (showing += 1);
  page = null;
  const shown = await showEndpoint(main, name, () => turn === showing);
  if (turn !== showing) return;
  page = shown;
  if (endpoints.find((one) => one.endpoint === name)?.state !== "live") await loadList();
}

filter.addEventListener("input", showList);
window.addEventListener("hashchange", showChosen);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) loadList();
});
keyInput.addEventListener("input", () => {
  useKey(keyInput.value);
  page?.refresh();
});
keyInput.addEventListener("change", async () => {
  shownName = null;
  if (await loadList()) showChosen();
});

if (await loadList()) showChosen();
