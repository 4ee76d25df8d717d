"""Does a keyframe cost more in a large map? growth.py, with room enough on the GPU."""

import json
import math
import pathlib
import sys

BUILDING_KEYFRAMES = 10_000
POOL_GIB = 12  # holds the whole building at 5 cm, 7.2 GB of voxels, with room to spare
CAP_OVER_POOL = 4 / 3  # a pool may be three quarters of the cap


def measure(job, data, failures):
    """Sets data["left_out"] unless keyframes are asked for."""
    options = job.options
    if not options.growth:
        data["left_out"] = "not asked for (--growth N)"
        return
    rows = data["voxels"] = []
    for voxel_m in options.growth_voxels:
        pool = memory_pool_gib(options.growth, voxel_m)
        command = [sys.executable, "-B", pathlib.Path(__file__).resolve().parents[1] / "growth.py", "--binary", job.tessera, "--limit",
                   options.growth, "--bin", max(1, min(1000, options.growth // 10)), "--voxel-size", voxel_m, "--backend", job.backend,
                   "--json", "--label", job.label(), "--figure", options.out / f"growth_{voxel_m * 100:g}cm.svg"]
        if job.gpu:
            command += ["--memory-cap", f"{math.ceil(pool * CAP_OVER_POOL)}GiB", "--", "--memory-pool", f"{pool}GiB"]
        ended = job.runner.run(command, job.limit_s("growth"))
        if ended.reason:
            failures.append(ended.complaint())
            continue
        found = json.loads(next(line for line in ended.out.splitlines() if line.startswith("{")))
        bins = found["bins"]
        rows.append({"voxel_m": voxel_m, "bins": bins, "last_over_first": bins[-1]["total_ms"] / bins[0]["total_ms"],
                     "field_bytes": found["report"]["field_bytes"], "triangles": found["report"]["triangles"],
                     "map_hash": found["report"]["map_hash"]})


def memory_pool_gib(keyframes, voxel_m):
    return max(1, math.ceil(POOL_GIB * keyframes / BUILDING_KEYFRAMES * (0.05 / voxel_m) ** 2))
