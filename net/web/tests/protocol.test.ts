import { describe, expect, test } from "vitest";
import { ack_frames, lost_frames, parse_patch, parse_talk, patch_header_bytes, protocol_error,
  subscribe_frame } from "../src/stream/protocol";
import { patch_frame } from "./frames";

describe("patch frames", () => {
  test("a whole frame is read field by field", () => {
    const p = parse_patch(patch_frame({ region: [-5, 0, 2147483647], version: 2n ** 64n - 1n }));
    expect(p).toMatchObject({ kind: "surface", region: [-5, 0, 2147483647], key: "-5,0,2147483647", vertices: 30,
      triangles: 40 });
    expect(p.version).toBe(18446744073709551615n);
    expect(p.keyframe_ns).toBe(1_700_000_000_000_000_001n);
    expect(p.received_ns).toBe(1_700_000_000_000_000_002n);
    expect([...p.payload]).toEqual([1, 2, 3, 4, 5]);
  });

  test("the magic is the bytes TSP1", () =>
    expect(new TextDecoder().decode(new Uint8Array(patch_frame()).subarray(0, 4))).toBe("TSP1"));

  test("kind 1 without payload removes a region", () =>
    expect(parse_patch(patch_frame({ kind: 1, vertices: 0, triangles: 0 }, []))).toMatchObject({ kind: "empty", triangles: 0 }));

  test("every truncation is refused", () => {
    const whole = patch_frame();
    for (let length = 0; length < whole.byteLength; length++)
      expect(() => parse_patch(whole.slice(0, length)), `${length} bytes`).toThrow(protocol_error);
  });

  test("bytes after the payload are refused",
    () => expect(() => parse_patch(patch_frame({ payload_bytes: 4 }))).toThrow(/says 4 payload bytes, 5 are there/));

  test.each([
    ["magic", { magic: 0x32505354 }, /magic 0x32505354/],
    ["kind", { kind: 2 }, /kind 2/],
    ["codec", { codec: 9 }, /codec 9/],
    ["level", { level: 1 }, /level 1/],
    ["payload", { payload_bytes: 0xffffffff }, /4294967295 payload bytes/],
    ["triangles", { triangles: 0xffffffff }, /4294967295 triangles/],
    ["vertices", { vertices: 0xfffffff0 }, /4294967280 vertices/],
  ])("a wrong %s is named", (_name, values, words) => expect(() => parse_patch(patch_frame(values))).toThrow(words));

  test("cells come only where they were agreed on, whole or partial", () => {
    const cells = { codec: 2 }, partial = { codec: 2, flags: 1 }, base = [8, 7, 6, 5, 4, 3, 2, 1];
    expect(() => parse_patch(patch_frame(cells))).toThrow("patch codec 2, known is 1 (Draco)");
    expect(parse_patch(patch_frame(cells), true)).toMatchObject({ codec: "cells", partial: false });
    expect(parse_patch(patch_frame(partial, [...base, 9]), true)).toMatchObject({ codec: "cells", partial: true });
    expect(parse_patch(patch_frame(), true)).toMatchObject({ codec: "draco", partial: false });
    expect(parse_patch(patch_frame({ codec: 2, kind: 1, vertices: 0, triangles: 0 }, []), true)).toMatchObject({ kind: "empty" });
    expect(() => parse_patch(patch_frame({ codec: 3 }), true)).toThrow("patch codec 3, known are 1 (Draco) and 2 (cells)");
    expect(() => parse_patch(patch_frame({ codec: 2, flags: 2 }), true)).toThrow("patch flags 2, known are 0 and 1 (partial)");
    expect(() => parse_patch(patch_frame(partial, base.slice(1)), true)).toThrow("of 7 bytes, its base alone takes 8");
  });

  test("a surface without payload and an empty region with one are refused", () => {
    expect(() => parse_patch(patch_frame({}, []))).toThrow(protocol_error);
    expect(() => parse_patch(patch_frame({ kind: 1, vertices: 0, triangles: 0 }))).toThrow(protocol_error);
  });

  test("random bytes never do anything but throw protocol_error or parse", () => {
    let seed = 12345;
    const random = (): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
    for (let round = 0; round < 2000; round++) {
      const frame = patch_frame();
      const bytes = new Uint8Array(frame);
      for (let i = 0; i < 3; i++) bytes[Math.floor(random() * patch_header_bytes)] = Math.floor(random() * 256);
      try {
        expect(parse_patch(frame).payload.byteLength).toBeLessThanOrEqual(5);
      } catch (error) {
        expect(error).toBeInstanceOf(protocol_error);
      }
    }
  });
});

