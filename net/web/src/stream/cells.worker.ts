// A worker of cells_pool: keeps the records of the regions that are its own, which partial patches build on.

import { apply, type cells_header, mesh_of, type region_records } from "./cells";
import { type region, region_text } from "./protocol";
import { cells_error } from "./range_decoder";
import type { decoded_mesh } from "./shaping";

/// Patches of one region, each on the one before it; the mesh is that of the last.
export interface cells_job {
  job: number;
  patches: { header: cells_header; payload: Uint8Array<ArrayBuffer> }[];
}

export type cells_request = ({ type: "decode" } & cells_job) | { type: "forget"; region: region } | { type: "reset" };

/// `missing`: the records that the first patch builds on are not held.
export type cells_answer = { job: number } & ({ mesh: decoded_mesh } | { reason: string; missing: boolean });

const held = new Map<string, region_records>();

function decode(job: cells_job): cells_answer {
  const key = region_text(job.patches[0].header.region);
  try {
    let records = held.get(key);
    for (const { header, payload } of job.patches) records = apply(payload, header, records);
    if (records === undefined) throw new cells_error("there is no patch to decode");
    held.set(key, records);
    return { job: job.job, mesh: mesh_of(records) };
  } catch (error) {
    held.delete(key);
    if (error instanceof cells_error) return { job: job.job, reason: error.message, missing: error.missing };
    return { job: job.job, reason: `the decoder failed: ${String(error)}`, missing: false };
  }
}

self.onmessage = (event: MessageEvent<cells_request>): void => {
  const r = event.data;
  if (r.type === "reset") held.clear();
  else if (r.type === "forget") held.delete(region_text(r.region));
  else {
    const answer = decode(r);
    const moved = "mesh" in answer
      ? [answer.mesh.positions.buffer, answer.mesh.colours.buffer, answer.mesh.indices.buffer] as ArrayBuffer[] : [];
    (self as unknown as Worker).postMessage(answer, moved);
  }
};
