// Time series with uPlot, and the histogram of latencies.

import * as format from "./format.js";

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Two lines over time. */
export class Series {
  constructor(id, labels, colors) {
    this.box = document.getElementById(id);
    this.labels = labels;
    this.colors = colors;
    this.make();
    new ResizeObserver(() => this.plot.setSize({ width: this.box.clientWidth, height: 130 })).observe(this.box);
  }

  make() {
    if (this.plot) this.plot.destroy();
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const line = (label, name) => ({ label, stroke: color(name), width: 1.5, points: { show: false }, spanGaps: true, value: (_, value) => format.number(value) });
    const options = {
      width: this.box.clientWidth || 300,
      height: 130,
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(high || 0, 0.001) * 1.1] } },
      axes: [{ ...axis, space: 60 }, { ...axis, size: 44, values: (_, ticks) => ticks.map((tick) => format.number(tick)) }],
      series: [{ value: (_, at) => (at ? format.clock(at) : "") }, line(this.labels[0], this.colors[0]), line(this.labels[1], this.colors[1])],
    };
    this.plot = new uPlot(options, [[], [], []], this.box);
  }

  draw(columns) {
    this.plot.setData(columns);
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** How often which latency was seen: bars over a logarithmic axis. buckets: pairs of seconds and count. */
export function drawSpread(box, buckets) {
  document.getElementById("spread-title").hidden = !buckets.length;
  if (!buckets.length) {
    box.replaceChildren();
    return;
  }
  const groups = new Map();
  for (const [seconds, count] of buckets) {
    const group = Math.round(Math.log10(Math.max(seconds, 1e-9)) * 12); // twelve bars a decade
    groups.set(group, (groups.get(group) || 0) + count);
  }
  const first = Math.min(...groups.keys()) - 1;
  const bars = Math.max(...groups.keys()) - first + 2;
  const most = Math.max(...groups.values());
  const width = 300;
  const height = 70;
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${width} ${height + 16}`);
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "Histogram of latencies");
  for (const [group, count] of groups) {
    const bar = document.createElementNS(SVG, "rect");
    const tall = Math.max(1.5, (count / most) * height);
    place(bar, { x: ((group - first) * width) / bars, y: height - tall, width: Math.max(1, width / bars - 1), height: tall });
    bar.append(title(`${format.milliseconds(10 ** (group / 12))}: ${count}`));
    picture.append(bar);
  }
  const step = Math.max(1, Math.ceil(bars / 5));
  for (let at = 0; at < bars; at += step) {
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
