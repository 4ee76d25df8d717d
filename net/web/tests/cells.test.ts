import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { apply, type cells_header, mesh_of, type region_records } from "../src/stream/cells";
import { case_triangles } from "../src/stream/cells_reader";
import { triangle_edges } from "../src/stream/marching_cubes";
import { parse_patch } from "../src/stream/protocol";
import { cells_error } from "../src/stream/range_decoder";
import { border_flags, type decoded_mesh, fault_of } from "../src/stream/shaping";

type place = [number, number, number];

/// A surface in a region, as whoever knows the whole field would list it: a vertex for each lattice edge that a cell uses.
interface listed_surface {
  cells: { at: place; inside: number }[];
  vertices: Map<string, { at: place; axis: number; fraction: number; colour: place }>;
}

/// Where `distance` changes its sign within the region, voxels counted from its first.
function surface_of(region_voxels: number, distance: (x: number, y: number, z: number) => number): listed_surface {
  const out: listed_surface = { cells: [], vertices: new Map() };
  for (let z = 0; z < region_voxels; z++) for (let y = 0; y < region_voxels; y++) for (let x = 0; x < region_voxels; x++) {
    const corner = (c: number): place => [x + (c & 1), y + ((c >> 1) & 1), z + (c >> 2)];
    let inside = 0;
    for (let c = 0; c < 8; c++) if (distance(...corner(c)) < 0) inside |= 1 << c;
    if (inside === 0 || inside === 255) continue;
    out.cells.push({ at: [x, y, z], inside });
    for (const e of triangle_edges[inside]) {
      const at = corner(Math.floor(e / 3)), axis = e % 3, end: place = [...at];
      end[axis]++;
      const a = distance(...at), b = distance(...end);
      out.vertices.set(`${at},${axis}`, { at, axis, fraction: Math.min(31, Math.max(1, Math.round((32 * a) / (a - b)))),
        colour: [at[0] % 52, at[1] % 52, at[2] % 52] });
    }
  }
  return out;
}

const voxel_in_block = ([x, y, z]: place): number => ((z & 7) << 6) | ((y & 7) << 3) | (x & 7);
const slot_of = ([x, y, z]: place, edge: number): number => ((z >> 3) * edge + (y >> 3)) * edge + (x >> 3);

function records_of(s: listed_surface, at: place, region_voxels: number): region_records {
  const edge = region_voxels / 8 + 1;
  const cells = s.cells.map((c) => ({ slot: slot_of(c.at, edge), name: voxel_in_block(c.at), inside: c.inside }))
    .sort((a, b) => a.slot - b.slot || a.name - b.name);
  const vertices = [...s.vertices.values()]
    .map((v) => ({ ...v, slot: slot_of(v.at, edge), name: 3 * voxel_in_block(v.at) + v.axis }))
    .sort((a, b) => a.slot - b.slot || a.name - b.name);
  const slots = [...new Set([...cells, ...vertices].map((c) => c.slot))].sort((a, b) => a - b);
  const first = (of: { slot: number }[]): Uint32Array => {
    let count = 0;
    return Uint32Array.from([...slots, Infinity], (slot) => {
      while (count < of.length && of[count].slot < slot) count++;
      return count;
    });
  };
  return { region: at, version: 1n, region_voxels, slots: Uint16Array.from(slots),
    triangles: cells.reduce((n, c) => n + case_triangles[c.inside], 0), first_cell: first(cells),
    cells: Uint16Array.from(cells, (c) => c.name), cases: Uint8Array.from(cells, (c) => c.inside), first_vertex: first(vertices),
    edges: Uint16Array.from(vertices, (v) => v.name), fractions: Uint8Array.from(vertices, (v) => v.fraction),
    colours: Uint8Array.from(vertices.flatMap((v) => v.colour)) };
}

/// The same mesh, made with names instead of numbers: canonical order is that of blocks, then of voxels or cells in them.
function plain_mesh(s: listed_surface, region: place, region_voxels: number): decoded_mesh {
  const edge = region_voxels / 8 + 1;
  const rank = (at: place, axis = 0): number => slot_of(at, edge) * 1536 + 3 * voxel_in_block(at) + axis;
  const vertices = [...s.vertices.entries()].sort(([, a], [, b]) => rank(a.at, a.axis) - rank(b.at, b.axis));
  const number = new Map(vertices.map(([name], i) => [name, i]));
  const cells = [...s.cells].sort((a, b) => rank(a.at) - rank(b.at));
  return {
    positions: Int32Array.from(vertices.flatMap(([, v]) =>
      v.at.map((c, i) => 32 * (region[i] * region_voxels + c) + (i === v.axis ? v.fraction : 0)))),
    colours: Uint8Array.from(vertices.flatMap(([, v]) => [...v.colour.map((c) => 5 * c), 255])),
    indices: Uint32Array.from(cells.flatMap((c) => triangle_edges[c.inside].map((e) => {
      const low = Math.floor(e / 3);
      return number.get(`${c.at[0] + (low & 1)},${c.at[1] + ((low >> 1) & 1)},${c.at[2] + (low >> 2)},${e % 3}`) ?? -1;
    }))),
  };
}

