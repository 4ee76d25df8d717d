// Opens the viewer in headless Chromium and waits until it shows the service's whole map:
// node dev/check.mjs URL [PICTURE.png] [SECONDS]
// Prints what the viewer shows and the service says, and fails if triangles or regions differ, a decode failed or a script threw,
// or if the viewer's link to the console leads nowhere.

import { open_browser } from "./browser.mjs";

const [address = "http://127.0.0.1:8080/", picture, seconds = "60"] = process.argv.slice(2);
const url = new URL(address), token = url.searchParams.get("token");
const browser = await open_browser();
let whole = false, console_works = false, shown, said;
const thrown = [];
try {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.on("pageerror", (e) => thrown.push(String(e.stack ?? e)));
  await page.goto(url.href);
  const until = Date.now() + 1000 * Number(seconds);
  while (!whole && Date.now() < until) {
    await page.waitForTimeout(500);
    shown = await page.evaluate(() => window.tessera?.snapshot());
    const answer = await fetch(new URL("v1/map", url), { headers: token ? { authorization: `Bearer ${token}` } : {} });
    said = await answer.json();
    whole = shown !== undefined && shown.triangles > 0 && shown.triangles === said.triangles
      && shown.pipeline + shown.uploads === 0;
  }
  await page.keyboard.press("f");
  await page.waitForTimeout(2500);
  if (picture) await page.screenshot({ path: picture });
  await page.goto(await page.evaluate(() => document.querySelector('a[href^="console"]').href));
  console_works = await page.waitForFunction(() => document.body.innerText.includes("broadcaster"), undefined,
    { timeout: 30_000 }).then(() => true, () => false);
} finally {
  await browser.close();
}
console.log(JSON.stringify({ whole, console_works, shown, said, thrown }, null, 1));
process.exitCode = whole && console_works && shown.decode_failures === 0 && thrown.length === 0 ? 0 : 1;
