// The panes around the table: totals, states, details, occupancy and events.

import * as format from "./format.js";
import { STATES } from "./table.js";

const SHOWN_EVENTS = 300;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Replaces the children only if their texts have changed, so that a hover or a selection survives. */
function refill(box, parts) {
  const signature = JSON.stringify(parts);
  if (box.signature === signature) return false;
  box.signature = signature;
  return true;
}

export function drawTotals(totals) {
  const box = document.getElementById("totals");
  const tiles = [
    ["up", `${totals.up} of ${totals.connections}`, totals.up < totals.connections ? "bad" : ""],
    ["in", `${format.number(totals.in_rate)} msg/s`, ""],
    ["out", `${format.number(totals.out_rate)} msg/s`, ""],
    ["bytes in", `${format.bytes(totals.in_bytes)}/s`, ""],
    ["bytes out", `${format.bytes(totals.out_bytes)}/s`, ""],
    ["RTT p50", format.milliseconds(totals.p50), ""],
    ["RTT p99", format.milliseconds(totals.p99), ""],
    ["waiting to be sent", format.bytes(totals.queue_bytes), totals.dropped ? "bad" : ""],
    ["loop stall", format.milliseconds(totals.stall), totals.stall > 0.1 ? "bad" : ""],
  ];
  if (!refill(box, tiles)) return;
  box.replaceChildren(
    ...tiles.map(([label, value, mood]) =>
      make("div", { className: "tile " + mood }, make("span", { className: "value", textContent: value }), make("span", { className: "label", textContent: label })),
    ),
  );
}

export function drawStates(rows, chosen, choose) {
  const box = document.getElementById("states");
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const row of rows.values()) counts[row.status] += 1;
  const parts = STATES.map((state) => [state, counts[state], state === chosen]);
  if (!refill(box, parts)) return;
  box.replaceChildren(
    ...parts
      .filter(([, count, pressed]) => count || pressed)
      .map(([state, count, pressed]) => {
        const button = make("button", { type: "button", className: "chip", textContent: `${state} ${count}` });
        button.dataset.status = state;
        button.setAttribute("aria-pressed", String(pressed));
        button.addEventListener("click", () => choose(pressed ? null : state));
        return button;
      }),
  );
}

/** row: the chosen one, or null for all. */
export function drawDetails(row, totals, details, now) {
  document.getElementById("subject").textContent = row ? row.id : "All connections";
  document.getElementById("unselect").hidden = !row;
  const reason = document.getElementById("reason");
  const words = row && [row.why && `${row.status === "connected" ? "Last failure: " : ""}${row.why}`, row.next_at && `Next try in ${format.duration(row.next_at - now)}.`].filter(Boolean).join(" ");
  reason.hidden = !words;
  reason.textContent = words || "";
  const facts = row ? factsOf(row, details, now) : [["connections", format.number(totals.connections)], ["events", format.number(totals.events)], ["dropped messages", format.number(totals.dropped)]];
  const box = document.getElementById("facts");
  if (refill(box, facts)) box.replaceChildren(...facts.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}

function factsOf(row, details, now) {
  return [
    ["service", row.service],
    ["state", `${row.status} for ${format.duration(now - row.since)}`],
    ["category", row.category ? `${row.category}${row.code ? ` (${row.code})` : ""}` : "–"],
    ["attempts", format.number(row.attempts)],
    ["reconnects", format.number(row.reconnects)],
    ["available", format.share(row.availability)],
    ["last seen", row.last_seen ? format.duration(now - row.last_seen) + " ago" : "–"],
    ["RTT", `${format.milliseconds(row.latency)}, p50 ${format.milliseconds(row.p50)}, p99 ${format.milliseconds(row.p99)}`],
    ["jitter", format.milliseconds(row.jitter)],
    ["phi", row.phi === null || row.phi === undefined ? "–" : row.phi.toFixed(2)],
    ["bytes", `in ${format.bytes(row.in_bytes)}/s, out ${format.bytes(row.out_bytes)}/s`],
    ["queue", `${format.number(row.queue)} messages, ${format.bytes(row.queue_bytes)}`],
    ["dropped", format.number(row.dropped)],
    ["errors", format.share(row.error_rate)],
    ...((details && details.facts) || []),
  ];
}

export function drawActions(row, actions, act) {
  const box = document.getElementById("actions");
  const names = row && actions ? ["reconnect", "close", row.paused ? "resume" : "pause"] : [];
  if (!refill(box, [row && row.id, names])) return;
  box.replaceChildren(
    ...names.map((name) => {
      const button = make("button", { type: "button", textContent: name, title: name === "pause" || name === "resume" ? `${name} the whole service ${row.service}` : name });
      button.addEventListener("click", () => act(name, row));
      return button;
    }),
  );
}

/** gauges: objects with name, used, size and unit. */
export function drawGauges(gauges) {
  const box = document.getElementById("gauges");
  const shown = gauges.map((gauge) => {
    const show = gauge.unit === "bytes" ? format.bytes : format.number;
    return [gauge.name, gauge.used, gauge.size, `${show(gauge.used)} of ${gauge.size === null ? "no limit" : show(gauge.size)}`, gauge.note || ""];
  });
  if (!refill(box, shown)) return;
  box.replaceChildren(
    ...shown.map(([name, used, size, text, note]) => {
      const meter = make("meter", { min: 0, max: size || 1, high: (size || 1) * 0.8, optimum: 0, value: size ? used : 0 });
      return make("div", { className: "gauge" }, make("span", { textContent: name }), meter, make("span", { className: "figure", textContent: text }), make("span", { className: "note", textContent: note }));
    }),
  );
}

export function drawEvents(events, search, only) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (event) => (!only || event.id === only) && words.every((word) => `${event.id} ${event.service} ${event.status} ${event.text} ${event.category || ""} ${event.code || ""}`.toLowerCase().includes(word));
  const found = events.filter(fits);
  const box = document.getElementById("log");
  document.getElementById("log-shown").textContent = `${found.length} of ${events.length}`;
  const last = found.length ? found[found.length - 1].number : 0;
  if (!refill(box, [search, only, found.length, last])) return;
  box.replaceChildren(
    ...found
      .slice(-SHOWN_EVENTS)
      .reverse()
      .map((event) => {
        const item = make("li", {}, make("time", { textContent: format.clock(event.at) }), make("span", { className: "status", textContent: event.status }), make("span", { className: "who", textContent: event.id, title: event.id }), make("span", { className: "text", textContent: event.text, title: event.text }));
        item.dataset.status = event.status;
        return item;
      }),
  );
}
