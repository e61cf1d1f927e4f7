// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// The system's Chromium where there is one; else Playwright's own (`npx playwright install chromium`).
const chromium = [
  process.env.CHROMIUM,
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
].find((path) => path && existsSync(path));

export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  // Each with a server and a browser of its own; more would only share the processors of a small machine.
  workers: 2,
  fullyParallel: false,
  forbidOnly: !!process.env.CI,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [["list"]],
  use: {
    locale: "en-GB",
    timezoneId: "UTC",
    // Recording every test takes a sixth of the time: LICTOR_TRACE=1 asks for it.
    trace: process.env.LICTOR_TRACE ? "retain-on-failure" : "off",
    screenshot: "only-on-failure",
    permissions: ["clipboard-read", "clipboard-write"],
    launchOptions: {
      ...(chromium && { executablePath: chromium }),
      args: ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
      chromiumSandbox: process.getuid?.() !== 0,
    },
  },
  projects: [
    { name: "test", testMatch: "*.spec.ts" },
    { name: "shots", testMatch: "shots.ts" },
  ],
});
