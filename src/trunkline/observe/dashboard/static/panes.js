// The panes around the table: totals, states, details, occupancy and events.

import * as format from "./format.js";
import { STATES } from "./table.js";

const SHOWN_EVENTS = 200;
const SHOWN_CHANGES = 8; // in the details of a connection

const LONG = new Set(["service", "server", "last failure"]); // facts that need a whole line

const find = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Returns whether the parts differ from the last call. Unchanged elements are not made again, so that a hover survives. */
function isNew(box, parts) {
  const signature = JSON.stringify(parts);
  if (box.signature === signature) return false;
  box.signature = signature;
  return true;
}

/** Sets the text of an element if it differs. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function drawTotals(totals) {
  const box = find("totals");
  const tiles = [
    ["up", "connections up", `${totals.up} of ${totals.connections}`, totals.up < totals.connections],
    ["in", "in", `${format.number(totals.in_rate)} msg/s`],
    ["out", "out", `${format.number(totals.out_rate)} msg/s`],
    ["more", "bytes in", `${format.bytes(totals.in_bytes)}/s`],
    ["more", "bytes out", `${format.bytes(totals.out_bytes)}/s`],
    ["p50", "RTT p50", format.milliseconds(totals.p50)],
    ["p99", "RTT p99", format.milliseconds(totals.p99)],
    ["more", "waiting to be sent", format.bytes(totals.queue_bytes)],
    ["more", "messages dropped", format.number(totals.dropped), totals.dropped > 0],
    ["stall", "event loop late", format.milliseconds(totals.stall), totals.stall > 0.1],
  ];
  if (!box.children.length) {
    box.append(...tiles.map(([name, label]) => make("div", { className: "tile " + name }, make("span", { className: "value" }), make("span", { className: "label", textContent: label }))));
  }
  tiles.forEach(([, , value, isBad], index) => {
    setText(box.children[index].firstChild, value);
    box.children[index].classList.toggle("bad", Boolean(isBad));
  });
}

/** Draws a chip with a count for each state that occurs. Calls choose(state), with null for all states. */
export function drawStates(rows, chosen, choose) {
  const box = find("states");
  const counts = new Map();
  for (const row of rows.values()) counts.set(row.status, (counts.get(row.status) || 0) + 1);
  const chips = STATES.map((state, at) => [state, counts.get(state) || 0, at + 1]).filter(([state, count]) => count || state === chosen);
  if (!isNew(box, [chips, chosen])) return;
  const focused = document.activeElement && document.activeElement.closest("#states") ? document.activeElement.dataset.status : null;
  box.replaceChildren(
    ...chips.map(([state, count, key]) => {
      const chip = make("button", { type: "button", className: "chip", textContent: `${state} ${count}`, title: `show only these; again: all states (${key})` });
      chip.dataset.status = state;
      chip.setAttribute("aria-pressed", String(state === chosen));
      chip.addEventListener("click", () => choose(state === chosen ? null : state));
      return chip;
    }),
  );
  if (focused) box.querySelector(`[data-status="${focused}"]`)?.focus();
}

/** Draws the details of one connection, or of all together. details: the program's answer about it, or null. */
export function drawDetails(row, store, details, now) {
  setText(find("subject"), row ? row.id : "All connections");
  find("unselect").hidden = !row;
  const reason = find("reason");
  const words = row ? reasonOf(row, now) : "";
  reason.hidden = !words;
  reason.dataset.status = row ? row.status : "";
  setText(reason, words);
  fill(find("facts"), row ? factsOf(row, now) : overview(store));
  const more = row && details ? details.facts : [];
  find("more-title").hidden = !more.length;
  fill(find("more"), more);
  drawChanges(row, store.events);
}

/** Returns a sentence that says why a connection is not up and what happens next. */
function reasonOf(row, now) {
  const next = row.next_at ? (row.next_at <= now ? "The next try is due now." : `Next try in ${format.duration(row.next_at - now)}.`) : "";
  if (row.status === "connected") return "";
  if (row.paused && row.status === "suspended") return `The service ${row.service} is paused: its connections do not connect until it is resumed.`;
  const why = row.why ? row.why.replace(/[.]?$/, ".") : "";
  if (row.status === "failed") return `${why} It will not try again on its own.`;
  if (row.status === "connecting") return why && `Trying now. Before that: ${why}`;
  return [why, next].filter(Boolean).join(" ");
}

function overview(store) {
  const services = new Set([...store.rows.values()].map((row) => row.service));
  return [
    ["services", format.number(services.size)],
    ["changes so far", format.number(store.totals.events)],
    ["program", store.program.name || "–"],
    ["host", store.program.host || "–"],
    ["pid", String(store.program.pid || "–")],
    ["Python", store.program.python || "–"],
  ];
}

function factsOf(row, now) {
  if (row.kind === "served") {
    return [
      ["server", row.service],
      [row.status, row.since ? `for ${format.age(now, row.since)}` : "since before the dashboard started"],
      ["RTT", format.milliseconds(row.latency)],
      ["dropped", format.number(row.dropped)],
      ["in", `${format.bytes(row.in_bytes)}/s`],
      ["out", `${format.bytes(row.out_bytes)}/s`],
    ];
  }
  return [
    ["service", row.service],
    ["last failure", row.category ? `${row.category}${row.code ? ` ${row.code}` : ""}` : "none"],
    [row.status, `for ${format.age(now, row.since)}`],
    ["attempts", format.number(row.attempts)],
    ["last seen", row.last_seen ? format.age(now, row.last_seen) + " ago" : "–"],
    ["available", format.share(row.availability)],
    ["RTT", format.milliseconds(row.latency)],
    ["jitter", format.milliseconds(row.jitter)],
    ["p50", format.milliseconds(row.p50)],
    ["p99", format.milliseconds(row.p99)],
    ["in", `${format.bytes(row.in_bytes)}/s`],
    ["out", `${format.bytes(row.out_bytes)}/s`],
    ["queue", `${format.number(row.queue)}, ${format.bytes(row.queue_bytes)}`],
    ["outbox full", format.share(row.fill)],
    ["dropped", format.number(row.dropped)],
    ["errors", format.share(row.error_rate)],
    ["reconnects", format.number(row.reconnects)],
    ["phi", format.number(row.phi)],
  ];
}

