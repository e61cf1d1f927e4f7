// SPDX-License-Identifier: Apache-2.0
// What could be written at a place of a YAML text, by its JSON Schema. Reads indentation only, so that it also works on a
// text that is not finished; whether the text is right is said by the server.

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  anyOf?: Schema[];
  oneOf?: { const?: unknown; description?: string }[];
  type?: string | string[];
  properties?: Record<string, Schema>;
  patternProperties?: Record<string, Schema>;
  items?: Schema;
  enum?: unknown[];
  description?: string;
}

export interface Suggestion {
  text: string;
  detail: string;
  kind: "key" | "value" | "field";
}

const ITEM = "[]";
const LINE = /^(\s*)((?:- +)*)(?:([^\s#:'"-][^:#]*?|"[^"]*"|'[^']*'):(?:\s|$))?/;

/** The keys above column `column` of line `at`, outermost first; `[]` is an element of a list. */
export function pathAt(lines: readonly string[], at: number, column: number): string[] {
  const path: string[] = [];
  let limit = column;
  // A list may begin in the column of its key.
  let equal = false;
  for (let n = at; n >= 0; n -= 1) {
    const line = lines[n] ?? "";
    if (n < at && (line.trim() === "" || line.trim().startsWith("#"))) continue;
    const [, indent = "", dashes = "", key] = LINE.exec(line) ?? [];
    const dash = indent.length;
    const keyColumn = dash + dashes.length;
    const above = n < at && key !== undefined && (keyColumn < limit || (equal && dashes === "" && keyColumn === limit));
    if (above) {
      path.push(key.replace(/^(["'])(.*)\1$/, "$2"));
      limit = keyColumn;
      equal = false;
    }
    if (dashes !== "" && dash < limit) {
      path.push(ITEM);
      limit = dash;
      equal = true;
    }
    if (limit === 0 && !equal) break;
  }
  return path.reverse();
}

function resolve(schema: Schema | undefined, root: Schema): Schema | undefined {
  if (schema?.$ref) return resolve(root.$defs?.[schema.$ref.replace("#/$defs/", "")], root);
  const some = schema?.anyOf?.find((one) => one.type !== "null");
  if (!some) return schema;
  const inner = resolve(some, root);
  return schema?.description && inner ? { ...inner, description: schema.description } : inner;
}

/** The schema of what stands at `path`. */
export function schemaAt(root: Schema, path: readonly string[]): Schema | undefined {
  let here = resolve(root, root);
  for (const step of path) {
    const pattern = Object.entries(here?.patternProperties ?? {}).find(([name]) => new RegExp(name).test(step))?.[1];
    here = resolve(step === ITEM ? here?.items : (here?.properties?.[step] ?? pattern), root);
    if (!here) return undefined;
  }
  return here;
}

function values(schema: Schema | undefined): Suggestion[] {
  const plain = (schema?.enum ?? []).map((value) => ({ value, detail: "" }));
  const described = (schema?.oneOf ?? []).map((one) => ({ value: one.const, detail: one.description ?? "" }));
  return [...plain, ...described]
    .filter(({ value }) => value !== undefined)
    .map(({ value, detail }) => ({ text: String(value), detail, kind: "value" }));
}

/** What could follow at `offset`, and from where on it would replace what is typed. */
export function suggest(
  root: Schema,
  text: string,
  offset: number,
  fields: readonly Suggestion[] = [],
): { from: number; options: Suggestion[] } | undefined {
  const before = text.slice(0, offset);
  const lines = before.split("\n");
  const at = lines.length - 1;
  const line = lines[at] ?? "";
  const block = inBlock(lines, at, offset, fields);
  if (block) return block;
  const key = /^(\s*(?:- +)*)([\w.-]*)$/.exec(line);
  if (key) {
    const column = (key[1] ?? "").length;
    const here = schemaAt(root, pathAt(lines, at, column));
    const keys = Object.entries(here?.properties ?? {}).map(
      ([name, inner]): Suggestion => ({
        text: `${name}: `,
        detail: resolve(inner, root)?.description ?? "",
        kind: "key",
      }),
    );
    return { from: offset - (key[2] ?? "").length, options: [...keys, ...values(here)] };
  }
  const value = /^(\s*(?:- +)*)([\w.-]+):\s+(.*)$/.exec(line);
  if (!value) return undefined;
  const [, indent = "", name = "", written = ""] = value;
  if (name === "condition") return field(written, offset, fields);
  const path = [...pathAt(lines, at, indent.length), name];
  const list = /^\[(?:.*[,\s])?([\w.-]*)$/.exec(written);
  if (list) return { from: offset - (list[1] ?? "").length, options: values(schemaAt(root, [...path, ITEM])) };
  if (!/^[\w.-]*$/.test(written)) return undefined;
  return { from: offset - written.length, options: values(schemaAt(root, path)) };
}

/** Conditions of several lines stand below `condition: |`, indented. */
function inBlock(lines: readonly string[], at: number, offset: number, fields: readonly Suggestion[]) {
  const line = lines[at] ?? "";
  const column = line.length - line.trimStart().length;
  const above = lines.slice(0, at).findLast((one) => one.trim() !== "" && one.length - one.trimStart().length < column);
  return above && /condition:\s*[|>]/.test(above) ? field(line, offset, fields) : undefined;
}

function field(written: string, offset: number, fields: readonly Suggestion[]) {
  const word = /[\w.]*$/.exec(written)?.[0] ?? "";
  return { from: offset - word.length, options: [...fields] };
}

/** The fields of conditions, out of the table in `schema/rule-fields.md`. */
export function parseFields(markdown: string): Suggestion[] {
  return [...markdown.matchAll(/^\| `([a-z_.]+)` \| (.*?) \| .*? \| .*? \| (.*?) \|$/gm)].map(
    ([, name = "", type = "", help = ""]) => ({
      text: name,
      detail: `${type.replaceAll("`", "")}: ${help}`,
      kind: "field",
    }),
  );
}
