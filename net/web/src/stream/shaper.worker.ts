// The worker that shapes decoded meshes and keeps the border table, so that the page's own thread only uploads.

import { border_table, type border_update } from "./border_table";
import type { region } from "./protocol";
import { type decoded_mesh, fault_of, shape, type shaped_mesh } from "./shaping";

/// Work for the shaper; `generation` comes back with the answer, so that answers from before a reset can be told.
export type shaper_request =
  | { type: "shape"; generation: number; region: region; version: string; mesh: decoded_mesh }
  | { type: "remove"; generation: number; region: region; version: string }
  | { type: "reset" };

export type shaper_answer = { generation: number; region: region; version: string; neighbours: border_update[] } & (
  | { type: "shaped"; shaped: shaped_mesh }
  | { type: "removed" }
  | { type: "faulty"; reason: string }
);

const borders = new border_table();

function answer(a: shaper_answer): void {
  const moved: ArrayBuffer[] = a.neighbours.map((n) => n.normals.buffer);
  if (a.type === "shaped") moved.push(a.shaped.positions.buffer, a.shaped.normals.buffer, a.shaped.colours.buffer,
    a.shaped.indices.buffer);
  (self as unknown as Worker).postMessage(a, moved);
}

self.onmessage = (event: MessageEvent<shaper_request>): void => {
  const r = event.data;
  if (r.type === "reset") {
    borders.clear();
    return;
  }
  const named = { generation: r.generation, region: r.region, version: r.version };
  if (r.type === "remove") {
    answer({ ...named, type: "removed", neighbours: borders.remove(r.region) });
    return;
  }
  const reason = fault_of(r.mesh);
  if (reason !== undefined) {
    answer({ ...named, type: "faulty", reason, neighbours: [] });
    return;
  }
  const { shaped, border_places, border_sums } = shape(r.mesh);
  const neighbours = borders.replace(r.region, r.version, shaped, border_places, border_sums);
  answer({ ...named, type: "shaped", shaped, neighbours });
};
