"""Does the GPU do the same as the CPU, and does it touch only what is its own? Tests, the same under compute-sanitizer, hashes."""

import re

from . import tools

ON_THE_GPU = {"TESSERA_TEST_DEVICES": "gpu"}  # no emulated device
# initcheck takes the tests' poison for a value that was written.
SANITIZERS = {"memcheck": {}, "racecheck": {}, "initcheck": {"TESSERA_TEST_NO_POISON": "1"}, "synccheck": {}}
FOUND = 9  # a sanitizer's exit status when it found something and the tests passed
PASSED = re.compile(r"All tests passed \((\d+) assertions? in (\d+) test cases?\)")
SUMMARY = re.compile(r"(?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)")


def tests(job, data, failures):
    runs = data["runs"] = []
    for _ in range(job.options.repeats):
        ended = job.runner.run([job.program("test_gpu_cuda")], job.limit_s("tests"), ON_THE_GPU)
        runs.append({**_counts(ended), "seconds": round(ended.seconds, 2), "reason": _why_not(job, ended)})
        if runs[-1]["reason"]:
            failures.append(f"test_gpu_cuda: {runs[-1]['reason']}")


def sanitizers(job, data, failures):
    """Sets data["left_out"] where there is no compute-sanitizer."""
    tool = tools.find("compute-sanitizer")
    if not tool:
        data["left_out"] = "compute-sanitizer is not here"
        return
    rows = data["tools"] = {}
    for name in job.options.sanitizers:
        command = [tool, "--tool", name, "--error-exitcode", FOUND, job.program("test_gpu_cuda"), *job.options.cases]
        ended = job.runner.run(command, job.limit_s("sanitizers"), {**ON_THE_GPU, **SANITIZERS[name]})
        found = [int(one or other) for one, other in SUMMARY.findall(ended.out + ended.err)]
        reason = _why_not(job, ended)
        if not reason and not found:
            reason = "it gave no summary"
        elif found and max(found) > 0:
            reason = f"it found {max(found)}; see log.txt"
        rows[name] = {**_counts(ended), "found": max(found) if found else None, "seconds": round(ended.seconds, 2), "reason": reason}
        if reason:
            failures.append(f"{name}: {reason}")


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


def _why_not(job, ended):
    """Why a run of the tests proves nothing about the GPU; nothing if it does."""
    if ended.reason:
        return ended.complaint()
    if not job.parts.get("machine", {}).get("gpu_used", True) or "no CUDA device was found" in ended.out:
        return "it passed without a GPU, which says nothing"
    return "" if PASSED.search(ended.out) else "it ended with 0 and did not say that its tests passed"
