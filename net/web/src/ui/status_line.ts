// In what state the page is, in words: the line at the top, and a notice where the user should know or do something.

import { now_ms } from "../stream/clock";
import type { connection_state, service_address } from "../stream/connection";
import type { map_stream } from "../stream/stream";
import { h } from "./dom";
import { notice_area } from "./notice";
import { empty_notice, lost_webgl_notice, no_decoder_notice, shortage_notice, waiting_notice } from "./words";

export class status_line {
  readonly notices = new notice_area();
  private text_ = h("span", {}, "Connecting");
  readonly element = h("div", { class: "panel status" }, h("span", { class: "brand" }, "Tessera"), h("span", { class: "dot" }),
    this.text_);

  constructor(private readonly address_: service_address) {}

  /// `shown` is how many regions are on screen.
  tell(s: connection_state, stream: map_stream, shown: number, context_lost: boolean): void {
    const live = s.name === "live", asked = s.name === "waiting" && s.cause === "token",
      first = s.name === "waiting" && s.cause === "no_map";
    const words = live ? "Live" : s.name === "connecting" ? "Connecting"
      : asked ? (this.address_.token ? "Token refused" : "Token needed") : first ? "Waiting for the first keyframe" : "Offline";
    this.element.dataset["state"] = live ? "live" : s.name === "connecting" || first ? "connecting" : "offline";
    const wait_s = s.name === "waiting" && !first && Number.isFinite(s.retry_ms)
      ? Math.max(0, Math.ceil((s.retry_ms - now_ms()) / 1000)) : 0;
    this.text_.textContent = wait_s > 0 ? `${words} · retry in ${wait_s} s` : words;
    const map = stream.hello;
    this.element.title = map ? `${map.server} · voxel ${map.voxel_m} m · map ${map.epoch}` : this.address_.host;
    const empty = shown === 0 && stream.depth === 0, stats = stream.stats;
    const as = empty || asked ? "card" : "strip";
    if (context_lost) this.notices.show(lost_webgl_notice, "card");
    else if (stream.decoder_missing) this.notices.show(no_decoder_notice, as);
    else if (s.name === "waiting") this.notices.show(waiting_notice(s, this.address_, () => stream.connection.retry_now()), as);
    else if (live && stats?.shortage) this.notices.show(shortage_notice(stats.shortage), as);
    else if (live && empty && stats?.triangles === 0) this.notices.show(empty_notice(this.address_), "card");
    else if (live || empty) this.notices.show(undefined, as);
  }
}
