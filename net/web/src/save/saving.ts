// Files that the page makes itself: the mesh as shown, a picture of the view.

import type { hello } from "../stream/protocol";
import { join_regions } from "./export_mesh";
import { to_glb } from "./export_glb";
import { to_ply } from "./export_ply";
import type { map_scene } from "../scene/scene";
import { h } from "../ui/dom";

const stamp = (): string => new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-");

function hand_over(blob: Blob, name: string): void {
  const link = h("a", { set: { href: URL.createObjectURL(blob), download: name } });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/// Saves everything that is shown as one mesh; says how much it was.
export function save_mesh(scene: map_scene, map: hello, format: "glb" | "ply"): string {
  const mesh = join_regions(scene.surfaces.meshes(), map.quantum_m);
  const about = { generator: "Tessera viewer", epoch: map.epoch, voxel_m: map.voxel_m };
  const q = scene.upright;
  const blob = format === "ply" ? to_ply(mesh, about) : to_glb(mesh, [q.x, q.y, q.z, q.w], about);
  hand_over(blob, `tessera-${stamp()}.${format}`);
  return `Saved ${(mesh.indices.length / 3).toLocaleString("en")} triangles, ${(blob.size / 1e6).toFixed(1)} MB.`;
}

/// Saves a picture of the canvas just drawn, with what `paint` adds. Must run in the same task as the drawing: browsers clear the
/// canvas afterwards.
export async function save_picture(canvas: HTMLCanvasElement, paint: (to: CanvasRenderingContext2D,
  scale: number) => void): Promise<void> {
  const picture = h("canvas");
  picture.width = canvas.width;
  picture.height = canvas.height;
  const to = picture.getContext("2d");
  if (!to) throw new Error("this browser gives no canvas to draw on");
  to.drawImage(canvas, 0, 0);
  paint(to, canvas.width / Math.max(1, canvas.clientWidth));
  const blob = await new Promise<Blob | null>((done) => picture.toBlob(done, "image/png"));
  if (!blob) throw new Error("this browser could not write the picture");
  hand_over(blob, `tessera-${stamp()}.png`);
}
