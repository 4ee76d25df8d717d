// The WebSocket to the service: subscribes, reconnects with backoff, and tells in what state it is and why.

import { now_ms } from "./clock";
import { type held_patch, type hello, ack_frames, cells_subprotocol, default_text_bytes, lost_frames, parse_patch, parse_talk,
  type patch, protocol_error, type region, subprotocols, subscribe_frame, type talk } from "./protocol";

/// Where the service is: beside the page, whatever folder a proxy put it in; `?server=host:port` points elsewhere, `?token=` is
/// passed through.
export interface service_address {
  stream: string;
  /// What stands before "/v1/...".
  http: string;
  host: string;
  token: string;
  /// The token as a query, with its "?"; empty without one.
  query: string;
}

export function service_address_of(page: URL): service_address {
  const token = page.searchParams.get("token") ?? "";
  const other = page.searchParams.get("server");
  const host = other || page.host;
  const place = host + (other ? "" : page.pathname.slice(0, page.pathname.lastIndexOf("/")));
  const secure = page.protocol === "https:";
  const query = token ? `?token=${encodeURIComponent(token)}` : "";
  return { stream: `${secure ? "wss" : "ws"}://${place}/v1/stream${query}`, http: `${secure ? "https" : "http"}://${place}`, host,
    token, query };
}

export type connection_state =
  | { name: "connecting" }
  | { name: "live" }
  /// Trying again at `retry_ms` (this clock; never, if a token is asked for: it is the user's turn); `cause` tells what failed.
  | { name: "waiting"; cause: "no_map" | "unreachable" | "token" | "foreign" | "no_stream" | "lost" | "protocol"
    | "overload"; detail: string; retry_ms: number };

type waiting_cause = Extract<connection_state, { name: "waiting" }>["cause"];

export interface connection_events {
  state(s: connection_state): void;
  /// Comes before the subscribe goes out: drop everything now if the epoch is another one.
  hello(h: hello): void;
  talk(t: talk): void;
  patch(p: patch): void;
  /// A frame that was not understood; the stream goes on.
  bad_frame(reason: string): void;
  received(bytes: number): void;
  have(): { epoch: string; have: held_patch[] };
  /// There were too many regions to name these to the service: they must be dropped, and come again if they still are.
  unnamed(regions: held_patch[]): void;
}

/// What HTTP says while the stream does not open: the status, or 0 if nothing answers; and whether there is no map yet because
/// its first keyframe is waited for.
export interface http_answer {
  status: number;
  no_map: boolean;
}

/// What a test replaces.
export interface connection_parts {
  open(url: string, protocols: string[]): WebSocket;
  probe(address: service_address): Promise<http_answer>;
  random(): number;
}

/// Asks whether HTTP answers, to tell a wrong token from an absent service.
async function probe(address: service_address): Promise<http_answer> {
  try {
    // No header for the token: from another site's page, a browser would ask first whether it may send one.
    const response = await fetch(`${address.http}/v1/map${address.query}`,
      { cache: "no-store", signal: AbortSignal.timeout(4000) });
    const map: unknown = response.ok ? await response.json().catch(() => undefined) : undefined;
    return { status: response.status, no_map: typeof map === "object" && map !== null && "waiting" in map };
  } catch {
    return { status: 0, no_map: false };
  }
}

const browser_parts: connection_parts = { open: (url, protocols) => new WebSocket(url, protocols), probe, random: Math.random };

const first_wait_ms = 500;
/// The first keyframe may come at any time, and the service is well: it is asked again as often as it would speak.
const no_map_wait_ms = 1_000;
const longest_wait_ms = 10_000;
/// The service says something every second; a stream silent for so long is dead, though its socket may not know.
const silence_ms = 10_000;
const hello_ms = 8_000;

export class connection {
  private max_bits_per_s_ = 0;
  private socket_: WebSocket | undefined;
  private greeted_ = false;
  /// Codec 2 was agreed on.
  private cells_ = false;
  private max_text_bytes_ = default_text_bytes;
  /// Share of that which is used. Something on the way may take less than the service does: then less is said the next time.
  private text_share_ = 1;
  private failures_ = 0;
  private last_heard_ms_ = 0;
  private retry_: ReturnType<typeof setTimeout> | undefined;
  private watch_: ReturnType<typeof setInterval> | undefined;
  private stopped_ = true;

  constructor(
    readonly address: service_address,
    private readonly events_: connection_events,
    private readonly parts_: connection_parts = browser_parts,
  ) {}

  start(): void {
    this.stopped_ = false;
    this.open_();
  }

  stop(): void {
    this.stopped_ = true;
    clearTimeout(this.retry_);
    this.drop_();
  }

  /// Tries now instead of at the next planned moment.
  retry_now(): void {
    if (this.stopped_ || this.socket_) return;
    clearTimeout(this.retry_);
    this.open_();
  }

  /// Wishes another bandwidth, 0 for any: on the open stream by another subscribe, since the service knows already what is held.
  limit(max_bits_per_s: number): void {
    this.max_bits_per_s_ = max_bits_per_s;
    if (this.greeted_) this.send(subscribe_frame(this.events_.have().epoch, [], this.max_bits_per_s_, this.text_bytes_()).frame);
  }

  /// Says what is on screen.
  acknowledge(patches: held_patch[]): void {
    for (const frame of ack_frames(patches, this.text_bytes_())) this.send(frame);
  }

  /// Asks for regions whole, of which nothing usable is held. Goes without an answer over a stream of v1, which has no partial
  /// patches.
  lose(regions: region[]): void {
    if (this.cells_) for (const frame of lost_frames(regions, this.text_bytes_())) this.send(frame);
  }

