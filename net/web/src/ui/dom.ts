// Small helpers to build elements.

type child = Node | string | undefined | false;
type properties = { class?: string; title?: string; id?: string; on?: Record<string, (e: Event) => void>;
  set?: Record<string, string> };

/// Makes an element with class, attributes, listeners and children.
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, p: properties = {},
  ...children: child[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  if (p.class) e.className = p.class;
  if (p.id) e.id = p.id;
  if (p.title) e.title = p.title;
  for (const [name, value] of Object.entries(p.set ?? {})) {
    if (name === "style") e.style.cssText = value; // as an attribute, a page's content security policy may forbid it
    else e.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(p.on ?? {})) e.addEventListener(name, listener);
  for (const c of children) if (c !== undefined && c !== false) e.append(c);
  return e;
}

/// A drawing of strokes on a 24x24 field.
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.7",
    "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" }))
    svg.setAttribute(name, value);
  svg.classList.add("icon");
  const p = document.createElementNS("http://www.w3.org/2000/svg", "path");
  p.setAttribute("d", path);
  svg.append(p);
  return svg;
}

/// A value of the style sheet: a custom property, as it is at an element.
export const style_value = (name: string, at: Element = document.documentElement): string =>
  getComputedStyle(at).getPropertyValue(name).trim();

export const icons = {
  fit: "M4 9V5a1 1 0 0 1 1-1h4M15 4h4a1 1 0 0 1 1 1v4M20 15v4a1 1 0 0 1-1 1h-4M9 20H5a1 1 0 0 1-1-1v-4M9 12h6M12 9v6",
  follow: "M4 8h11v8H4zM15 11l5-3v8l-5-3",
  orbit: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6M3.6 9.5C6 5 15 3 19 7.5M20.4 14.5C18 19 9 21 5 16.5M19.5 3.5v4h-4M4.5 20.5v-4h4",
  fly: "M21 3 3 10.5l7 3.5 3.5 7zM10 14l11-11",
  sliders: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  gauge: "M4 18a9 9 0 1 1 16 0M12 14l4-5",
  help: "M9.3 9a2.8 2.8 0 1 1 4.2 2.4c-1 .6-1.5 1.2-1.5 2.4M12 17.2v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  console: "M4 5h16v14H4zM7.5 9.5l3 2.5-3 2.5M12.5 15h4",
  save: "M12 4v10M8 10.5l4 4 4-4M5 19h14",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1",
  region: "M5 8V5h3M16 5h3v3M19 16v3h-3M8 19H5v-3M12 8l3.5 2v4L12 16l-3.5-2v-4zM8.5 10l3.5 2 3.5-2M12 12v4",
  behind: "M3 12h7M7 8.5l3.5 3.5L7 15.5M13 7h8v10h-8z",
  point: "M12 3v5M12 16v5M3 12h5M16 12h5M12 11v2M11 12h2",
  measure: "M3.5 15.5 15.5 3.5l5 5-12 12zM7 12l2 2M10 9l3 3M13 6l2 2",
  cut: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8",
  picture: "M4 7h4l1.5-2h5L16 7h4v12H4zM12 10a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5",
  back: "M14 6l-6 6 6 6",
  next: "M10 6l6 6-6 6",
};
export type icon_name = keyof typeof icons;

/// A whole number with thin spaces: 1 234 567.
export const whole = (n: number): string => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");

/// A number in few characters: 950, 12.3k, 4.56M.
export function brief(n: number): string {
  if (n < 1000) return Math.round(n).toString();
  for (const [unit, size] of [["k", 1e3], ["M", 1e6], ["G", 1e9]] as const)
    if (n < size * 999.5) return `${(n / size).toPrecision(3)}${unit}`;
  return `${(n / 1e12).toPrecision(3)}T`;
}

/// A length in metres, to what a voxel map can tell.
export function length_text(m: number): string {
  const size = Math.abs(m);
  if (size < 5e-5) return "0";
  if (size < 0.01) return `${(1000 * m).toFixed(1)} mm`;
  if (size < 1) return `${(100 * m).toFixed(1)} cm`;
  return `${m.toFixed(size < 100 ? 2 : 1)} m`;
}

/// Bytes in decimal units.
export function bytes_text(n: number): string {
  for (const [unit, size] of [["B", 1], ["kB", 1e3], ["MB", 1e6], ["GB", 1e9]] as const)
    if (n < size * 999.5 || unit === "GB") return `${unit === "B" ? Math.round(n) : (n / size).toPrecision(3)} ${unit}`;
  return "";
}

/// Seconds in a fitting unit.
export function seconds_text(s: number): string {
  const short = (v: number): string => (v >= 100 ? Math.round(v).toString() : v.toPrecision(3));
  if (!(s > 0)) return "0";
  if (s < 1e-3) return `${short(s * 1e6)} µs`;
  if (s < 1) return `${short(s * 1e3)} ms`;
  if (s < 120) return `${short(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return `${(s / 3600).toPrecision(3)} h`;
}
