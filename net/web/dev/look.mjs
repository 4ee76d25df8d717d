// Opens the pages in headless Chromium and takes pictures of them: node dev/look.mjs http://127.0.0.1:8090 OUT [WHAT...]
// WHAT: shadings, phone, errors, console; all if none is named. Needs Chromium; WebGL is drawn in software.

import { mkdirSync } from "node:fs";
import { open_browser } from "./browser.mjs";

const [address = "http://127.0.0.1:8090", out = "pictures", ...what] = process.argv.slice(2);
const wanted = (name) => what.length === 0 || what.includes(name);
mkdirSync(out, { recursive: true });

const browser = await open_browser();
const open = async (path, size, more = {}) => {
  const context = await browser.newContext({ viewport: size, ...more });
  const page = await context.newPage();
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && console.log(`[${m.type()}] ${m.text().slice(0, 300)}`));
  page.on("pageerror", (e) => console.log(`[exception] ${e.stack ?? e}`));
  await page.goto(new URL(path, address).href);
  return page;
};
const shot = async (page, name) => {
  await page.screenshot({ path: `${out}/${name}.png` });
  console.log(name);
};
const desktop = { width: 1440, height: 900 }, phone = { width: 390, height: 844 };
const snapshot = (page) => page.evaluate(() => window.tessera.snapshot());
const settle = async (page) => {
  for (let i = 0; i < 40; i++) {
    const s = await snapshot(page);
    if (s.triangles > 20000 && s.pipeline + s.uploads < 8) return;
    await page.waitForTimeout(500);
  }
};

try {
  if (wanted("shadings")) {
    const page = await open("/", desktop);
    await settle(page);
    await page.waitForTimeout(4000);
    for (const [key, name] of [["1", "colour"], ["2", "unlit"], ["3", "shape"], ["4", "normals"], ["5", "region"], ["6", "age"],
      ["7", "height"]]) {
      await page.keyboard.press(key);
      await page.waitForTimeout(1500);
      await shot(page, `viewer-${name}`);
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.waitForTimeout(1500);
    await shot(page, "viewer-light");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.keyboard.press("1");
    await page.keyboard.press("o");
    await page.waitForTimeout(1200);
    await shot(page, "viewer-outlines");
    await page.keyboard.press("c");
    await page.waitForTimeout(4000);
    await shot(page, "viewer-follow");
    await page.keyboard.press("?");
    await page.waitForTimeout(500);
    await shot(page, "viewer-help");
    console.log(JSON.stringify(await snapshot(page)));
    await page.context().close();
  }
  if (wanted("phone")) {
    const page = await open("/", phone, { isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
    await settle(page);
    await page.waitForTimeout(3000);
    await shot(page, "phone-viewer");
    await page.getByLabel("View settings").click();
    await page.waitForTimeout(800);
    await shot(page, "phone-panel");
    await page.getByRole("button", { name: "Help" }).click();
    await page.waitForTimeout(500);
    await shot(page, "phone-help");
    await page.context().close();
  }
  if (wanted("errors")) {
    const nobody = await open("/?server=127.0.0.1:9", desktop);
    await nobody.waitForTimeout(3000);
    await shot(nobody, "error-unreachable");
    await nobody.context().close();
    for (const [port, name] of [[process.env.TOKEN_PORT, "token"], [process.env.EMPTY_PORT, "empty"]]) {
      if (!port) continue;
      for (const [size, tag] of [[desktop, ""], [phone, "-phone"]]) {
        const page = await open(`http://127.0.0.1:${port}/`, size);
        await page.waitForTimeout(3500);
        await shot(page, `state-${name}${tag}`);
        await page.context().close();
      }
    }
  }
  if (wanted("console")) {
    const page = await open("/console", { width: 1440, height: 1200 });
    await page.waitForTimeout(9000);
    await shot(page, "console");
    await page.context().close();
    const small = await open("/console", phone, { isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
    await small.waitForTimeout(5000);
    await small.screenshot({ path: `${out}/phone-console.png`, fullPage: true });
    await small.context().close();
  }
} finally {
  await browser.close();
}
