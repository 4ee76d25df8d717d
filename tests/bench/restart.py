#!/usr/bin/env python3
"""How long a map takes to be there again after its process was killed, and how long a loop closure takes beside that.

Sends keyframes to a service with a journal, ends it by SIGKILL, and starts another on the journal: until it listens, until a
viewer has its first patch, until the whole map is there (`/v1/map`, which is 503 until then) with the hash of before. Then
moves some keyframes by 10 cm in one correction, and back, each until `/v1/map` shows it: without snapshots beside the time in
which all keyframes were made a map again from the journal, which is the least that building it anew takes. Times are from the
start of the process, and from the request; the disk's cache is warm.

  restart.py --binary build/release/tessera         1,000 keyframes of the synthetic room at 5 cm, 100 of them moved
  restart.py --binary ... --no-snapshots            of keyframes' rays alone, where regions have no snapshots
  restart.py --binary ... --source rgbd:DIR --keyframes 100 --moved 10
"""

import argparse
import json
import pathlib
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "net" / "clients" / "python")]

from support import service  # noqa: E402
from support.measuring import command_line, options_of  # noqa: E402
from support.viewer import Viewer  # noqa: E402

SESSION = "bench-0"  # of the keyframes that are moved; a source that has fewer than are to be sent is sent again in another one


def seconds_until(condition, what, limit_s):
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < limit_s, f"not within {limit_s} s: {what}"
        time.sleep(0.005)
    return time.monotonic() - begin


def folder_bytes(folder):
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def whole(running):
    """The map, or None while it is made again."""
    status, body = running.fetch("/v1/map")
    return json.loads(body) if status == 200 else None


def moved(camera, by_m):
    pose = list(camera["pose"])
    pose[3] += by_m
    return pose


def correct(running, cameras, by_m, number):
    """Moves these in one correction; the seconds until the map shows it."""
    revisions = [{"id": c["id"].removeprefix(SESSION + "/"), "pose": moved(c, by_m)} for c in cameras]
    body = json.dumps({"session": SESSION, "revision": number, "revisions": revisions}).encode()
    begin = time.monotonic()
    kind = {"Content-Type": "application/json"}
    status, answer = running.fetch("/v1/keyframes:revise", data=body, headers=kind, method="POST")
    assert status == 200 and json.loads(answer)["moved"] == len(cameras), (status, answer[:500])
    digits = running.map()["hash"]
    return time.monotonic() - begin, digits


def measure(options, folder):
    journal = folder / "journal"
    how = ("--journal", journal, "--voxel-size", options.voxel_m,
           *(("--snapshots", 0) if options.no_snapshots else ("--snapshot-after", 0.5)))
    running = service.Service(options.binary, options=how)
    try:
        begin = time.monotonic()
        count = 0
        while (left := options.keyframes - count) > 0:
            sending = ("publish", options.source, "--to", running.url, "--limit", left, "--rate", 0)
            status, _, err = service.run(options.binary, *sending, "--session", f"bench-{count}", limit_s=3600)
            assert status == 0, err
            count, before = running.map()["keyframes"], count
            assert count > before, "the source has no keyframes"
        took = time.monotonic() - begin
        digits, rays = running.map()["hash"], running.map()["rays"]
        if not options.no_snapshots:
            regions = len(running.get("/v1/regions"))
            seconds_until(lambda: running.metrics()["tessera_snapshots"] == regions, "a snapshot of each region", options.limit_s)
        snapshot_bytes = running.metrics()["tessera_snapshot_bytes"]
        running.crash()
    finally:
        if running.alive():
            running.stop()
    begin = time.monotonic()
    running = service.Service(options.binary, options=how)
    try:
        result = {"keyframes": count, "rays": rays, "voxel_m": options.voxel_m, "first_time_s": took,
                  "journal_bytes": folder_bytes(journal) - snapshot_bytes, "snapshot_bytes": snapshot_bytes,
                  "listening_s": time.monotonic() - begin}
        viewer = Viewer(running.url, protocol="tessera.v2")
        seconds_until(lambda: viewer.log, "a patch", options.limit_s)
        result["first_patch_s"] = time.monotonic() - begin
        seconds_until(lambda: whole(running), "the whole map", options.limit_s)
        result["complete_s"] = time.monotonic() - begin
        assert running.map()["hash"] == digits, "another map after the restart"
        result["snapshots_used"] = running.metrics()["tessera_snapshots_used_total"]
        running.wait(running.quiet, "nothing under way")
        cameras = [one for one in running.get("/v1/cameras") if one["id"].startswith(SESSION + "/")]
        some = cameras[:: max(1, len(cameras) // options.moved)][: options.moved]
        result["moved"] = len(some)
        result["moved_s"], other = correct(running, some, 0.1, 1)
        result["moved_back_s"], again = correct(running, some, 0.0, 2)
        assert other != digits and again == digits, "another map after keyframes were moved and moved back"
        viewer.close()
        if options.no_snapshots:
            result["moved_of_complete"] = max(result["moved_s"], result["moved_back_s"]) / result["complete_s"]
        return result
    finally:
        running.stop()


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("--source", default="synthetic:room", help="what is sent (default: %(default)s)")
    arguments.add_argument("--keyframes", type=int, default=1000, help="(default: %(default)s)")
    arguments.add_argument("--moved", type=int, default=100, help="how many of them (default: %(default)s)")
    arguments.add_argument("--voxel-m", type=float, default=0.05)
    arguments.add_argument("--no-snapshots", action="store_true", help="the service takes none")
    arguments.add_argument("--rounds", type=int, default=3, help="the median of so many counts (default: %(default)s)")
    arguments.add_argument("--folder", help="where journals are made (default: a temporary one)")
    arguments.add_argument("--limit-s", type=float, default=600, help=argparse.SUPPRESS)
    options = options_of(arguments)
    rounds = []
    for number in range(options.rounds):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="tessera-restart-", dir=options.folder))
        try:
            rounds.append(measure(options, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        told = f"round {number + 1} of {options.rounds}: whole after {rounds[-1]['complete_s']:.2f} s"
        print(told, file=sys.stderr, flush=True)
    result = {name: sorted(one[name] for one in rounds)[len(rounds) // 2] for name in rounds[0]}
    rays_each = result["rays"] / result["keyframes"]
    print(f"{result['keyframes']} keyframes of {options.source} at {options.voxel_m} m, {rays_each:.0f} rays each, "
          f"{result['journal_bytes'] / 1e6:.1f} MB of journal, {result['snapshots_used']:.0f} snapshots used of "
          f"{result['snapshot_bytes'] / 1e6:.1f} MB; median of {options.rounds}")
    rows = {
        "first_time_s": "sent and taken",
        "listening_s": "restart: listening after",
        "first_patch_s": "first patch at a viewer after",
        "complete_s": "whole map, same hash, after",
        "moved_s": f"{result['moved']} keyframes moved by 10 cm in",
        "moved_back_s": "and back in",
    }
    for name, what in rows.items():
        print(f"{what:>36}  {result[name]:8.2f} s")
    if options.no_snapshots:
        print(f"{'moving them, of making all again':>36}  {result['moved_of_complete']:8.2f}")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
