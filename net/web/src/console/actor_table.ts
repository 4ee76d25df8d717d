// All actors in a table: sort by a click, filter by words, open a row for what it handled.

import { brief, h, seconds_text, whole } from "../ui/dom";
import type { actor_status } from "./api";
import { type actor_rate, handled_by, rate_key } from "./rates";

const most_rows = 400;

interface column {
  label: string;
  /// What to sort by.
  by: (a: actor_status, r: actor_rate) => number | string;
  text: (a: actor_status, r: actor_rate) => string;
  number?: boolean;
}

const slowest = (a: actor_status): number => Math.max(0, ...a.handlers.map((x) => x.p99_s));
const columns: column[] = [
  { label: "Role", by: (a) => a.role, text: (a) => a.role },
  { label: "Id", by: (a) => Number(a.id) || 0, text: (a) => a.id, number: true },
  { label: "Region", by: (a) => (a.region ? a.region.map((v) => String(v + 1e6)).join() : ""),
    text: (a) => a.region?.join(", ") ?? "" },
  { label: "Device", by: (a) => a.device ?? -1, text: (a) => (a.device === undefined ? "" : String(a.device)), number: true },
  { label: "State", by: (a) => a.state, text: (a) => a.state },
  { label: "Mailbox", by: (a) => a.mailbox, text: (a) => whole(a.mailbox), number: true },
  { label: "Msg/s", by: (_a, r) => r.per_s, text: (_a, r) => (r.per_s >= 10 ? brief(r.per_s) : r.per_s.toFixed(1)),
    number: true },
  { label: "Busy", by: (_a, r) => r.busy, text: (_a, r) => `${(100 * r.busy).toFixed(r.busy < 0.1 ? 1 : 0)} %`, number: true },
  { label: "Handled", by: (a) => handled_by(a), text: (a) => whole(handled_by(a)), number: true },
  { label: "p99", by: slowest, text: (a) => (a.handlers.length ? seconds_text(slowest(a)) : ""), number: true },
  { label: "Restarts", by: (a) => a.restarts, text: (a) => (a.restarts ? String(a.restarts) : ""), number: true },
  { label: "Detail", by: (a) => a.detail, text: (a) => a.last_error || a.detail },
];

interface row {
  line: HTMLTableRowElement;
  cells: HTMLTableCellElement[];
  more: HTMLTableRowElement | undefined;
}

export class actor_table {
  readonly element: HTMLElement;
  private body_ = h("tbody");
  private heads_: HTMLTableCellElement[] = [];
  private filter_: HTMLInputElement;
  private role_: HTMLSelectElement;
  private count_ = h("span", { class: "hint" });
  private rows_ = new Map<string, row>();
  private open_ = new Set<string>();
  private sort_ = { column: 0, falling: false };
  private actors_: actor_status[] = [];
  private rates_ = new Map<string, actor_rate>();

