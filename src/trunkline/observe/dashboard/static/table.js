// The table of connections. Only the rows in view are in the document, so that thousands scroll as smoothly as ten.

import * as format from "./format.js";

const SPARE = 6; // rows above and below those in view

export const STATES = ["connected", "connecting", "waiting", "suspended", "failed", "idle", "closing", "closed"];
const WORST_FIRST = ["failed", "suspended", "waiting", "connecting", "closing", "idle", "connected", "closed"];

const COLUMNS = [
  { name: "id", label: "Connection", text: (row) => row.id },
  { name: "status", label: "State", text: (row) => (row.paused && row.status === "suspended" ? "paused" : row.status), order: (row) => WORST_FIRST.indexOf(row.status) },
  { name: "since", label: "Since", figure: true, text: (row, now) => format.age(now, row.since), order: (row) => (row.since ? -row.since : null) },
  { name: "why", label: "Last failure", text: (row) => row.why || "" },
  { name: "next_at", label: "Next try", figure: true, text: (row, now) => (!row.next_at ? "" : row.next_at <= now ? "now" : "in " + format.duration(row.next_at - now)) },
  { name: "in_rate", label: "In/s", about: "messages received a second, over 10 s", figure: true, text: (row) => format.number(row.in_rate) },
  { name: "out_rate", label: "Out/s", about: "messages sent a second, over 10 s", figure: true, text: (row) => format.number(row.out_rate) },
  { name: "latency", label: "RTT ms", about: "the last round trip of a ping", figure: true, text: (row) => format.inMilliseconds(row.latency) },
  { name: "p99", label: "p99 ms", about: "99 % of the round trips were shorter", figure: true, text: (row) => format.inMilliseconds(row.p99) },
  { name: "queue", label: "Queue", about: "messages waiting to be sent", figure: true, text: (row) => format.number(row.queue) },
  { name: "reconnects", label: "Links", about: "links after the first: how often it has reconnected", figure: true, text: (row) => (row.kind === "served" ? "" : format.number(row.reconnects)) },
  { name: "availability", label: "Up %", about: "share of the time up, since it was first up", figure: true, text: (row) => format.inPercent(row.availability) },
];

const collator = new Intl.Collator(undefined, { numeric: true });

