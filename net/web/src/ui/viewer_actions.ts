// What can be done in the viewer.

import type { action, action_group } from "./actions";
import { is_switch, row_of, setting_names } from "./settings";
import type { viewer } from "../viewer";

/// What switches and buttons of settings do.
function setting_actions(v: viewer): action[] {
  return setting_names.flatMap((name): action[] => {
    const r = row_of(name);
    if (is_switch(r)) return [{ ...r, name, on: () => v.settings[name] === true, run: () => v.set(name, !v.settings[name]) }];
    if (r.shown === "list") return [];
    return r.options.map((o, i) => ({ ...o, name: `${name}-${o.value}`, group: "shading", key: String(i + 1), on: () => v.settings[name] === o.value, run: () => v.set(name, o.value) }));
  });
}

export function viewer_actions(v: viewer): action[] {
  const settings = setting_actions(v), settings_of = (group: action_group): action[] => settings.filter((a) => a.group === group);
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
    ...settings_of("shading"),
    ...settings_of("show"),
    { name: "picture", group: "file", label: "Picture", help: "save what is seen as PNG", key: "k", icon: "picture", bar: "wide", run: () => void v.picture() },
    { name: "glb", group: "file", label: "GLB", help: "save the whole map as GLB", run: () => void v.save("glb") },
    { name: "ply", group: "file", label: "PLY", help: "save the whole map as PLY", run: () => void v.save("ply") },
    ...(document.fullscreenEnabled
      ? [{
          name: "full", group: "panels", label: "Full screen", help: "full screen", key: "l", icon: "full", bar: "wide", on: full,
          run: () => void (full() ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => v.toasts.say("The browser does not allow full screen here.")),
        } satisfies action]
      : []),
    ...settings_of("panels"),
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
