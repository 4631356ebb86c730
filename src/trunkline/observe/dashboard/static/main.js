// Puts the parts together: the feed fills the store, the views draw it, keys and clicks steer.

import { Series, drawSpread } from "./charts.js";
import { Feed } from "./feed.js";
import { drawActions, drawDetails, drawEvents, drawGauges, drawStates, drawTotals } from "./panes.js";
import { Store } from "./store.js";
import { STATES, Table } from "./table.js";

const find = (id) => document.getElementById(id);
const store = new Store();
let details = null; // of the chosen connection: facts and latency buckets
let drawn = false; // a frame is asked for

const table = new Table(store, choose);
let rates = new Series("rates", ["in", "out"], ["--one", "--two"]);
let latencies = new Series("latencies", ["RTT", "p99"], ["--one", "--two"]);
const feed = new Feed(take, (state, text) => {
  find("live").dataset.state = state;
  find("live").textContent = text;
});

function take(message) {
  if (message.kind === "details") {
    if (message.id === table.selected) details = message;
  } else if (message.kind === "answer") {
    find("live").textContent = message.text;
  } else {
    store.take(message);
    if (table.selected && !store.rows.has(table.selected)) table.choose(null);
    else if (table.selected) feed.send({ kind: "details", id: table.selected });
  }
  ask();
}

/** Draws in the next frame, once however often it is asked. */
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
  find("program").textContent = store.program.name ? `${store.program.name} · pid ${store.program.pid} · trunkline ${store.program.version}` : "";
  if (store.totals.connections !== undefined) {
    drawTotals(store.totals);
    drawGauges(store.totals.gauges);
  }
  drawStates(store.rows, table.state, show);
  table.update();
  drawDetails(row, store.totals, details, store.now());
  drawActions(row, store.actions, (action, of) => feed.send({ kind: "action", action, id: of.id, service: of.service }));
  drawSpread(find("spread"), row ? (details ? details.buckets : []) : store.totals.buckets || []);
  rates.draw([at, into, out]);
  latencies.draw([at, rtt, p99]);
  drawEvents(store.events, find("log-search").value, find("log-selected").checked ? table.selected : null);
}

function choose(id) {
  details = null;
  if (id) feed.send({ kind: "details", id });
  ask();
}

function show(state) {
  table.state = state;
  table.box.scrollTop = 0;
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
  Escape: () => table.choose(null),
  ArrowDown: () => table.move(1),
  ArrowUp: () => table.move(-1),
  PageDown: () => table.move(table.page),
  PageUp: () => table.move(-table.page),
  Home: () => table.move(-Infinity),
  End: () => table.move(Infinity),
  Enter: () => find("details").scrollIntoView({ block: "nearest" }),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("keys").open) return;
  if (event.target.matches("input")) {
    if (event.key === "Escape") {
      event.target.value = "";
      event.target.dispatchEvent(new Event("input"));
      event.target.blur();
    }
    return;
  }
  if (event.target.matches("button") && event.key === "Enter") return;
  const state = STATES[Number(event.key) - 1];
  const act = state ? () => show(table.state === state ? null : state) : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

find("search").addEventListener("input", (event) => {
  table.search = event.target.value;
  table.box.scrollTop = 0;
  ask();
});
find("log-search").addEventListener("input", ask);
find("log-selected").addEventListener("change", ask);
find("unselect").addEventListener("click", () => table.choose(null));
find("theme").addEventListener("click", switchTheme);
find("help").addEventListener("click", () => find("keys").showModal());
setInterval(ask, 1000); // ages and countdowns go on between two messages
feed.open();
