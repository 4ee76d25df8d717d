#!/usr/bin/env python3
"""Does memory follow the map and nothing else? The running service takes the recording once; then the same keyframes again under
their old ids (each counts once), so nothing may change; then all are retracted and sent again (which undoes them exactly), round
after round.

After each round it notes resident memory, the field's bytes, the store's, and the patches held for viewers, and compares them
with those after the first time. The map's hash must be the same each time. Ends with 1 if the service's resident memory grew by
more than --allowed percent. Needs the recording `$TESSERA_SHARED/data/rgbd-room` (default ../shared), or --source; without, it
measures the synthetic room.

  memory.py --binary build/release/tessera
  memory.py --binary ... --viewer          with a viewer that takes every patch
"""

import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "net" / "clients" / "python")]

from support import service  # noqa: E402
from support.measuring import command_line, options_of  # noqa: E402
from support.viewer import Viewer  # noqa: E402

ROOM = pathlib.Path(os.environ.get("TESSERA_SHARED", HERE.parents[1].parent / "shared")) / "data" / "rgbd-room"


def numbers(running):
    """Memory by who holds it, once nothing is under way any more."""
    running.wait(lambda: all(a["mailbox"] == 0 and a["state"] == "idle" for a in running.get("/v1/actors")
                             if a["role"] != "inspector"),
                 "every actor idle", 60)
    map_now = running.map()
    metrics = running.metrics()
    time.sleep(5)  # the service gives free memory back once it has been quiet for a while
    return {
        "resident": running.resident_bytes(),
        "field": map_now["field_bytes"],
        "store": int(metrics["tessera_store_memory_bytes"] + metrics["tessera_store_disk_bytes"]),
        "patches": int(metrics["tessera_held_patch_bytes"]),
        "keyframes": map_now["keyframes"],
        "hash": map_now["hash"],
    }


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("--source", help="what is sent (default: the recording, else the synthetic room)")
    arguments.add_argument("--limit", type=int, default=100, help="keyframes (default: %(default)s)")
    arguments.add_argument("--voxel-m", type=float, default=0.02)
    arguments.add_argument("--rounds", type=int, default=10, help="how often everything is sent in all (default: %(default)s)")
    arguments.add_argument("--undo-rounds", type=int, default=3,
                           help="how often all is retracted and sent again (default: %(default)s)")
    arguments.add_argument("--viewer", action="store_true", help="a viewer takes every patch meanwhile")
    arguments.add_argument("--door", choices=("http", "shm"), default="http")
    arguments.add_argument("--allowed", type=float, default=1.0, help="growth of resident memory that is no failure, percent")
    options = options_of(arguments)
    source = options.source or (f"rgbd:{ROOM}" if ROOM.is_dir() else "synthetic:room")

    prefix = f"/tessera_memory_{os.getpid()}_"
    running = service.Service(options.binary, f"shm:{prefix}", options=("--voxel-size", options.voxel_m, "--shm-prefix", prefix))
    to = running.url if options.door == "http" else f"shm:{prefix}"
    rounds = []
    try:
        viewer = Viewer(running.url, protocol="tessera.v2") if options.viewer else None

        def note(what):
            rounds.append((what, numbers(running)))
            base, now = rounds[1 if len(rounds) > 1 else 0][1], rounds[-1][1]
            growth = 100 * (now["resident"] / base["resident"] - 1)
            print(f"{what:>22}  {now['keyframes']:>4} keyframes  resident {now['resident'] / 1e6:7.2f} MB ({growth:+6.2f} %)"
                  f"  field {now['field'] / 1e6:7.2f}  store {now['store'] / 1e6:6.2f}  patches {now['patches'] / 1e6:6.2f}"
                  f"  {now['hash'][:8]}", flush=True)

        def send():
            seen = answered()
            status, _, err = service.run(options.binary, "publish", source, "--to", to, "--limit", options.limit, "--rate", 0,
                                         limit_s=300)
            assert status == 0, err
            running.wait(lambda: answered() == seen + options.limit, "all keyframes answered", 120)

        def answered():
            metrics = running.metrics()
            return sum(metrics[f'tessera_keyframes_total{{outcome="{kind}"}}'] for kind in ("accepted", "duplicate", "refused"))

        def ids():
            return [camera["id"] for camera in running.get("/v1/cameras")]

        note("empty")
        send()
        note("once")
        for number in range(2, options.rounds + 1):
            send()
            if number in (2, 3) or number == options.rounds:
                note(f"sent {number} times")
        for number in range(1, options.undo_rounds + 1):
            for name in ids():
                status, body = running.fetch(f"/v1/keyframes/{name}", method="DELETE")
                assert status == 200, body
            note(f"all retracted, {number}")
            send()
            note(f"sent again, {number}")
        if viewer:
            viewer.close()
    finally:
        running.stop()
    first = rounds[1][1]
    full = [(what, now) for what, now in rounds[2:] if now["keyframes"]]
    wrong = [what for what, now in full if now["hash"] != first["hash"]]
    grown = [what for what, now in full if now["resident"] > first["resident"] * (1 + options.allowed / 100)]
    if options.json:
        print(json.dumps([{"after": what, **now} for what, now in rounds]))
    if wrong:
        print(f"memory: another map after: {', '.join(wrong)}")
    if grown:
        print(f"memory: more than {options.allowed} % more resident memory after: {', '.join(grown)}")
    sys.exit(bool(wrong or grown))


if __name__ == "__main__":
    main()
