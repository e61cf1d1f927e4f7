// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { auditDetail } from "../src/lib/audit";

const data = { about: "file", action: "deny", event: "01" };

test("a verdict that can be read is one line in the words of the other pages", () => {
  const event = {
    id: "01",
    kind: "file",
    agent: "coder",
    session: "s-1",
    file: { op: "read", path: "/etc/shadow" },
    verdict: { action: "deny", tier: "policy", rule: "coder.files.deny[0]" },
  };
  const entry = { n: 7, time: "", kind: "verdict", data, personal: [{ id: "a", state: "open", text: { event } }] };
  expect(auditDetail(entry)).toBe("read denied: /etc/shadow · coder.files.deny[0] · coder, s-1");
});

test("one whose text is erased or has another shape says what the chain says", () => {
  const told = "about: file · action: deny · event: 01";
  const entry = (one: object) => ({
    n: 7,
    time: "",
    kind: "verdict",
    data,
    personal: [{ id: "a", state: "open", ...one }],
  });
  expect(auditDetail(entry({ state: "erased" }))).toBe(`${told} · (erased)`);
  expect(auditDetail(entry({ text: { event: "01" } }))).toBe(`${told} · event: 01`);
});
