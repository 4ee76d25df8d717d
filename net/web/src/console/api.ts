// What the console asks the service: shapes of the answers, and one poll of all of them.

import type { service_address } from "../stream/connection";
import { read_counts, type service_counts } from "./counters";

export interface handler_status {
  message: string;
  handled: number;
  p50_s: number;
  p99_s: number;
  total_s: number;
}

export interface actor_status {
  role: string;
  id: string;
  region: [number, number, number] | undefined;
  device: number | undefined;
  state: string;
  detail: string;
  mailbox: number;
  handlers: handler_status[];
  restarts: number;
  last_error: string;
}

export interface map_status {
  epoch: string;
  hash: string;
  keyframes: number;
  rays: number;
  regions: number;
  blocks: number;
  voxels: number;
  field_bytes: number;
  vertices: number;
  triangles: number;
  bounds: number[];
  voxel_m: number;
  truncation_m: number;
  region_voxels: number;
}

export interface region_status {
  region: [number, number, number];
  device: number;
  version: number;
  blocks: number;
  voxels: number;
  bytes: number;
  vertices: number;
  triangles: number;
  patch_bytes: number;
  /// Seconds; producers' clocks differ, so only differences mean something.
  keyframe_s: number;
}

export interface aside_input {
  source: string;
  what: string;
  reason: string;
  /// Milliseconds since 1970, 0 if unknown.
  time_ms: number;
}

export interface service_state {
  actors: actor_status[];
  map: map_status;
  regions: region_status[];
  aside: aside_input[];
  counts: service_counts;
  /// Why the service is not ready, in its words; empty if it is.
  not_ready: string;
  /// This page's clock, seconds.
  at_s: number;
}

/// A poll that failed; `status` is HTTP's, 0 if nothing answered.
export class poll_error extends Error {
  override name = "poll_error";
  constructor(
    readonly status: number,
    message: string,
    /// What the service said of it, if anything.
    readonly reason = "",
  ) {
    super(message);
  }
}

type fields = Record<string, unknown>;
const object = (v: unknown): fields => (typeof v === "object" && v !== null ? (v as fields) : {});
const number = (v: unknown): number => (typeof v === "number" && Number.isFinite(v) ? v
  : typeof v === "string" && v.trim() !== "" && Number.isFinite(Number(v)) ? Number(v) : 0);
const text = (v: unknown): string => (typeof v === "string" ? v : typeof v === "number" ? String(v) : "");
const triple = (v: unknown): [number, number, number] | undefined =>
  Array.isArray(v) && v.length === 3 && v.every((n) => Number.isInteger(n)) ? (v as [number, number, number]) : undefined;

/// The list itself, or the one list inside an object.
function list(v: unknown): fields[] {
  const found = Array.isArray(v) ? v : Object.values(object(v)).find(Array.isArray);
  return ((found as unknown[] | undefined) ?? []).map(object);
}

export const read_actors = (v: unknown): actor_status[] =>
  list(v).map((a) => ({
    role: text(a["role"]) || "unknown",
    id: text(a["id"]),
    region: triple(a["region"]),
    device: typeof a["device"] === "number" ? a["device"] : undefined,
    state: text(a["state"]),
    detail: text(a["detail"]),
    mailbox: number(a["mailbox"]),
    handlers: (Array.isArray(a["handlers"]) ? a["handlers"] : []).map(object).map((h) => ({
      message: text(h["message"]), handled: number(h["handled"]), p50_s: number(h["p50_s"]), p99_s: number(h["p99_s"]),
        total_s: number(h["total_s"]),
    })),
    restarts: number(a["restarts"]),
    last_error: text(a["last_error"]),
  }));

export function read_map(v: unknown): map_status {
  const m = object(v);
  const n = (name: string): number => number(m[name]);
  return {
    epoch: text(m["epoch"]), hash: text(m["hash"]),
    keyframes: n("keyframes"), rays: n("rays"), regions: n("regions"), blocks: n("blocks"), voxels: n("voxels"),
    field_bytes: n("field_bytes"),
    vertices: n("vertices"), triangles: n("triangles"), bounds: Array.isArray(m["bounds"]) ? m["bounds"].map(number) : [],
    voxel_m: n("voxel_m"), truncation_m: n("truncation_m"), region_voxels: n("region_voxels"),
  };
}

export const read_regions = (v: unknown): region_status[] =>
  list(v).flatMap((r) => {
    const region = triple(r["region"]);
    if (!region) return [];
    const n = (name: string): number => number(r[name]);
    return [{
      region, device: n("device"), version: n("version"), blocks: n("blocks"), voxels: n("voxels"), bytes: n("bytes"),
        vertices: n("vertices"),
      triangles: n("triangles"), patch_bytes: n("patch_bytes"), keyframe_s: n("keyframe_ns") / 1e9,
    }];
  });

export const read_aside = (v: unknown): aside_input[] =>
  list(v).map((a) => ({ source: text(a["source"]), what: text(a["what"]), reason: text(a["reason"]),
    time_ms: number(a["time_ns"]) / 1e6 }));

async function answer_of(address: service_address, path: string): Promise<Response> {
  const headers: Record<string, string> = address.token ? { authorization: `Bearer ${address.token}` } : {};
  try {
    return await fetch(address.http + path, { headers, cache: "no-store", signal: AbortSignal.timeout(8000) });
  } catch {
    throw new poll_error(0, `${address.host} does not answer`);
  }
}

async function get(address: service_address, path: string): Promise<unknown> {
  const response = await answer_of(address, path);
  if (!response.ok) throw new poll_error(response.status, `${path} answered HTTP ${response.status}`,
    reason_of(await response.text().catch(() => "")));
  try {
    return await response.json();
  } catch {
    throw new poll_error(response.status, `${path} did not answer with JSON`);
  }
}

async function get_counts(address: service_address): Promise<service_counts> {
  const response = await answer_of(address, "/metrics");
  return read_counts(response.ok ? await response.text() : "");
}

/// The reason in an answer of /readyz: words, or an object with a `reason`.
export function reason_of(body: string): string {
  try {
    return text(object(JSON.parse(body))["reason"]) || body.trim();
  } catch {
    return body.trim();
  }
}

async function get_readiness(address: service_address): Promise<string> {
  const response = await answer_of(address, "/readyz");
  return response.status === 503 ? reason_of(await response.text()) || "it does not say why" : "";
}

/// Asks everything once, or only the first of it if `go_on` says no then, and the answer is undefined. Throws poll_error.
export async function poll(address: service_address, go_on: () => boolean): Promise<service_state | undefined> {
  // The first answer decides: a token that is refused is refused once, not six times.
  const actors = await get(address, "/v1/actors");
  if (!go_on()) return undefined;
  const [map, regions, aside, counts, not_ready] = await Promise.all([
    get(address, "/v1/map"), get(address, "/v1/regions"), get(address, "/v1/aside"), get_counts(address), get_readiness(address),
  ]);
  return { actors: read_actors(actors), map: read_map(map), regions: read_regions(regions), aside: read_aside(aside), counts,
    not_ready, at_s: performance.now() / 1000 };
}
