// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { basename, commandLine, pieces, printable } from "../src/lib/text";

describe("text of processes", () => {
  test.each([
    ["/usr/bin/curl", "/usr/bin/curl"],
    ["/tmp/grün 漢字 😀", "/tmp/grün 漢字 😀"],
    ["a\nb\tc\rd", "a\\nb\\tc\\rd"],
    ["\u001b[31mred", "\\x1b[31mred"],
    ["evil\u202ecod.exe", "evil\\u{202e}cod.exe"],
    ["zero\u200bwidth\ufeff", "zero\\u{200b}width\\u{feff}"],
    ["\u0085\u009b", "\\u{85}\\u{9b}"],
    ["tag\u{e0041}", "tag\\u{e0041}"],
    ["half \ud800 pair", "half \\u{d800} pair"],
    ["\udc00", "\\u{dc00}"],
    ["<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
    ["", ""],
  ])("%j reads %j", (text, expected) => {
    expect(printable(text)).toBe(expected);
    expect(
      pieces(text)
        .map((piece) => piece.text)
        .join(""),
    ).toBe(expected);
  });

  test("an escape says what it stands for", () => {
    expect(pieces("a\u202eb")).toEqual([
      { text: "a" },
      { text: "\\u{202e}", escape: "U+202E, right-to-left override" },
      { text: "b" },
    ]);
  });

  test("a pair of surrogates is one character and stays", () => {
    expect(pieces("😀")).toEqual([{ text: "😀" }]);
  });

  test("arguments keep their borders", () => {
    expect(commandLine(["sh", "-c", "rm -rf x"])).toBe("sh -c 'rm -rf x'");
    expect(commandLine(["echo", "it's", ""])).toBe("echo 'it'\\''s' ''");
  });

  test("basename", () => {
    expect(basename("/usr/bin/env")).toBe("env");
    expect(basename("env")).toBe("env");
    expect(basename("/usr/bin/")).toBe("/usr/bin/");
  });
});
