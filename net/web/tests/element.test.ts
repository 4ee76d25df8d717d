import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { TesseraState, TesseraView } from "../element";
import { address_of, all_settings_of, governed_by, link_of, settings_of } from "../src/element/attributes";
import { line_of, state_of } from "../src/element/state";
import { service_address_of } from "../src/stream/connection";

const base = "https://site.example/news/today.html";

describe("what src means", () => {
  const stream = (src: string, token?: string): string => address_of({ src, token }, base).stream;
  test.each([
    ["https://host", "wss://host/v1/stream"],
    ["http://host:8080/", "ws://host:8080/v1/stream"],
    ["https://host/maps/lab", "wss://host/maps/lab/v1/stream"],
    ["https://host/maps/lab/", "wss://host/maps/lab/v1/stream"],
    ["https://host/maps/lab/index.html", "wss://host/maps/lab/v1/stream"],
    ["https://host/maps/lab/console", "wss://host/maps/lab/v1/stream"],
    ["https://host/maps/lab/?token=a%20b#shade=clay", "wss://host/maps/lab/v1/stream?token=a%20b"],
    ["/maps/", "wss://site.example/maps/v1/stream"],
    ["//host/", "wss://host/v1/stream"],
  ])("%s", (src, wanted) => expect(stream(src)).toBe(wanted));
  test("a token beside it wins", () => expect(stream("https://host/?token=old", "n&w")).toBe("wss://host/v1/stream?token=n%26w"));
  test.each([[undefined, /missing/], ["", /missing/], ["ftp://host/", /"ftp:\/\/host\/", which is no http/],
    ["http://", /no http/], ["javascript:1", /no http/]])(
    "%j is none", (src, why) => expect(() => address_of({ src }, base)).toThrow(why));
});

test("settings are those that attributes name, and nonsense is left out", () => {
  expect(settings_of({})).toEqual({});
  expect(settings_of({ shading: "clay", up: "+z" })).toEqual({ shading: "clay", up: "+z" });
  expect(settings_of({ shading: "neon", up: "down" })).toEqual({});
  expect(settings_of({ show: "" })).toEqual({ outlines: false, path: false, grid: false, backfaces: false });
  expect(settings_of({ show: "grid outlines, unheard" })).toEqual({ outlines: true, path: false, grid: true, backfaces: false });
});

test("the view is that of view, else of src, and an attribute for a setting wins", () => {
  expect(link_of({ src: "https://host/#region=1,2,3" }).region).toEqual([1, 2, 3]);
  expect(link_of({ src: "https://host/#region=1,2,3", view: "follow" })).toMatchObject({ region: undefined, following: true });
  expect(link_of({ view: "#shade=clay" }).settings).toEqual({ shading: "clay" });
  expect(link_of({ view: "shade=clay&up=%2Bz", shading: "height" }).settings).toEqual({ up: "+z" });
  expect(link_of({ view: "shade=clay", shading: "neon" }).settings).toEqual({ shading: "clay" });
});

test("an empty view is none, and what no attribute names is as the view says, or else the default", () => {
  const src = "https://host/#shade=clay&up=%2Bz";
  expect(link_of({ src, view: "" })).toEqual(link_of({ src }));
  expect(all_settings_of({ src, view: "" })).toMatchObject({ shading: "clay", up: "+z", path: true, outlines: false });
  expect(all_settings_of({ src, shading: "age", show: "outlines" }))
    .toMatchObject({ shading: "age", up: "+z", path: false, outlines: true });
  expect(all_settings_of({})).toMatchObject({ shading: "colour", up: "auto", path: true, grid: true, backfaces: true });
  expect([...governed_by("show")].sort()).toEqual(["backfaces", "grid", "outlines", "path"]);
});

