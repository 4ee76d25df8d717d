// Binary little-endian PLY: position, normal, sRGB colour; the map's own axes, in metres. PLY has no word for which axis is up.

import type { mesh_facts, whole_mesh } from "./export_mesh";

export function to_ply(mesh: whole_mesh, about?: mesh_facts): Blob {
  const vertices = mesh.positions.length / 3, triangles = mesh.indices.length / 3;
  const plain = (text: string): string => text.replace(/[^\x20-\x7e]/g, " ");
  const notes = about ? [about.generator, "unit metre", "colours sRGB", `voxel_m ${about.voxel_m}`, `epoch ${about.epoch}`] : [];
  const head =
    "ply\nformat binary_little_endian 1.0\n" +
    notes.map((n) => `comment ${plain(n)}\n`).join("") +
    `element vertex ${vertices}\n` +
    ["x", "y", "z", "nx", "ny", "nz"].map((p) => `property float ${p}\n`).join("") +
    ["red", "green", "blue"].map((p) => `property uchar ${p}\n`).join("") +
    `element face ${triangles}\nproperty list uchar int vertex_indices\nend_header\n`;
  const vertex_bytes = 27, face_bytes = 13;
  const body = new DataView(new ArrayBuffer(vertices * vertex_bytes + triangles * face_bytes));
  for (let v = 0, at = 0; v < vertices; v++, at += vertex_bytes)
    for (let i = 0; i < 3; i++) {
      body.setFloat32(at + 4 * i, mesh.positions[3 * v + i], true);
      body.setFloat32(at + 12 + 4 * i, mesh.normals[3 * v + i], true);
      body.setUint8(at + 24 + i, mesh.colours[3 * v + i]);
    }
  for (let t = 0, at = vertices * vertex_bytes; t < triangles; t++, at += face_bytes) {
    body.setUint8(at, 3);
    for (let i = 0; i < 3; i++) body.setUint32(at + 1 + 4 * i, mesh.indices[3 * t + i], true);
  }
  return new Blob([head, body], { type: "application/octet-stream" });
}
