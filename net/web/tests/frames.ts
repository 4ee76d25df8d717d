// Frames for tests, written by hand from docs/protocol.md.

export interface header_values {
  magic?: number;
  kind?: number;
  codec?: number;
  level?: number;
  flags?: number;
  region?: [number, number, number];
  vertices?: number;
  version?: bigint;
  keyframe_ns?: bigint;
  received_ns?: bigint;
  triangles?: number;
  payload_bytes?: number;
}

export function patch_frame(h: header_values = {}, payload: number[] = [1, 2, 3, 4, 5]): ArrayBuffer {
  const frame = new ArrayBuffer(56 + payload.length);
  const v = new DataView(frame);
  v.setUint32(0, h.magic ?? 0x31505354, true);
  v.setUint8(4, h.kind ?? 0);
  v.setUint8(5, h.codec ?? 1);
  v.setUint8(6, h.level ?? 0);
  v.setUint8(7, h.flags ?? 0);
  (h.region ?? [1, -2, 3]).forEach((x, i) => v.setInt32(8 + 4 * i, x, true));
  v.setUint32(20, h.vertices ?? 30, true);
  v.setBigUint64(24, h.version ?? 7n, true);
  v.setBigUint64(32, h.keyframe_ns ?? 1_700_000_000_000_000_001n, true);
  v.setBigUint64(40, h.received_ns ?? 1_700_000_000_000_000_002n, true);
  v.setUint32(48, h.triangles ?? 40, true);
  v.setUint32(52, h.payload_bytes ?? payload.length, true);
  new Uint8Array(frame, 56).set(payload);
  return frame;
}
