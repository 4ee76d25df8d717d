// What can be done in the viewer.

import type { action } from "./actions";
import { type any_row, is_switch, row_of, type setting_name, setting_names } from "./settings";
import type { viewer } from "../viewer";

/// What the switch or the buttons of a setting do; a list has no actions.
export function setting_actions(v: viewer, name: setting_name, r: any_row): action[] {
  if (is_switch(r)) return [{ ...r, name, on: () => v.settings[name] === true, run: () => v.set(name, !v.settings[name]) }];
  if (r.shown === "list") return [];
  return r.options.map((o, i) => ({
    ...o, name: option_name(name, o.value), group: r.group, key: r.keys[i],
    on: () => v.settings[name] === o.value, run: () => v.set(name, o.value),
  }));
}

/// The action that sets a setting to a value.
export const option_name = (name: setting_name, value: unknown): string => `${name}-${value}`;

export function viewer_actions(v: viewer): action[] {
  const settings = setting_names.flatMap((name) => setting_actions(v, name, row_of(name)));
  const of_panels = settings.filter((a) => a.group === "panels"), others = settings.filter((a) => a.group !== "panels");
  const touch = (): boolean => matchMedia("(pointer: coarse)").matches;
  const full = (): boolean => document.fullscreenElement !== null;
  return [
    { name: "fit", group: "move", label: "Fit to view", help: "fit the map to the view", key: "f", icon: "fit", bar: "always",
      run: () => v.standpoint.fit() },
    {
      name: "behind", group: "move", label: "Behind the camera", help: "the view from behind the newest camera", key: "r",
        icon: "behind", bar: "wide",
      run: () => v.standpoint.behind(),
    },
    {
      name: "follow", group: "move", label: "Follow the camera", help: "follow the camera", key: "c", icon: "follow",
        bar: "always", on: () => v.controls.following,
      run: () => {
        if (!v.controls.following && !v.cameras.newest) v.toasts.say("There is no camera to follow yet.");
        else v.controls.follow(!v.controls.following);
      },
    },
    {
      name: "travel", group: "move", label: "Fly", help: "orbit or fly", key: "v", icon: "fly", bar: "always",
        on: () => v.controls.mode === "fly",
      run: () => {
        v.controls.follow(false);
        v.controls.set_mode(v.controls.mode === "fly" ? "orbit" : "fly");
        const fly = touch() ? "Fly: drag to look, the stick moves, ▲ and ▼ rise and sink."
          : "Fly: drag to look, W A S D to move, Q and E for height.";
        const orbit = touch() ? "Orbit: drag to turn, pinch to zoom." : "Orbit: drag to turn, wheel to zoom.";
        v.toasts.say(v.controls.mode === "fly" ? fly : orbit, "calm", 3500);
      },
    },
    { name: "point", group: "tools", label: "Read a point", help: "a point's coordinates, height and region", key: "i",
      icon: "point", bar: "wide", on: () => v.inspection.tool === "point",
      run: () => v.inspection.use(v.inspection.tool === "point" ? "none" : "point") },
    { name: "measure", group: "tools", label: "Measure", help: "the distance of two points", key: "t", icon: "measure",
      bar: "always", on: () => v.inspection.tool === "measure",
      run: () => v.inspection.use(v.inspection.tool === "measure" ? "none" : "measure") },
    {
      name: "cut", group: "tools", label: "Cut", help: "show only what is inside a box", key: "x", icon: "cut", bar: "always",
        on: () => v.cut.on,
      run: () => {
        if (v.cut.on) v.cut.end();
        else if (!v.cut.begin()) v.toasts.say("There is nothing to cut yet.");
      },
    },
    ...others,
    { name: "picture", group: "file", label: "Picture", help: "save what is seen as PNG", key: "k", icon: "picture", bar: "wide",
      run: () => void v.picture() },
    { name: "link", group: "file", label: "Copy a link", help: "copy a link to this view", key: "y", icon: "link", bar: "wide",
      run: () => void v.copy_link() },
    { name: "glb", group: "file", label: "GLB", help: "save the whole map as GLB", run: () => void v.save("glb") },
    { name: "ply", group: "file", label: "PLY", help: "save the whole map as PLY", run: () => void v.save("ply") },
    ...(document.fullscreenEnabled
      ? [{
          name: "full", group: "panels", label: "Full screen", help: "full screen", key: "l", icon: "full", bar: "wide", on: full,
          run: () => void (full() ? document.exitFullscreen() : document.documentElement.requestFullscreen())
            .catch(() => v.toasts.say("The browser does not allow full screen here.")),
        } satisfies action]
      : []),
    ...of_panels,
    { name: "bare", group: "panels", label: "Only the map", help: "hide everything but the map", key: "u", icon: "eye",
      on: () => v.bare, run: () => v.set_bare(!v.bare) },
    {
      name: "leave", group: "panels", label: "Leave", help: "back: panels shown, tool laid away, card closed, region let go",
        key: "escape",
      run: () => {
        if (v.bare) v.set_bare(false);
        else if (v.inspection.clear()) return;
        else if (v.region) v.choose_region(undefined);
        else if (v.controls.following) v.controls.follow(false);
      },
    },
    { name: "help", group: "panels", label: "Help", help: "this sheet", key: "?", icon: "help", bar: "always",
      run: () => v.help.toggle() },
  ];
}