describe("talk", () => {
  const hello = { type: "hello", protocol: "tessera.v1", server: "tessera 0.1.0", epoch: "ab", voxel_m: 0.05, truncation_m: 0.15,
    region_voxels: 64, quantum_m: 0.001, max_text_bytes: 4000 };

  test("hello", () => expect(parse_talk(JSON.stringify({ ...hello, news: 1 }))).toEqual(hello));
  test.each(["epoch", "voxel_m", "quantum_m", "region_voxels"])("hello without %s is refused by that name", (name) =>
    expect(() => parse_talk(JSON.stringify({ ...hello, [name]: undefined }))).toThrow(name));
  test("a quantum of zero is refused", () =>
    expect(() => parse_talk(JSON.stringify({ ...hello, quantum_m: 0 }))).toThrow(/quantum_m is 0/));

  test("cameras come and go; times keep all 64 bits", () => {
    const pose = Array.from({ length: 16 }, (_, i) => i);
    const c = parse_talk(JSON.stringify({ type: "cameras",
      cameras: [{ id: "a", timestamp_ns: "18446744073709551615", pose }, { id: "b", gone: true }] }));
    expect(c).toMatchObject({ gone: ["b"], set: [{ id: "a", timestamp_ns: 18446744073709551615n }] });
  });
  test.each([[[1, 2, 3]], [Array(16).fill("x")], [Array(17).fill(0)], [null]])("a pose of %j is refused", (pose) =>
    expect(() => parse_talk(JSON.stringify({ type: "cameras", cameras: [{ id: "a", timestamp_ns: "1", pose }] })))
      .toThrow(/camera a: pose/));

  test("stats needs its clock and nothing else", () => {
    expect(parse_talk('{"type":"stats","time_ns":"5","pending":2}')).toMatchObject({ pending: 2, keyframes: 0, time_ns: 5n });
    expect(() => parse_talk('{"type":"stats","time_ns":-5}')).toThrow(/time_ns/);
  });
  test("stats may say what the service is short of", () => {
    expect(parse_talk('{"type":"stats","time_ns":"5"}')).toMatchObject({ shortage: "" });
    expect(parse_talk('{"type":"stats","time_ns":"5","shortage":"memory-cap 64 MiB is used up"}'))
      .toMatchObject({ shortage: "memory-cap 64 MiB is used up" });
  });
  test("an unknown type is no error", () =>
    expect(parse_talk('{"type":"weather"}')).toEqual({ type: "unknown", name: "weather" }));
  test.each(["", "{", "[]", "7", "null", '"x"', "{}"])("%j is refused",
    (frame) => expect(() => parse_talk(frame)).toThrow(protocol_error));

  test("what is sent", () => {
    expect(JSON.parse(subscribe_frame("e", [[1, 2, 3, "9"]], 5e6).frame))
      .toEqual({ type: "subscribe", epoch: "e", have: [[1, 2, 3, "9"]], max_bits_per_s: 5_000_000 });
    expect(ack_frames([[0, 0, -1, "18446744073709551615"]]).map((f) => JSON.parse(f)))
      .toEqual([{ type: "ack", patches: [[0, 0, -1, "18446744073709551615"]] }]);
    expect(ack_frames([])).toEqual([]);
    expect(lost_frames([[0, 0, -1], [5, 6, 7]]).map((f) => JSON.parse(f)))
      .toEqual([{ type: "lost", regions: [[0, 0, -1], [5, 6, 7]] }]);
    expect(lost_frames([])).toEqual([]);
  });

  test("a frame takes as many bytes as the service does and no more, and names the newest", () => {
    const have = Array.from({ length: 70_000 }, (_, i): [number, number, number, string] => [i, 7 - i, 1, `${4294967296 + i}`]);
    for (const epoch of ["e", "\u00e9\"\u{1f600}"])
      for (const limit of [200, 4001, 1 << 20]) {
        const { frame, unnamed } = subscribe_frame(epoch, have, 5, limit);
        const bytes = new TextEncoder().encode(frame).length;
        expect(bytes).toBeLessThanOrEqual(limit);
        const said = JSON.parse(frame);
        expect(said.epoch).toBe(epoch);
        const first = have.length - said.have.length;
        expect(said.have).toEqual(have.slice(first));
        expect(unnamed).toEqual(have.slice(0, first));
        expect(bytes + JSON.stringify(have[first - 1]).length + 1).toBeGreaterThan(limit); // the next one would not fit
      }
    expect(JSON.parse(subscribe_frame("e", have, 0, 10).frame).have).toEqual([]);
    const frames = ack_frames(have, 4001);
    for (const frame of frames) expect(frame.length).toBeLessThanOrEqual(4001);
    expect(frames.flatMap((f) => JSON.parse(f).patches).sort((a, b) => a[0] - b[0])).toEqual(have);
    expect(ack_frames(have, 10)).toEqual([]);
  });
});
