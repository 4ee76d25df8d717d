// The console page: asks the service once a second while it is looked at, and shows what every actor is, does and waits for.

import { service_address_of } from "../stream/connection";
import { bytes_text, brief, h, icon, icons } from "../ui/dom";
import { notice_area } from "../ui/notice";
import { actor_table } from "./actor_table";
import { poll, poll_error, type service_state } from "./api";
import { aside_list } from "./aside_list";
import { count_window } from "./counters";
import { flow_picture } from "./flow";
import { heat_map } from "./heat_map";
import { handled_by, rates_between } from "./rates";
import { time_series } from "./series";
import { slice_panel } from "./slice_panel";
import { map_summary } from "./summary";
import { token_notice } from "../ui/words";
import "../style.css";
import "./console.css";

const period_ms = 1000;
const pause_words = ["Pause", "Resume"];

class console_page {
  private address_ = service_address_of(new URL(location.href));
  private last_: service_state | undefined;
  private asking_ = false;
  /// The service wants a token: nothing is asked until the user gives one, which opens the page anew.
  private locked_ = false;
  private counts_ = new count_window();
  private paused_ = false;
  private summary_ = new map_summary();
  private table_ = new actor_table();
  private flow_ = new flow_picture((role) => this.table_.show_role(role));
  private heat_ = new heat_map();
  private aside_ = new aside_list();
  private slice_ = new slice_panel(this.address_);
  private notices_ = new notice_area();
  private status_text_ = h("span", {}, "Connecting");
  private status_ = h("div", { class: "status", set: { "data-state": "connecting" } }, h("span", { class: "dot" }),
    this.status_text_);
  private pause_ = h("button", { class: "button",
    title: "This page asks the service once a second. Paused, it asks nothing; the service itself goes on either way.",
    set: { type: "button", "aria-pressed": "false" }, on: { click: () => this.pause() } }, pause_words[0],
    h("span", { class: "long" }, " updates"));
  private series_ = {
    keyframes: new time_series("Keyframes taken/s", (v) => v.toFixed(1)),
    messages: new time_series("Messages/s", brief),
    waiting: new time_series("Messages waiting", brief),
    triangles: new time_series("Triangles", brief),
    memory: new time_series("Field memory", bytes_text),
  };

  constructor(root: HTMLElement) {
    root.append(
      h("header", { class: "top" }, h("span", { class: "brand" }, "Tessera"), h("span", { class: "page-name" }, "Console"),
        this.status_, h("span", { class: "grow" }), this.pause_,
        h("a", { class: "button", set: { href: `./${location.search}` } }, icon(icons.orbit), "Viewer")),
      this.notices_.element,
      h("div", { class: "board" }, this.flow_.element,
        h("section", { class: "card charts", set: { "aria-label": "Over time" } },
          ...Object.values(this.series_).map((s) => s.element)),
        this.summary_.element, this.heat_.element, this.aside_.element, this.slice_.element, this.table_.element),
    );
    document.addEventListener("visibilitychange", () => void this.ask_());
    setInterval(() => void this.ask_(), period_ms);
    void this.ask_();
  }

  pause(): void {
    this.paused_ = !this.paused_;
    this.pause_.firstChild!.textContent = pause_words[Number(this.paused_)];
    this.pause_.setAttribute("aria-pressed", String(this.paused_));
    this.counts_.clear();
    if (this.paused_) this.say_("connecting", "Paused");
    void this.ask_();
  }

  private async ask_(): Promise<void> {
    if (this.asking_ || document.hidden || this.paused_ || this.locked_) return;
    this.asking_ = true;
    try {
      const state = await poll(this.address_, () => !this.paused_);
      if (!state || this.paused_) return;
      this.show_(state);
      this.say_(state.not_ready ? "connecting" : "live", state.not_ready ? "Not ready" : "Live");
      this.notices_.show(state.not_ready ? { tone: "warn", title: "The service is not ready", text: state.not_ready } : undefined,
        "strip");
    } catch (error) {
      if (!(error instanceof poll_error)) throw error;
      this.locked_ = error.status === 401;
      this.say_("offline", !this.locked_ ? "Offline" : this.address_.token ? "Token refused" : "Token needed");
      this.complain_(error);
    } finally {
      this.asking_ = false;
    }
  }

  private say_(state: string, words: string): void {
    this.status_.dataset["state"] = state;
    this.status_text_.textContent = words;
  }

  private complain_(error: poll_error): void {
    if (error.status === 401) this.notices_.show(token_notice(this.address_), "strip");
    else if (error.status === 0)
      this.notices_.show({ tone: "bad", title: "The service does not answer",
        text: `Nothing answers at ${this.address_.host}. Is it running? It is asked again every second; what is below is the ` +
              `last that was known.` }, "strip");
    else if (error.status === 503)
      this.notices_.show({ tone: "warn", title: "The service is not ready",
        text: `${error.reason || error.message}. It is asked again every second; what is below is the last that was known.` },
        "strip");
    else this.notices_.show({ tone: "bad", title: "The service gave an unexpected answer",
      text: `${error.message}. If this stays, the page and the service are of different versions: reload.` }, "strip");
  }

  private show_(state: service_state): void {
    const before = this.last_?.map.epoch === state.map.epoch ? this.last_ : undefined;
    const rates = rates_between(before, state);
    this.summary_.update(state);
    const counts = this.counts_.add(state.at_s, state.counts);
    this.flow_.update(state, rates, counts);
    this.heat_.update(state.regions);
    this.aside_.update(state.aside);
    this.slice_.update(state.map);
    this.table_.update(state.actors, rates);
    if (counts) this.series_.keyframes.add(counts.accepted);
    if (before) {
      const dt = state.at_s - before.at_s;
      const messages = (s: service_state): number => s.actors.reduce((n, a) => n + handled_by(a), 0);
      this.series_.messages.add(Math.max(0, messages(state) - messages(before)) / dt);
    }
    this.series_.waiting.add(state.actors.reduce((n, a) => n + a.mailbox, 0));
    this.series_.triangles.add(state.map.triangles);
    this.series_.memory.add(state.map.field_bytes);
    this.last_ = state;
  }
}

new console_page(document.getElementById("app-console")!);
