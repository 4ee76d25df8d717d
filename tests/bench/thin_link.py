#!/usr/bin/env python3
"""What a live scan costs on the wire and in processor time: with no viewer, with one on a thin link, with one that takes all.
A recording is published over HTTP at a fixed rate, by a process of its own, and everything is measured from its start until two
seconds after its end.

  thin_link.py --binary build/release/tessera recording:room.mcap                  5 and 2 cm, 25 keyframes/s
  thin_link.py --binary ... --beside OLD/tessera --rounds 3 recording:room.mcap    in turns with another build of it

A viewer offers the newest protocol that --protocols has, and gets what the service can do.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from service import cpu_seconds  # noqa: E402
from support import service  # noqa: E402
from support.measuring import command_line, options_of  # noqa: E402
from support.viewer import Viewer  # noqa: E402

CASES = {"none": (), "1 Mbit/s": (1_000_000,), "no limit": (0,)}  # the viewers' rates
SETTLES_S = 2


def measure(binary, options, voxel_m, rates, number):
    """One scan: processor seconds, and what the viewers had received at its end."""
    running = service.Service(binary, options=("--voxel-size", voxel_m, "--no-journal"))
    try:
        viewers = [Viewer(running.url, max_bits_per_s=rate, protocol=options.protocols) for rate in rates]
        before, begin = cpu_seconds(running.pid), time.monotonic()
        subprocess.run([options.publisher or binary, "publish", options.source, "--to", running.url, "--rate", str(options.rate),
                        "--limit", str(options.limit), "--session", str(number)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=service.clean_environment())
        scan_s = time.monotonic() - begin
        time.sleep(SETTLES_S)
        cores = (cpu_seconds(running.pid) - before) / scan_s
        keyframes = running.map()["keyframes"]
        out = {"cores": cores, "keyframes": keyframes, "scan_s": scan_s, "rate": keyframes / scan_s}
        if viewers:
            log = [one for viewer in viewers for one in viewer.log]
            out["bytes"] = sum(one[3] for one in log)
            out["patches"] = len(log)
            received = sum(viewer.socket.received_bytes for viewer in viewers) / len(viewers)
            out["mbit_s"] = 8 * received / 1e6 / (scan_s + SETTLES_S)
            out["triangles"] = viewers[0].triangles()
            out["protocol"] = viewers[0].hello["protocol"]
            errors = [viewer.error for viewer in viewers if viewer.error]
            if errors:
                sys.exit(f"thin_link: a viewer failed: {errors[0]}")
        for viewer in viewers:
            viewer.close()
        return out
    finally:
        running.stop()


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("source", help="what `tessera publish` takes; a recording keeps its own cost out of the scan's")
    arguments.add_argument("--beside", help="another build, in turns with this one")
    arguments.add_argument("--publisher", help="the program that publishes (default: the one that is measured)")
    arguments.add_argument("--voxels", type=float, nargs="+", default=[0.05, 0.02], metavar="M")
    arguments.add_argument("--rate", type=float, default=25, help="keyframes per second (default: %(default)s)")
    arguments.add_argument("--limit", type=int, default=100, help="keyframes (default: %(default)s)")
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments.add_argument("--protocols", default="tessera.v2, tessera.v1", help="that viewers offer (default: %(default)s)")
    options = options_of(arguments)
    builds = [options.binary, *([options.beside] if options.beside else [])]
    found = {}
    number = 0
    for turn in range(options.rounds):
        for voxel_m in options.voxels:
            for case in options.cases:
                for build in builds if turn % 2 == 0 else reversed(builds):
                    number += 1
                    one = measure(build, options, voxel_m, CASES[case], number)
                    found.setdefault((voxel_m, case, build), []).append(one)
                    print(f"{voxel_m} m, {case}, {build}: {one['cores']:.2f} cores, {one.get('bytes', 0)} bytes", file=sys.stderr,
                          flush=True)
    rows = []
    for (voxel_m, case, build), all_of in found.items():
        middle = {name: statistics.median(one[name] for one in all_of) for name in all_of[0] if name != "protocol"}
        rows.append({"voxel_m": voxel_m, "viewer": case, "build": build, "protocol": all_of[0].get("protocol", ""), **middle})
    print(f"{options.source}, {options.limit} keyframes at {options.rate:g}/s; medians of {options.rounds}")
    print(f"{'voxel':>7}  {'viewer':>9}  {'protocol':>10}  {'cores':>6}  {'keyframes/s':>11}  {'patches':>8}  {'bytes':>11}  "
          f"{'Mbit/s':>7}  build")
    for row in rows:
        print(f"{row['voxel_m']:>7}  {row['viewer']:>9}  {row['protocol']:>10}  {row['cores']:6.2f}  {row['rate']:11.1f}  "
              f"{row.get('patches', 0):8.0f}  {row.get('bytes', 0):11.0f}  {row.get('mbit_s', 0):7.2f}  {row['build']}")
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
