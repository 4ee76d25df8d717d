"""How long a keyframe takes, stage by stage, and how many go through in a second: `tessera bench` in rounds, the voxel sizes in
turns."""

import json

from . import goals

DEVICE_STAGES = ("upload", "rays", "integrate", "extract")


def measure(job, data, failures):
    rounds = {voxel_m: [] for voxel_m in job.options.voxels}
    for _ in range(job.options.rounds):
        for voxel_m, reports in rounds.items():
            command = [job.tessera, "bench", *job.input(voxel_m), "--backend", job.backend, "--threads", job.options.threads,
                       "--json"]
            ended = job.runner.run(command, job.limit_s("bench"))
            if ended.reason:
                failures.append(ended.complaint())
            else:
                reports.append(json.loads(ended.out.strip().splitlines()[-1]))
            # What is known so far stays, whatever becomes of the rest.
            data["voxels"] = [row(voxel, reports, job.gpu) for voxel, reports in rounds.items() if reports]
    hashes = {row["voxel_m"]: row.get("cpu") for row in job.parts.get("hash", {}).get("voxels", [])}
    for row_ in data.get("voxels", []):
        wanted = hashes.get(row_["voxel_m"])
        row_["map_is_the_cpus"] = row_["map_hash"] == wanted if wanted else None
        if row_["map_is_the_cpus"] is False:
            failures.append(f"bench made another map at {row_['voxel_m']:g} m: {row_['map_hash']}, and hash on the CPU {wanted}")


def row(voxel_m, reports, gpu):
    """The round whose total median is the median of all rounds', the lower of two; with a GPU, against the goals."""
    by_total = sorted(reports, key=lambda report: report["stages"]["total"]["median_ms"])
    chosen = by_total[(len(by_total) - 1) // 2]
    stages = chosen["stages"]
    result = {
        "voxel_m": voxel_m,
        "backend": chosen["backend"],
        "keyframes": chosen["keyframes"],
        "points": chosen["points"] / chosen["keyframes"],
        "rays": chosen["rays"] / chosen["keyframes"],
        "stages": stages,
        "p99_over_median": stages["total"]["p99_ms"] / stages["total"]["median_ms"],
        "device": chosen.get("device"),
        "throughput": chosen.get("throughput"),
        "map_hash": chosen["map_hash"],
        "triangles": chosen["triangles"],
        "field_bytes": chosen["field_bytes"],
        "rounds_total_ms": [report["stages"]["total"]["median_ms"] for report in reports],
        "rounds_keyframes_per_s": [report["throughput"]["keyframes_per_s"] for report in reports if "throughput" in report],
    }
    if gpu:
        result["goals"] = verdicts(voxel_m, result)
    return result


def verdicts(voxel_m, row_):
    """Two readings of the time: of the device's stages alone, and of all from the offer to the answer, in which the host waits,
    too."""
    out = {"p99": goals.at_most(row_["p99_over_median"], goals.P99_OVER_MEDIAN)}
    for name in ("device", "total"):
        if voxel_m in goals.STAGES_MS and name in row_["stages"]:
            out[name] = goals.at_most(row_["stages"][name]["median_ms"], goals.STAGES_MS[voxel_m])
    if voxel_m in goals.KEYFRAMES_PER_S and row_["throughput"]:
        out["keyframes_per_s"] = goals.at_least(row_["throughput"]["keyframes_per_s"], goals.KEYFRAMES_PER_S[voxel_m])
    return out
