#!/usr/bin/env python3
"""Does anything grow while the map does not? A scan that goes round in a room, of which the newest keyframes are kept
(--retain), and some are retracted by hand: for an hour, or as long as asked. Samples resident memory, the journal's bytes,
actors and the field's bytes, and fits a line to what comes after the warm-up: the slope an hour, with twice its standard
error, and in percent of the mean.

  flat.py --binary build/release/tessera --figure docs/figures/flat.svg
  flat.py --binary ... --minutes 5 --retain 50
"""

import json
import pathlib
import shutil
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE.parents[1] / "net" / "clients" / "python")]

import tessera_client  # noqa: E402
from service import keyframe  # noqa: E402
from support import service  # noqa: E402
from support.measuring import command_line, options_of  # noqa: E402
from support.viewer import Viewer  # noqa: E402

WHAT = {
    "resident": "resident memory, MB",
    "journal": "journal, MB",
    "field": "field, MB",
    "actors": "actors",
}


def sample(running, journal):
    blocks = 0
    for file in pathlib.Path(journal).rglob("*"):
        try:
            blocks += file.stat().st_blocks
        except FileNotFoundError:  # it was given back meanwhile
            pass
    return {
        "resident": running.resident_bytes() / 1e6,
        "journal": blocks * 512 / 1e6,
        "field": running.map()["field_bytes"] / 1e6,
        "actors": len(running.get("/v1/actors")),
    }


def line_through(hours, values):
    """Slope an hour, and twice its standard error. Neighbouring samples are alike: their lag-1 correlation widens it."""
    hours, values = np.array(hours), np.array(values, dtype=float)
    if len(hours) < 4 or np.ptp(hours) == 0:
        return float("nan"), float("nan")
    centred = hours - hours.mean()
    slope = (centred * values).sum() / (centred**2).sum()
    left = values - values.mean() - slope * centred
    error = np.sqrt((left**2).sum() / (len(left) - 2) / (centred**2).sum())
    alike = 0.0 if not (left**2).sum() else float(np.clip((left[1:] * left[:-1]).sum() / (left**2).sum(), 0, 0.95))
    return float(slope), float(2 * error * np.sqrt((1 + alike) / (1 - alike)))


def draw(rows, report, path):
    """One strip for each quantity, from nothing to a quarter more than its largest."""
    width, height, left = 760, 110, 150
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * len(WHAT) + 40}" font-family="sans-serif" '
           'font-size="12" fill="#333">', '<rect width="100%" height="100%" fill="#fff"/>']
    last = max(row["minute"] for row in rows) or 1
    for number, (name, what) in enumerate(WHAT.items()):
        top, most = 20 + number * height, 1.25 * max(row[name] for row in rows) or 1
        x = [left + (width - left - 20) * row["minute"] / last for row in rows]
        y = [top + (height - 25) * (1 - row[name] / most) for row in rows]
        at = [f"{one:.1f},{other:.1f}" for one, other in zip(x, y)]
        fit = report[name]
        out.append(f'<text x="10" y="{top + 20}">{what}</text>')
        out.append(f'<text x="10" y="{top + 40}" fill="#777">{fit["slope"]:+.2f} ± {fit["error"]:.2f} an hour</text>')
        out.append(f'<text x="{left - 6}" y="{top + 8}" text-anchor="end" fill="#777">{most:.0f}</text>')
        out.append(f'<path d="M{left} {top}V{top + height - 25}H{width - 20}" fill="none" stroke="#bbb"/>')
        points = "\n".join(" ".join(at[i : i + 10]) for i in range(0, len(at), 10))
        out.append(f'<polyline points="{points}" fill="none" stroke="#2368b5" stroke-width="1.5"/>')
    out.append(f'<text x="{width - 20}" y="{height * len(WHAT) + 24}" text-anchor="end">{last:.0f} minutes</text></svg>')
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text("\n".join(out) + "\n", encoding="utf-8")


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--rate", type=float, default=10, help="keyframes per second (default: %(default)s)")
    arguments.add_argument("--points", type=int, default=50_000)
    arguments.add_argument("--retain", type=int, default=200, help="keyframes that are kept (default: %(default)s)")
    soon = "one of so many keyframes is retracted soon (default: %(default)s)"
    arguments.add_argument("--retract-every", type=int, default=7, help=soon)
    arguments.add_argument("--voxel-m", type=float, default=0.05)
    arguments.add_argument("--every", type=float, default=10, help="seconds between samples (default: %(default)s)")
    arguments.add_argument("--figure", help="draws the samples as SVG into this file")
    options = options_of(arguments)
    folder = tempfile.mkdtemp(prefix="tessera-flat-")
    frames = [keyframe(i, options.points) for i in range(125)]  # one round of the room
    how = ("--journal", folder + "/journal", "--retain", options.retain, "--voxel-size", options.voxel_m)
    running = service.Service(options.binary, options=how)
    rows = []
    try:
        viewer = Viewer(running.url, protocol="tessera.v2")
        publisher = tessera_client.connect(running.url, session="flat")
        begin = time.monotonic()
        number = 0
        while (passed := time.monotonic() - begin) < 60 * options.minutes:
            pose, points, colors = frames[number % len(frames)]
            publisher.publish_keyframe(number, pose, points, colors)
            if options.retract_every and number % options.retract_every == options.retract_every - 1:
                status, body = running.fetch(f"/v1/keyframes/{number - 1}?session=flat", method="DELETE")
                assert status == 200, body
            number += 1
            if passed >= len(rows) * options.every:
                rows.append({"minute": passed / 60, **sample(running, folder + "/journal")})
            time.sleep(max(0.0, begin + number / options.rate - time.monotonic()))
        live = running.map()["keyframes"]
        publisher.close()
        viewer.close()
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)
    warm = max(options.minutes / 10, 2 * options.retain / options.rate / 60)
    steady = [row for row in rows if row["minute"] >= warm] or rows
    report = {}
    for name in WHAT:
        slope, error = line_through([row["minute"] / 60 for row in steady], [row[name] for row in steady])
        report[name] = {"slope": slope, "error": error, "mean": float(np.mean([row[name] for row in steady]))}
    print(f"{number} keyframes in {options.minutes:g} minutes, {live} live at the end; "
          f"{len(steady)} samples after {warm:.1f} minutes")
    for name, what in WHAT.items():
        its = report[name]
        share = 100 * its["slope"] / its["mean"] if its["mean"] else 0
        print(f"{what:>20}  mean {its['mean']:9.2f}  slope {its['slope']:+8.3f} ± {its['error']:.3f} an hour ({share:+.2f} %)")
    if options.figure:
        draw(rows, report, options.figure)
    if options.json:
        print(json.dumps({"keyframes": number, "live": live, "samples": len(steady), **report}))


if __name__ == "__main__":
    main()
