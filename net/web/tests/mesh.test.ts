import { describe, expect, test } from "vitest";
import { border_table } from "../src/stream/border_table";
import { to_glb } from "../src/save/export_glb";
import { join_regions, type whole_mesh } from "../src/save/export_mesh";
import { to_ply } from "../src/save/export_ply";
import { mend } from "../src/save/mending";
import { border_flags, decode_octahedral, type decoded_mesh, encode_octahedral, fault_of, normal_sums, place_hash,
  shape } from "../src/stream/shaping";

/// A bumpy sheet over [from, to) x [0, n): neighbours share the vertices of their common edge exactly.
function sheet(from: number, to: number, n = 8): decoded_mesh {
  const height = (x: number, y: number): number => Math.round(6 * Math.sin(x * 0.9) + 5 * Math.cos(y * 1.3));
  const wide = to - from + 1, positions: number[] = [], colours: number[] = [], indices: number[] = [];
  for (let y = 0; y <= n; y++) for (let x = from; x <= to; x++) {
    positions.push(10 * x, 10 * y, height(x, y));
    colours.push(x * 10, y * 20, 128, 0);
  }
  for (let y = 0; y < n; y++) for (let x = 0; x < to - from; x++) {
    const a = y * wide + x;
    indices.push(a, a + 1, a + wide + 1, a, a + wide + 1, a + wide);
  }
  return { positions: Int32Array.from(positions), colours: Uint8Array.from(colours), indices: Uint32Array.from(indices) };
}

const place = (m: { positions: ArrayLike<number> }, v: number): string =>
  `${m.positions[3 * v]},${m.positions[3 * v + 1]},${m.positions[3 * v + 2]}`;
const normals_by_place = (m: ReturnType<typeof shape>["shaped"]): Map<string, string> =>
  new Map(Array.from({ length: m.positions.length / 3 }, (_, v) => [place(m, v), `${m.normals[2 * v]},${m.normals[2 * v + 1]}`]));

describe("shaping", () => {
  test("octahedral normals come back within a ten-thousandth", () => {
    const code = new Int16Array(2);
    for (let i = 0; i < 500; i++) {
      const z = 1 - (2 * (i + 0.5)) / 500, r = Math.sqrt(1 - z * z), x = r * Math.cos(i * 2.4), y = r * Math.sin(i * 2.4);
      encode_octahedral(x * 7, y * 7, z * 7, code, 0);
      const [u, v, w] = decode_octahedral(code, 0);
      expect(Math.hypot(u - x, v - y, w - z)).toBeLessThan(1e-4);
    }
  });

  test("the border is the open edge, and only that", () => {
    const m = sheet(0, 8), flags = border_flags(m.positions.length / 3, m.indices);
    flags.forEach((f, v) => {
      const x = m.positions[3 * v] / 10, y = m.positions[3 * v + 1] / 10;
      expect(f === 1, place(m, v)).toBe(x === 0 || x === 8 || y === 0 || y === 8);
    });
  });

  test("a closed surface has no border", () => {
    const tetrahedron = Uint32Array.of(0, 2, 1, 0, 1, 3, 1, 2, 3, 2, 0, 3);
    expect([...border_flags(4, tetrahedron)]).toEqual([0, 0, 0, 0]);
  });

  test("shaping keeps every triangle, place and colour, and puts the border first", () => {
    const m = sheet(0, 8), { shaped } = shape(m);
    const triangles = (p: ArrayLike<number>, c: ArrayLike<number>, idx: ArrayLike<number>): string[] =>
      Array.from({ length: idx.length }, (_, i) =>
        `${place({ positions: p }, idx[i])}|${c[4 * idx[i]]},${c[4 * idx[i] + 1]},${c[4 * idx[i] + 2]}`);
    expect(triangles(shaped.positions, shaped.colours, shaped.indices)).toEqual(triangles(m.positions, m.colours, m.indices));
    expect(shaped.border).toBe(32);
    expect([...shaped.bounds].slice(0, 2)).toEqual([0, 0]);
    expect([...shaped.bounds].slice(3, 5)).toEqual([80, 80]);
  });

  test("what a damaged mesh lacks is named", () => {
    const m = sheet(0, 2, 2);
    expect(fault_of(m)).toBeUndefined();
    expect(fault_of({ ...m, indices: Uint32Array.of(0, 1, 9) })).toMatch(/index is 9, and there are 9/);
    expect(fault_of({ ...m, indices: Uint32Array.of(0, 1) })).toMatch(/not whole triangles/);
    expect(fault_of({ ...m, colours: new Uint8Array(4) })).toMatch(/1 colours for 9/);
    expect(fault_of({ ...m, positions: new Int32Array(0) })).toMatch(/not whole vertices/);
  });

  test("many places hash to as many numbers", () => {
    const seen = new Set<number>();
    for (let i = 0; i < 250_000; i++) seen.add(place_hash((i % 100) * 3 - 150, (Math.floor(i / 100) % 100) - 50,
      Math.floor(i / 10_000) * 7 - 350));
    expect(seen.size).toBe(250_000);
  });
});

