// SPDX-License-Identifier: Apache-2.0
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";
import { type Server, startServer } from "./server";

export { expect };

/** One server for all tests of a worker, and pages that are logged in to it and complain of what no page may do. */
export const test = base.extend<{ entered: Page; trouble: string[] }, { server: Server }>({
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads the pattern
    async ({}, use) => {
      const server = await startServer(["--shift"]);
      await use(server);
      await server.stop();
    },
    { scope: "worker" },
  ],
  baseURL: async ({ server }, use) => use(server.url),
  /** What went wrong while a page was shown: errors, refusals of the security policy, requests to other hosts, dialogs. */
  trouble: async ({ page, server }, use) => {
    const trouble: string[] = [];
    page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
    page.on("console", (message) => {
      // The browser reports each answer that is no success; which ones are expected is the tests' own business.
      const refused = message.text().startsWith("Failed to load resource");
      // Without a place in the document; `violation:` below has it.
      const styled = message.text().startsWith("Applying inline style");
      if (message.type() === "error" && !refused && !styled)
        trouble.push(`console: ${message.text()} (${JSON.stringify(message.location())})`);
      if (message.text().includes("[Vue warn]")) trouble.push(message.text());
    });
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        const target = event.target instanceof Element ? event.target : document.documentElement;
        // Chromium's own editing commands style the text that they replace, and no script asks for it: only in the editor's shadow tree.
        const editing = target.matches(".editor") && !!target.shadowRoot && event.sourceFile === "";
        if (editing && event.effectiveDirective === "style-src-attr") return;
        // biome-ignore lint/suspicious/noConsole: read by the handler above
        console.error(
          `violation: ${event.effectiveDirective} by ${event.sourceFile || "no script"} in ${target.outerHTML.slice(0, 200)}`,
        );
      });
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(server.url)) trouble.push(`request to ${request.url()}`);
    });
    page.on("dialog", (dialog) => {
      trouble.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await use(trouble);
    expect(trouble).toEqual([]);
  },
  entered: async ({ page, server, trouble }, use) => {
    void trouble;
    await enter(page, server);
    await use(page);
  },
});

export async function enter(page: Page, server: Server): Promise<void> {
  const answer = await page.request.post(`${server.url}/api/v1/login`, {
    data: { token: server.token },
    headers: { Origin: server.url },
  });
  expect(answer.status(), await answer.text()).toBe(200);
}

/** Waits until nothing is loading any more. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator("h1").first()).toBeVisible();
  await expect(page.locator("[aria-busy=true]")).toHaveCount(0);
}

export async function expectAccessible(page: Page, rules?: readonly string[]): Promise<void> {
  // What passes need not be gathered and sent.
  const axe = new AxeBuilder({ page }).options({ resultTypes: ["violations"] });
  const { violations } = await (rules
    ? axe.withRules([...rules])
    : axe.withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"])
  ).analyze();
  const bad = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .map((node) => `${node.target} ${node.failureSummary ?? ""}`)
          .slice(0, 3)
          .join(" | ")}`,
    );
  expect(bad).toEqual([]);
}
