// Binary glTF 2.0. glTF is y-up and its vertex colours are linear, so the node turns the map upright and colours become 16-bit
// linear. They hold the room's light already: the material is unlit, so that readers do not light them again.

import type { mesh_facts, whole_mesh } from "./export_mesh";

const float = 5126, unsigned_short = 5123, unsigned_int = 5125;
const array_buffer = 34962, element_array_buffer = 34963;

/// sRGB byte to 16-bit linear: 8 bits of linear would show steps in the darks.
const linear_of = Uint16Array.from({ length: 256 }, (_, byte) => {
  const s = byte / 255;
  return Math.round(65535 * (s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4));
});

/// `upright` is the rotation (quaternion x y z w) from the map to y-up.
export function to_glb(mesh: whole_mesh, upright: [number, number, number, number], about: mesh_facts): Blob {
  const vertices = mesh.positions.length / 3;
  const colours = new Uint16Array(4 * vertices);
  for (let v = 0; v < vertices; v++) {
    for (let i = 0; i < 3; i++) colours[4 * v + i] = linear_of[mesh.colours[3 * v + i]];
    colours[4 * v + 3] = 65535;
  }
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < mesh.positions.length; i++) {
    low[i % 3] = Math.min(low[i % 3], mesh.positions[i]);
    high[i % 3] = Math.max(high[i % 3], mesh.positions[i]);
  }
  const parts = [mesh.positions, mesh.normals, colours, mesh.indices];
  let offset = 0;
  const views = parts.map((part, i) => {
    const view = { buffer: 0, byteOffset: offset, byteLength: part.byteLength,
      target: i === 3 ? element_array_buffer : array_buffer };
    offset += part.byteLength;
    return view;
  });
  const empty = vertices === 0;
  const json = {
    asset: { version: "2.0", generator: about.generator },
    scene: 0,
    scenes: [{ nodes: empty ? [] : [0] }],
    ...(empty
      ? {}
      : {
          extensionsUsed: ["KHR_materials_unlit"],
          nodes: [{ name: "map", mesh: 0, rotation: upright,
            extras: { unit: "metre", voxel_m: about.voxel_m, epoch: about.epoch } }],
          meshes: [{ name: "map", primitives: [{ attributes: { POSITION: 0, NORMAL: 1, COLOR_0: 2 }, indices: 3, material: 0,
            mode: 4 }] }],
          materials: [{ name: "surface", pbrMetallicRoughness: { metallicFactor: 0, roughnessFactor: 1 }, doubleSided: false,
            extensions: { KHR_materials_unlit: {} } }],
          accessors: [
            { bufferView: 0, componentType: float, count: vertices, type: "VEC3", min: low, max: high },
            { bufferView: 1, componentType: float, count: vertices, type: "VEC3" },
            { bufferView: 2, componentType: unsigned_short, normalized: true, count: vertices, type: "VEC4" },
            { bufferView: 3, componentType: unsigned_int, count: mesh.indices.length, type: "SCALAR" },
          ],
          bufferViews: views,
          buffers: [{ byteLength: offset }],
        }),
  };
  const text = new TextEncoder().encode(JSON.stringify(json));
  const padded = new Uint8Array(Math.ceil(text.length / 4) * 4).fill(0x20);
  padded.set(text);
  const words = (...values: number[]): ArrayBuffer => {
    const view = new DataView(new ArrayBuffer(4 * values.length));
    values.forEach((value, i) => view.setUint32(4 * i, value, true));
    return view.buffer;
  };
  const chunks: BlobPart[] = [words(padded.length, 0x4e4f534a), padded];
  if (!empty) chunks.push(words(offset, 0x004e4942), ...parts);
  const total = 12 + 8 + padded.length + (empty ? 0 : 8 + offset);
  return new Blob([words(0x46546c67, 2, total), ...chunks], { type: "model/gltf-binary" });
}