describe("shading over region borders", () => {
  const whole = shape(sheet(0, 16)).shaped;
  const put = (t: border_table, x: number, m: decoded_mesh, version = "1") => {
    const s = shape(m);
    const updates = t.replace([x, 0, 0], version, s.shaped, s.border_places, s.border_sums);
    return { shaped: s.shaped, updates };
  };

  test("two regions shade like one mesh, to the last bit", () => {
    const t = new border_table();
    const left = put(t, 0, sheet(0, 8)).shaped;
    const right = put(t, 1, sheet(8, 16));
    expect(right.updates.map((u) => u.key)).toEqual(["0,0,0"]);
    left.normals.set(right.updates[0].normals);
    const expected = normals_by_place(whole);
    for (const part of [left, right.shaped])
      for (const [at, normal] of normals_by_place(part)) expect(normal, at).toBe(expected.get(at));
  });

  test("a region that goes leaves its neighbour as if it had never been, and nothing in the table", () => {
    const t = new border_table();
    const alone = put(t, 0, sheet(0, 8)).shaped.normals.slice();
    const before = t.places;
    for (let round = 0; round < 50; round++) {
      put(t, 1, sheet(8, 16), String(round));
      const [update] = t.remove([1, 0, 0]);
      expect(update.key).toBe("0,0,0");
      expect([...update.normals]).toEqual([...alone.subarray(0, update.normals.length)]);
    }
    expect(t.places).toBe(before);
  });

  test("replacing a region by the same mesh changes no neighbour", () => {
    const t = new border_table();
    put(t, 0, sheet(0, 8));
    put(t, 1, sheet(8, 16));
    expect(put(t, 1, sheet(8, 16), "2").updates).toEqual([]);
  });
});

/// Its corners lie on one line, or are not three.
function has_no_area(p: ArrayLike<number>, a: number, b: number, c: number): boolean {
  const [ux, uy, uz] = [0, 1, 2].map((k) => p[3 * b + k] - p[3 * a + k]),
    [vx, vy, vz] = [0, 1, 2].map((k) => p[3 * c + k] - p[3 * a + k]);
  return uy * vz === uz * vy && uz * vx === ux * vz && ux * vy === uy * vx;
}

