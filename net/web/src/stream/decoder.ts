// Draco in DRACOLoader's workers: integer positions and colour bytes, as they were encoded.

import { type BufferAttribute, type BufferGeometry, type InterleavedBufferAttribute, LinearSRGBColorSpace } from "three";
import { DRACOLoader } from "three/examples/jsm/loaders/DRACOLoader.js";
import type { decoded_mesh } from "./shaping";

/// A worker that does not answer for so long has crashed (an exhausted WebAssembly heap ends without a word).
const patience_ms = 30_000;

const attribute_types = { position: "Int32Array", color: "Uint8Array", normal: "Float32Array", uv: "Float32Array" };

/// The part of DRACOLoader that its type declarations leave out.
interface draco_calls {
  decoderPending: Promise<unknown> | null;
  decodeDracoFile(
    buffer: ArrayBuffer,
    done: (geometry: BufferGeometry) => void,
    ids: undefined,
    types: Record<string, string>,
    colour_space: string,
    failed: (reason: unknown) => void,
  ): Promise<unknown>;
}

/// Why a mesh could not be decoded; `decoder_missing` tells that no mesh can be, `base_missing` that only what a partial patch
/// builds on is not here.
export class decode_error extends Error {
  override name = "decode_error";
  constructor(
    message: string,
    readonly decoder_missing = false,
    readonly base_missing = false,
  ) {
    super(message);
  }
}

function array_of(geometry: BufferGeometry, name: string): BufferAttribute["array"] | undefined {
  const attribute = geometry.getAttribute(name) as BufferAttribute | InterleavedBufferAttribute | undefined;
  if (!attribute) return undefined;
  return "data" in attribute ? attribute.data.array : attribute.array;
}

/// Draco comes with our own code: no address has to be right, and no other site's page is kept from it.
class carried_draco extends DRACOLoader {
  async _loadLibrary(_address: string, kind: "text" | "arraybuffer"): Promise<string | ArrayBuffer> {
    const library = await import("./draco_library");
    return kind === "text" ? library.program : library.wasm();
  }
}

export class mesh_decoder {
  readonly workers: number;
  private loader_ = this.make_();
  private ended_ = false;

  constructor() {
    this.workers = Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1));
    this.loader_.setWorkerLimit(this.workers);
  }

  /// Decodes one payload. Rejects with decode_error; takes the payload's memory away if it is a whole buffer.
  async decode(payload: Uint8Array<ArrayBuffer>): Promise<decoded_mesh> {
    const loader = this.loader_;
    const buffer = payload.slice().buffer;
    const geometry = await new Promise<BufferGeometry>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new decode_error(`the decoder did not answer for ${patience_ms / 1000} s`));
        this.restart_(loader);
      }, patience_ms);
      const fail = (reason: unknown): void => {
        clearTimeout(timer);
        const told = reason as { error?: string; message?: string } | undefined;
        const words = (told?.error ?? told?.message ?? String(reason)).replace(/^THREE\.DRACOLoader: /, "");
        reject(new decode_error(words, told?.error === undefined));
      };
      const done = (g: BufferGeometry): void => {
        clearTimeout(timer);
        resolve(g);
      };
      void (loader as unknown as draco_calls).decodeDracoFile(buffer, done, undefined, attribute_types, LinearSRGBColorSpace,
        fail);
    });
    const positions = array_of(geometry, "position");
    const colours = array_of(geometry, "color");
    const indices = geometry.index?.array;
    geometry.dispose();
    if (!(positions instanceof Int32Array)) throw new decode_error("the mesh has no integer positions");
    if (!(indices instanceof Uint32Array)) throw new decode_error("it is a point cloud, not a mesh");
    const grey = (): Uint8Array => new Uint8Array((positions.length / 3) * 4).fill(160);
    return { positions, indices, colours: colours instanceof Uint8Array ? colours : grey() };
  }

  /// Ends the workers; what is being decoded never comes.
  end(): void {
    this.ended_ = true;
    this.dismiss_(this.loader_);
  }

  private make_(): DRACOLoader {
    return new carried_draco().setDecoderPath({ js: "", wasm: "" }).preload();
  }

  private restart_(broken: DRACOLoader): void {
    if (this.ended_ || this.loader_ !== broken) return;
    this.dismiss_(broken);
    this.loader_ = this.make_();
    this.loader_.setWorkerLimit(this.workers);
  }

  /// Once more when it has loaded, if it had not: those who waited for that have started workers then.
  private dismiss_(loader: DRACOLoader): void {
    loader.dispose();
    void (loader as unknown as draco_calls).decoderPending?.then(() => loader.dispose(), () => {});
  }
}
