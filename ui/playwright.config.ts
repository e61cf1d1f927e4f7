// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

// The system's Chromium where there is one; else Playwright's own (`npx playwright install chromium`).
const chromium = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"].find(
  (path) => path && existsSync(path),
);

export default defineConfig({
  testDir: "e2e",
  outputDir: "test-results",
  // One server and one browser at a time: the machine's cores are shared.
  workers: 1,
  fullyParallel: false,
  forbidOnly: !!process.env.CI,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [["list"]],
  use: {
    locale: "en-GB",
    timezoneId: "UTC",
    trace: "retain-on-failure",
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
