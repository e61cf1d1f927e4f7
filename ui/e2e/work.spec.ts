// SPDX-License-Identifier: Apache-2.0
// What people do with the pages: search, investigate, read a session, write and try rules, change the policy.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, settled, test } from "./fixtures";

/** The characters that the editor shows; it is in a shadow root. */
const editor = (page: Page) => page.locator(".cm-content");
async function write(page: Page, text: string): Promise<void> {
  await editor(page).click();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(text);
}

test("the filter finds what was denied, and its problems are told", async ({ entered: page }) => {
  await page.goto("/investigate");
  await settled(page);
  const search = page.getByRole("combobox", { name: "search of stored events" });
  await page.keyboard.press("/");
  await expect(search).toBeFocused();
  await search.fill("denied kind:exec");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/q=denied\+?(%20)?kind/);
  await expect(page.getByRole("option").first()).toContainText("exec");
  for (const row of await page.getByRole("option").all()) await expect(row).toContainText(/denied|killed|would deny/);
  await search.fill("kind:nothing");
  await expect(page.getByRole("alert").filter({ hasText: "is none of" })).toBeVisible();
  await search.fill("ki");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await expect(search).toHaveValue("kind:");
});

test("an event is investigated from the list with the keyboard alone", async ({ entered: page }) => {
  await page.goto("/investigate?q=denied+tier:rules");
  await settled(page);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/investigate\/01/);
  await settled(page);
  for (const name of ["Who led to it", "What the tiers said", "The rule", "Facts", "Before and after"]) {
    await expect(page.getByRole("heading", { name })).toBeVisible();
  }
  await expect(page.locator(".chain li")).not.toHaveCount(0);
  await expect(page.locator(".evidence li")).not.toHaveCount(0);
  const first = page.url();
  await page.keyboard.press("[");
  await expect(page).not.toHaveURL(first);
  await page.keyboard.press("]");
  await expect(page).toHaveURL(first);
  // Keys that come before the event does are kept.
  await settled(page);
  await page.route(/\/investigate$/, async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 600));
    await route.continue();
  });
  await page.keyboard.press("[");
  await expect(page).not.toHaveURL(first);
  for (const key of ["]", "[", "]"]) await page.keyboard.press(key);
  await expect(page).toHaveURL(first);
});

test("a denial by the policy says what would change it", async ({ entered: page }) => {
  await page.goto("/investigate?q=denied+tier:policy+kind:file+session:s-92cd2325");
  await settled(page);
  // What was lost may have been a denial, too: it is in the list.
  await page.getByRole("option").filter({ hasText: "denied" }).first().click();
  await expect(page.getByRole("heading", { name: "What would change it" })).toBeVisible();
});

test("a session shows its tree, what it touched and what was denied", async ({ entered: page }) => {
  await page.goto("/sessions");
  await settled(page);
  await page.getByRole("row").filter({ hasText: "s-6f4b3915" }).getByRole("link").click();
  await settled(page);
  const tree = page.getByRole("tree", { name: "process tree" });
  await expect(tree.getByRole("treeitem").first()).toBeVisible();
  const before = await tree.getByRole("treeitem").count();
  await tree.focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowLeft");
  await expect(tree.locator("[aria-expanded=false]")).not.toHaveCount(0);
  expect(await tree.getByRole("treeitem").count()).toBeLessThan(before);
  await page.keyboard.press("ArrowRight");
  await expect(tree.getByRole("treeitem")).toHaveCount(before);
  await page.getByRole("tab", { name: "Denied" }).click();
  await expect(page.getByRole("tabpanel").getByRole("link").filter({ hasText: "denied" })).not.toHaveCount(0);
  await page.keyboard.press("ArrowRight");
  await expect(page.getByRole("tab", { name: "Files" })).toHaveAttribute("aria-selected", "true");
});

