// The pipeline as a picture: who hands what to whom, how fast, and how much waits.

import { brief, h } from "../ui/dom";
import type { actor_status, service_state } from "./api";
import type { count_rates, counted } from "./counters";
import { type actor_rate, rate_key } from "./rates";

const main_line = ["ingest", "partitioner", "mesher", "broadcaster", "session"];
const role_names: Record<string, string> = { ingest: "Ingest", partitioner: "Partitioner", mesher: "Meshers",
  broadcaster: "Broadcaster", session: "Sessions", device: "Devices" };
/// What comes into each, and which of the service's counters tells how much of it.
const what_flows: Record<string, [words: string, counter: counted]> = {
  ingest: ["keyframes", "offered"], partitioner: ["taken", "accepted"], mesher: ["meshes", "meshes"],
    broadcaster: ["patches", "patches"], session: ["patches sent", "sent_patches"],
};

/// A mailbox this deep is worth a look.
const deep = 16;

const rate_text = (per_s: number): string => (per_s < 10 ? per_s.toFixed(1) : brief(per_s));

interface station {
  box: HTMLElement;
  count: HTMLElement;
  rate: HTMLElement;
  mailbox: HTMLElement;
  detail: HTMLElement;
  load: HTMLElement;
}

export class flow_picture {
  readonly element: HTMLElement;
  private stations_ = new Map<string, station>();
  private links_ = new Map<string, HTMLElement>();
  private side_ = h("div", { class: "flow-side" });
  private source_ = h("b", {}, "–");

  constructor(pick_role: (role: string) => void) {
    const line = h("div", { class: "flow-line" });
    line.append(h("div", { class: "station source" }, h("span", { class: "station-name" }, "Sources"), this.source_,
      h("span", { class: "station-detail" }, "offered a second")));
    for (const role of main_line) {
      const link = h("div", { class: "link" }, h("span", { class: "link-rate" }, "–"), h("i"),
        h("span", { class: "link-what" }, what_flows[role][0]));
      this.links_.set(role, link.firstElementChild as HTMLElement);
      const s = this.station_(role, pick_role);
      line.append(link, s.box);
    }
    this.element = h("section", { class: "card flow", set: { "aria-label": "Pipeline" } },
      h("header", {}, h("h2", {}, "Pipeline"),
        h("span", { class: "hint" }, "in a box: messages a second and waiting · on a link: what passes")), line, this.side_);
    this.pick_role_ = pick_role;
  }

  private readonly pick_role_: (role: string) => void;

  /// `counts` are the service's own counters a second; without them nothing is said to flow.
  update(state: service_state, rates: Map<string, actor_rate>, counts: count_rates | undefined): void {
    const by_role = new Map<string, actor_status[]>();
    for (const a of state.actors) by_role.set(a.role, [...(by_role.get(a.role) ?? []), a]);
    for (const role of main_line) this.fill_(role, by_role.get(role) ?? [], rates);
    this.source_.textContent = counts ? rate_text(counts.offered) : "–";
    for (const role of main_line) {
      const link = this.links_.get(role)!, per_s = counts?.[what_flows[role][1]] ?? 0;
      link.textContent = per_s > 0 ? `${rate_text(per_s)}/s` : "–";
      link.parentElement?.classList.toggle("flowing", per_s > 0);
    }
    this.side_.replaceChildren(
      ...[...by_role].filter(([role]) => !main_line.includes(role)).sort().map(([role, list]) => {
        const depth = list.reduce((n, a) => n + a.mailbox, 0),
          per_s = list.reduce((n, a) => n + (rates.get(rate_key(a))?.per_s ?? 0), 0);
        return h(
          "button",
          { class: "aside-station", title: list[0].detail, set: { type: "button" }, on: { click: () => this.pick_role_(role) } },
          h("span", {}, list.length > 1 ? `${role} × ${list.length}` : role), h("b", {}, `${brief(per_s)}/s`),
          h("span", { class: depth >= deep ? "mail deep" : "mail" }, String(depth)),
        );
      }),
    );
  }

  private station_(role: string, pick_role: (role: string) => void): station {
    const s: station = {
      box: h("button", { class: "station", set: { type: "button" }, on: { click: () => pick_role(role) } }),
      count: h("span", { class: "station-count" }), rate: h("b", {}, "–"), mailbox: h("span", { class: "mail" }, "0"),
      detail: h("span", { class: "station-detail" }), load: h("i", { class: "station-load" }),
    };
    s.box.append(h("span", { class: "station-name" }, role_names[role], " ", s.count),
      h("span", { class: "station-row" }, s.rate, s.mailbox), s.detail, s.load);
    this.stations_.set(role, s);
    return s;
  }

  private fill_(role: string, list: actor_status[], rates: Map<string, actor_rate>): void {
    const s = this.stations_.get(role);
    if (!s) return;
    const sum = (f: (a: actor_status) => number): number => list.reduce((n, a) => n + f(a), 0);
    const per_s = sum((a) => rates.get(rate_key(a))?.per_s ?? 0), depth = sum((a) => a.mailbox);
    const busiest = Math.min(1, Math.max(0, ...list.map((a) => rates.get(rate_key(a))?.busy ?? 0)));
    const down = list.filter((a) => a.state === "down").length, stalled = list.filter((a) => a.state === "stalled").length;
    s.count.textContent = role === "mesher" || role === "session" ? String(list.length) : "";
    s.rate.textContent = `${brief(per_s)}/s`;
    s.mailbox.textContent = String(depth);
    s.mailbox.classList.toggle("deep", depth >= deep);
    s.mailbox.title = `${depth} messages wait`;
    s.detail.textContent = down ? `${down} down`
      : stalled ? `${stalled} stalled` : list.length === 1 ? list[0].detail
      : list.length ? `busiest ${(100 * busiest).toFixed(0)} %` : "none";
    s.detail.title = list.length === 1 ? list[0].detail : "";
    s.load.style.setProperty("--load", String(busiest));
    s.box.classList.toggle("down", down + stalled > 0);
    s.box.classList.toggle("absent", list.length === 0);
  }
}