export class Table {
  /** Calls select(id, byHand) when a row is selected, with id null when none is. */
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
    this.height = 28; // pixels a row, until it is measured
    this.stale = true; // whether to filter and sort again before the next drawing
    this.drawHead();
    this.top = 0; // scroll position and visible height, kept since reading them while drawing costs a layout
    this.view = 0;
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.choose(row.dataset.id, true);
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
        button.title = (column.about ? column.about + "; " : "") + "sort by this";
        button.tabIndex = -1;
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
    this.changed();
  }

  markSorted() {
    for (const column of COLUMNS) {
      const direction = column === this.sortBy ? (this.descending ? "descending" : "ascending") : "none";
      column.button.setAttribute("aria-sort", direction);
    }
  }

  /** Filters, sorts and draws after rows, filter or order have changed. */
  changed() {
    this.stale = true;
    this.update();
  }

  /** Filters and sorts if anything has changed, and draws. */
  update() {
    if (this.stale) this.find();
    this.stale = false;
    this.drawRows();
  }

  find() {
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) =>
      (!this.state || row.status === this.state) &&
      words.every((word) => `${row.id} ${row.service} ${row.status} ${row.why || ""} ${row.category || ""}`.toLowerCase().includes(word));
    const key = this.sortBy.order || ((row) => row[this.sortBy.name]);
    const sign = this.descending ? -1 : 1;
    const found = [...this.store.rows.values()].filter(fits).map((row) => ({ row, key: key(row) }));
    found.sort((one, other) => compare(one.key, other.key, sign) || collator.compare(one.row.id, other.row.id));
    this.shown = found.map((one) => one.row);
    const height = this.shown.length * this.height + "px";
    if (this.space.style.height !== height) this.space.style.height = height;
    this.empty.hidden = this.shown.length > 0;
    this.empty.textContent = this.store.rows.size ? "No connection matches the filter. Esc in the search field clears it." : this.store.isFilled ? "The program has no connections yet." : "";
    this.box.setAttribute("aria-rowcount", String(this.shown.length + 1));
    document.getElementById("shown").textContent = `${this.shown.length} of ${this.store.rows.size}`;
  }

  /** Reads the height of a row from the style sheet: it is larger on a narrow page. */
  measure() {
    this.height = parseFloat(getComputedStyle(this.box).getPropertyValue("--row"));
    this.view = this.box.clientHeight;
    this.top = this.box.scrollTop;
    this.pool.forEach((made) => (made.index = null));
    this.changed();
  }

  scrolled() {
    this.top = this.box.scrollTop;
    this.drawRows();
  }

  /** Draws the rows in view. Each keeps its element while it is in view, so scrolling by one row draws one row. */
  drawRows() {
    const now = this.store.now();
    const wanted = Math.ceil(this.view / this.height) + 2 * SPARE;
    while (this.pool.length < wanted) this.pool.push(this.makeRow());
    const count = this.pool.length;
    const furthest = Math.max(0, this.shown.length - wanted);
    const first = Math.min(furthest, Math.max(0, Math.floor(this.top / this.height) - SPARE));
    const last = Math.min(this.shown.length, first + wanted);
    let active = null;
    this.pool.forEach((made, at) => {
      const index = first + ((at - (first % count) + count) % count);
      const row = index < last ? this.shown[index] : null;
      if (made.element.hidden !== !row) made.element.hidden = !row;
      if (row) this.fill(made, row, index, now);
      if (row && row.id === this.selected) active = made.element.id;
    });
    if (active) this.box.setAttribute("aria-activedescendant", active);
    else this.box.removeAttribute("aria-activedescendant");
  }

  makeRow() {
    const element = document.createElement("div");
    element.className = "row";
    element.role = "row";
    element.id = "row-" + this.pool.length;
    const cells = COLUMNS.map((column) => {
      const cell = document.createElement("span");
      cell.role = "gridcell";
      cell.className = "cell " + column.name + (column.figure ? " figure" : "");
      element.append(cell);
      return cell;
    });
    this.body.append(element);
    return { element, cells, texts: [], index: null };
  }

  fill(made, row, index, now) {
    const { element, cells } = made;
    if (element.dataset.id !== row.id) element.dataset.id = row.id;
    if (element.dataset.status !== row.status) element.dataset.status = row.status;
    const next = row.next_at ? "due" : "none";
    if (element.dataset.next !== next) element.dataset.next = next;
    if (made.index !== index) {
      made.index = index;
      element.style.transform = `translateY(${index * this.height}px)`;
      element.setAttribute("aria-rowindex", String(index + 2)); // the heading is the first
    }
    const selected = String(row.id === this.selected);
    if (element.getAttribute("aria-selected") !== selected) element.setAttribute("aria-selected", selected);
    COLUMNS.forEach((column, at) => {
      const text = column.text(row, now);
      if (made.texts[at] === text) return;
      cells[at].textContent = made.texts[at] = text;
      if (column.name === "id" || column.name === "why") cells[at].title = text;
    });
  }

  /** Selects a row. byHand: whether by a click or tap on the row itself. */
  choose(id, byHand = false) {
    this.selected = id;
    this.select(id, byHand);
    this.drawRows();
  }

  /** Moves the selection by `step` rows; Infinity moves it to an end. */
  move(step) {
    if (!this.shown.length) return;
    const at = this.shown.findIndex((row) => row.id === this.selected);
    const last = this.shown.length - 1;
    const aim = Math.abs(step) === Infinity || at >= 0 ? at + step : step > 0 ? 0 : last;
    const to = Math.min(last, Math.max(0, aim));
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

/** Compares texts as texts and figures as figures. Missing values come last in either direction. */
function compare(one, other, sign) {
  const missing = [one, other].map((value) => value === null || value === undefined || value === "");
  if (missing[0] || missing[1]) return missing[0] - missing[1];
  return sign * (typeof one === "string" ? collator.compare(one, other) : one - other);
}
