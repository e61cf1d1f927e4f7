// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { complete, completions, formatFilter, parseFilter, toQuery } from "../src/lib/filter";

const problems = (line: string) => parseFilter(line).problems.map((problem) => problem.message);

describe("the filter line", () => {
  test.each([
    ["", {}],
    ["denied", { denied: true }],
    ["kind:file,exec kind:network", { kind: ["file", "exec", "network"] }],
    ["path:/etc/** path:/a,b", { path: ["/etc/**", "/a,b"] }],
    ['path:"/home/a b/c" curl', { path: ["/home/a b/c"], text: "curl" }],
    ['"denied" x', { text: "denied x" }],
    ['"kind:file"', { text: "kind:file" }],
    ["10.0.0.1:443", { text: "10.0.0.1:443" }],
    ["https://x", { text: "https://x" }],
    ["address:[2001:db8::1]", { address: ["[2001:db8::1]"] }],
  ] as const)("%j", (line, expected) => {
    if (line === "https://x") {
      // A word before a colon could be a filter that is mistyped: it is told, not guessed.
      expect(problems(line)).toHaveLength(1);
      return;
    }
    expect(parseFilter(line)).toEqual({ filter: expected, problems: [] });
  });

  test.each([
    ["kind:files", "`files` is none of exec, file, network, process, memory, privilege, lost"],
    ["knd:file", "there is no filter `knd`; to look for this text, put it in quotes"],
    ["path:", "`path:` wants a value"],
  ])("%j is a problem", (line, message) => {
    expect(problems(line)).toEqual([message]);
  });

  test.each([
    "denied kind:file,exec session:s-1 path:/a path:/b some text",
    'path:"/with space" "kind:file"',
    'path:"/with \\"quote"',
    "since:2h until:1h",
  ])("%j comes back as it was", (line) => {
    const { filter } = parseFilter(line);
    expect(parseFilter(formatFilter(filter))).toEqual({ filter, problems: [] });
  });

  test("any path comes back", () => {
    for (const path of ['/a"b\\c d', "/x:y,z", "denied", "/tmp/\\", '"']) {
      expect(parseFilter(formatFilter({ path: [path] })).filter).toEqual({ path: [path] });
      expect(parseFilter(formatFilter({ text: path })).filter).toEqual({ text: path });
    }
  });

  test("as the server wants it", () => {
    expect(toQuery(parseFilter("denied kind:file,exec since:1h x y").filter)).toEqual({
      denied: true,
      text: "x y",
      kind: ["file", "exec"],
      since: "1h",
    });
  });

  test("completions", () => {
    expect(completions("ki").map((one) => one.text)).toEqual(["kind:"]);
    expect(completions("denied kind:fi").map((one) => one.text)).toEqual(["kind:file"]);
    expect(completions("kind:exec,n").map((one) => one.text)).toEqual(["kind:exec,network"]);
    expect(completions("nothing:").length).toBe(0);
    expect(complete("denied ki", "kind:")).toBe("denied kind:");
    expect(complete("denied kind:fi", "kind:file")).toBe("denied kind:file ");
  });
});
