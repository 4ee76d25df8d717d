"""tests/bench/gpu.py: drills in which a GPU breaks or runs out of memory, survived and not."""

import time

import pytest

from gpu_parts import bounded, served
from support import pretend_gpu
from support.gpu_bench import gone, measured


def drilled(report):
    return {f"{row['check']}: {row['what']}": row for row in report["parts"]["drills"]["checks"]}


def test_drills_are_survived(pretended):
    status, report, text = pretended("--only", "drills", "hash")
    rows = drilled(report)
    assert status == 0, text
    assert [row["reason"] for row in rows.values()] == [""] * len(rows)
    assert rows["failure: one GPU, a kernel traps after the last keyframe"]["error"].endswith("cudaErrorLaunchFailure (unspecified)")
    assert rows["failure: one GPU, a launch is refused while keyframes come"]["error"].endswith("cudaErrorInvalidValue (invalid argument)")
    pools = [row.get("pool_mib") for name, row in rows.items() if name.startswith("eviction")]
    assert pools == [628, 141, 70, 35, 35]
    assert rows["eviction: the service, a pool of 1/8"]["moves_in"] == 12
    walls = rows["refusal: 20 walls, 64MiB, no host memory"]
    assert (walls["accepted"], walls["refused"], walls["room_after_retracting"]) == (4, 16, True)
    capped = rows["memory cap: a cap of 1024 MiB"]
    assert (capped["peak_mib"], capped["context_mib"]) == (1500, 500)
    assert "| failure | one GPU, a kernel traps while keyframes come | passed |" in text and "peak 1500 MiB" in text
    calls = pretended.calls()
    assert sum("hash SOURCE --voxel-size 0.01 --backend cpu" in call for call in calls) == 1  # what is known is not asked again
    assert not any("--gpus 2" in call for call in calls)


def test_drills_of_two_gpus(pretended):
    two = {"out": "beef keyframes=1\n", "err": "".join(f"backend cuda, GPU {i} (NVIDIA H200)\n" for i in range(2))}
    faults = [["tessera hash synthetic:room --limit 1", two]]
    status, report, _ = pretended("--only", "drills", faults=faults)
    rows = drilled(report)
    left = {name.partition(": ")[2]: row["gpus_left"] for name, row in rows.items() if "two GPUs" in name}
    assert status == 0 and left == {
        "two GPUs, a launch is refused on one while keyframes come": 1, "two GPUs, a launch is refused on one after the last keyframe": 1,
        "two GPUs, launches are refused on one, then on the other": 0,
        "two GPUs, a kernel traps on one while keyframes come, which takes both": 0,
        "two GPUs, a kernel traps on one after the last keyframe, which takes both": 0}
    # Where the other GPU goes with one whose launch is refused, the map is whole and the law broken.
    status, report, text = pretended("--only", "drills", faults=[*faults, ["--drill launch@50 --gpus 2", {"serve": pretend_gpu.broken(2, 0)}]])
    assert status == 1 and "not every broken GPU is taken out" not in text
    assert report["parts"]["drills"]["failures"] == [
        "failure, two GPUs, a launch is refused on one while keyframes come: 0 GPUs are in use, not 1"]


def broken_gpu(**more):
    return {"serve": {**pretend_gpu.broken(1, 0), **more}}


def moving(**more):
    return {"serve": {"map": {"keyframes": 100, "hash": pretend_gpu.hash_at(0.01)}, "metrics": pretend_gpu.on_gpus(1), **more}}


def building(**more):
    return {"serve": {"map": {"keyframes": 400, "hash": pretend_gpu.hash_at(0.05)}, "metrics": pretend_gpu.on_gpus(1, keyframes=400),
                      "refused": 0, **more}}