/// What a strict reader (CGAL, say) objects to.
function objections(positions: ArrayLike<number>, indices: ArrayLike<number>): Record<string, number> {
  const out = { repeated: 0, flat: 0, crowded: 0, fans: 0 };
  const edges = new Map<string, number>(), spokes = new Map<number, Map<number, number>>(), degree = new Map<number, number>();
  for (let t = 0; t < indices.length; t += 3) {
    const [a, b, c] = [indices[t], indices[t + 1], indices[t + 2]];
    if (a === b || b === c || c === a) out.repeated++;
    else if (has_no_area(positions, a, b, c)) out.flat++;
    for (const [x, y, z] of [[a, b, c], [b, c, a], [c, a, b]]) {
      edges.set(`${x},${y}`, (edges.get(`${x},${y}`) ?? 0) + 1);
      if (!spokes.has(x)) spokes.set(x, new Map());
      spokes.get(x)!.set(y, z);
      degree.set(x, (degree.get(x) ?? 0) + 1);
    }
  }
  for (const n of edges.values()) if (n > 1) out.crowded++;
  for (const [v, next] of spokes) {
    const begun = [...next.keys()].find((w) => ![...next.values()].includes(w)) ?? [...next.keys()][0];
    let walked = 0;
    for (let w: number | undefined = begun; w !== undefined && next.has(w) && walked < next.size; w = next.get(w)) walked++;
    if (walked !== degree.get(v)) out.fans++;
  }
  return out;
}
const sound = { repeated: 0, flat: 0, crowded: 0, fans: 0 };
const area_of = (p: ArrayLike<number>, indices: ArrayLike<number>): number => {
  let sum = 0;
  for (let t = 0; t < indices.length; t += 3) {
    const [a, b, c] = [0, 1, 2].map((k) => [0, 1, 2].map((i) => p[3 * indices[t + k] + i]));
    const u = b.map((v, i) => v - a[i]), w = c.map((v, i) => v - a[i]);
    sum += Math.hypot(u[1] * w[2] - u[2] * w[1], u[2] * w[0] - u[0] * w[2], u[0] * w[1] - u[1] * w[0]) / 2;
  }
  return sum;
};