describe("the element", () => {
  /// As much of a browser's element as it takes without a page.
  class bare_element {
    readonly shadow = { adoptedStyleSheets: [] as unknown[] };
    private readonly there_ = new Map<string, string>();
    attachShadow(): unknown { return this.shadow; }
    getAttribute(name: string): string | null { return this.there_.get(name) ?? null; }
    setAttribute(name: string, value: unknown): void {
      this.there_.set(name, String(value));
      this.changed_(name);
    }
    removeAttribute(name: string): void { if (this.there_.delete(name)) this.changed_(name); }
    private changed_(name: string): void { (this as unknown as element).attributeChangedCallback(name); }
  }
  class sheet { replaceSync(): void {} }
  type element = TesseraView & bare_element & { view_: unknown; attributeChangedCallback(name: string): void;
    adoptedCallback(): void };
  let made: new () => element;

  beforeAll(async () => {
    vi.stubGlobal("HTMLElement", bare_element);
    vi.stubGlobal("CSSStyleSheet", sheet);
    vi.stubGlobal("customElements", { get: () => true });
    vi.stubGlobal("document", { createElement: () => ({ setAttribute: () => {}, append: () => {} }) });
    made = (await import("../src/element/tessera_view")).TesseraView as unknown as new () => element;
  });
  afterAll(() => void vi.unstubAllGlobals());

  test("has no attribute for what is set to null or undefined", () => {
    const e = new made();
    for (const name of ["src", "token", "view", "shading", "up", "show"] as const) for (const none of [null, undefined]) {
      e[name] = "clay" as never;
      e[name] = none;
      expect([name, e.getAttribute(name)]).toEqual([name, null]);
    }
  });

  test("an attribute that goes leaves its settings as the view says, or else as at first, and others as they are", () => {
    const e = new made(), now: Record<string, unknown> = {};
    e.view_ = { settings: now, set: (name: string, value: unknown) => (now[name] = value), take: () => {} };
    e.src = "https://host/#shade=clay";
    e.shading = "age";
    e.show = "";
    expect(now).toEqual({ shading: "age", outlines: false, path: false, grid: false, backfaces: false });
    e.removeAttribute("shading");
    e.removeAttribute("show");
    expect(now).toEqual({ shading: "clay", outlines: false, path: true, grid: true, backfaces: true });
    expect([e.shading, e.show]).toEqual(["clay", "path grid backfaces"]);
    e.up = "+x";
    e.up = null;
    expect(now["up"]).toBe("auto");
  });

  test("moved into another document it has a sheet of that document", () => {
    const e = new made(), another = class extends sheet {};
    const adopt = (defaultView: unknown): void => {
      Object.assign(e, { ownerDocument: { defaultView } });
      e.adoptedCallback();
    };
    adopt({ CSSStyleSheet: another });
    expect(e.shadow.adoptedStyleSheets).toEqual([expect.any(another)]);
    adopt(null); // a document without a window may not be asked for one
  });
});

describe("the state", () => {
  const address = service_address_of(new URL("https://host/?token=t")), begun: TesseraState = { name: "connecting", reason: "" };
  const waiting = (cause: "lost" | "token" | "no_map"
    | "unreachable", detail = "why") => ({ name: "waiting", cause, detail, retry_ms: 0 }) as const;
  const of = (s: Parameters<typeof state_of>[0], before = begun, a = address): TesseraState =>
    state_of(s, a, "site.example", before);

  test("tells what waiting cures from what it does not", () => {
    expect(of({ name: "live" })).toEqual({ name: "online", reason: "" });
    expect(of(waiting("lost"))).toEqual({ name: "offline", reason: "why" });
    expect(of(waiting("token"))).toEqual({ name: "error", reason: "why" });
    expect(of(waiting("no_map"))).toEqual({ name: "connecting", reason: "why" });
  });
  test("stays lost while it is tried again", () => {
    const lost = of(waiting("lost"));
    expect(of({ name: "connecting" }, lost)).toBe(lost);
    expect(of({ name: "connecting" }, of({ name: "live" }))).toEqual(begun);
  });
  test("says that another site needs a token, where that may be it", () => {
    const open = service_address_of(new URL("https://host/"));
    expect(of(waiting("unreachable"), begun, open).reason).toMatch(/only with a token/);
    expect(of(waiting("unreachable"), begun, service_address_of(new URL("https://site.example/"))).reason).toBe("why");
    expect(of(waiting("unreachable")).reason).toBe("why");
  });
  test("has a line only where the map does not speak for itself", () => {
    expect(line_of({ name: "online", reason: "" }, 0, false)).toBe("");
    expect(line_of({ name: "online", reason: "" }, 0, true)).toBe("Live: the map is empty");
    expect(line_of(begun, 0, true)).toBe("Connecting");
    expect(line_of({ name: "offline", reason: "host does not answer" }, 3, false))
      .toBe("Offline: host does not answer · retry in 3 s");
    expect(line_of({ name: "error", reason: "the token was refused" }, 0, true)).toBe("The token was refused");
  });
});
