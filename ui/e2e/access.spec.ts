// SPDX-License-Identifier: Apache-2.0
// Logging in and out, and what is shown when the server refuses or is gone.
import { enter, expect, settled, test } from "./fixtures";
import { startServer } from "./server";

test("a wrong token is refused in words; the right one leads to the page that was asked for", async ({
  page,
  server,
  trouble,
}) => {
  void trouble;
  await page.goto("/sessions");
  await expect(page).toHaveURL(/\/login\?next=/);
  await page.getByLabel("Token").fill("not the token");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).not.toBeEmpty();
  await page.getByLabel("Token").fill(server.token);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(`${server.url}/sessions`);
  await expect(page.getByRole("heading", { name: "Sessions" })).toBeVisible();
  const cookie = (await page.context().cookies()).find((one) => one.name === "lictor");
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict" });
  expect(await page.evaluate(() => JSON.stringify([localStorage, document.cookie]))).not.toContain(server.token);
  await page.getByRole("button", { name: "log out" }).click();
  await expect(page).toHaveURL(/\/login/);
  await page.goto("/");
  await expect(page).toHaveURL(/\/login/);
});

test("a login leads to no other host", async ({ page, server, trouble }) => {
  void trouble;
  for (const next of ["//evil.example/", "/\\evil.example", "https://evil.example/"]) {
    await page.context().clearCookies();
    await page.goto(`/login?next=${encodeURIComponent(next)}`);
    await page.getByLabel("Token").fill(server.token);
    await page.keyboard.press("Enter");
    await expect(page).toHaveURL(`${server.url}/`);
  }
});

test("a login that ends while a page is open leads to the login and back", async ({ entered: page, server }) => {
  await page.goto("/rules");
  await settled(page);
  await page.context().clearCookies();
  await page.getByRole("link", { name: "Sessions" }).click();
  await expect(page).toHaveURL(/\/login\?next=/);
  await page.getByLabel("Token").fill(server.token);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/sessions$/);
});

test("a server that goes away is told, what was shown stays, and it comes back by itself", async ({ page }) => {
  const server = await startServer(["--shift"]);
  try {
    await enter(page, server);
    await page.goto(`${server.url}/sessions`);
    await settled(page);
    const rows = await page.locator("tbody tr").count();
    expect(rows).toBeGreaterThan(5);
    await server.restart();
    // A new process knows no login: the cookie is refused, and that is told by the login page.
    await expect(page).toHaveURL(/\/login/, { timeout: 15_000 });
    await page.getByLabel("Token").fill(server.token);
    await page.keyboard.press("Enter");
    await expect(page).toHaveURL(`${server.url}/sessions`);

    await page.goto(`${server.url}/live`);
    await expect(page.getByText("live", { exact: true })).toBeVisible();
    await server.stop();
    await expect(page.getByText("connection lost, trying again")).toBeVisible();
    await expect(page.getByText("lictord does not answer.")).toBeVisible({ timeout: 15_000 });
    await expect(page.getByRole("option").first()).toBeVisible();
  } finally {
    await server.stop();
  }
});
