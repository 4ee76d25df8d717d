"""A map on two GPUs against one: keyframes/s, the hash, and which GPU holds how much of it.

Where there is one GPU, it is measured as each of two that share the map: it takes every keyframe, and integrates and meshes the regions
that would be its own. Two such GPUs are as fast as the slower one, if the host can feed both: the ratio then is what two could reach.
"""

import json
import statistics

from . import goals


def measure(job, data, failures):
    """Sets data["left_out"] where there is none."""
    gpus = job.parts.get("machine", {}).get("gpus_used", 1)
    if gpus == 0:
        data["left_out"] = "no GPU can be used"
        return
    data["two"] = gpus > 1
    ways = {"GPU 0": ["--gpus", "0,"], **(
        {"GPU 1": ["--gpus", "1,"], "both": ["--gpus", "0,1"]} if gpus > 1 else
        {f"as {share} of 2": ["--gpus", "0,", "--share", f"{share}/2"] for share in range(2)})}
    found = {voxel_m: {way: [] for way in ways} for voxel_m in job.options.voxels}
    for _ in range(job.options.spread_rounds):
        for voxel_m, reports in found.items():
            for way, words in ways.items():
                command = [job.tessera, "bench", *job.input(voxel_m), "--backend", job.backend, *words, "--threads",
                           max(2, job.options.threads), "--json"]
                ended = job.runner.run(command, job.limit_s("spread"))
                if ended.reason:
                    failures.append(ended.complaint())
                else:
                    reports[way].append(json.loads(ended.out.strip().splitlines()[-1]))
            data["voxels"] = [row(voxel, of, data["two"]) for voxel, of in found.items() if all(of.values())]
    for row_ in data.get("voxels", []):
        check(job, row_, data["two"], failures)


def row(voxel_m, reports, two):
    """Medians of all rounds; the hashes and the division are those of the last."""
    per_s = {way: statistics.median(report["throughput"]["keyframes_per_s"] for report in of) for way, of in reports.items()}
    last = {way: of[-1] for way, of in reports.items()}
    one = max(per_s["GPU 0"], per_s["GPU 1"]) if two else per_s["GPU 0"]
    together = per_s["both"] if two else min(per_s["as 0 of 2"], per_s["as 1 of 2"])
    devices = last["both"]["devices"] if two else [last[f"as {share} of 2"]["devices"][0] for share in range(2)]
    return {
        "voxel_m": voxel_m,
        "keyframes_per_s": per_s,
        "rounds": {way: [report["throughput"]["keyframes_per_s"] for report in of] for way, of in reports.items()},
        "ratio": goals.at_least(together / one, goals.TWO_OVER_ONE),
        "blocks": [device["blocks"] for device in devices],
        "regions": [device["regions"] for device in devices],
        "hashes": {way: report["map_hash"] for way, report in last.items()},
    }


def check(job, row_, two, failures):
    """Both together make the map that one makes, and each holds a part of it."""
    hashes = row_["hashes"]
    one = hashes["GPU 0"]
    where = f"at {row_['voxel_m']:g} m"
    together = hashes["both"] if two else add(hashes["as 0 of 2"], hashes["as 1 of 2"])
    if together != one or hashes.get("GPU 1", one) != one:
        failures.append(f"hashes differ {where}: {hashes}")
    if not all(row_["regions"]):
        failures.append(f"the map does not span both {where}: regions {row_['regions']}")
    known = job.parts.get("hash", {}).get("voxels", [])
    wanted = next((of["cpu"] for of in known if of["voxel_m"] == row_["voxel_m"] and "cpu" in of), None)
    if wanted is None:
        ended = job.runner.run([job.tessera, "hash", *job.input(row_["voxel_m"]), "--backend", "cpu"], job.limit_s("spread"))
        wanted = ended.out.split()[0] if not ended.reason and ended.out.split() else None
        if ended.reason:
            failures.append(ended.complaint())
    row_["map_is_the_cpus"] = one == wanted if wanted else None
    if row_["map_is_the_cpus"] is False:
        failures.append(f"the map {where} is {one}, and {wanted} on the CPU")


def add(one, other):
    """Hashes of parts add up, each half by itself, modulo 2^64."""
    halves = (int(one[at:at + 16], 16) + int(other[at:at + 16], 16) for at in (0, 16))
    return "".join(f"{half % 2**64:016x}" for half in halves)
