// Formats figures. Every figure has its unit, here or in its heading; an unknown one is a dash.

const DASH = "–";

const isMissing = (value) => value === null || value === undefined;

/** Formats a rate or a count: 3 significant digits, k and M. */
export function number(value) {
  if (isMissing(value)) return DASH;
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(value < 1 ? 2 : 1).replace(/\.?0+$/, "");
  if (value < 1000) return String(Math.round(value));
  if (value < 1e6) return (value / 1e3).toPrecision(3).replace(/\.0+$/, "") + "k";
  return (value / 1e6).toPrecision(3).replace(/\.0+$/, "") + "M";
}

/** Formats bytes, in steps of 1024. */
export function bytes(value) {
  if (isMissing(value)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return (at === 0 ? String(Math.round(value)) : value.toPrecision(3)) + " " + units[at];
}

/** Formats seconds as milliseconds, for a column that names the unit. */
export function inMilliseconds(seconds) {
  if (isMissing(seconds)) return DASH;
  const value = seconds * 1e3;
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0);
}

/** Formats seconds as milliseconds, with the unit. */
export function milliseconds(seconds) {
  return isMissing(seconds) ? DASH : inMilliseconds(seconds) + " ms";
}

/** Formats a duration in its two largest units. */
export function duration(seconds) {
  if (isMissing(seconds)) return DASH;
  seconds = Math.max(0, seconds);
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 60) return Math.floor(seconds) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + "m " + (Math.floor(seconds) % 60) + "s";
  if (seconds < 86400) return Math.floor(seconds / 3600) + "h " + (Math.floor(seconds / 60) % 60) + "m";
  return Math.floor(seconds / 86400) + "d " + (Math.floor(seconds / 3600) % 24) + "h";
}

/** Formats the time since a moment; both are in seconds since 1970. */
export function age(now, since) {
  return isMissing(since) ? DASH : duration(now - since);
}

/** Formats a share of 1 as percent, for a column that names the unit. */
export function inPercent(value) {
  if (isMissing(value)) return DASH;
  return (value * 100).toFixed(value > 0.995 && value < 1 ? 2 : 1).replace(/\.0$/, "");
}

/** Formats a share of 1 as percent, with the unit. */
export function share(value) {
  return isMissing(value) ? DASH : inPercent(value) + " %";
}

const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** Formats a time as the local time of day. */
export function clock(unix) {
  return CLOCK.format(unix * 1000);
}
