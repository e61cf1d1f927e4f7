// SPDX-License-Identifier: Apache-2.0
// A picture of each page in light and dark, wide and narrow, for people to look at: `make ui-shots DIR=FOLDER`.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, settled, test } from "./fixtures";

const DIR = process.env.SHOTS_DIR ?? "";
const WIDTHS = { wide: { width: 1280, height: 860 }, narrow: { width: 390, height: 844 } } as const;

test("a picture of each page", async ({ entered: page, server }) => {
  test.setTimeout(300_000);
  expect(DIR, "SHOTS_DIR says where the pictures go").not.toBe("");
  mkdirSync(DIR, { recursive: true });
  const ask = async <T>(path: string): Promise<T> => (await page.request.get(`${server.url}/api/v1${path}`)).json();
  const denied = await ask<{ items: { id: string }[] }>("/events?denied=true&kind=exec&limit=1");
  const sessions = await ask<{ items: { id: string; denied: number; events: number }[] }>("/sessions");
  const session = [...sessions.items]
    .filter((one) => one.id !== "s-hostile0")
    .sort((a, b) => b.denied * 1000 + b.events - a.denied * 1000 - a.events)[0];
  const rules = await ask<{ items: { id: string }[] }>("/rules?limit=1");
  const pages: Record<string, string> = {
    overview: "/",
    live: "/live",
    sessions: "/sessions",
    session: `/sessions/${session?.id}`,
    "session-hostile": "/sessions/s-hostile0",
    alerts: "/alerts",
    search: "/investigate?q=denied",
    "search-hostile": "/investigate?q=session:s-hostile0",
    event: `/investigate/${denied.items[0]?.id}`,
    rules: "/rules",
    rule: `/rules/rule?id=${encodeURIComponent(rules.items[0]?.id ?? "")}`,
    "rules-files": "/rules/files",
    policies: "/policies",
    verdicts: "/verdicts",
    audit: "/audit",
    settings: "/settings",
    missing: "/nothing-here",
  };
  const only = process.env.SHOTS_ONLY?.split(",");
  for (const [size, viewport] of Object.entries(WIDTHS)) {
    await page.setViewportSize(viewport);
    for (const scheme of ["light", "dark"] as const) {
      if (process.env.SHOTS_SCHEME && process.env.SHOTS_SCHEME !== scheme) continue;
      await page.emulateMedia({ colorScheme: scheme });
      for (const [name, path] of Object.entries(pages)) {
        if (only && !only.includes(name)) continue;
        await page.goto(path);
        await settled(page);
        if (name === "alerts" && (await page.locator(".alert").count()) > 0) await page.keyboard.press("j");
        await page.waitForTimeout(300);
        await page.screenshot({ path: join(DIR, `${name}-${size}-${scheme}.png`) });
      }
    }
  }
  await page.context().clearCookies();
  await page.goto("/login");
  await settled(page);
  await page.screenshot({ path: join(DIR, "login-narrow.png") });
});
