// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { asFile } from "../src/composables/dry";
import { parseFields, pathAt, type Schema, suggest } from "../src/lib/schema";

const read = (name: string) => readFileSync(new URL(`../../schema/${name}`, import.meta.url), "utf8");
const rules: Schema = JSON.parse(read("rules.schema.json"));
const policy: Schema = JSON.parse(read("policy.schema.json"));
const fields = parseFields(read("rule-fields.md"));

/** What is suggested at `|`. */
function at(root: Schema, text: string): string[] {
  const offset = text.indexOf("|");
  const plain = text.replace("|", "");
  const found = suggest(root, plain, offset, fields);
  const typed = plain.slice(found?.from ?? offset, offset);
  return (found?.options ?? []).map((one) => one.text.trim()).filter((one) => one.startsWith(typed));
}

describe("what could be written here", () => {
  test("keys of a policy", () => {
    expect(at(policy, "ver|")).toEqual(["version:"]);
    expect(at(policy, "agents:\n  coder:\n    fi|")).toEqual(["files:"]);
    expect(at(policy, "agents:\n  coder:\n    files:\n      |")).toEqual(
      expect.arrayContaining(["read:", "write:", "deny:", "readonly:"]),
    );
    expect(at(policy, "agents:\n  coder:\n    files:\n      deny:\n        - '/x'\n    net|")).toEqual(["network:"]);
  });

  test("values of a policy", () => {
    expect(at(policy, "agents:\n  coder:\n    mode: |")).toEqual(["enforce", "monitor"]);
    expect(at(policy, "agents:\n  coder:\n    undecided: h|")).toEqual(["hold"]);
    expect(at(policy, "agents:\n  coder:\n    privileges: [mount, b|")).toEqual(["bpf"]);
  });

  test("keys and values of rules, whether the list is indented or not", () => {
    for (const indent of ["", "  "]) {
      const head = `version: 1\nrules:\n${indent}- id: x\n${indent}  `;
      expect(at(rules, `${head}sev|`)).toEqual(["severity:"]);
      expect(at(rules, `${head}severity: cr|`)).toEqual(["critical"]);
      expect(at(rules, `${head}kinds: [exec, n|`)).toEqual(["network"]);
    }
  });

  test("fields of a condition, in one line and in several", () => {
    expect(at(rules, "rules:\n  - id: x\n    condition: process.cm|")).toContain("process.cmdline");
    expect(at(rules, "rules:\n  - id: x\n    condition: >-\n      file.pa|")).toContain("file.path");
    expect(fields.length).toBeGreaterThan(30);
  });

  test("the way to a place", () => {
    expect(pathAt(["rules:", "- id: x", "  tests:", "    - event:", "        process:", "          "], 5, 10)).toEqual([
      "rules",
      "[]",
      "tests",
      "[]",
      "event",
      "process",
    ]);
  });
});

test("a rule that stands alone becomes a file", () => {
  const file = "version: 1\nrules:\n  - id: x\n    kinds: [exec]\n";
  expect(asFile("- id: x\n  kinds: [exec]\n")).toBe(file);
  expect(asFile("  - id: x\n    kinds: [exec]")).toBe(file);
  expect(asFile("id: x\nkinds: [exec]\n")).toBe(file);
  expect(asFile(file)).toBe(file);
});
