// Charts over time with uPlot, and the histogram of latencies.

import * as format from "./format.js";

const HEIGHT = 96; // pixels

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Two lines over time; the heading shows their values under the pointer, or else the latest. */
export class Series {
  constructor(id, labels, colors) {
    this.box = document.getElementById(id);
    this.legend = document.getElementById(id + "-legend");
    this.labels = labels;
    this.colors = colors;
    this.columns = [[], [], []];
    this.make();
    new ResizeObserver(() => this.plot.setSize({ width: this.box.clientWidth, height: HEIGHT })).observe(this.box);
  }

  make() {
    if (this.plot) this.plot.destroy();
    this.legend.replaceChildren(
      ...this.labels.map((label, index) => Object.assign(document.createElement("span"), { className: "key " + (index ? "two" : "one"), textContent: label })),
    );
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const line = (label, name) => ({ label, stroke: color(name), width: 1.5, points: { show: false }, spanGaps: true });
    const times = { ...axis, space: 70, size: 22, values: (_, ticks) => ticks.map(format.clock) };
    const options = {
      width: this.box.clientWidth || 300,
      height: HEIGHT,
      padding: [6, 26, 0, 0],
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { show: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high || 0, 0.001) * 1.1] } },
      axes: [times, { ...axis, space: 26, size: 40, values: (_, ticks) => ticks.map(format.number) }],
      series: [{}, line(this.labels[0], this.colors[0]), line(this.labels[1], this.colors[1])],
      hooks: { setCursor: [() => this.label()] },
    };
    this.plot = new uPlot(options, this.columns, this.box);
  }

  draw(columns) {
    this.columns = columns;
    this.plot.setData(columns);
    this.label();
  }

  label() {
    if (!this.plot) return; // it is being made
    const index = this.plot.cursor.idx ?? this.columns[0].length - 1;
    this.labels.forEach((label, at) => {
      const text = `${label} ${format.number(this.columns[at + 1][index])}`;
      if (this.legend.children[at].textContent !== text) this.legend.children[at].textContent = text;
    });
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** Draws the distribution of latencies as bars over a logarithmic axis. buckets: pairs of seconds and count. */
export function drawSpread(box, buckets) {
  document.getElementById("spread-title").hidden = !buckets.length;
  const signature = JSON.stringify(buckets);
  if (box.signature === signature) return;
  box.signature = signature;
  if (!buckets.length) {
    box.replaceChildren();
    return;
  }
  const groups = new Map();
  for (const [seconds, count] of buckets) {
    const group = Math.round(Math.log10(Math.max(seconds, 1e-9)) * 12); // twelve bars a decade
    groups.set(group, (groups.get(group) || 0) + count);
  }
  // At least a decade and a half wide, so that a single bar does not fill the picture.
  const middle = (Math.min(...groups.keys()) + Math.max(...groups.keys())) / 2;
  const first = Math.min(Math.min(...groups.keys()) - 1, Math.floor(middle - 9));
  const bars = Math.max(Math.max(...groups.keys()) - first + 2, 18);
  const most = Math.max(...groups.values());
  const width = 300;
  const height = 60;
  const picture = document.createElementNS(SVG, "svg");
  place(picture, { viewBox: `0 0 ${width} ${height + 16}`, role: "img", "aria-label": "Histogram of latencies" });
  for (const [group, count] of groups) {
    const bar = document.createElementNS(SVG, "rect");
    const tall = Math.max(1.5, (count / most) * height);
    place(bar, { x: ((group - first) * width) / bars, y: height - tall, width: Math.max(1, width / bars - 1), height: tall });
    bar.append(title(`${format.milliseconds(10 ** (group / 12))}: ${count}`));
    picture.append(bar);
  }
  const step = Math.max(1, Math.ceil(bars / 5));
  for (let at = Math.floor(step / 2); at < bars - 2; at += step) {
    const text = document.createElementNS(SVG, "text");
    place(text, { x: ((at + 0.5) * width) / bars, y: height + 12 });
    text.textContent = format.milliseconds(10 ** ((at + first) / 12));
    picture.append(text);
  }
  box.replaceChildren(picture);
}

function place(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
}

function title(text) {
  const element = document.createElementNS(SVG, "title");
  element.textContent = text;
  return element;
}
