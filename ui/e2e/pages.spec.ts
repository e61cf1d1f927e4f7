// SPDX-License-Identifier: Apache-2.0
// Every page, wide in light and dark, narrow in dark: it comes up, fits, says nothing to other hosts, and is accessible.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Page } from "@playwright/test";
import { expect, expectAccessible, settled, test } from "./fixtures";

test.describe.configure({ mode: "parallel" });

const PAGES = {
  overview: "/",
  live: "/live",
  sessions: "/sessions",
  "a session": "/sessions/s-e5031ce0",
  "a session of hostile names": "/sessions/s-hostile0",
  alerts: "/alerts",
  search: "/investigate?q=denied",
  "an event": "/investigate/01M7YVXH0ST11E000000000003",
  rules: "/rules",
  "a rule": "/rules/rule?id=shell-reverse-dev-tcp",
  "rules files": "/rules/files?file=shells.yaml",
  policies: "/policies",
  verdicts: "/verdicts",
  audit: "/audit",
  settings: "/settings",
  "a page that is not there": "/nothing",
};

for (const [size, viewport] of Object.entries({
  wide: { width: 1280, height: 860 },
  narrow: { width: 390, height: 844 },
})) {
  test.describe(size, () => {
    test.use({ viewport });
    for (const [name, path] of Object.entries(PAGES)) {
      test(name, async ({ entered: page }) => {
        await page.goto(path);
        await settled(page);
        const sizes = await page.evaluate(() => {
          const main = document.querySelector("main");
          return [
            document.documentElement.scrollWidth - innerWidth,
            (main?.scrollWidth ?? 0) - (main?.clientWidth ?? 0),
          ];
        });
        expect(sizes, "nothing sticks out at the side").toEqual([0, 0]);
        await expectAccessibleInColours(page, size);
      });
    }
    test("a session of another day", async ({ entered: page }) => {
      await page.clock.setFixedTime(Date.now() + 2 * 86_400_000);
      await page.goto(PAGES["a session"]);
      await settled(page);
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(beyond, "nothing sticks out at the side").toBe(0);
      await expect(page.locator(".times")).not.toContainText("-");
    });
    test("log in", async ({ page, trouble }) => {
      void trouble;
      await page.goto("/login");
      await settled(page);
      await expectAccessibleInColours(page, size);
    });
  });
}

/** What axe-core says of colours. */
const COLOUR_RULES = ["color-contrast", "link-in-text-block"];

/** The page that is shown: wide in light colours, then only its colours in dark ones, since nothing else differs; narrow in dark. */
async function expectAccessibleInColours(page: Page, size: string): Promise<void> {
  for (const colorScheme of size === "wide" ? (["light", "dark"] as const) : (["dark"] as const)) {
    await test.step(colorScheme, async () => {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      expect(
        await page.evaluate((scheme) => matchMedia(`(prefers-color-scheme: ${scheme})`).matches, colorScheme),
      ).toBe(true);
      await expectAccessible(page, size === "wide" && colorScheme === "dark" ? COLOUR_RULES : undefined);
    });
  }
}

test("dialogs are accessible", async ({ entered: page }) => {
  await page.goto("/");
  await settled(page);
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toBeVisible();
  await expectAccessible(page);
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.goto("/verdicts");
  await page.getByRole("button", { name: "Set a verdict" }).click();
  await expect(page.getByRole("dialog", { name: "Set a verdict" })).toBeVisible();
  await expectAccessible(page);
});

test("the first paint comes within a second, and the whole program is under 400 kB", async ({ entered: page }) => {
  let bytes = 0;
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  await page.goto("/");
  await settled(page);
  const paint = await page.evaluate(
    () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Number.POSITIVE_INFINITY,
  );
  test
    .info()
    .annotations.push({ type: "first paint", description: `${Math.round(paint)} ms, ${Math.round(bytes / 1000)} kB` });
  expect(paint).toBeLessThan(1000);
  const dist = new URL("../dist/", import.meta.url);
  const files = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.(js|css|html|svg)$/.test(name),
  );
  const packed = files.reduce((sum, name) => sum + gzipSync(readFileSync(new URL(name, dist))).length, 0);
  test.info().annotations.push({ type: "whole program", description: `${Math.round(packed / 1000)} kB` });
  expect(packed).toBeLessThan(400_000);
});