const ball = (size: number) => (x: number, y: number, z: number): number =>
  Math.hypot(x - size / 2 - 0.3, y - size / 2, z - size / 2 + 0.2) - size / 3;

describe("marching cubes", () => {
  test("the table has the triangles of the service's", () => {
    expect(triangle_edges.reduce((n, edges) => n + edges.length, 0)).toBe(3 * 820);
    expect(new Set(triangle_edges.map((edges) => edges.join())).size).toBe(255); // none for no corner and for all
    const all = triangle_edges.flatMap((edges) => [edges.length / 3, ...edges]);
    // FNV-1a of counts and edges as gpu/shared/marching_cubes.hpp has them
    expect(all.reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5)).toBe(0x8901a97c);
  });

  test("no case has an edge that does not cross the surface", () => {
    triangle_edges.forEach((edges, inside) => expect(edges.every((e) => {
      const low = Math.floor(e / 3), high = low | (1 << e % 3);
      return (((inside >> low) ^ (inside >> high)) & 1) === 1;
    })).toBe(true));
  });
});

describe("the mesh of records", () => {
  test.each([16, 24])("is that of the whole field, in canonical order, in a region of %i voxels", (size) => {
    const s = surface_of(size, ball(size));
    const mesh = mesh_of(records_of(s, [-2, 0, 3], size));
    expect(mesh).toEqual(plain_mesh(s, [-2, 0, 3], size));
    expect(fault_of(mesh)).toBeUndefined();
    expect(border_flags(mesh.positions.length / 3, mesh.indices).some((f) => f !== 0)).toBe(false);
  });

  test("has vertices in the blocks beyond the region, where its last cells end, and an open edge there", () => {
    const s = surface_of(16, (x, y, z) => ball(16)(x - 7, y - 6, z - 5));
    const records = records_of(s, [0, 0, 0], 16), mesh = mesh_of(records);
    expect(Math.max(...mesh.positions)).toBe(32 * 16);
    expect(Math.max(...records.slots)).toBeGreaterThan(17);
    expect(mesh).toEqual(plain_mesh(s, [0, 0, 0], 16));
    expect(border_flags(mesh.positions.length / 3, mesh.indices).some((f) => f !== 0)).toBe(true);
  });

  test("is right after another region's, whatever is left in memory", () => {
    const cases = [16, 24, 16].map((size, i) => surface_of(size, (x, y, z) => ball(size)(x + i, y - i, z) * (i === 1 ? -1 : 1)));
    cases.forEach((s, i) => {
      const size = i === 1 ? 24 : 16;
      expect(mesh_of(records_of(s, [i, 1, 2], size))).toEqual(plain_mesh(s, [i, 1, 2], size));
    });
  });
});

/// Frames that the service wrote, each on the one before it, and digests of the meshes that it makes of them.
interface vector {
  name: string;
  region_voxels: number;
  steps: { frame: string[]; vertices: number; triangles: number; mesh: string }[];
}
const written = new URL("../../../tests/support/cells_vectors.json", import.meta.url);
const vectors = JSON.parse(readFileSync(written, "utf8")) as vector[];

interface step {
  payload: Uint8Array<ArrayBuffer>;
  header: cells_header;
}
const steps_of = (v: vector): step[] => v.steps.map(({ frame }) => {
  const p = parse_patch(Uint8Array.from(Buffer.from(frame.join(""), "hex")).buffer, true);
  return { payload: p.payload, header: { region: p.region, version: p.version, vertices: p.vertices, triangles: p.triangles,
    partial: p.partial, region_voxels: v.region_voxels } };
});

function digest(mesh: decoded_mesh): string {
  const hash = createHash("sha256").update(mesh.positions);
  return hash.update(mesh.colours.filter((_, i) => i % 4 < 3)).update(mesh.indices).digest("hex");
}

