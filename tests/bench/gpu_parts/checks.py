"""Does the GPU do the same as the CPU? Tests, hashes."""

import re

ON_THE_GPU = {"TESSERA_TEST_DEVICES": "gpu"}  # no emulated device
PASSED = re.compile(r"All tests passed \((\d+) assertions? in (\d+) test cases?\)")


def tests(job, data, failures):
    runs = data["runs"] = []
    for _ in range(job.options.repeats):
        ended = job.runner.run([job.program("test_gpu_cuda")], job.limit_s("tests"), ON_THE_GPU)
        runs.append({**_counts(ended), "seconds": round(ended.seconds, 2), "reason": why_not(job, ended)})
        if runs[-1]["reason"]:
            failures.append(f"test_gpu_cuda: {runs[-1]['reason']}")


def hashes(job, data, failures):
    rows = data["voxels"] = []
    for voxel_m in job.options.voxels:
        row = {"voxel_m": voxel_m}
        rows.append(row)
        for backend in ("cpu", "cuda"):
            ended = job.runner.run([job.tessera, "hash", *job.input(voxel_m), "--backend", backend], job.limit_s("hash"))
            words = ended.out.split()
            if ended.reason or not words:
                failures.append(ended.complaint() if ended.reason else f"{ended.command}: it printed nothing")
            else:
                row[backend], row[f"{backend}_counts"] = words[0], " ".join(words[1:])
            row[f"{backend}_seconds"] = round(ended.seconds, 2)
        row["equal"] = row["cpu"] == row["cuda"] if "cpu" in row and "cuda" in row else None
        if row["equal"] is False:
            failures.append(f"hashes differ at {voxel_m:g} m: {row['cpu']} on the CPU, {row['cuda']} on the GPU")


def _counts(ended):
    passed = PASSED.search(ended.out)
    return {"assertions": int(passed[1]), "cases": int(passed[2])} if passed else {}


def why_not(job, ended):
    """Why a run of the tests proves nothing about the GPU; nothing if it does."""
    if ended.reason:
        return ended.complaint()
    if not job.parts.get("machine", {}).get("gpu_used", True) or "no CUDA device was found" in ended.out:
        return "it passed without a GPU, which says nothing"
    return "" if PASSED.search(ended.out) else "it ended with 0 and did not say that its tests passed"
