// The table of connections. Only the rows in view are in the document, so that thousands scroll as smoothly as ten.

import * as format from "./format.js";

const SPARE = 6; // rows above and below those in view

export const STATES = ["connected", "connecting", "waiting", "suspended", "failed", "idle", "closing", "closed"];
const WORST_FIRST = ["failed", "suspended", "waiting", "connecting", "closing", "idle", "connected", "closed"];

const COLUMNS = [
  { name: "id", label: "Connection", text: (row) => row.id },
  { name: "status", label: "State", text: (row) => row.status, order: (row) => WORST_FIRST.indexOf(row.status) },
  { name: "since", label: "Since", figure: true, text: (row, now) => format.duration(now - row.since), order: (row) => -row.since },
  { name: "why", label: "Last failure", text: (row) => row.why || "" },
  { name: "next_at", label: "Next try", figure: true, text: (row, now) => (!row.next_at ? "" : row.next_at <= now ? "now" : "in " + format.duration(row.next_at - now)), order: (row) => row.next_at || Infinity },
  { name: "in_rate", label: "In /s", figure: true, text: (row) => format.number(row.in_rate) },
  { name: "out_rate", label: "Out /s", figure: true, text: (row) => format.number(row.out_rate) },
  { name: "latency", label: "RTT", figure: true, text: (row) => format.milliseconds(row.latency) },
  { name: "p99", label: "p99", figure: true, text: (row) => format.milliseconds(row.p99) },
  { name: "queue", label: "Queue", figure: true, text: (row) => format.number(row.queue) },
  { name: "reconnects", label: "Reconnects", figure: true, text: (row) => format.number(row.reconnects) },
  { name: "availability", label: "Available", figure: true, text: (row) => format.share(row.availability) },
];

export class Table {
  /** select(id) is called when a row is chosen, with null for none. */
  constructor(store, select) {
    this.store = store;
    this.select = select;
    this.box = document.getElementById("table");
    this.body = document.getElementById("rows");
    this.space = document.getElementById("space");
    this.head = document.getElementById("head");
    this.empty = document.getElementById("empty");
    this.sortBy = COLUMNS[1];
    this.descending = false;
    this.search = "";
    this.state = null;
    this.selected = null;
    this.shown = [];
    this.pool = [];
    this.height = 30; // pixels a row, until it is measured
    this.drawHead();
    this.box.addEventListener("scroll", () => this.drawRows(), { passive: true });
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.choose(row.dataset.id);
    });
    new ResizeObserver(() => this.measure()).observe(this.box);
  }

  drawHead() {
    this.head.replaceChildren(
      ...COLUMNS.map((column) => {
        const button = document.createElement("button");
        button.type = "button";
        button.role = "columnheader";
        button.className = "cell " + column.name + (column.figure ? " figure" : "");
        button.textContent = column.label;
        button.addEventListener("click", () => this.sort(column));
        column.button = button;
        return button;
      }),
    );
    this.markSorted();
  }

  sort(column) {
    this.descending = this.sortBy === column ? !this.descending : Boolean(column.figure && column.name !== "next_at");
    this.sortBy = column;
    this.markSorted();
    this.update();
  }

  markSorted() {
    for (const column of COLUMNS) {
      const direction = column === this.sortBy ? (this.descending ? "descending" : "ascending") : "none";
      column.button.setAttribute("aria-sort", direction);
    }
  }

  /** Something is known anew: filter, sort and draw. */
  update() {
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) =>
      (!this.state || row.status === this.state) &&
      words.every((word) => `${row.id} ${row.service} ${row.status} ${row.why || ""} ${row.category || ""}`.toLowerCase().includes(word));
    const key = this.sortBy.order || ((row) => row[this.sortBy.name]);
    const sign = this.descending ? -1 : 1;
    this.shown = [...this.store.rows.values()].filter(fits).sort((one, other) => sign * compare(key(one), key(other)) || compare(one.id, other.id));
    this.space.style.height = this.shown.length * this.height + "px";
    this.empty.hidden = this.shown.length > 0;
    this.empty.textContent = this.store.rows.size ? "No connection fits the filter." : "No connections yet.";
    this.box.setAttribute("aria-rowcount", String(this.shown.length));
    document.getElementById("shown").textContent = `${this.shown.length} of ${this.store.rows.size}`;
    this.drawRows();
  }

  /** The style sheet says how tall a row is; a narrow page has taller ones. */
  measure() {
    this.height = parseFloat(getComputedStyle(this.box).getPropertyValue("--row"));
    this.update();
  }

  drawRows() {
    const now = this.store.now();
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.height) - SPARE);
    const last = Math.min(this.shown.length, first + Math.ceil(this.box.clientHeight / this.height) + 2 * SPARE);
    while (this.pool.length < last - first) this.pool.push(this.makeRow());
    this.pool.forEach((made, index) => {
      const row = first + index < last ? this.shown[first + index] : null;
      made.element.hidden = !row;
      if (row) this.fill(made, row, first + index, now);
    });
  }

  makeRow() {
    const element = document.createElement("div");
    element.className = "row";
    element.role = "row";
    const cells = COLUMNS.map((column) => {
      const cell = document.createElement("span");
      cell.role = "gridcell";
      cell.className = "cell " + column.name + (column.figure ? " figure" : "");
      element.append(cell);
      return cell;
    });
    this.body.append(element);
    return { element, cells };
  }

  fill(made, row, index, now) {
    const { element, cells } = made;
    element.dataset.id = row.id;
    element.dataset.status = row.status;
    element.style.top = index * this.height + "px";
    element.setAttribute("aria-selected", String(row.id === this.selected));
    element.setAttribute("aria-rowindex", String(index + 1));
    COLUMNS.forEach((column, at) => {
      const text = column.text(row, now);
      if (cells[at].textContent !== text) cells[at].textContent = text;
      if (column.name === "id" || column.name === "why") cells[at].title = text;
    });
  }

  choose(id) {
    this.selected = id;
    this.select(id);
    this.drawRows();
  }

  /** Moves the choice by so many rows, or to an end with Infinity. */
  move(step) {
    if (!this.shown.length) return;
    const at = this.shown.findIndex((row) => row.id === this.selected);
    const to = Math.min(this.shown.length - 1, Math.max(0, at < 0 ? (step > 0 ? 0 : this.shown.length - 1) : at + step));
    const top = to * this.height;
    const view = this.box.clientHeight - this.head.offsetHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + this.height > this.box.scrollTop + view) this.box.scrollTop = top + this.height - view;
    this.choose(this.shown[to].id);
  }

  get page() {
    return Math.max(1, Math.floor(this.box.clientHeight / this.height) - 2);
  }
}

/** Text as text, figures as figures, and what is not known behind everything. */
function compare(one, other) {
  const missing = [one, other].map((value) => value === null || value === undefined);
  if (missing[0] || missing[1]) return missing[0] - missing[1];
  if (typeof one === "string") return one.localeCompare(other, undefined, { numeric: true });
  return one - other;
}
