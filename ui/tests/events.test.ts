// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { Event } from "../src/api/types";
import { object, operation, outcome } from "../src/lib/events";

const event = (parts: Partial<Event>): Event => ({ id: "e", kind: "exec", ...parts });
const told = (parts: Partial<Event>) => `${operation(event(parts))} ${object(event(parts))}`;

describe("an event in words, the same as lictor-api says it", () => {
  test.each([
    [{ process_event: { op: "exit", code: 1 } }, "exit status 1"],
    [{ process_event: { op: "signal", target: 1, code: 9 } }, "signal 9 to pid 1"],
    [{ process_event: { op: "fork", target: 243 } }, "fork pid 243"],
    [{ process_event: { op: "setuid", code: 0 } }, "setuid uid 0"],
    [{ process_event: { op: "trace", target: 7 } }, "trace pid 7"],
    [{ file: { op: "rename", path: "/a", to: "/b" } }, "rename /a -> /b"],
    [{ network: { op: "connect", address: "10.0.0.1", port: 443, protocol: "tcp" } }, "connect 10.0.0.1:443"],
    [{ network: { op: "send", address: "2001:db8::1", port: 53, protocol: "udp" } }, "send [2001:db8::1]:53/udp"],
    [{ network: { op: "connect", address: "/run/docker.sock", protocol: "stream" } }, "connect /run/docker.sock"],
    [{ network: { op: "socket", family: "vsock" } }, "socket vsock"],
    [{ memory: { op: "map_exec" } }, "map_exec anonymous memory"],
    [{ privilege: { op: "mount" } }, "mount "],
    [{ kind: "lost", lost: { count: 3, reason: "ring full" } }, "lost 3 events: ring full"],
    [{ exec: { path: "/usr/bin/curl" } }, "exec /usr/bin/curl"],
  ] as [Partial<Event>, string][])("%j", (parts, expected) => {
    expect(told(parts)).toBe(expected);
  });

  test("a denial that did not take place says so", () => {
    expect(outcome(event({ verdict: { action: "deny", tier: "policy" } }))).toBe("deny");
    expect(outcome(event({ verdict: { action: "deny", tier: "policy", enforced: false } }))).toBe("would-deny");
    expect(outcome(event({ verdict: { action: "alert", tier: "rules", enforced: false } }))).toBe("alert");
    expect(outcome(event({}))).toBe("none");
  });
});
