// What can be done in the viewer.

import type { action } from "./actions";
import { type settings, type shading, shadings } from "./settings";
import type { viewer } from "../viewer";

const shading_names: Record<shading, [label: string, help: string]> = {
  colour: ["Colour", "colours in soft light"], photo: ["Unlit", "colours as the cameras saw them"], clay: ["Shape", "shape alone, like clay"], normals: ["Normals", "which way surfaces face"],
  region: ["Region", "the cubes that the map is kept in"], age: ["Age", "how long ago each region changed"], height: ["Height", "height above the lowest point"],
};

export function viewer_actions(v: viewer): action[] {
  const toggle = (name: "outlines" | "path" | "grid" | "backfaces" | "counters" | "panel"): Pick<action, "on" | "run"> => ({
    on: () => v.settings[name],
    run: () => {
      v.settings[name] = !v.settings[name];
      v.changed(name as keyof settings);
    },
  });
  const touch = (): boolean => matchMedia("(pointer: coarse)").matches;
  const full = (): boolean => document.fullscreenElement !== null;
  return [
    { name: "fit", group: "move", label: "Fit to view", help: "fit the map to the view", key: "f", icon: "fit", bar: "always", run: () => v.standpoint.fit() },
    {
      name: "behind", group: "move", label: "Behind the camera", help: "the view from behind the newest camera", key: "r", icon: "behind", bar: "wide",
      run: () => {
        v.controls.follow(false);
        v.standpoint.begin(false);
      },
    },
    {
      name: "follow", group: "move", label: "Follow the camera", help: "follow the camera", key: "c", icon: "follow", bar: "always", on: () => v.controls.following,
      run: () => {
        if (!v.controls.following && !v.cameras.newest) v.toasts.say("There is no camera to follow yet.");
        else v.controls.follow(!v.controls.following);
      },
    },
    {
      name: "travel", group: "move", label: "Fly", help: "orbit or fly", key: "v", icon: "fly", bar: "always", on: () => v.controls.mode === "fly",
      run: () => {
        v.controls.follow(false);
        v.controls.set_mode(v.controls.mode === "fly" ? "orbit" : "fly");
        const fly = touch() ? "Fly: drag to look, the stick moves, ▲ and ▼ rise and sink." : "Fly: drag to look, W A S D to move, Q and E for height.";
        const orbit = touch() ? "Orbit: drag to turn, pinch to zoom." : "Orbit: drag to turn, wheel to zoom.";
        v.toasts.say(v.controls.mode === "fly" ? fly : orbit, "calm", 3500);
      },
    },
    { name: "point", group: "tools", label: "Read a point", help: "a point's coordinates, height and region", key: "i", icon: "point", bar: "wide", on: () => v.inspection.tool === "point", run: () => v.inspection.use(v.inspection.tool === "point" ? "none" : "point") },
    { name: "measure", group: "tools", label: "Measure", help: "the distance of two points", key: "t", icon: "measure", bar: "always", on: () => v.inspection.tool === "measure", run: () => v.inspection.use(v.inspection.tool === "measure" ? "none" : "measure") },
    {
      name: "cut", group: "tools", label: "Cut", help: "show only what is inside a box", key: "x", icon: "cut", bar: "always", on: () => v.cut.on,
      run: () => {
        if (v.cut.on) v.cut.end();
        else if (!v.cut.begin()) v.toasts.say("There is nothing to cut yet.");
      },
    },
    ...shadings.map((s, i): action => ({
      name: `shade-${s}`, group: "shading", label: shading_names[s][0], help: shading_names[s][1], key: String(i + 1), on: () => v.settings.shading === s,
      run: () => {
        v.settings.shading = s;
        v.changed("shading");
      },
    })),
    { name: "outlines", group: "show", label: "Region outlines", key: "o", ...toggle("outlines") },
    { name: "path", group: "show", label: "Camera path", key: "p", ...toggle("path") },
    { name: "grid", group: "show", label: "Ground grid", key: "g", ...toggle("grid") },
    { name: "backfaces", group: "show", label: "Back faces, as veils", key: "b", ...toggle("backfaces") },
    { name: "picture", group: "file", label: "Picture", help: "save what is seen as PNG", key: "k", icon: "picture", bar: "wide", run: () => void v.picture() },
    { name: "glb", group: "file", label: "GLB", help: "save the whole map as GLB", run: () => void v.save("glb") },
    { name: "ply", group: "file", label: "PLY", help: "save the whole map as PLY", run: () => void v.save("ply") },
    ...(document.fullscreenEnabled
      ? [{
          name: "full", group: "panels", label: "Full screen", help: "full screen", key: "l", icon: "full", bar: "wide", on: full,
          run: () => void (full() ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => v.toasts.say("The browser does not allow full screen here.")),
        } satisfies action]
      : []),
    { name: "counters", group: "panels", label: "Counters", key: "n", icon: "gauge", bar: "wide", ...toggle("counters") },
    { name: "panel", group: "panels", label: "View settings", key: "m", icon: "sliders", bar: "always", ...toggle("panel") },
    { name: "bare", group: "panels", label: "Only the map", help: "hide everything but the map", key: "u", icon: "eye", on: () => v.bare, run: () => v.set_bare(!v.bare) },
    {
      name: "leave", group: "panels", label: "Leave", help: "back: panels shown, tool laid away, card closed", key: "escape",
      run: () => {
        if (v.bare) v.set_bare(false);
        else if (!v.inspection.clear() && v.controls.following) v.controls.follow(false);
      },
    },
    { name: "help", group: "panels", label: "Help", help: "this sheet", key: "?", icon: "help", bar: "always", run: () => v.help.toggle() },
  ];
}