  /// Sends a text frame if the stream is open; frames are never queued for later.
  send(frame: string): boolean {
    if (!this.greeted_ || this.socket_?.readyState !== 1) return false;
    this.socket_.send(frame);
    return true;
  }

  private open_(): void {
    this.events_.state({ name: "connecting" });
    this.greeted_ = false;
    let socket: WebSocket;
    try {
      socket = this.parts_.open(this.address.stream, [...subprotocols]);
    } catch (error) {
      this.wait_("unreachable", `${this.address.host} is no address that a browser can connect to (${String(error)})`);
      return;
    }
    this.socket_ = socket;
    socket.binaryType = "arraybuffer";
    this.last_heard_ms_ = now_ms();
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => this.hear_(socket, event.data);
    socket.onclose = (event: CloseEvent) => void this.closed_(socket, event);
    this.watch_ = setInterval(() => this.look_(socket), 1000);
  }

  private drop_(): void {
    clearInterval(this.watch_);
    const socket = this.socket_;
    this.socket_ = undefined;
    this.greeted_ = false;
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  private look_(socket: WebSocket): void {
    if (socket !== this.socket_) return;
    const silent_ms = now_ms() - this.last_heard_ms_;
    if (silent_ms < (this.greeted_ ? silence_ms : hello_ms)) return;
    const greeted = this.greeted_;
    this.drop_();
    if (greeted) this.wait_("lost", `nothing came for ${Math.round(silent_ms / 1000)} s`);
    else void this.explain_("it did not answer in time");
  }

  private hear_(socket: WebSocket, data: string | ArrayBuffer): void {
    if (socket !== this.socket_) return;
    this.last_heard_ms_ = now_ms();
    this.events_.received(typeof data === "string" ? data.length : data.byteLength);
    try {
      if (typeof data === "string") this.understand_(parse_talk(data));
      else if (this.greeted_) this.events_.patch(parse_patch(data, this.cells_));
    } catch (error) {
      if (!(error instanceof protocol_error)) throw error;
      if (this.greeted_) this.events_.bad_frame(error.message);
      else this.refuse_(error.message);
    }
  }

  private understand_(t: talk): void {
    if (t.type !== "hello") {
      if (this.greeted_) this.events_.talk(t);
      return;
    }
    if (!subprotocols.includes(t.protocol)) {
      this.refuse_(`the service speaks "${t.protocol}", this page "${subprotocols.join('" and "')}"`);
      return;
    }
    this.cells_ = t.protocol === cells_subprotocol;
    this.events_.hello(t);
    this.greeted_ = true;
    this.failures_ = 0;
    this.max_text_bytes_ = t.max_text_bytes;
    const { epoch, have } = this.events_.have();
    const { frame, unnamed } = subscribe_frame(epoch, have, this.max_bits_per_s_, this.text_bytes_());
    if (unnamed.length > 0) this.events_.unnamed(unnamed);
    this.send(frame);
    this.events_.state({ name: "live" });
  }

  private text_bytes_(): number {
    return Math.floor(this.max_text_bytes_ * this.text_share_);
  }

  private refuse_(reason: string): void {
    this.drop_();
    this.wait_("protocol", reason);
  }

  private async closed_(socket: WebSocket, event: CloseEvent): Promise<void> {
    if (socket !== this.socket_) return;
    const greeted = this.greeted_;
    clearInterval(this.watch_);
    this.socket_ = undefined;
    this.greeted_ = false;
    const words = event.reason ? `"${event.reason}" (code ${event.code})` : `code ${event.code}`;
    if (event.code === 1009) this.text_share_ /= 4;
    if (event.code === 1009) this.wait_("protocol", `a message was too large for the service: ${words}`);
    else if (event.code === 1013) this.wait_("overload", `the service has no room for another viewer: ${words}`);
    else if (greeted) this.wait_("lost", words);
    else await this.explain_(words);
  }

  /// A stream that never opened: HTTP tells why.
  private async explain_(words: string): Promise<void> {
    const { status, no_map } = await this.parts_.probe(this.address);
    if (this.stopped_ || this.socket_) return;
    if (no_map) this.wait_("no_map", "the service waits for its first keyframe");
    else if (status === 403) this.wait_("foreign", "it refused a page of another site");
    else if (status === 401) this.wait_("token", this.address.token ? "the token was refused" : "the service asks for a token");
    else if (status === 503) this.wait_("overload", "the service is not ready (HTTP 503)");
    else if (status === 0) this.wait_("unreachable", `${this.address.host} does not answer`);
    else this.wait_("no_stream", `${this.address.host} answers HTTP (status ${status}), but the stream did not open: ${words}`);
  }

  private wait_(cause: waiting_cause, detail: string): void {
    if (this.stopped_) return;
    if (cause === "token") {
      this.events_.state({ name: "waiting", cause, detail, retry_ms: Infinity });
      return;
    }
    if (cause === "no_map") {
      this.failures_ = 0;
      this.again_(cause, detail, no_map_wait_ms);
      return;
    }
    const steep = Math.min(longest_wait_ms, first_wait_ms * 2 ** this.failures_++);
    const wait = (cause === "protocol" ? longest_wait_ms : steep) * (0.75 + 0.5 * this.parts_.random());
    this.again_(cause, detail, wait);
  }

  private again_(cause: waiting_cause, detail: string, wait_ms: number): void {
    this.events_.state({ name: "waiting", cause, detail, retry_ms: now_ms() + wait_ms });
    this.retry_ = setTimeout(() => this.open_(), wait_ms);
  }
}
