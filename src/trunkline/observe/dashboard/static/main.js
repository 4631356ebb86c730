// Connects the parts: the feed fills the store, the views draw it, keys and clicks control them.

import { Series, drawSpread } from "./charts.js";
import { Feed } from "./feed.js";
import { drawActions, drawDetails, drawEvents, drawGauges, drawStates, drawTotals } from "./panes.js";
import { Store } from "./store.js";
import { STATES, Table } from "./table.js";

const find = (id) => document.getElementById(id);
const NARROW = matchMedia("(max-width: 900px)");
const SAID_FOR = 6000; // milliseconds that an answer is shown

const store = new Store();
let details = null; // of the selected connection: facts and latency buckets
let drawn = false; // whether a frame has been requested
let saying = 0; // the timer that hides an answer

const table = new Table(store, choose);
const rates = new Series("rates", ["in", "out"], ["--one", "--two"]);
const latencies = new Series("latencies", ["RTT", "p99"], ["--one", "--two"]);
const feed = new Feed(take, tell);

function take(message) {
  if (message.kind === "details") {
    if (message.id === table.selected) details = message;
  } else if (message.kind === "answer") {
    say(message.text);
  } else {
    store.take(message);
    table.stale = true;
    if (table.selected && !store.rows.has(table.selected)) table.choose(null);
    else if (table.selected) feed.send({ kind: "details", id: table.selected });
  }
  ask();
}

function tell(state, text) {
  document.body.dataset.feed = state;
  find("live").textContent = { live: "live", lost: "disconnected", refused: "refused" }[state];
  find("trouble").textContent = text;
  find("trouble").hidden = state === "live";
}

/** Shows an answer from the program for some seconds. */
function say(text) {
  find("answer").textContent = text;
  find("answer").hidden = false;
  clearTimeout(saying);
  saying = setTimeout(() => (find("answer").hidden = true), SAID_FOR);
}

/** Requests a drawing in the next frame; several requests are one drawing. */
function ask() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    draw();
  });
}

function draw() {
  const row = table.selected ? store.rows.get(table.selected) : null;
  const history = row ? store.histories.get(row.id) : store.history;
  const [at, into, out, rtt, p99] = history.columns;
  find("program").textContent = store.program.name ? `${store.program.name} · ${store.program.host} · pid ${store.program.pid} · ${store.program.version}` : "";
  document.title = store.isFilled ? `${store.totals.up}/${store.totals.connections} up · ${store.program.name}` : "trunkline";
  if (store.isFilled) {
    drawTotals(store.totals);
    drawGauges(store.totals.gauges);
  }
  drawStates(store.rows, table.state, show);
  table.update();
  drawDetails(row, store, details, store.now());
  drawActions(row, store.actions, (action, of) => feed.send({ kind: "action", action, id: of.id }));
  drawSpread(find("spread"), row ? (details ? details.buckets : []) : store.totals.buckets || []);
  rates.draw([at, into, out]);
  latencies.draw([at, rtt, p99]);
  drawEvents(store.events, find("log-search").value, find("log-selected").checked ? table.selected : null);
}

function choose(id, byHand) {
  details = null;
  if (id) feed.send({ kind: "details", id });
  if (NARROW.matches && byHand) find(id ? "side" : "connections").scrollIntoView({ block: "start" });
  ask();
}

function show(state) {
  table.state = state;
  table.box.scrollTop = 0;
  table.stale = true;
  ask();
}

function switchTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("trunkline.theme", theme);
  rates.make();
  latencies.make();
  ask();
}

const KEYS = {
  "/": () => find("search").focus(),
  e: () => find("log-search").focus(),
  t: switchTheme,
  "?": () => find("keys").showModal(),
  Escape: () => table.choose(null, true),
  Enter: () => find("side").scrollIntoView({ block: "nearest" }),
};

const MOVES = {
  ArrowDown: () => table.move(1),
  ArrowUp: () => table.move(-1),
  PageDown: () => table.move(table.page),
  PageUp: () => table.move(-table.page),
  Home: () => table.move(-Infinity),
  End: () => table.move(Infinity),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("keys").open) return;
  if (event.target.matches('input[type="search"]')) {
    if (event.key === "Escape") leave(event.target);
    if (event.key === "Enter" || event.key === "ArrowDown") find(event.target.id === "search" ? "table" : "log").focus();
    return;
  }
  if (event.target.matches("button, input") && (event.key === "Enter" || event.key === " ")) return;
  const state = STATES[Number(event.key) - 1];
  // Arrows scroll the log and the details when those have the focus, and otherwise move in the table.
  const moves = event.target.closest("#log, #side") ? {} : MOVES;
  const act = state ? () => show(table.state === state ? null : state) : KEYS[event.key] || moves[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

/** Clears a search field and takes the focus off it. */
function leave(field) {
  field.value = "";
  field.dispatchEvent(new Event("input"));
  field.blur();
}

find("search").addEventListener("input", (event) => {
  table.search = event.target.value;
  table.box.scrollTop = 0;
  table.stale = true;
  ask();
});
find("log-search").addEventListener("input", ask);
find("log-selected").addEventListener("change", ask);
find("unselect").addEventListener("click", () => table.choose(null, true));
find("theme").addEventListener("click", switchTheme);
find("help").addEventListener("click", () => find("keys").showModal());
setInterval(ask, 1000); // ages and countdowns also change between two messages
feed.open();
