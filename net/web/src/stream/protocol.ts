// The stream protocol of docs/protocol.md: what the service says and what a viewer answers. No I/O here.

/// With v2, patches may be of codec 2, whole or partial.
export const cells_subprotocol = "tessera.v2";
/// What a viewer offers, the best first.
export const subprotocols: readonly string[] = [cells_subprotocol, "tessera.v1"];
export const patch_magic = 0x31505354;
export const patch_header_bytes = 56;

/// More than any region can have (256^3 cells); a header that claims more is damaged.
const max_triangles = 5 << 24, max_vertices = 3 << 24;

/// Names a region; the text form "x,y,z" is its key in maps.
export type region = readonly [number, number, number];

/// A region and the version of its patch, as `have` and `ack` list it; versions are 64 bits, so they travel as text.
export type held_patch = [number, number, number, string];

export interface patch {
  kind: "surface" | "empty";
  region: region;
  key: string;
  version: bigint;
  keyframe_ns: bigint;
  received_ns: bigint;
  vertices: number;
  triangles: number;
  codec: "draco" | "cells";
  /// It holds what changed since a version that the viewer has, and the payload says which.
  partial: boolean;
  /// A Draco mesh or cells, owned by this patch (a copy is not made: it views the frame).
  payload: Uint8Array<ArrayBuffer>;
}

export interface hello {
  type: "hello";
  protocol: string;
  server: string;
  epoch: string;
  voxel_m: number;
  truncation_m: number;
  region_voxels: number;
  quantum_m: number;
  /// Longest text frame that the service takes; a longer one closes the connection.
  max_text_bytes: number;
}

/// A keyframe's camera; pose is world_from_camera, row-major, a rotation times a scale and a translation.
export interface camera_pose {
  id: string;
  timestamp_ns: bigint;
  pose: Float64Array;
}

export interface cameras {
  type: "cameras";
  set: camera_pose[];
  gone: string[];
}

export interface stats {
  type: "stats";
  keyframes: number;
  keyframes_per_s: number;
  regions: number;
  triangles: number;
  viewers: number;
  pending: number;
  set_aside: number;
  /// What the service is short of, in words; empty if nothing is.
  shortage: string;
  time_ns: bigint;
}

export interface error_talk {
  type: "error";
  message: string;
  reference: string;
}

export type talk = hello | cameras | stats | error_talk | { type: "unknown"; name: string };

/// What came does not follow the protocol; the message names the field, the value and the bound.
export class protocol_error extends Error {
  override name = "protocol_error";
}

export const region_text = (r: readonly [number, number, number]): string => `${r[0]},${r[1]},${r[2]}`;

