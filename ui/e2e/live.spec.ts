// SPDX-License-Identifier: Apache-2.0
// Live events from a server that replays a recording: a hundred thousand rows stay fluid, a pause holds, filters hold.
import { enter, expect, settled, test } from "./fixtures";
import { type Server, startServer } from "./server";

test.describe("a stream", () => {
  let server: Server;
  test.beforeAll(async () => {
    server = await startServer(["--shift", "--replay", "200"]);
  });
  test.afterAll(() => server.stop());

  test("grows, holds still while it is paused or scrolled, and follows again", async ({ page }) => {
    await enter(page, server);
    await page.goto(`${server.url}/live`);
    await settled(page);
    const first = page.locator("#row-0");
    const before = await first.textContent();
    await expect.poll(() => first.textContent()).not.toBe(before);

    await page.keyboard.press("p");
    await expect(page.getByRole("button", { name: "Go on" })).toBeVisible();
    const held = await first.textContent();
    await expect(page.getByRole("button", { name: /new event/ })).toContainText(/[1-9]/);
    await page.waitForTimeout(700);
    expect(await first.textContent()).toBe(held);
    await page.getByRole("button", { name: /new event/ }).click();
    await expect.poll(() => first.textContent()).not.toBe(held);

    // A chosen row stays chosen and where it is.
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    const chosen = page.locator("[role=option][aria-selected=true]");
    const text = await chosen.textContent();
    await page.waitForTimeout(500);
    expect(await chosen.textContent()).toBe(text);
    await page.keyboard.press("Escape");
    await expect(chosen).toHaveCount(0);
  });

  test("keeps to its filter", async ({ page }) => {
    await enter(page, server);
    await page.goto(`${server.url}/live?q=denied`);
    await settled(page);
    await expect(page.getByText("live", { exact: true })).toBeVisible();
    await page.waitForTimeout(1500);
    const texts = await page.getByRole("option").allTextContents();
    expect(texts.length).toBeGreaterThan(10);
    for (const text of texts) expect(text).toMatch(/denied|killed|would deny|lost/);
    await page.getByRole("button", { name: "file", exact: true }).click();
    await expect(page).toHaveURL(/kind:file|kind%3Afile/);
    await page.waitForTimeout(800);
    for (const text of await page.getByRole("option").allTextContents())
      expect(text).toMatch(/read|write|create|delete|rename|link|attributes|lost/);
  });
});

test("a hundred thousand rows stay fluid while more come", async ({ page }) => {
  test.setTimeout(180_000);
  const server = await startServer(["--shift", "--replay", "4000"]);
  try {
    await enter(page, server);
    await page.goto(`${server.url}/live`);
    await settled(page);
    await expect
      .poll(
        async () =>
          Number(
            (await page.locator("main header p").first().textContent())
              ?.match(/([\d,]+) events here/)?.[1]
              ?.replaceAll(",", ""),
          ),
        { timeout: 150_000, intervals: [1000] },
      )
      .toBe(100_000);

    const list = page.getByRole("listbox", { name: /events, newest first/ });
    expect(await page.getByRole("option").count(), "only what is seen exists").toBeLessThan(120);
    // What the page itself needs is measured in the processor time of its main thread: how long a frame takes on the
    // clock also tells what else the machine does.
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    const busy = async () =>
      (await session.send("Performance.getMetrics")).metrics.find((one) => one.name === "TaskDuration")?.value ?? 0;
    const before = await busy();
    const wall = await list.evaluate(async (element) => {
      const times: number[] = [];
      let last = performance.now();
      for (let at = 0; at < 90; at += 1) {
        element.scrollTop = (element.scrollHeight * at) / 90;
        await new Promise((resolve) => requestAnimationFrame(resolve));
        const now = performance.now();
        times.push(now - last);
        last = now;
      }
      return times.sort((a, b) => a - b)[45] ?? 0;
    });
    const perFrame = ((await busy()) - before) * (1000 / 90);
    const words = `${perFrame.toFixed(1)} ms of processor time, ${wall.toFixed(1)} ms on the clock (median)`;
    process.stdout.write(`      a frame of a jump in 100,000 rows, 4,000 more a second: ${words}\n`);
    expect(perFrame).toBeLessThan(33);
    await page.keyboard.press("End");
    const memory = await page.evaluate(
      () => (performance as unknown as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize ?? 0,
    );
    expect(memory).toBeLessThan(600e6);
  } finally {
    await server.stop();
  }
});
