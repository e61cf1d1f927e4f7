// SPDX-License-Identifier: Apache-2.0
// The one-line filter of events: `denied kind:file,exec path:/etc/** "free text"`. It is what the server's filter can
// say, in words; what it cannot say is a problem with its place, and never silently left out.
import { ACTIONS, KINDS, SEVERITIES, TIERS } from "../api/types";

export const KEYS = {
  kind: { many: true, values: KINDS, help: "what kind of event" },
  verdict: { many: true, values: ACTIONS, help: "what was decided" },
  tier: { many: true, values: TIERS, help: "who decided" },
  severity: { many: true, values: SEVERITIES, help: "how bad a rule says it is" },
  session: { many: true, values: [], help: "a session's id" },
  agent: { many: true, values: [], help: "an agent's name" },
  program: { many: true, values: [], help: "the program that acted: a path, a prefix or a pattern" },
  path: { many: true, values: [], help: "the file: a path, a prefix or a pattern" },
  address: { many: true, values: [], help: "the other end of a connection" },
  rule: { many: true, values: [], help: "the rule or the policy's line that decided" },
  since: { many: false, values: [], help: "10m, 2h, 7d or a time" },
  until: { many: false, values: [], help: "10m, 2h, 7d or a time" },
} as const;

export type Key = keyof typeof KEYS;
export type Filter = Partial<Record<Key, string[]>> & { denied?: true; text?: string };

export interface FilterProblem {
  /** The word that is wrong, as typed. */
  word: string;
  message: string;
}

const isKey = (word: string): word is Key => Object.hasOwn(KEYS, word);

/** Splits at spaces; double quotes keep them, and `\"` is a quote. */
export function words(line: string): string[] {
  const out: string[] = [];
  for (const match of line.matchAll(/(?:"(?:[^"\\]|\\.)*"?|[^\s"])+/g)) out.push(match[0]);
  return out;
}

const unquote = (text: string): string =>
  text.replace(/"((?:[^"\\]|\\.)*)"?/g, (_, inner: string) => inner.replace(/\\(["\\])/g, "$1"));

const quote = (text: string): string => (/[\s"]/.test(text) ? `"${text.replace(/(["\\])/g, "\\$1")}"` : text);

export function parseFilter(line: string): { filter: Filter; problems: FilterProblem[] } {
  const filter: Filter = {};
  const problems: FilterProblem[] = [];
  const text: string[] = [];
  for (const word of words(line)) {
    const colon = word.startsWith('"') ? -1 : word.indexOf(":");
    const key = colon > 0 ? word.slice(0, colon) : "";
    if (word === "denied") filter.denied = true;
    else if (isKey(key)) add(filter, problems, key, unquote(word.slice(colon + 1)), word);
    else if (/^[a-z]+$/.test(key)) {
      problems.push({ word, message: `there is no filter \`${key}\`; to look for this text, put it in quotes` });
    } else text.push(unquote(word));
  }
  if (text.length > 0) filter.text = text.join(" ");
  return { filter, problems };
}

function add(filter: Filter, problems: FilterProblem[], key: Key, value: string, word: string): void {
  const { many, values } = KEYS[key];
  if (value === "") {
    problems.push({ word, message: `\`${key}:\` wants a value` });
    return;
  }
  const allowed: readonly string[] = values;
  // A path may have a comma in it: only closed sets are lists with commas; others are said again.
  const given = allowed.length > 0 ? value.split(",").filter(Boolean) : [value];
  const wrong = allowed.length > 0 ? given.find((one) => !allowed.includes(one)) : undefined;
  if (wrong !== undefined) {
    problems.push({ word, message: `\`${wrong}\` is none of ${allowed.join(", ")}` });
    return;
  }
  filter[key] = many ? [...new Set([...(filter[key] ?? []), ...given])] : given;
}

export function formatFilter(filter: Filter): string {
  const out: string[] = filter.denied ? ["denied"] : [];
  for (const key of Object.keys(KEYS) as Key[]) {
    const values = filter[key] ?? [];
    const groups = KEYS[key].values.length > 0 ? [values.join(",")].filter(Boolean) : values;
    out.push(...groups.map((value) => `${key}:${quote(value)}`));
  }
  if (filter.text) {
    // Free text that reads as a filter has to be quoted whole.
    const plain = words(filter.text).every((word) => word !== "denied" && !/^[a-z]+:/.test(word) && !/"/.test(word));
    out.push(plain ? filter.text : `"${filter.text.replace(/(["\\])/g, "\\$1")}"`);
  }
  return out.join(" ");
}

/** As the server's query wants it. Lists are repeated parameters. */
export function toQuery(filter: Filter): Record<string, string | string[] | boolean | undefined> {
  const { denied, text, ...rest } = filter;
  const query: Record<string, string | string[] | boolean | undefined> = { denied, text };
  for (const [key, values] of Object.entries(rest)) {
    if (values) query[key] = KEYS[key as Key].many ? values : values[0];
  }
  return query;
}

/** What could stand where the last word is being typed. */
export function completions(line: string): { text: string; help: string }[] {
  const last = /\s$/.test(line) || line === "" ? "" : (words(line).at(-1) ?? "");
  const colon = last.indexOf(":");
  if (colon > 0) {
    const key = last.slice(0, colon);
    if (!isKey(key)) return [];
    const typed = last.slice(colon + 1);
    const before = typed.includes(",") ? typed.slice(0, typed.lastIndexOf(",") + 1) : "";
    const begun = typed.slice(before.length);
    return KEYS[key].values
      .filter((value) => value.startsWith(begun) && value !== begun)
      .map((value) => ({ text: `${key}:${before}${value}`, help: "" }));
  }
  const keys = (Object.keys(KEYS) as Key[]).map((key) => ({ text: `${key}:`, help: KEYS[key].help as string }));
  return [{ text: "denied", help: "only what was refused" }, ...keys].filter(
    ({ text }) => text.startsWith(last) && text !== last,
  );
}

/** `line` with its last word replaced by a completion. */
export function complete(line: string, completion: string): string {
  const last = /\s$/.test(line) || line === "" ? "" : (words(line).at(-1) ?? "");
  return line.slice(0, line.length - last.length) + completion + (completion.endsWith(":") ? "" : " ");
}