  constructor() {
    const head = h("tr");
    columns.forEach((c, i) => {
      const sort = h("button", { set: { type: "button" }, on: { click: () => this.sort_by_(i) } }, c.label);
      const cell = h("th", { class: c.number ? "number" : "", set: { scope: "col" } }, sort);
      this.heads_.push(cell);
      head.append(cell);
    });
    this.filter_ = h("input", { class: "search",
      set: { type: "search", placeholder: "Filter: role, region, state, words", "aria-label": "Filter actors" },
      on: { input: () => this.draw_() } });
    this.role_ = h("select", { set: { "aria-label": "Role" }, on: { change: () => this.draw_() } },
      h("option", { set: { value: "" } }, "All roles"));
    this.element = h(
      "section",
      { class: "card actors" },
      h("header", {}, h("h2", {}, "Actors"), this.count_, h("div", { class: "choices" }, this.filter_, this.role_)),
      h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), this.body_)),
    );
  }

  show_role(role: string): void {
    this.role_.value = this.role_.value === role ? "" : role;
    this.draw_();
    this.element.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
      block: "start" });
  }

  update(actors: actor_status[], rates: Map<string, actor_rate>): void {
    this.actors_ = actors;
    this.rates_ = rates;
    const roles = [...new Set(actors.map((a) => a.role))].sort();
    if (roles.join() !== [...this.role_.options].slice(1).map((o) => o.value).join()) {
      const chosen = this.role_.value;
      this.role_.replaceChildren(h("option", { set: { value: "" } }, "All roles"),
        ...roles.map((value) => h("option", { set: { value } }, value)));
      this.role_.value = roles.includes(chosen) ? chosen : "";
    }
    this.draw_();
  }

  private sort_by_(column: number): void {
    this.sort_ = { column, falling: this.sort_.column === column ? !this.sort_.falling : Boolean(columns[column].number) };
    this.draw_();
  }

  private draw_(): void {
    const words = this.filter_.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (a: actor_status): boolean => {
      if (this.role_.value && a.role !== this.role_.value) return false;
      const all =
        (`${a.role} ${a.id} ${a.region?.join(",") ?? ""} ${a.region?.join(", ") ?? ""} ${a.state} ${a.detail} ` +
        `${a.last_error}`).toLowerCase();
      return words.every((w) => all.includes(w));
    };
    const rate = (a: actor_status): actor_rate => this.rates_.get(rate_key(a)) ?? { per_s: 0, busy: 0 };
    const by = columns[this.sort_.column].by, sign = this.sort_.falling ? -1 : 1;
    const order = (x: number | string, y: number | string): number => (x < y ? -1 : x > y ? 1 : 0);
    const list = this.actors_.filter(matches)
      .sort((a, b) => sign * order(by(a, rate(a)), by(b, rate(b))) || order(a.role, b.role) || order(Number(a.id), Number(b.id)));
    this.count_.textContent = list.length > most_rows ? `${list.length} of ${this.actors_.length}, the first ${most_rows} shown`
      : list.length === this.actors_.length ? String(list.length) : `${list.length} of ${this.actors_.length}`;
    this.heads_.forEach((cell, i) => cell.setAttribute("aria-sort",
      i !== this.sort_.column ? "none" : this.sort_.falling ? "descending" : "ascending"));

    const wanted: HTMLTableRowElement[] = [], used = new Set<string>();
    for (const a of list.slice(0, most_rows)) {
      const key = rate_key(a);
      used.add(key);
      const r = this.rows_.get(key) ?? this.row_(key);
      this.rows_.set(key, r);
      columns.forEach((c, i) => {
        const text = c.text(a, rate(a));
        if (r.cells[i].textContent !== text) r.cells[i].textContent = text;
      });
      r.cells[11].title = a.last_error ? `last error: ${a.last_error}` : a.detail;
      r.line.className = `${a.state}${a.last_error ? " failed" : ""}${a.mailbox >= 16 ? " deep" : ""}`;
      r.line.setAttribute("aria-expanded", String(this.open_.has(key)));
      wanted.push(r.line);
      if (this.open_.has(key)) wanted.push((r.more = this.handlers_(a)));
    }
    for (const key of [...this.rows_.keys()]) if (!used.has(key)) this.rows_.delete(key);
    const same = wanted.length === this.body_.children.length && wanted.every((line, i) => this.body_.children[i] === line);
    if (!same) this.body_.replaceChildren(...wanted);
  }

  private row_(key: string): row {
    const cells = columns.map((c) => h("td", { class: c.number ? "number" : "" }));
    cells[4].classList.add("state");
    cells[11].classList.add("detail");
    const toggle = (): void => {
      if (!this.open_.delete(key)) this.open_.add(key);
      this.draw_();
    };
    const line = h("tr", { set: { tabindex: "0" },
      on: { click: toggle, keydown: (e) => (e as KeyboardEvent).key === "Enter" && toggle() } }, ...cells);
    return { line, cells, more: undefined };
  }

  private handlers_(a: actor_status): HTMLTableRowElement {
    const list = [...a.handlers].sort((x, y) => y.total_s - x.total_s);
    const total = list.reduce((n, x) => n + x.total_s, 0);
    const inner = h(
      "table",
      { class: "handlers" },
      h("thead", {}, h("tr", {}, ...["Message", "Handled", "p50", "p99", "Total",
        "Share"].map((label, i) => h("th", { class: i ? "number" : "" }, label)))),
      h("tbody", {}, ...list.map((x) =>
        h("tr", {}, h("td", {}, x.message), ...[whole(x.handled), seconds_text(x.p50_s), seconds_text(x.p99_s),
          seconds_text(x.total_s), total > 0 ? `${((100 * x.total_s) / total).toFixed(0)} %`
          : ""].map((text) => h("td", { class: "number" }, text))))),
    );
    const words = h("p", {}, a.detail, a.last_error ? h("span", { class: "error" }, ` Last error: ${a.last_error}`) : "");
    return h("tr", { class: "more" }, h("td", { set: { colspan: String(columns.length) } }, words,
      list.length ? inner : h("p", {}, "It has handled nothing yet.")));
  }
}
