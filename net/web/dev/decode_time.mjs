// Times decoding of patches of codec 2 beside Draco's of the same meshes, in node and in headless Chromium, on one thread:
// node dev/decode_time.mjs FILE.json... [--rounds N]
// A file is a list of objects {"region_voxels": 64, "frame": "...", "draco": "..."}: whole patch frames of codec 2 in hex, and
// those of the same meshes in codec 1. Those that have no `draco` get one made here with the service's settings. Prints
// milliseconds for 10,000 triangles: of the best round of each patch, and of the median round of all (what else runs is in it).

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { build } from "esbuild";
import draco3d from "draco3d";
import { open_browser } from "./browser.mjs";

const require = createRequire(import.meta.url);
const options = process.argv.slice(2), rounds_at = options.indexOf("--rounds");
const rounds = rounds_at < 0 ? 40 : Number(options.splice(rounds_at, 2)[1]);

/// Runs where it is measured, so it names nothing from outside. `draco` is Draco's module.
async function measure(frames, rounds, cells, draco) {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const patches = frames.map((f) => {
    const { payload, ...header } = cells.parse_patch(bytes(f.frame).buffer, true);
    return { header: { ...header, region_voxels: f.region_voxels }, payload, draco: bytes(f.draco) };
  });
  const by_cells = (p) => cells.mesh_of(cells.apply(p.payload, p.header)).indices.length / 3;
  const values = (decoder, mesh, kind, type, array) => {
    const attribute = decoder.GetAttribute(mesh, decoder.GetAttributeId(mesh, kind));
    const size = mesh.num_points() * attribute.num_components() * array.BYTES_PER_ELEMENT, at = draco._malloc(size);
    decoder.GetAttributeDataArrayForAllPoints(mesh, attribute, type, size, at);
    const out = new array(draco.HEAPU8.buffer, at, size / array.BYTES_PER_ELEMENT).slice();
    draco._free(at);
    return out;
  };
  const by_draco = (p) => {
    const decoder = new draco.Decoder(), mesh = new draco.Mesh();
    if (!decoder.DecodeArrayToMesh(p.draco, p.draco.length, mesh).ok()) throw new Error("Draco cannot decode its own");
    const size = 12 * mesh.num_faces(), at = draco._malloc(size);
    decoder.GetTrianglesUInt32Array(mesh, size, at);
    const indices = new Uint32Array(draco.HEAPU8.buffer, at, size / 4).slice();
    draco._free(at);
    values(decoder, mesh, draco.POSITION, draco.DT_INT32, Int32Array);
    values(decoder, mesh, draco.COLOR, draco.DT_UINT8, Uint8Array);
    draco.destroy(mesh);
    draco.destroy(decoder);
    return indices.length / 3;
  };
  const out = {}, triangles = patches.reduce((n, p) => n + p.header.triangles, 0);
  const for_10k = (ms) => +((1e4 * ms) / triangles).toFixed(3);
  for (const [name, decode] of [["cells", by_cells], ["draco", by_draco]]) {
    const all = [], best = patches.map(() => Infinity);
    for (let i = 0; i < rounds; i++) {
      let round = 0;
      patches.forEach((p, k) => {
        const begun = performance.now();
        if (decode(p) !== p.header.triangles) throw new Error(`${name} gives another number of triangles`);
        const took = performance.now() - begun;
        round += took;
        best[k] = Math.min(best[k], took);
      });
      all.push(round);
    }
    all.sort((a, b) => a - b);
    const payloads = patches.reduce((n, p) => n + (name === "cells" ? p.payload : p.draco).length, 0);
    out[name] = { triangles, bytes_per_triangle: +(payloads / triangles).toFixed(3),
      best_ms: for_10k(best.reduce((a, b) => a + b)), median_ms: for_10k(all[all.length >> 1]) };
  }
  return out;
}

async function draco_payload(encoding, mesh) {
  const builder = new encoding.MeshBuilder(), to = new encoding.Mesh(), encoder = new encoding.Encoder();
  const vertices = mesh.positions.length / 3, colours = new Uint8Array(3 * vertices);
  for (let v = 0; v < vertices; v++) for (let i = 0; i < 3; i++) colours[3 * v + i] = mesh.colours[4 * v + i];
  builder.AddFacesToMesh(to, mesh.indices.length / 3, mesh.indices);
  builder.AddInt32Attribute(to, encoding.POSITION, vertices, 3, mesh.positions);
  builder.AddUInt8Attribute(to, encoding.COLOR, vertices, 3, colours);
  encoder.SetSpeedOptions(9, 9);
  encoder.SetEncodingMethod(encoding.MESH_EDGEBREAKER_ENCODING);
  const bytes = new encoding.DracoInt8Array(), length = encoder.EncodeMeshToDracoBuffer(to, bytes);
  const out = Buffer.alloc(length);
  for (let i = 0; i < length; i++) out[i] = bytes.GetValue(i);
  for (const thing of [bytes, to, encoder, builder]) encoding.destroy(thing);
  return out;
}

const bundled = (format, globalName) => build({ bundle: true, write: false, format, globalName, target: "es2022", minify: true,
  stdin: { contents: 'export * from "./cells"; export { parse_patch } from "./protocol";', loader: "ts",
    resolveDir: new URL("../src/stream", import.meta.url).pathname } }).then((b) => b.outputFiles[0].text);
const cells = await import(`data:text/javascript;base64,${Buffer.from(await bundled("esm")).toString("base64")}`);
const encoding = await draco3d.createEncoderModule({});
const frames = [];
for (const file of options)
  for (const { region_voxels, frame, draco } of JSON.parse(await readFile(file, "utf8"))) {
    const bytes = Buffer.from(frame, "hex"), { payload, ...header } = cells.parse_patch(Uint8Array.from(bytes).buffer, true);
    const mesh = cells.mesh_of(cells.apply(payload, { ...header, region_voxels }));
    const other = draco ? Buffer.from(draco, "hex").subarray(56) : await draco_payload(encoding, mesh);
    frames.push({ region_voxels, frame: bytes.toString("base64"), draco: other.toString("base64") });
  }

const three = require.resolve("three/examples/jsm/libs/draco/draco_wasm_wrapper.js");
const wrapper = await readFile(three, "utf8");
const wasm = await readFile(three.replace("draco_wasm_wrapper.js", "draco_decoder.wasm"));
const node = await measure(frames, rounds, cells, await draco3d.createDecoderModule({}));
const browser = await open_browser();
let chromium;
try {
  const page = await browser.newPage();
  await page.addScriptTag({ content: wrapper });
  await page.addScriptTag({ content: `${await bundled("iife", "cells")}; window.measure = ${measure}` });
  chromium = await page.evaluate(async ([frames, rounds, wasm]) => {
    const binary = Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0)).buffer;
    return window.measure(frames, rounds, window.cells, await window.DracoDecoderModule({ wasmBinary: binary }));
  }, [frames, rounds, wasm.toString("base64")]);
} finally {
  await browser.close();
}
console.log(JSON.stringify({ patches: frames.length, node, chromium }, null, 1));
