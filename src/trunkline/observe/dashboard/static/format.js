// How figures are written. Every figure has its unit; what is not known is a dash.

const DASH = "–";

/** A rate or a count: 3 significant digits, k and M. */
export function number(value) {
  if (value === null || value === undefined) return DASH;
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(value < 1 ? 2 : 1).replace(/\.0+$/, "");
  if (value < 1000) return String(Math.round(value));
  if (value < 1e6) return (value / 1e3).toPrecision(3).replace(/\.0+$/, "") + "k";
  return (value / 1e6).toPrecision(3).replace(/\.0+$/, "") + "M";
}

/** Bytes, in steps of 1024. */
export function bytes(value) {
  if (value === null || value === undefined) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return (at === 0 ? String(Math.round(value)) : value.toPrecision(3)) + " " + units[at];
}

/** Seconds as milliseconds. */
export function milliseconds(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const value = seconds * 1e3;
  return (value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)) + " ms";
}

/** A length of time, in its two largest units. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  seconds = Math.max(0, seconds);
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + (Math.floor(seconds) % 60) + " s";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + (Math.floor(seconds / 60) % 60) + " min";
  return Math.floor(seconds / 86400) + " d " + (Math.floor(seconds / 3600) % 24) + " h";
}

/** A share of 1. */
export function share(value) {
  if (value === null || value === undefined) return DASH;
  return (value * 100).toFixed(value > 0.995 && value < 1 ? 2 : 1).replace(/\.0$/, "") + " %";
}

/** A time of day, local. */
export function clock(unix) {
  return new Date(unix * 1000).toLocaleTimeString([], { hour12: false });
}
