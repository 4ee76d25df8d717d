"""Does a keyframe cost more in a large map? growth.py, with room enough on the GPU."""

import json
import math
import pathlib
import sys

from growth import in_words

BUILDING_KEYFRAMES = 10_000
POOL_GIB = 12  # holds the whole building at 5 cm, 9.5 GB of blocks, with room to spare
CAP_OVER_POOL = 2  # a pool is at most half of the cap
# Of the time is kept for what comes after the last keyframe: the map's mesh and hash, which take about a tenth.
REPORT_SHARE = 1 / 4


def measure(job, data, failures):
    """Sets data["left_out"] unless keyframes are asked for. Where the time ends first, the part tells of those that came until
    then."""
    options = job.options
    if not options.growth:
        data["left_out"] = "not asked for (--growth N)"
        return
    rows = data["voxels"] = []
    for voxel_m in options.growth_voxels:
        pool = memory_pool_gib(options.growth, voxel_m)
        limit_s = min(job.limit_s("growth"), job.runner.left_s())
        seconds = limit_s * (1 - REPORT_SHARE)
        command = [sys.executable, "-B", pathlib.Path(__file__).resolve().parents[1] / "growth.py", "--binary", job.tessera,
                   "--limit",
                   options.growth, "--bin", bin_keyframes(options.growth), "--voxel-size", voxel_m, "--backend", job.backend,
                   "--seconds", seconds, "--json", "--label", job.label(), "--figure",
                   options.out / f"growth_{voxel_m * 100:g}cm.svg"]
        if job.gpu:
            command += ["--memory-cap", f"{math.ceil(pool * CAP_OVER_POOL)}GiB", "--", "--memory-pool", f"{pool}GiB"]
        ended = job.runner.run(command, limit_s)
        if ended.reason:
            failures.append(ended.complaint())
            continue
        found = json.loads(next(line for line in ended.out.splitlines() if line.startswith("{")))
        counted = {name: found[name] for name in ("keyframes", "asked", "ended_early")}
        if found["ended_early"]:
            failures.append(f"{voxel_m:g} m: {in_words(*counted.values())}, after {seconds:.0f} s")
        rows.append({"voxel_m": voxel_m, **counted, "bins": found["bins"], "bin_keyframes": bin_keyframes(options.growth),
                     "last_over_first": found["last_over_first"], "field_bytes": found["report"]["field_bytes"],
                     "triangles": found["report"]["triangles"], "map_hash": found["report"]["map_hash"]})


def bin_keyframes(keyframes):
    return max(1, min(1000, keyframes // 10))


def memory_pool_gib(keyframes, voxel_m):
    return max(1, math.ceil(POOL_GIB * keyframes / BUILDING_KEYFRAMES * (0.05 / voxel_m) ** 2))