describe("mending", () => {
  /// A closed, bumpy ball of radius r grid units, cut into eight regions that repeat the vertices of their rims.
  function ball(r: number, rings = 24): { whole: decoded_mesh; parts: decoded_mesh[] } {
    const positions: number[] = [], indices: number[] = [], around = 2 * rings;
    const at = (i: number, j: number): number => (i === 0 ? 0 : i === rings ? 1 : 2 + (i - 1) * around + (j % around));
    const put = (theta: number, phi: number): void => {
      const bump = r * (1 + 0.1 * Math.sin(5 * theta) * Math.cos(3 * phi));
      positions.push(...[Math.sin(theta) * Math.cos(phi), Math.cos(theta),
        Math.sin(theta) * Math.sin(phi)].map((v) => Math.round(bump * v)));
    };
    put(0, 0);
    put(Math.PI, 0);
    for (let i = 1; i < rings; i++) for (let j = 0; j < around; j++) put((Math.PI * i) / rings, (2 * Math.PI * j) / around);
    for (let i = 0; i < rings; i++) for (let j = 0; j < around; j++) {
      if (i > 0) indices.push(at(i, j), at(i, j + 1), at(i + 1, j + 1));
      if (i < rings - 1) indices.push(at(i, j), at(i + 1, j + 1), at(i + 1, j));
    }
    indices.forEach((v, i) => (indices[i] = v));
    const grey = (n: number): Uint8Array => new Uint8Array(4 * n).fill(128);
    const whole = { positions: Int32Array.from(positions), colours: grey(positions.length / 3),
      indices: Uint32Array.from(indices) };
    const parts = Array.from({ length: 8 }, (_, which) => {
      const own = new Map<number, number>(), p: number[] = [], idx: number[] = [];
      for (let t = 0; t < indices.length; t += 3) {
        if (Math.floor(((t / 3) * 8) / (indices.length / 3)) !== which) continue;
        for (let k = 0; k < 3; k++) {
          const v = indices[t + k];
          if (!own.has(v)) {
            own.set(v, p.length / 3);
            p.push(...positions.slice(3 * v, 3 * v + 3));
          }
          idx.push(own.get(v)!);
        }
      }
      return { positions: Int32Array.from(p), colours: grey(p.length / 3), indices: Uint32Array.from(idx) };
    });
    return { whole, parts };
  }

  test("a ball cut in eight is saved as a strict reader wants it, and closed", () => {
    const { whole, parts } = ball(400);
    const joined = join_regions(parts.map((m) => shape(m).shaped), 1);
    expect(objections(joined.positions, joined.indices)).toEqual(sound);
    expect(area_of(joined.positions, joined.indices) / area_of(whole.positions, whole.indices)).toBeCloseTo(1, 1);
    expect(joined.positions.length).toBe(whole.positions.length);
    expect(border_flags(joined.positions.length / 3, joined.indices).reduce((a, b) => a + b)).toBe(0);
  });

  test("sheets that touch along an edge, or in a point, get vertices of their own", () => {
    const cross = Int32Array.of(0, 0, 0, 10, 0, 0, 5, 10, 0, 5, -10, 0, 5, 0, 10);
    const edge = mend([0, 1, 2, 1, 0, 3, 0, 1, 4], 5);
    expect(edge.from.length).toBeGreaterThan(5);
    const copied = (m: { from: Uint32Array }, p: Int32Array): Float32Array =>
      Float32Array.from([...m.from].flatMap((v) => [...p.slice(3 * v, 3 * v + 3)]));
    expect(objections(copied(edge, cross), edge.indices)).toEqual(sound);
    const tie = Int32Array.of(0, 0, 0, 10, 5, 0, 10, -5, 0, -10, 5, 0, -10, -5, 0);
    const point = mend([0, 2, 1, 0, 3, 4], 5);
    expect(point.from.length).toBe(6);
    expect(objections(copied(point, tie), point.indices)).toEqual(sound);
  });

  test("whatever triangles with an area there are, the result is sound", () => {
    let seed = 99;
    const random = (n: number): number => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % n;
    for (let round = 0; round < 60; round++) {
      const count = 6 + random(20), p = Int32Array.from({ length: 3 * count }, () => random(4));
      const some = Array.from({ length: 5 + random(60) }, () => [random(count), random(count), random(count)]);
      const m = mend(some.filter(([a, b, c]) => !has_no_area(p, a, b, c)).flat(), count);
      expect(objections(Float32Array.from([...m.from].flatMap((v) => [...p.slice(3 * v, 3 * v + 3)])), m.indices)).toEqual(sound);
    }
  });
});

