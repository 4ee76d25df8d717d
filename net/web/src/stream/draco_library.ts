// Draco's decoder as three brings it: its program, and its WebAssembly as text. A module of its own, since it is large: the pages
// load it when they begin, the element has it in its one file.

import wasm_url from "three/examples/jsm/libs/draco/draco_decoder.wasm?url&inline";
import program from "three/examples/jsm/libs/draco/draco_wasm_wrapper.js?raw";

export { program };

export function wasm(): ArrayBuffer {
  return Uint8Array.from(atob(wasm_url.slice(wasm_url.indexOf(",") + 1)), (c) => c.charCodeAt(0)).buffer;
}
