// The state: rows by id, their histories, totals and events. The feed fills it, the views read it.

const KEPT_POINTS = 240; // of a row's history: at least two minutes, at two a second or fewer
const KEPT_TOTALS = 1200; // ten minutes at two a second
const KEPT_EVENTS = 2000;

/** The latest points of several series over time, oldest first. */
class History {
  constructor(series, limit) {
    this.limit = limit;
    this.columns = Array.from({ length: series + 1 }, () => []);
  }

  add(at, ...values) {
    [at, ...values].forEach((value, index) => this.columns[index].push(value));
    if (this.columns[0].length > this.limit * 1.25) {
      // Cut only now and then: removing one point moves all others.
      this.columns.forEach((column) => column.splice(0, column.length - this.limit));
    }
  }
}

export class Store {
  constructor() {
    this.rows = new Map();
    this.histories = new Map();
    this.totals = {};
    this.history = new History(4, KEPT_TOTALS);
    this.events = [];
    this.program = {};
    this.actions = false;
    this.isFilled = false; // whether a snapshot has come
    this.skew = 0; // seconds by which the program's clock is ahead of ours
  }

  /** Returns the program's time in seconds since 1970. */
  now() {
    return Date.now() / 1000 + this.skew;
  }

  /** Takes a snapshot or a delta. */
  take(message) {
    this.skew = message.at - Date.now() / 1000;
    if (message.kind === "snapshot") {
      this.isFilled = true;
      this.rows.clear();
      this.program = message.program;
      this.actions = message.actions;
      this.events = [];
      for (const values of message.rows) {
        const row = Object.fromEntries(message.columns.map((name, index) => [name, values[index]]));
        this.rows.set(row.id, row);
        this.remember(row, message.at);
      }
    } else {
      for (const [id, changed] of message.rows) {
        const row = this.rows.get(id) || { id };
        Object.assign(row, changed);
        this.rows.set(id, row);
        this.remember(row, message.at);
      }
      for (const id of message.gone) {
        this.rows.delete(id);
        this.histories.delete(id);
      }
    }
    for (const event of message.events) {
      event.text_lower = `${event.id} ${event.service} ${event.status} ${event.text} ${event.category || ""} ${event.code || ""}`.toLowerCase();
      this.events.push(event);
    }
    if (this.events.length > KEPT_EVENTS) this.events.splice(0, this.events.length - KEPT_EVENTS);
    this.totals = message.totals;
    this.history.add(message.at, this.totals.in_rate, this.totals.out_rate, ms(this.totals.p50), ms(this.totals.p99));
  }

  remember(row, at) {
    let history = this.histories.get(row.id);
    if (!history) this.histories.set(row.id, (history = new History(4, KEPT_POINTS)));
    history.add(at, row.in_rate, row.out_rate, ms(row.latency), ms(row.p99));
  }
}

function ms(seconds) {
  return seconds === null || seconds === undefined ? null : seconds * 1e3;
}
