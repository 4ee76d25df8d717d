"""How many keyframes a second the whole service takes, by bench_throughput: on one GPU, and where there are two on each and on
both, from segments that producers write meanwhile and from segments that were written before."""

import json
import shutil
import statistics

from . import latency

PRODUCERS, WARM_UP_S = 8, 1
SEGMENTS_PER_S, POINT_BYTES = 4000, 16  # that --prewritten writes for each second; what a point takes, at most
WAYS = {"GPU 0": "0,", "GPU 1": "1,", "both": "0,1"}
FIGURES = ("accepted_per_s", "kernels_each", "copies_each", "cpu_cores")


def measure(job, data, failures):
    gpus = job.parts.get("machine", {}).get("gpus_used", 1)
    if gpus == 0:
        data["left_out"] = "no GPU can be used"
        return
    ways = WAYS if gpus > 1 else {"GPU 0": WAYS["GPU 0"]}
    found = {}
    for _ in range(job.options.throughput_rounds):
        for voxel_m in job.options.throughput_voxels:
            for prewritten in (False, True):
                for way, numbers in ways.items():
                    if prewritten and not _fits(job, [one for rounds in found.values() for one in rounds]):
                        data["note"] = "Nothing was written before: /dev/shm has no room for it."
                        continue
                    one = _measured(job, voxel_m, prewritten, numbers, failures)
                    if one:
                        found.setdefault((voxel_m, prewritten, way), []).append(one)
                    data["cases"] = _rows(found)  # what is known so far stays


def _measured(job, voxel_m, prewritten, gpus, failures):
    command = [job.program("bench_throughput"), "--binary", job.tessera, "--backend", job.backend, "--source", job.options.source,
               "--voxel-size", voxel_m, "--producers", PRODUCERS, "--seconds", job.options.throughput_seconds, "--warm-up",
               WARM_UP_S, *(["--prewritten"] if prewritten else []), "--json", "--", "--gpus", gpus]
    ended = job.runner.run(command, job.limit_s("throughput"))
    if ended.late:
        latency.remove_segments(ended.pid)
    if ended.reason:
        failures.append(ended.complaint())
        return None
    report = json.loads(ended.out.strip().splitlines()[-1])
    if report["accepted_per_s"] == 0:
        failures.append(f"{ended.command}: no keyframe was accepted")
        return None
    return report


def _fits(job, reports):
    """Whether there is room for what is written before, of keyframes as large as those of these reports."""
    points = max((report["points"] for report in reports), default=0)
    seconds = job.options.throughput_seconds + WARM_UP_S
    return shutil.disk_usage("/dev/shm").free > SEGMENTS_PER_S * seconds * points * POINT_BYTES


def _rows(found):
    """Medians of all rounds; on both GPUs also how many times as many keyframes as on the better one."""
    rows = []
    for (voxel_m, prewritten, way), rounds in sorted(found.items(),
                                                     key=lambda item: (-item[0][0], item[0][1], list(WAYS).index(item[0][2]))):
        row = {"voxel_m": voxel_m, "prewritten": prewritten, "way": way, "points": rounds[0]["points"],
               "rounds": [one["accepted_per_s"] for one in rounds],
               **{name: statistics.median(one[name] for one in rounds) for name in FIGURES}}
        singles = [other["accepted_per_s"] for other in rows
                   if (other["voxel_m"], other["prewritten"]) == (voxel_m, prewritten) and other["way"] != "both"]
        if way == "both" and singles:
            row["over_better"] = row["accepted_per_s"] / max(singles)
        rows.append(row)
    return rows
