// SPDX-License-Identifier: Apache-2.0
// Names that are HTML, terminal commands, reordered text, several lines, no UTF-8: shown as what they are, and harmless.
import type { Page } from "@playwright/test";
import { expect, settled, test } from "./fixtures";

const PLACES = {
  live: "/live?q=session:s-hostile0",
  search: "/investigate?q=session:s-hostile0",
  session: "/sessions/s-hostile0",
  sessions: "/sessions",
  overview: "/",
  "an event of two lines": "/investigate/01M7YVXH0ST11E000000000003",
  "an event of controls": "/investigate/01M7YVXH0ST11E000000000008",
  "an event of a long name": "/investigate/01M7YVXH0ST11E000000000007",
};

/** Characters in the page's text and attributes that no reader would see, or that would move others. */
async function hidden(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const bad =
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
      /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/u;
    const found: string[] = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node instanceof Element) {
        for (const attribute of node.attributes)
          if (bad.test(attribute.value)) found.push(`${attribute.name}=${attribute.value}`);
      } else if (bad.test(node.nodeValue ?? "")) found.push(node.nodeValue ?? "");
    }
    return found;
  });
}

for (const [name, path] of Object.entries(PLACES)) {
  test(`hostile text in ${name}`, async ({ entered: page }) => {
    await page.goto(path);
    await settled(page);
    if (name === "live" || name === "search") await expect(page.getByRole("option").first()).toBeVisible();
    expect(await hidden(page)).toEqual([]);
    // What would be an element is text; the pages themselves have none of these.
    expect(await page.locator("main :is(script, iframe, img, b > agent)").count()).toBe(0);
    expect(await page.evaluate(() => document.title)).toMatch(/Lictor$/);
  });
}

test("what is hidden is shown as an escape that says its name", async ({ entered: page }) => {
  await page.goto("/investigate?q=session:s-hostile0");
  await settled(page);
  const list = page.getByRole("listbox", { name: /stored events/ });
  await expect(list).toContainText("/srv/invoice\\u{202e}gpj.exe");
  await expect(list).toContainText("/srv/a\\nDENIED nothing happened -> /srv/zero\\u{200b}width");
  await expect(list).toContainText("/srv/not-utf8-\\xff\\xfe\\x5cxff");
  await expect(list).toContainText("<img src=x onerror=alert(1)>");
  await expect(page.locator(".escape").first()).toHaveAttribute("title", /^U\+/);
});