describe("payloads", () => {
  test.each(vectors)("$name: the mesh is the service's, patch by patch", (v) => {
    let held: region_records | undefined;
    steps_of(v).forEach(({ payload, header }, i) => {
      held = apply(payload, header, held);
      const mesh = mesh_of(held);
      expect([mesh.positions.length / 3, mesh.indices.length / 3]).toEqual([v.steps[i].vertices, v.steps[i].triangles]);
      expect(digest(mesh)).toBe(v.steps[i].mesh);
      expect(fault_of(mesh)).toBeUndefined();
    });
  });

  const [ball, smaller] = steps_of(vectors[1]);

  test("a partial one without its base is told apart from a bad one", () => {
    const held = apply(ball.payload, ball.header);
    const why = (h: region_records | undefined): unknown => {
      try {
        return apply(smaller.payload, smaller.header, h);
      } catch (error) {
        return error instanceof cells_error && [error.message, error.missing];
      }
    };
    expect(why(undefined)).toEqual(["it builds on version 5, and none is held", true]);
    expect(why({ ...held, version: 4n })).toEqual(["it builds on version 5, and 4 is held", true]);
    expect(why({ ...held, region: [0, 0, 1] })).toEqual(["it builds on a version of another region", true]);
    expect(() => apply(smaller.payload.subarray(0, 7), smaller.header, held)).toThrow("its base alone takes 8");
    expect(digest(mesh_of(apply(smaller.payload, smaller.header, held)))).toBe(vectors[1].steps[1].mesh);
  });

  test("what is held stays as it is, and holds nothing of blocks that became empty", () => {
    const held = apply(ball.payload, ball.header), before = digest(mesh_of(held));
    const after = apply(smaller.payload, smaller.header, held);
    expect(digest(mesh_of(held))).toBe(before);
    expect(after.slots.length).toBeLessThan(held.slots.length);
    expect(after.first_cell.length).toBe(after.slots.length + 1);
  });

  test.each([
    ["triangles", { triangles: 1447 }, "its cells have more triangles than the header says"],
    ["triangles", { triangles: 1449 }, "its cells have 1448 triangles, and the header says 1449"],
    ["triangles", { triangles: 1e6 }, "the header says 1000000 triangles; a region has 1 to 20480"],
    ["vertices", { vertices: 725 }, "its cells have 726 vertices, and the header says 725"],
    ["vertices", { vertices: 0xffffffff }, "the header says 4294967295 vertices; 1448 triangles have 3 to 4344"],
    ["region_voxels", { region_voxels: 264 }, "regions of 264 voxels; they have 8 to 256, by eights"],
    ["region", { region: [1 << 20, 0, 0] as const }, "region 1048576,0,0 is beyond the map"],
  ])("a wrong number of %s is named", (_name, values, words) =>
    expect(() => apply(ball.payload, { ...ball.header, ...values })).toThrow(words));

  test("every truncation is refused, and what is too long", () => {
    for (let length = 0; length < ball.payload.length; length += length < 20 ? 1 : 13)
      expect(() => apply(ball.payload.subarray(0, length), ball.header), `${length} bytes`).toThrow(cells_error);
    expect(() => apply(Uint8Array.of(...ball.payload, 0), ball.header)).toThrow("it has more bits than its vertices need");
  });

  test("damaged ones end in an error or in a sound mesh of the same counts, and soon", () => {
    let seed = 4711;
    const random = (below: number): number => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % below;
    const held = apply(ball.payload, ball.header);
    for (let round = 0; round < 1000; round++) {
      const { payload, header } = round % 2 ? ball : smaller, damaged = payload.slice();
      for (let i = random(3); i >= 0; i--) damaged[random(damaged.length)] ^= 1 << random(8);
      try {
        const mesh = mesh_of(apply(damaged, header, held));
        expect(fault_of(mesh)).toBeUndefined();
        expect([mesh.positions.length / 3, mesh.indices.length / 3]).toEqual([header.vertices, header.triangles]);
      } catch (error) {
        expect(error).toBeInstanceOf(cells_error);
      }
    }
    expect(digest(mesh_of(apply(ball.payload, ball.header)))).toBe(vectors[1].steps[0].mesh); // nothing of them stays
  });

  test("noise of any length ends soon, in the largest region too", () => {
    let seed = 1;
    const noise = Uint8Array.from({ length: 1 << 16 }, () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 24);
    new DataView(noise.buffer).setUint32(0, 1 << 15, true);
    for (const region_voxels of [8, 256])
      for (const fill of [noise, noise.map((b, i) => (i < 4 ? b : 0)), noise.map((b, i) => (i < 4 ? b : i === 4 ? 254 : 255))])
        expect(() => apply(fill, { ...ball.header, region_voxels, triangles: 2560 })).toThrow(cells_error);
  });
});
