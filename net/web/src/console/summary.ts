// The map in numbers, with the hash that names its content.

import { brief, bytes_text, h, icon, icons, whole } from "../ui/dom";
import type { service_state } from "./api";

export class map_summary {
  readonly element: HTMLElement;
  private values_ = new Map<string, HTMLElement>();
  private hash_ = h("code", {}, "–");

  constructor() {
    const tile = (name: string, label: string): HTMLElement => {
      const value = h("dd", {}, "–");
      this.values_.set(name, value);
      return h("div", { class: "tile" }, h("dt", {}, label), value);
    };
    const copy = h("button", { class: "ghost", title: "Copy the hash", set: { type: "button", "aria-label": "Copy the hash" },
      on: { click: () => void this.copy_(copy) } }, icon(icons.copy));
    this.element = h(
      "section",
      { class: "card summary", set: { "aria-label": "Map" } },
      h("header", {}, h("h2", {}, "Map"), h("div",
        { class: "hash", title: "128-bit hash of the map's content: equal hashes, equal maps" },
        h("span", { class: "hint" }, "hash"), this.hash_, copy)),
      h("dl", { class: "tiles" },
        tile("keyframes", "Keyframes"), tile("rays", "Rays"), tile("regions", "Regions"), tile("triangles", "Triangles"),
        tile("vertices", "Vertices"),
        tile("blocks", "Blocks"), tile("voxels", "Voxels"), tile("bytes", "Field memory"), tile("patches", "All patches"),
        tile("grid", "Voxel / truncation"), tile("extent", "Extent"), tile("epoch", "Epoch")),
    );
  }

  update(s: service_state): void {
    const m = s.map, patch_bytes = s.regions.reduce((n, r) => n + r.patch_bytes, 0);
    const put = (name: string, text: string): void => void (this.values_.get(name)!.textContent = text);
    put("keyframes", whole(m.keyframes));
    put("rays", m.rays < 1e6 ? whole(m.rays) : brief(m.rays));
    put("regions", whole(m.regions));
    put("triangles", m.triangles < 1e7 ? whole(m.triangles) : brief(m.triangles));
    put("vertices", m.vertices < 1e7 ? whole(m.vertices) : brief(m.vertices));
    put("blocks", whole(m.blocks));
    put("voxels", m.voxels < 1e7 ? whole(m.voxels) : brief(m.voxels));
    put("bytes", bytes_text(m.field_bytes));
    put("patches", m.triangles ? `${bytes_text(patch_bytes)} · ${(patch_bytes / m.triangles).toFixed(2)} B/tri`
      : bytes_text(patch_bytes));
    const cm = (v: number): string => (v < 1 ? `${+(100 * v).toPrecision(3)} cm` : `${+v.toPrecision(3)} m`);
    put("grid", m.voxel_m > 0 ? `${cm(m.voxel_m)} / ${cm(m.truncation_m)}` : "not chosen yet");
    const b = m.bounds;
    put("extent", b.length === 6 && m.regions ? [0, 1, 2].map((i) => +(b[i + 3] - b[i]).toPrecision(3)).join(" × ") + " m" : "–");
    put("epoch", m.epoch || "–");
    this.hash_.textContent = m.hash || "–";
  }

  private async copy_(button: HTMLElement): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.hash_.textContent ?? "");
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1200);
    } catch {
      getSelection()?.selectAllChildren(this.hash_);
    }
  }
}