/// Reads one binary frame; `cells` tells that codec 2 was agreed on. Throws protocol_error for anything that is not a patch frame
/// from end to end.
export function parse_patch(frame: ArrayBuffer, cells = false): patch {
  if (frame.byteLength < patch_header_bytes)
    throw new protocol_error(`patch frame of ${frame.byteLength} bytes, its header alone takes ${patch_header_bytes}`);
  const head = new DataView(frame, 0, patch_header_bytes);
  const magic = head.getUint32(0, true);
  if (magic !== patch_magic)
    throw new protocol_error(`patch magic 0x${magic.toString(16)}, expected 0x${patch_magic.toString(16)}`);
  const kind = head.getUint8(4);
  if (kind > 1) throw new protocol_error(`patch kind ${kind}, known are 0 and 1`);
  const codec = head.getUint8(5);
  const is_cells = kind === 0 && codec === 2 && cells;
  if (kind === 0 && codec !== 1 && !is_cells)
    throw new protocol_error(`patch codec ${codec}, known ${cells ? "are 1 (Draco) and 2 (cells)" : "is 1 (Draco)"}`);
  const level = head.getUint8(6);
  if (level !== 0) throw new protocol_error(`patch level ${level}, known is 0`);
  const flags = head.getUint8(7), partial = is_cells && flags === 1;
  if (is_cells && flags > 1) throw new protocol_error(`patch flags ${flags}, known are 0 and 1 (partial)`);
  const region: region = [head.getInt32(8, true), head.getInt32(12, true), head.getInt32(16, true)];
  const vertices = head.getUint32(20, true);
  const triangles = head.getUint32(48, true);
  const payload_bytes = head.getUint32(52, true);
  const present = frame.byteLength - patch_header_bytes;
  if (payload_bytes !== present)
    throw new protocol_error(`patch ${region_text(region)} says ${payload_bytes} payload bytes, ${present} are there`);
  if (triangles > max_triangles)
    throw new protocol_error(`patch ${region_text(region)} says ${triangles} triangles, at most ${max_triangles} can be`);
  if (vertices > max_vertices)
    throw new protocol_error(`patch ${region_text(region)} says ${vertices} vertices, at most ${max_vertices} can be`);
  if (kind === 0 && payload_bytes === 0) throw new protocol_error(`patch ${region_text(region)} has a surface without payload`);
  if (partial && payload_bytes < 8)
    throw new protocol_error(`partial patch ${region_text(region)} of ${payload_bytes} bytes, its base alone takes 8`);
  if (kind === 1 && payload_bytes !== 0)
    throw new protocol_error(`empty patch ${region_text(region)} carries ${payload_bytes} payload bytes`);
  return {
    kind: kind === 0 ? "surface" : "empty",
    region,
    key: region_text(region),
    version: head.getBigUint64(24, true),
    keyframe_ns: head.getBigUint64(32, true),
    received_ns: head.getBigUint64(40, true),
    vertices,
    triangles,
    codec: is_cells ? "cells" : "draco",
    partial,
    payload: new Uint8Array(frame, patch_header_bytes, payload_bytes),
  };
}

type fields = Record<string, unknown>;

function text(o: fields, name: string, of: string): string {
  const value = o[name];
  if (typeof value !== "string") throw new protocol_error(`${of}.${name} is ${describe(value)}, expected text`);
  return value;
}

function number(o: fields, name: string, of: string, fallback?: number): number {
  const value = o[name];
  if (value === undefined && fallback !== undefined) return fallback;
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new protocol_error(`${of}.${name} is ${describe(value)}, expected a number`);
  return value;
}

function positive(o: fields, name: string, of: string): number {
  const value = number(o, name, of);
  if (!(value > 0)) throw new protocol_error(`${of}.${name} is ${value}, expected more than 0`);
  return value;
}

/// A 64-bit time or count, sent as text because JSON numbers lose digits; plain numbers are accepted too.
function wide(o: fields, name: string, of: string): bigint {
  const value = o[name];
  if (typeof value === "string" && /^\d{1,20}$/.test(value)) return BigInt(value);
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  throw new protocol_error(`${of}.${name} is ${describe(value)}, expected a whole number as text`);
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  const shown = JSON.stringify(value) ?? String(value);
  return shown.length > 60 ? `${shown.slice(0, 60)}...` : shown;
}

function parse_cameras(o: fields): cameras {
  if (!Array.isArray(o["cameras"])) throw new protocol_error(`cameras.cameras is ${describe(o["cameras"])}, expected a list`);
  const out: cameras = { type: "cameras", set: [], gone: [] };
  for (const entry of o["cameras"] as unknown[]) {
    if (typeof entry !== "object" || entry === null)
      throw new protocol_error(`a camera is ${describe(entry)}, expected an object`);
    const one = entry as fields;
    const id = text(one, "id", "camera");
    if (one["gone"] === true) {
      out.gone.push(id);
      continue;
    }
    const pose = one["pose"];
    if (!Array.isArray(pose) || pose.length !== 16 || !pose.every((v) => typeof v === "number" && Number.isFinite(v)))
      throw new protocol_error(`camera ${id}: pose is ${describe(pose)}, expected 16 numbers`);
    out.set.push({ id, timestamp_ns: wide(one, "timestamp_ns", "camera"), pose: Float64Array.from(pose as number[]) });
  }
  return out;
}