describe("saving", () => {
  const quantum_m = 0.005, about = { generator: "test", epoch: "e", voxel_m: 0.05 };
  const parts = [shape(sheet(0, 8)).shaped, shape(sheet(8, 16)).shaped];
  const joined = join_regions(parts, quantum_m);

  test("regions join without a seam, in metres", () => {
    expect(joined.positions.length / 3).toBe(17 * 9);
    expect(joined.indices.length).toBe(parts[0].indices.length + parts[1].indices.length);
    expect(Math.max(...joined.positions.filter((_, i) => i % 3 === 0))).toBeCloseTo(0.8);
    expect(border_flags(17 * 9, joined.indices).reduce((a, b) => a + b)).toBe(2 * 16 + 2 * 8);
  });

  test("PLY reads back", async () => {
    const blob = to_ply(joined, { generator: "a\nb", epoch: "e", voxel_m: 0.05 }),
      bytes = new Uint8Array(await blob.arrayBuffer());
    const text = new TextDecoder("latin1").decode(bytes), end = text.indexOf("end_header\n") + 11;
    expect(text.slice(0, end))
      .toMatch(new RegExp("^ply\nformat binary_little_endian 1\\.0\ncomment a b\ncomment unit metre\ncomment colours sRGB\n" +
                          "comment voxel_m 0\\.05\ncomment epoch e\nelement vertex 153\n"));
    expect(bytes.length).toBe(end + 153 * 27 + (joined.indices.length / 3) * 13);
    const v = new DataView(bytes.buffer, end);
    for (let i = 0; i < 153; i++) {
      expect(v.getFloat32(27 * i + 4, true)).toBe(joined.positions[3 * i + 1]);
      expect(v.getFloat32(27 * i + 20, true)).toBe(joined.normals[3 * i + 2]);
      expect(v.getUint8(27 * i + 24)).toBe(joined.colours[3 * i]);
    }
    for (let t = 0; t < joined.indices.length / 3; t++) {
      expect(v.getUint8(153 * 27 + 13 * t)).toBe(3);
      expect(v.getUint32(153 * 27 + 13 * t + 9, true)).toBe(joined.indices[3 * t + 2]);
    }
  });

  const read_glb = async (blob: Blob) => {
    const v = new DataView(await blob.arrayBuffer());
    expect([v.getUint32(0, true), v.getUint32(4, true), v.getUint32(8, true)]).toEqual([0x46546c67, 2, v.byteLength]);
    const length = v.getUint32(12, true);
    expect(v.getUint32(16, true)).toBe(0x4e4f534a);
    expect(length % 4).toBe(0);
    const json = JSON.parse(new TextDecoder().decode(new Uint8Array(v.buffer, 20, length)));
    const binary = 28 + length;
    if (json.buffers) expect([v.getUint32(20 + length, true), v.getUint32(24 + length, true)])
      .toEqual([json.buffers[0].byteLength, 0x004e4942]);
    return { json, v, binary };
  };

  test("GLB reads back: metres, linear colours, indices in bounds, turned upright", async () => {
    const { json, v, binary } = await read_glb(to_glb(joined, [1, 0, 0, 0], about));
    expect(json.nodes[0].rotation).toEqual([1, 0, 0, 0]);
    expect(json.nodes[0].extras).toEqual({ epoch: "e", voxel_m: 0.05, unit: "metre" });
    expect([json.extensionsUsed, json.materials[0].extensions]).toEqual([["KHR_materials_unlit"], { KHR_materials_unlit: {} }]);
    const at = (accessor: number): number => binary + json.bufferViews[json.accessors[accessor].bufferView].byteOffset;
    for (const view of json.bufferViews) expect(view.byteOffset % 4).toBe(0);
    expect(json.accessors[0]).toMatchObject({ count: 153, type: "VEC3", componentType: 5126 });
    expect(json.accessors[0].max[0]).toBeCloseTo(0.8);
    for (let i = 0; i < 153; i++) {
      expect(v.getFloat32(at(0) + 12 * i, true)).toBe(joined.positions[3 * i]);
      const srgb = joined.colours[3 * i + 1] / 255, linear = srgb <= 0.04045 ? srgb / 12.92 : ((srgb + 0.055) / 1.055) ** 2.4;
      expect(v.getUint16(at(2) + 8 * i + 2, true) / 65535).toBeCloseTo(linear, 4);
    }
    for (let i = 0; i < joined.indices.length; i++) expect(v.getUint32(at(3) + 4 * i, true)).toBe(joined.indices[i]);
  });

  test("an empty map saves as valid files", async () => {
    const none: whole_mesh = { positions: new Float32Array(0), normals: new Float32Array(0), colours: new Uint8Array(0),
      indices: new Uint32Array(0) };
    expect((await read_glb(to_glb(none, [0, 0, 0, 1], about))).json.scenes).toEqual([{ nodes: [] }]);
    expect(await to_ply(none).text()).toMatch(/element vertex 0\n[^]*element face 0\n/);
  });

  test("normals point out of counter-clockwise triangles", () => {
    const sums = normal_sums(Int32Array.of(0, 0, 0, 1, 0, 0, 0, 1, 0), Uint32Array.of(0, 1, 2));
    expect([...sums.subarray(0, 3)]).toEqual([0, 0, 1]);
  });
});
