// SPDX-License-Identifier: Apache-2.0
const whole = new Intl.NumberFormat("en-GB");
const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

/** `12,345` */
export const number = (n: number): string => whole.format(n);

/** `12.3k`; small numbers as they are. */
export const short = (n: number): string => (n < 10_000 ? whole.format(n) : compact.format(n).toLowerCase());

/** `1 event`, `2 events` */
export const count = (n: number, noun: string, plural = `${noun}s`): string =>
  `${number(n)} ${n === 1 ? noun : plural}`;

/** `2.5 MB` */
export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const at = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, n)) / 3)));
  const value = n / 1000 ** at;
  return `${at === 0 ? value : value.toFixed(1)} ${units[at]}`;
}

/** `25 µs`, `1.3 ms`, `2.1 s` */
export function latency(microseconds: number): string {
  if (microseconds < 1000) return `${microseconds} µs`;
  if (microseconds < 1_000_000) return `${(microseconds / 1000).toFixed(1)} ms`;
  return `${(microseconds / 1_000_000).toFixed(1)} s`;
}

/** `files_denied` -> `files denied` */
export const words = (name: string): string => name.replaceAll("_", " ");
