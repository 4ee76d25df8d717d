// Opens a page in headless Chromium and does what it is told: node dev/drive.mjs URL FOLDER '{OPTIONS}' STEP...
// OPTIONS: phone, light (true or false), patience_s, browser (the address of one that runs: dev/browser.mjs), login (username and
// password, where a proxy asks for them). A page by https:// needs a certificate that the browser believes.
// STEP, done in order:
//   whole            wait until the viewer shows the service's whole map     until:EXPRESSION   wait until it is true in the page
//   rest             wait until the view has come to rest
//   key:K  label:L  button:B  tab:T  press or click that                     fill:SELECTOR=TEXT
//   tap:X,Y  drag:X,Y,X2,Y2  wheel:DY  wait:MS  goto:URL  reload
//   eval:EXPRESSION  put its value into the answer                           save:B   click button B and keep the file in FOLDER
//   shot:NAME        a picture into FOLDER                                   workers:N  wait until the page has N workers
//   requests         put the addresses asked for since the last time into the answer
//   frames           put the addresses of the frames in the page into the answer
//   framed:EXPRESSION  as until, in the first frame in the page
// Prints one JSON object: values (of eval, requests and frames, in order), files, and what scripts threw. Fails if one did, or a
// step did not end.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { open_browser } from "./browser.mjs";

const [address, folder = "pictures", options = "{}", ...steps] = process.argv.slice(2);
const o = { patience_s: 60, ...JSON.parse(options) };
mkdirSync(folder, { recursive: true });
const browser = await open_browser(o.browser);
const answer = { values: [], files: [], thrown: [] };
try {
  const size = o.phone ? { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }
    : { viewport: { width: 1440, height: 900 } };
  const ways = { colorScheme: o.light ? "light" : "dark", acceptDownloads: true, reducedMotion: "reduce",
    ...(o.login && { httpCredentials: o.login }) };
  const page = await (await browser.newContext({ ...size, ...ways })).newPage();
  page.setDefaultTimeout(1000 * o.patience_s);
  page.on("pageerror", (e) => answer.thrown.push(String(e.stack ?? e)));
  let asked = [];
  page.on("request", (r) => asked.push(r.url()));
  await page.goto(address);
  // Not waitForFunction: it evaluates text inside the page, which the service's content security policy forbids.
  const wait = async (what, holds) => {
    for (const end = Date.now() + 1000 * o.patience_s; ; await page.waitForTimeout(250)) {
      if (await holds()) return;
      if (Date.now() > end)
        throw new Error(`not within ${o.patience_s} s: ${what}\nthe page says: ` +
                        (await page.evaluate("document.body.innerText")));
    }
  };
  const until = (expression, frame = () => page) => wait(expression, () => frame()?.evaluate(expression).catch(() => false));
  const four = (text) => text.split(",").map(Number);
  const does = {
    whole: () =>
      until(`(() => {
        const s = window.tessera?.snapshot();
        return s?.stats && s.triangles > 0 && s.triangles === s.stats.triangles && s.pipeline + s.uploads === 0
          && s.stats.pending === 0;
      })()`),
    rest: () => until("tessera.snapshot().moving === false"),
    until: (expression) => until(expression),
    framed: (expression) => until(expression, () => page.frames()[1]),
    frames: () => void answer.values.push(page.frames().slice(1).map((f) => f.url())),
    workers: (n) => wait(`${n} workers`, () => page.workers().length === Number(n)),
    key: (k) => page.keyboard.press(k),
    label: (l) => page.getByLabel(l, { exact: true }).first().click(),
    button: (b) => page.getByRole("button", { name: b }).first().click(),
    tab: (t) => page.getByRole("tab", { name: t }).first().click(),
    fill: (text) => page.locator(text.slice(0, text.indexOf("="))).fill(text.slice(text.indexOf("=") + 1)),
    tap: (at) => (o.phone ? page.touchscreen.tap(...four(at)) : page.mouse.click(...four(at))),
    drag: async (at) => {
      const [x, y, x2, y2] = four(at);
      await page.mouse.move(x, y);
      await page.mouse.down();
      await page.mouse.move((x + x2) / 2, (y + y2) / 2);
      await page.mouse.move(x2, y2);
      await page.mouse.up();
    },
    wheel: async (dy) => {
      await page.mouse.move(600, 450);
      await page.mouse.wheel(0, Number(dy));
    },
    wait: (ms) => page.waitForTimeout(Number(ms)),
    goto: (url) => page.goto(url),
    reload: () => page.reload(),
    eval: async (expression) => void answer.values.push(await page.evaluate(expression)),
    requests: () => {
      answer.values.push(asked);
      asked = [];
    },
    save: async (b) => {
      const [file] = await Promise.all([page.waitForEvent("download"),
        page.getByRole("button", { name: b, exact: true }).first().click()]);
      const path = join(folder, file.suggestedFilename());
      await file.saveAs(path);
      answer.files.push(path);
    },
    shot: async (name) => {
      const path = join(folder, `${name}.png`);
      await page.screenshot({ path, fullPage: Boolean(o.full) });
      answer.files.push(path);
    },
  };
  for (const step of steps) {
    const at = step.indexOf(":"), name = at < 0 ? step : step.slice(0, at);
    if (!does[name]) throw new Error(`no step is named ${name}`);
    await does[name](at < 0 ? "" : step.slice(at + 1));
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(answer));
process.exitCode = answer.thrown.length ? 1 : 0;
