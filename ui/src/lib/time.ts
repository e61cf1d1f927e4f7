// SPDX-License-Identifier: Apache-2.0
// Times come as RFC 3339 in UTC and are shown in the reader's zone.

const two = (n: number) => String(n).padStart(2, "0");

export function parseTime(text: string | undefined): Date | undefined {
  if (!text) return undefined;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** `14:03:05.123` */
export function clock(text: string | undefined, fraction = true): string {
  const date = parseTime(text);
  if (!date) return text ?? "";
  const seconds = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return fraction ? `${seconds}.${String(date.getMilliseconds()).padStart(3, "0")}` : seconds;
}

/** `2026-11-21` */
export function day(text: string | undefined): string {
  const date = parseTime(text);
  return date ? `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}` : (text ?? "");
}

/** `2026-11-21 14:03:05`; without the day when it is today. */
export function dateTime(text: string | undefined, now = Date.now()): string {
  const date = parseTime(text);
  if (!date) return text ?? "";
  const today = day(new Date(now).toISOString()) === day(text);
  return today ? clock(text, false) : `${day(text)} ${clock(text, false)}`;
}

/** What stands below a chart at these times, short enough for a telephone: the day where another one begins, else the time. */
export function axis(times: string[]): string[] {
  const span = (parseTime(times.at(-1))?.getTime() ?? 0) - (parseTime(times[0])?.getTime() ?? 0);
  const severalDays = new Set(times.map(day)).size > 1;
  return times.map((time, at) => {
    const begins = severalDays && (at === 0 || day(time) !== day(times[at - 1]));
    if (begins || span >= 3 * 86_400_000) return day(time).slice(5);
    // Seconds say something only where the labels are less than a minute or two apart.
    return clock(time, false).slice(0, span < 10 * 60_000 ? 8 : 5);
  });
}

/** `3d 4h`, `12m 7s`, `0s`: the two largest units. */
export function duration(milliseconds: number): string {
  let rest = Math.max(0, Math.floor(milliseconds / 1000));
  const units: [number, string][] = [
    [86_400, "d"],
    [3600, "h"],
    [60, "m"],
    [1, "s"],
  ];
  const largest = units.findIndex(([size]) => rest >= size);
  const parts = units.slice(largest < 0 ? 3 : largest).slice(0, 2);
  return parts
    .map(([size, name]) => {
      const count = Math.floor(rest / size);
      rest %= size;
      return `${count}${name}`;
    })
    .filter((part, at) => at === 0 || !part.startsWith("0"))
    .join(" ");
}

/** `now`, `12s ago`, `3h ago`, `in 5m`; one unit. */
export function ago(text: string | undefined, now = Date.now()): string {
  const date = parseTime(text);
  if (!date) return text ?? "";
  const distance = now - date.getTime();
  if (Math.abs(distance) < 2000) return "now";
  const short = duration(Math.abs(distance)).split(" ")[0] ?? "";
  return distance < 0 ? `in ${short}` : `${short} ago`;
}
