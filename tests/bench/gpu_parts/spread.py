"""A map on two GPUs against one: keyframes/s, the hash, and which GPU holds how much of it.

Where there is one GPU, bench_share has it do the work of each of two that share the map: it makes the rays of every second
keyframe, takes those that the other one would hand it of the others, and integrates and meshes the regions that would be its own.
Two such GPUs are as fast as the slower one, if the host can feed both: the ratio then is what two could reach.
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
    if not data["two"] and not job.program("bench_share").is_file():
        data["left_out"] = f"{job.program('bench_share')} is not here; it is built where nvcc is"
        return
    measured = measured_on_two if data["two"] else measured_as_two
    found = {voxel_m: [] for voxel_m in job.options.voxels}
    for _ in range(job.options.spread_rounds):
        for voxel_m, rounds in found.items():
            one = measured(job, voxel_m, failures)
            if one:
                rounds.append(one)
            data["voxels"] = [row(voxel, rounds) for voxel, rounds in found.items() if rounds]
    for row_ in data.get("voxels", []):
        check(job, row_, failures)


def measured_on_two(job, voxel_m, failures):
    """tessera bench on each and on both, in turns; None if one of them failed."""
    reports = {}
    for way, numbers in {"GPU 0": "0,", "GPU 1": "1,", "both": "0,1"}.items():
        command = [job.tessera, "bench", *job.input(voxel_m), "--backend", job.backend, "--gpus", numbers, "--threads",
                   max(2, job.options.threads), "--json"]
        reports[way] = answer_of(job, command, failures)
    if not all(reports.values()):
        return None
    return {"keyframes_per_s": {way: report["throughput"]["keyframes_per_s"] for way, report in reports.items()},
            "one": max(reports[way]["throughput"]["keyframes_per_s"] for way in ("GPU 0", "GPU 1")),
            "two": reports["both"]["throughput"]["keyframes_per_s"],
            "hashes": {way: report["map_hash"] for way, report in reports.items()},
            "same": len({report["map_hash"] for report in reports.values()}) == 1,
            "parts": reports["both"]["devices"]}


def measured_as_two(job, voxel_m, failures):
    """bench_share; None if it failed."""
    report = answer_of(job, [job.program("bench_share"), *job.input(voxel_m), "--json"], failures)
    if not report:
        return None
    shares = {f"as {number} of 2": share for number, share in enumerate(report["shares"])}
    return {"keyframes_per_s": {way: of["keyframes_per_s"] for way, of in {"GPU 0": report["whole"], **shares}.items()},
            "one": report["whole"]["keyframes_per_s"],
            "two": min(share["keyframes_per_s"] for share in report["shares"]),
            "hashes": {way: of["map_hash"] for way, of in {"GPU 0": report["whole"], **shares}.items()},
            "same": report["hashes_add_up"],
            "parts": report["shares"]}


def answer_of(job, command, failures):
    ended = job.runner.run(command, job.limit_s("spread"))
    if ended.reason:
        failures.append(ended.complaint())
        return None
    return json.loads(ended.out.strip().splitlines()[-1])


def row(voxel_m, rounds):
    """Medians of all rounds; the hashes and the division are those of the last."""
    last = rounds[-1]
    return {
        "voxel_m": voxel_m,
        "keyframes_per_s": {way: statistics.median(one["keyframes_per_s"][way] for one in rounds)
                            for way in last["keyframes_per_s"]},
        "rounds": {way: [one["keyframes_per_s"][way] for one in rounds] for way in last["keyframes_per_s"]},
        "ratio": goals.at_least(statistics.median(one["two"] / one["one"] for one in rounds), goals.TWO_OVER_ONE),
        "blocks": [part["blocks"] for part in last["parts"]],
        "regions": [part["regions"] for part in last["parts"]],
        "hashes": last["hashes"],
        "same": all(one["same"] for one in rounds),
    }


def check(job, row_, failures):
    """Both together make the map that one makes, and each holds a part of it."""
    one = row_["hashes"]["GPU 0"]
    where = f"at {row_['voxel_m']:g} m"
    if not row_["same"]:
        failures.append(f"hashes differ {where}: {row_['hashes']}")
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
