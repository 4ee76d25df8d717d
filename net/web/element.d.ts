/** How surfaces are coloured: by the cameras in soft light, by the cameras alone, as clay, by direction, region, age, height. */
export type TesseraShading = "colour" | "photo" | "clay" | "normals" | "region" | "age" | "height";

/** What is up: as the map's floor and cameras tell, or an axis of the map. */
export type TesseraUp = "auto" | "+x" | "-x" | "+y" | "-y" | "+z" | "-z";

/**
 * - `connecting`: the stream is being opened, or the service waits for its first keyframe.
 * - `online`: the map is shown as it grows.
 * - `offline`: the service does not answer, or has no room; it is tried again by itself, and what was received stays on screen.
 * - `error`: somebody must do something: give another `src` or `token`, a browser with WebGL 2, a service of this version.
 */
export interface TesseraState {
  readonly name: "connecting" | "online" | "offline" | "error";
  /** In words, for people; empty where there is nothing to say. */
  readonly reason: string;
}

/** A place of a surface that was clicked or tapped. */
export interface TesseraPick {
  /** In the map's own axes, metres. */
  readonly point: readonly [x: number, y: number, z: number];
  readonly region: readonly [x: number, y: number, z: number];
}

/** What is shown, and what the service has. */
export interface TesseraStats {
  readonly triangles: number;
  readonly regions: number;
  /** Live in the map; 0 while that is not known. */
  readonly keyframes: number;
}

/**
 * `<tessera-view>`: a live map in a page. Each property but the read-only ones is its attribute, and may be changed at any time.
 * Set to null or undefined, the attribute is removed.
 *
 * Events: `tessera-state` when the state is another one, `tessera-pick` when a surface was clicked or tapped. Neither bubbles.
 */
export class TesseraView extends HTMLElement {
  /** Address of the service, or of its viewer; a link to a view that was copied there will do. */
  get src(): string;
  set src(value: string | null | undefined);
  /** What the service asks for, if `src` does not say it. Whoever can read the page can read it. */
  get token(): string;
  set token(value: string | null | undefined);
  /**
   * Where the eye is, what is marked, how it is coloured: what stands behind the # of a link to a view, such as `region=1,0,-2`
   * or `eye=1,2,3&look=0,0,1`. Read, it is the view as it is now.
   */
  get view(): string;
  set view(value: string | null | undefined);
  /** Wins over what `view` says. */
  get shading(): TesseraShading;
  set shading(value: TesseraShading | null | undefined);
  /** Wins over what `view` says. */
  get up(): TesseraUp;
  set up(value: TesseraUp | null | undefined);
  /** Shown beside the surfaces' fronts: words of `path`, `grid`, `backfaces`, `outlines`; `path grid backfaces` at first. */
  get show(): string;
  set show(value: string | null | undefined);

  readonly state: TesseraState;
  readonly stats: TesseraStats;

  /** Puts the whole map into view. */
  fit(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "tessera-view": TesseraView;
  }
  interface HTMLElementEventMap {
    "tessera-state": CustomEvent<TesseraState>;
    "tessera-pick": CustomEvent<TesseraPick>;
  }
}