# In each run one drill of each kind goes wrong: {kind: (fault, what is said of it)}.
@pytest.mark.parametrize("wrong", [
    {"failure": (["--drill gpu@50", broken_gpu(map={"keyframes": 100, "hash": "f00d"})], "the map's hash is f00d"),
     "eviction": (["bench synthetic:building", {"out": pretend_gpu.bench(0.02, 1, 1)}],
                  f"the map's hash is {pretend_gpu.hash_at(0.02)}"),
     "refusal": (["--host-memory 0", {"serve": {"room": 4, "reason": "it is too late"}}], "does not say that memory is wanting"),
     "memory cap": (["--memory-cap 1024MiB", moving(memory=1700)], "1697 MiB are used, more than the cap of 1024 and the context's 500")},
    {"failure": (["--drill gpu@50", broken_gpu(status=139)], "ended with 139 at SIGTERM"),
     "eviction": (["--region-size 32 --memory-pool 70MiB", {"err": "tessera: lost\n", "status": 1}], "ended with 1: tessera: lost"),
     "refusal": (["--host-memory 0", {"serve": {"room": 4, "refused": 3}}], "16 were refused, and /metrics counts 3")},
    {"failure": (["--drill gpu@50", broken_gpu(health=500)], "/healthz"),
     "eviction": (["--rate 0 --gpus 1 --region-size 32 --memory-pool 35MiB", building()], "no region moved out"),
     "refusal": (["--host-memory 0", {"serve": {}}], "none was refused")},
    {"failure": (["--drill gpu@50", broken_gpu(refused=2)], "2 keyframes were refused"),
     "eviction": (["--rate 0 --gpus 1 --region-size 32 --memory-pool 35MiB", building(refused=3)], "3 keyframes were not taken"),
     "refusal": (["--host-memory 0", {"serve": {"room": 4, "retract": 503}}], "retracting wall 0 is answered 503")},
    {"failure": (["--drill gpu@50", {"err": "tessera: no\n", "status": 1}], "the service ended with 1: tessera: no")},
])
def test_a_drill_that_is_not_survived_is_told_and_the_rest_still_runs(pretended, wrong):
    status, report, text = pretended("--only", "drills", faults=[fault for fault, _ in wrong.values()])
    checks = report["parts"]["drills"]["checks"]
    reasons = {row["check"]: row["reason"] for row in reversed(checks) if row["reason"]}  # the first of each kind
    assert status == 1 and set(reasons) == set(wrong)
    assert all(said in reasons[kind] and reasons[kind] in text for kind, (_, said) in wrong.items()), text
    assert {row["check"] for row in checks} == {"failure", "eviction", "refusal", "memory cap"} and "**failed**" in text


def test_drills_without_a_gpu_are_those_of_the_cpu(tessera, tmp_path):
    status, report, text = measured(
        tmp_path, tessera, "synthetic:room", "--limit", 10, "--backend", "cpu", "--only", "drills", "--voxels", 0.1)
    assert status == 0, text
    rows = drilled(report)
    assert set(rows) == {"failure: the CPU's device is killed", "refusal: 20 walls, 64MiB, a memory cap"}
    assert rows["refusal: 20 walls, 64MiB, a memory cap"]["refused"] > 0


def test_a_service_that_does_not_end_is_ended(tmp_path):
    programs = pretend_gpu.install(tmp_path, ["serve", {"serve": {"deaf": True}}])
    served.END_S, kept = 0.2, served.END_S
    try:
        with open(tmp_path / "log", "w", encoding="utf-8") as log:
            runner = bounded.Runner(time.monotonic() + 600, log)
            with served.serve(runner, programs / "tessera", "SOURCE") as running:
                pid = running._child.pid
                assert running.healthy()
                with pytest.raises(served.Failed, match="does not end within"):
                    running.end()
                with pytest.raises(served.Failed, match="there are not 3 live keyframes"):
                    running.wait_for_map(3, 0.1)
    finally:
        served.END_S = kept
    assert gone(pid) and "ended from outside" in (tmp_path / "log").read_text()