/// Reads one text frame. Unknown types come back as such (a newer service may say more); bad known ones throw protocol_error.
export function parse_talk(frame: string): talk {
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    throw new protocol_error(`text frame is not JSON: ${describe(frame)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new protocol_error(`text frame is ${describe(value)}, expected an object`);
  const o = value as fields;
  const type = text(o, "type", "frame");
  switch (type) {
    case "hello":
      return {
        type,
        protocol: text(o, "protocol", type),
        server: typeof o["server"] === "string" ? o["server"] : "",
        epoch: text(o, "epoch", type),
        voxel_m: positive(o, "voxel_m", type),
        truncation_m: positive(o, "truncation_m", type),
        region_voxels: positive(o, "region_voxels", type),
        quantum_m: positive(o, "quantum_m", type),
        max_text_bytes: number(o, "max_text_bytes", type, default_text_bytes),
      };
    case "cameras":
      return parse_cameras(o);
    case "stats":
      return {
        type,
        keyframes: number(o, "keyframes", type, 0),
        keyframes_per_s: number(o, "keyframes_per_s", type, 0),
        regions: number(o, "regions", type, 0),
        triangles: number(o, "triangles", type, 0),
        viewers: number(o, "viewers", type, 0),
        pending: number(o, "pending", type, 0),
        set_aside: number(o, "set_aside", type, 0),
        shortage: typeof o["shortage"] === "string" ? o["shortage"] : "",
        time_ns: wide(o, "time_ns", type),
      };
    case "error":
      return { type, message: text(o, "message", type), reference: typeof o["reference"] === "string" ? o["reference"] : "" };
    default:
      return { type: "unknown", name: type };
  }
}

/// What a service takes that does not say: what all have taken.
export const default_text_bytes = 1 << 20;

const utf8 = new TextEncoder();

/// Asks for the stream. `have`, oldest first, is cut to what fits into `max_bytes`: the newest are named. The others, `unnamed`,
/// are sent again, and the service does not tell when they are gone.
export function subscribe_frame(epoch: string, have: held_patch[], max_bits_per_s: number,
  max_bytes = default_text_bytes): { frame: string; unnamed: held_patch[] } {
  const head = JSON.stringify({ type: "subscribe", epoch, max_bits_per_s }).slice(0, -1) + ',"have":[';
  const named = newest_that_fit(have, max_bytes - utf8.encode(head).length - 2);
  return { frame: `${head}${named.join(",")}]}`, unnamed: have.slice(0, have.length - named.length) };
}

/// The last entries of a list, as JSON in their order, that take at most so many bytes with the commas between them.
function newest_that_fit(list: readonly (readonly unknown[])[], bytes: number): string[] {
  const out: string[] = [];
  for (let i = list.length - 1, left = bytes + 1; i >= 0; i--) {
    const entry = JSON.stringify(list[i]); // numbers and digits: a byte each
    left -= entry.length + 1;
    if (left < 0) break;
    out.push(entry);
  }
  return out.reverse();
}

export const view_frame = (position: number[], direction: number[]): string =>
  JSON.stringify({ type: "view", position, direction });

/// Says what is on screen, in as many frames of at most `max_bytes` as it takes.
export function ack_frames(patches: held_patch[], max_bytes = default_text_bytes): string[] {
  return listing_frames('{"type":"ack","patches":[', patches, max_bytes);
}

/// Says that nothing usable of these regions is held, so that they come whole; in as many frames as it takes.
export function lost_frames(regions: region[], max_bytes = default_text_bytes): string[] {
  return listing_frames('{"type":"lost","regions":[', regions, max_bytes);
}

function listing_frames(head: string, list: readonly (readonly unknown[])[], max_bytes: number): string[] {
  const out: string[] = [], end = "]}";
  for (let left = list; left.length > 0; ) {
    const fit = newest_that_fit(left, max_bytes - head.length - end.length);
    if (fit.length === 0) break; // not even one
    out.push(`${head}${fit.join(",")}${end}`);
    left = left.slice(0, left.length - fit.length);
  }
  return out;
}
