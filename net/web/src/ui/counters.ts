// The counters: what is shown, what comes in, how late it is.

import { bytes_text, h, seconds_text, whole } from "./dom";

export interface counts {
  fps: number | undefined;
  triangles: number;
  regions: number;
  server_regions: number | undefined;
  bytes_per_s: number;
  bytes_total: number;
  keyframes: number | undefined;
  keyframes_per_s: number | undefined;
  latency_ms: number[] | undefined;
  pending: number | undefined;
  decoding: number;
  set_aside: number;
  viewers: number | undefined;
  geometry_bytes: number;
}

const latency_help =
  "From the moment the service received a keyframe to the frame in which its surface was drawn here: median and slowest " +
  "hundredth of the last 10 s. " +
  "The two clocks are matched by the service's messages each second, so the network's fastest one-way delay is left out.";

export class counters_panel {
  readonly element: HTMLElement;
  private values_ = new Map<string, HTMLElement>();

  constructor() {
    const row = (name: string, label: string, help = ""): HTMLElement => {
      const value = h("dd", {}, "–");
      this.values_.set(name, value);
      return h("div", { class: `count count-${name}`, title: help }, h("dt", {}, label), value);
    };
    this.element = h(
      "dl",
      { class: "panel counters", set: { "aria-label": "Counters" } },
      row("fps", "Frames/s", "Drawn in the last second; the picture is drawn only when something changes."),
      row("triangles", "Triangles"),
      row("regions", "Regions", "Shown here / in the service's map."),
      row("keyframes", "Keyframes", "Live in the map, and new ones a second."),
      row("received", "Received", "From the service, a second and in all."),
      row("latency", "Latency", latency_help),
      row("pending", "Pending", "Regions whose newest state is still to come, and patches being decoded here."),
      row("aside", "Set aside", "Inputs that the service refused; see the console for reasons."),
    );
  }

  update(c: counts): void {
    this.put_("fps", c.fps === undefined ? "idle" : String(c.fps));
    this.put_("triangles", whole(c.triangles));
    this.put_("regions", c.server_regions === undefined || c.server_regions === c.regions ? whole(c.regions)
      : `${whole(c.regions)} / ${whole(c.server_regions)}`);
    this.put_("keyframes", c.keyframes === undefined ? "–"
      : `${whole(c.keyframes)}  ·  ${(c.keyframes_per_s ?? 0).toFixed(1)}/s`);
    this.put_("received", `${bytes_text(c.bytes_per_s)}/s  ·  ${bytes_text(c.bytes_total)}`);
    const l = c.latency_ms;
    this.put_("latency", l ? `${seconds_text(Math.max(0, l[0]) / 1000)}  ·  p99 ${seconds_text(Math.max(0, l[1]) / 1000)}` : "–");
    this.put_("pending", c.pending === undefined ? "–"
      : c.decoding ? `${whole(c.pending)}  ·  ${c.decoding} here` : whole(c.pending));
    this.put_("aside", whole(c.set_aside));
    this.element.classList.toggle("has-aside", c.set_aside > 0);
  }

  private put_(name: string, text: string): void {
    const e = this.values_.get(name);
    if (e && e.textContent !== text) e.textContent = text;
  }
}
