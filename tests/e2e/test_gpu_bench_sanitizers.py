"""tests/bench/gpu.py: each test case by itself under each tool of compute-sanitizer."""

import os
import pathlib
import subprocess

import pytest

from conftest import ROOT
from gpu_parts import report as report_text
from gpu_parts import sanitizers
from support import pretend_gpu
from support.gpu_bench import interrupted
from support.service import PATIENCE_S

FOUND = """========= COMPUTE-SANITIZER
========= Uninitialized __global__ memory read of size 8 bytes
=========     at run_items
========= ERROR SUMMARY: 3 errors
"""


def test_each_case_is_checked_on_its_own_and_its_result_is_told(pretended):
    no_race = pretend_gpu.PASSED + "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
    race = "========= Error: Race reported\n========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)\n"
    program = str(pretended.programs / "test_gpu_cuda")
    status, report, text = pretended("--only", "sanitizers", "--jobs", 5, "--no-batches", faults=[
        ["--tool initcheck", {"out": pretend_gpu.PASSED + FOUND, "status": 9}],
        [f"--racecheck-num-workers 2 {program} meshes", {"out": pretend_gpu.PASSED + race}],
        [f"kns=7tessera {program} a keyframe", {"out": no_race, "err": "FAILED\n", "status": 42}],
        [f"{program} meshes", {"out": pretend_gpu.PASSED + f"========= Error: {sanitizers.NO_GPU}\n", "status": 255}],
        ["memcheck", {"out": "========= Error: no device\n", "status": 1}],
        ["synccheck", {"out": pretend_gpu.PASSED}],
    ])
    assert status == 1
    part = report["parts"]["sanitizers"]
    states = {name: [(one["state"], one["all_kernels"]) for one in run["cases"]] for name, run in part["tools"].items()}
    assert part["at_once"] == 5 and states.keys() == {"memcheck", "racecheck", "initcheck", "synccheck"}
    assert states["racecheck"] == [("clean", True), ("found", True), ("failed", False)]
    assert states["memcheck"] == states["synccheck"] == [("failed", True)] * 3
    assert states["initcheck"] == [("found", True)] * 3
    failures = "\n".join(part["failures"])
    assert 'initcheck: 3 found in "meshes"' in failures and "Uninitialized __global__ memory read of size 8 bytes / at run_items" in failures
    assert 'racecheck: 2 found in "meshes": Error: Race reported' in failures and failures.count("it gave no summary") == 2
    assert "did not end" not in failures and failures.count("ended with 1") == 2 and failures.count("meshes: it used no GPU") == 2
    assert "| racecheck | 3 | 1 | 1 | 0 | 1 |" in text
    assert not any("TESSERA_TEST_BATCHES" in call for call in pretended.calls())


def test_racecheck_without_our_kernels_counts_where_that_of_all_does_not_end():
    def row(everything, others):
        results = [("racecheck", True, "a"), everything], [("racecheck", False, "a"), others]
        found = {of: {"case": "a", "all_kernels": of[1], "seconds": 1.0, "state": state, "reason": ""} for of, state in results if state}
        return [(one["state"], one["all_kernels"]) for one in sanitizers._row("racecheck", ["a"], found)["cases"]]

    assert row("clean", "clean") == [("clean", True)]
    assert row("not done", "clean") == row(None, "clean") == [("clean", False)]
    assert row("not done", "found") == [("found", False)] and row("found", "not done") == [("found", True)]
    assert row("clean", "found") == [("found", False)] and row("clean", "not done") == [("clean", True)]
    assert row("not done", "not done") == row("not done", None) == [("not done", True)] and row(None, None) == []
    part = {"at_once": 3, "tools": {"racecheck": {"seconds": 1.0, "cases": [
        {"case": case, "all_kernels": of_all, "seconds": 1.0, "state": "clean"} for case, of_all in (("a", True), ("b, c", False))]}}}
    assert "racecheck saw all kernels in 1 cases, and in 1 only those that are not ours (ours have no shared memory): b, c." in (
        report_text._sanitizers(part)[-1])


def test_what_does_not_end_under_a_sanitizer_is_told(pretended):
    status, report, text = pretended(
        "--only", "sanitizers", "--jobs", 3, "--sanitizers", "racecheck", "initcheck", "--racecheck", "others", "--sanitizer-seconds", 8,
        faults=[["compute-sanitizer", {"hang": True}]])
    assert status == 1
    tools = report["parts"]["sanitizers"]["tools"]
    assert [one["state"] for name in tools for one in tools[name]["cases"]] == ["not done"] * 6
    assert "initcheck: 3 of 3 cases did not end in time: rays, as a set [of rays]; meshes; a keyframe taken whole" in text
    assert "not begun" in tools["racecheck"]["cases"][0]["reason"]
    assert "TESSERA_TEST_BATCHES=1" in "".join(pretended.calls())


def test_sanitizers_that_are_interrupted_end_with_all_they_started(pretended):
    pretend_gpu.install(pretended.programs, ["--tool racecheck", {"hang": True}])
    part = interrupted(pretended, "--only", "sanitizers", "--jobs", "1")["parts"]["sanitizers"]
    assert part["failures"] == ["interrupted"] and [len(run["cases"]) for run in part["tools"].values()] == [3, 0, 3, 3]


def test_each_case_of_the_tests_can_be_named(tessera):
    program = str(pathlib.Path(tessera).parent / "tests" / "test_gpu_cuda")
    if not os.access(program, os.X_OK):
        pytest.skip("test_gpu_cuda is not built")

    def listed(*spec):
        for way in sanitizers.NAMES_ONLY:
            done = subprocess.run([program, *spec, *way], capture_output=True, text=True, timeout=PATIENCE_S)
            if not done.stderr.strip():
                return done.stdout.splitlines()
        raise AssertionError(done.stderr)

    of_a_gpu = listed(sanitizers.ON_A_GPU)
    assert len(of_a_gpu) > 20 and len(of_a_gpu) < len(listed()) and any("," in name for name in of_a_gpu)
    assert all(listed(sanitizers.literally(name)) == [name] for name in of_a_gpu)
    assert sanitizers.literally('a "b", [c]\\') == '\\'.join(["a ", '"b', '"', ", ", "[c", "]", "", ""])


def test_only_kernels_without_shared_memory_are_left_out_of_racecheck():
    ours = [path for path in (ROOT / "gpu").rglob("*") if path.suffix in (".hpp", ".cpp", ".cu", ".cuh")]
    assert len(ours) > 20 and not [path for path in ours if "__shared__" in path.read_text(encoding="utf-8")]