/** Fills a list of names and values. Keeps its elements while the names stay the same. */
function fill(list, facts) {
  if (isNew(list, facts.map(([name]) => name))) {
    list.replaceChildren(...facts.map(([name]) => make("div", { className: LONG.has(name) ? "long" : "" }, make("dt", { textContent: name }), make("dd"))));
  }
  facts.forEach(([, value], index) => {
    const place = list.children[index].lastChild;
    setText(place, value);
    if (place.title !== value) place.title = value;
  });
}

function drawChanges(row, events) {
  const list = find("changes");
  const found = [];
  for (let at = events.length - 1; row && at >= 0 && found.length < SHOWN_CHANGES; at -= 1) if (events[at].id === row.id) found.push(events[at]);
  find("changes-title").hidden = !found.length;
  if (!isNew(list, found.map((event) => event.number))) return;
  list.replaceChildren(...found.map((event) => makeEvent(event, false)));
}

let sure = null; // the action that was clicked once, with its row: a second click confirms it

export function drawActions(row, actions, act) {
  const box = find("actions");
  const names = !row || !actions ? [] : row.kind === "served" ? ["close"] : ["reconnect", row.paused ? "resume" : "pause", "close"];
  if (sure && (!row || sure.id !== row.id)) sure = null;
  if (!isNew(box, [row && row.id, names, sure])) return;
  box.hidden = !names.length;
  box.replaceChildren(
    ...names.map((name) => {
      const asks = sure !== null && sure.name === name;
      const isOfService = name === "pause" || name === "resume";
      const label = `${name}${isOfService ? " " + row.service : ""}`;
      const button = make("button", { type: "button", className: asks ? "sure" : "", textContent: asks ? `really ${label}?` : label, title: isOfService ? `${name} all connections of the service ${row.service}` : `${name} this connection` });
      button.dataset.action = name;
      button.addEventListener("click", () => {
        if (asks || name === "resume") {
          sure = null;
          act(name, row);
        } else {
          sure = { name, id: row.id };
          setTimeout(() => (sure = null), 4000);
        }
        drawActions(row, actions, act);
        box.querySelector(`[data-action="${name}"]`)?.focus();
      });
      return button;
    }),
  );
}

/** Draws the gauges: objects with name, used, size, unit, note and bad. */
export function drawGauges(gauges) {
  const box = find("gauges");
  if (isNew(box, gauges.map((gauge) => [gauge.name, gauge.size === null]))) {
    box.replaceChildren(
      ...gauges.map((gauge) =>
        make(
          "div",
          { className: "gauge" },
          make("span", { className: "name", textContent: gauge.name, title: gauge.name }),
          make("span", { className: "figure" }),
          gauge.size === null ? make("span", { className: "meter" }) : make("meter", { className: "meter", min: 0, ariaLabel: gauge.name }),
          make("span", { className: "note" }),
        ),
      ),
    );
  }
  gauges.forEach((gauge, index) => {
    const [, figure, meter, note] = box.children[index].children;
    const show = gauge.unit === "bytes" ? format.bytes : format.number;
    setText(figure, gauge.size === null ? show(gauge.used) : gauge.unit === "%" ? `${gauge.used} %` : `${show(gauge.used)} of ${show(gauge.size)}`);
    setText(note, gauge.note);
    if (gauge.size !== null) Object.assign(meter, { max: gauge.size, high: gauge.size * 0.8, optimum: 0, value: gauge.used });
    box.children[index].classList.toggle("bad", gauge.bad);
  });
}

function makeEvent(event, isNamed) {
  const parts = [make("time", { textContent: format.clock(event.at) }), make("span", { className: "status", textContent: event.status })];
  if (isNamed) parts.push(make("span", { className: "who", textContent: event.id, title: event.id }));
  const item = make("li", {}, ...parts, make("span", { className: "text", textContent: event.text, title: event.text }));
  item.dataset.status = event.status;
  return item;
}

/** Draws the newest events that contain all words of the search. only: the id of the only connection to show, or null. */
export function drawEvents(events, search, only) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (event) => (!only || event.id === only) && words.every((word) => event.text_lower.includes(word));
  const found = words.length || only ? events.filter(fits) : events;
  const box = find("log");
  setText(find("log-shown"), `${found.length} of ${events.length}`);
  const filter = JSON.stringify([search, only]);
  const last = found.length ? found[found.length - 1].number : 0;
  if (box.filter === filter && box.last === last) return;
  // If the filter is unchanged, only new events are added, in front.
  const known = box.filter === filter && last > box.last ? box.last : -1;
  const fresh = found.slice(-SHOWN_EVENTS).filter((event) => event.number > known);
  Object.assign(box, { filter, last });
  const items = fresh.reverse().map((event) => makeEvent(event, true));
  if (known < 0) box.replaceChildren(...items);
  else box.prepend(...items);
  while (box.children.length > SHOWN_EVENTS) box.lastChild.remove();
  find("log-empty").hidden = found.length > 0;
}