test("a rules file is checked as it is written, tried, and saved", async ({ entered: page, server }) => {
  await page.goto("/rules/files?file=shells.yaml");
  await settled(page);
  const original = readFileSync(join(server.state, "rules.d/shells.yaml"), "utf8");
  const rule = (condition: string) =>
    `version: 1\nrules:\n  - id: seen-by-test\n    description: a file of the suite\n    state: testing\n    severity: low\n    kinds: [file]\n    condition: ${condition}\n    action: alert\n`;
  await write(page, rule("file.pth == '/x'"));
  await expect(page.getByText(/\d problem/)).toBeVisible();
  await expect(page.locator(".problems button").first()).toContainText("8:");
  await expect(page.getByRole("button", { name: "Save and load" })).toBeDisabled();

  await write(page, rule("file.path.startsWith('/srv/')"));
  await expect(page.getByText("no problem")).toBeVisible();
  await page.getByRole("button", { name: "Try it" }).click();
  await expect(page.getByText(/match(es)? in/)).toBeVisible();
  expect(await page.getByText(/match(es)? in/).textContent()).not.toMatch(/^\s*0 /);

  await page.getByRole("button", { name: "Save and load" }).click();
  await expect(page.getByText("shells.yaml is loaded")).toBeVisible();
  expect(readFileSync(join(server.state, "rules.d/shells.yaml"), "utf8")).toContain("seen-by-test");

  // Somebody else writes the file meanwhile: nothing is overwritten.
  await write(page, rule("file.path == '/mine'"));
  writeFileSync(join(server.state, "rules.d/shells.yaml"), original);
  await expect(page.getByText("no problem")).toBeVisible();
  await page.getByRole("button", { name: "Save and load" }).click();
  await expect(page.getByText("Somebody else has changed the file")).toBeVisible();
  await page.getByRole("button", { name: "Take theirs" }).click();
  await expect(editor(page)).toContainText("Shells given to somebody else");
  expect(readFileSync(join(server.state, "rules.d/shells.yaml"), "utf8")).toBe(original);
});

test("what could be written next is offered by the schema", async ({ entered: page }) => {
  await page.goto("/rules/files?file=shells.yaml");
  await settled(page);
  await write(page, "version: 1\nrules:\n  - id: x\n    sev");
  await page.keyboard.press("Control+Space");
  await expect(page.locator(".cm-tooltip-autocomplete")).toContainText("severity:");
});

test("a rule is promoted", async ({ entered: page }) => {
  await page.goto("/rules");
  await settled(page);
  await page.getByRole("searchbox", { name: "search of rules" }).fill("credential");
  await page.keyboard.press("Escape");
  await page.getByRole("searchbox").blur();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/rules\/rule/);
  await settled(page);
  const states = page.getByRole("group", { name: "state of the rule" });
  const now = await states.locator("[aria-pressed=true]").textContent();
  const other = now === "testing" ? "active" : "testing";
  await states.getByRole("button", { name: other }).click();
  await page.getByRole("button", { name: `Make it ${other}` }).click();
  await expect(states.getByRole("button", { name: other })).toHaveAttribute("aria-pressed", "true");
});

test("a policy is checked, compared with what happened, and applied", async ({ entered: page, server }) => {
  await page.goto("/policies");
  await settled(page);
  const text = readFileSync(join(server.state, "policy.yaml"), "utf8");
  await write(page, text.replace("listen:", "listten:"));
  await expect(page.getByText(/\d problem/)).toBeVisible();
  await expect(page.getByRole("button", { name: "Compare and apply" })).toBeDisabled();
  await write(page, text.replace("8000-8100", "8000-8200"));
  await expect(page.getByText("no problem")).toBeVisible();
  await page.getByRole("button", { name: "Compare and apply" }).click();
  const dialog = page.getByRole("dialog", { name: "Apply this policy?" });
  await expect(dialog.locator(".added")).toContainText("8000-8200");
  await expect(dialog.locator(".removed")).toContainText("8000-8100");
  await dialog.getByRole("button", { name: "Apply to all sessions" }).click();
  await expect(page.getByText("in force as policy number")).toBeVisible();
  expect(readFileSync(join(server.state, "policy.yaml"), "utf8")).toContain("8000-8200");
});

test("colours follow the system, the switch, and stay", async ({ entered: page }) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto("/settings");
  await settled(page);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.getByRole("group", { name: "colours" }).getByRole("button", { name: "light" }).click();
  const light = await ground();
  expect(light).not.toBe(dark);
  await page.reload();
  await settled(page);
  expect(await ground()).toBe(light);
});

test("pages are reached with the keyboard", async ({ entered: page }) => {
  await page.goto("/");
  await settled(page);
  for (const [keys, title] of [
    ["gl", "Live"],
    ["gs", "Sessions"],
    ["ga", "Alerts"],
    ["gi", "Investigate"],
    ["gr", "Rules"],
    ["gp", "Policies"],
    ["gv", "Verdicts"],
    ["gu", "Audit"],
    ["gh", "Settings and health"],
    ["go", "Overview"],
  ] as const) {
    for (const key of keys) await page.keyboard.press(key);
    await expect(page.getByRole("heading", { level: 1, name: title })).toBeFocused();
  }
});
