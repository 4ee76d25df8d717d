#!/usr/bin/env python3
"""Undo and redo: all keyframes of one source are taken out of a map that another one shares, and sent again, round after round.

Each time they are out the map's hash must be that of the other source alone, and each time they are there again that of both. It
tells resident memory of the service and what the fields hold (`tessera_device_*` of GPUs, else `field_bytes`), when the service
has been quiet for a while; the latter must be, to the unit, what it was the first time that the same keyframes were there.
Seconds are those of the request that takes all out, and of sending all again.

  undo_redo.py --binary build/release/tessera
"""

import json
import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from support import service, stock  # noqa: E402
from support.measuring import command_line, options_of  # noqa: E402


def publish(binary, source, to, *options):
    """`tessera publish`, as fast as the other side takes it."""
    status, _, err = service.run(binary, "publish", source, "--to", to, "--rate", 0, *options, limit_s=3600)
    assert status == 0, err


def device_use(running):
    """What the fields hold, as a number to be compared: of GPUs the blocks of their pools in use, else the bytes of the CPU's
    fields."""
    samples = running.metrics()

    def total(name):
        return sum(value for key, value in samples.items() if key.startswith(name + "{"))

    pool = total("tessera_device_pool_blocks")
    return int(pool - total("tessera_device_free_blocks")) if pool else running.map()["field_bytes"]


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("--source", default="synthetic:room", help="whose keyframes they are (default: %(default)s)")
    arguments.add_argument("--keyframes", type=int, default=200,
                           help="that go and come; the other source has a quarter as many (default: %(default)s)")
    arguments.add_argument("--voxel-m", type=float, default=0.05)
    arguments.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    arguments.add_argument("--settle-s", type=float, default=5,
                           help="quiet before memory is read, in which what is free goes back")
    arguments.add_argument("more", nargs="*", help="after --: more options for tessera serve")
    options = options_of(arguments)
    for name in ("keyframes", "voxel_m", "rounds", "settle_s"):
        if not getattr(options, name) > 0:
            arguments.error(f"--{name.replace('_', '-')} is {getattr(options, name):g}, must be more than 0")
    prefix = f"/tessera_undo_{os.getpid()}_"
    running = service.Service(options.binary, f"shm:{prefix}", options=("--voxel-size", options.voxel_m, *options.more))
    rows, others = [], max(1, options.keyframes // 4)
    try:

        def note(what, took_s):
            running.wait(running.quiet, "nothing under way", 600)
            now = running.map()
            time.sleep(options.settle_s)
            rows.append({"after": what, "took_s": took_s, "keyframes": now["keyframes"],
                         "resident_mb": running.resident_bytes() / 1e6, "device_use": device_use(running), "hash": now["hash"]})

        def send():
            begin = time.perf_counter()
            publish(options.binary, options.source, f"shm:{prefix}", "--limit", options.keyframes)
            running.wait_for_keyframes(others + options.keyframes, 3600)
            return time.perf_counter() - begin

        def take_out():
            begin = time.perf_counter()
            status, answer = running.fetch("/v1/keyframes?source=shm", method="DELETE")
            assert status == 200, answer
            assert running.map()["keyframes"] == others, json.loads(answer)
            return time.perf_counter() - begin

        publish(options.binary, options.source, running.url, "--limit", others, "--session", "stays")
        note("the others", 0.0)
        note("all", send())
        for number in range(options.rounds):
            note(f"undo {number + 1}", take_out())
            note(f"redo {number + 1}", send())
    finally:
        running.stop()
        stock.unlink_all(prefix)
    same_map = all(row["hash"] == rows[number % 2]["hash"] for number, row in enumerate(rows))
    # Regions that both sources share keep what they once needed while any keyframe is in them: so an undo is compared with the
    # first one.
    same_device = all(row["device_use"] == rows[2 if number % 2 == 0 else 1]["device_use"]
                      for number, row in enumerate(rows) if number)
    # The first undo leaves what allocators keep at hand, so that the memory of later ones is compared with it.
    grown = [row["resident_mb"] / rows[3 if number % 2 else 2]["resident_mb"] - 1
             for number, row in enumerate(rows) if number > 3]
    report = {"voxel_m": options.voxel_m, "rows": rows, "same_map": same_map, "same_device_use": same_device,
              "resident_grown_most": max(grown, default=0.0)}
    for row in rows:
        print(f"{row['after']:>10}  {row['took_s']:8.3f} s  {row['keyframes']:>5} keyframes  resident "
              f"{row['resident_mb']:8.2f} MB"
              f"  fields {row['device_use']:>12}  {row['hash'][:8]}")
    print(f"hash {'the same each time' if same_map else 'DIFFERS'}, fields {'as they were' if same_device else 'DIFFER'}, "
          f"resident memory "
          f"{100 * report['resident_grown_most']:+.2f} % at most against the first round")
    if options.json:
        print(json.dumps(report))
    sys.exit(0 if same_map and same_device else 1)


if __name__ == "__main__":
    main()
