"""tests/bench/gpu.py, where no GPU is: what it makes of bad results. Parts are given what programs would have printed; the whole
runs on shell scripts, of which some fail or hang, and on the program itself, told to lie."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import ROOT
from support.left_out import left_out
from support.service import PATIENCE_S

BENCH = ROOT / "tests" / "bench"
sys.path.append(str(BENCH))
from gpu_parts import bounded, checks, growth_of, kernels, latency, sanitizers, stages, tools  # noqa: E402

PASSED = "All tests passed (90 assertions in 3 test cases)\n"
CLEAN, NO_RACE = "========= ERROR SUMMARY: 0 errors\n", "========= RACECHECK SUMMARY: 0 hazards displayed\n"
CASES = "rays, as a set [of rays]\nmeshes\n"


def bench(total_ms, per_s, digits="cafe", **more):
    """What `tessera bench --json` says of a GPU."""
    times = {"device": 0.8 * total_ms, "total": total_ms}
    return {"backend": "cuda", "keyframes": 100, "points": 2.73e7, "rays": 4e5, "triangles": 25, "field_bytes": 6e6,
            "stages": {name: {"median_ms": ms, "p99_ms": 2 * ms} for name, ms in times.items()}, "map_hash": digits,
            "throughput": {"keyframes_per_s": per_s, "one_thread_keyframes_per_s": per_s / 2}, **more}


# What the scripts answer to a call: the first pattern of the shell that fits.
USUAL = {
    "nvidia-smi *": "echo NVIDIA H100, 580, 81559 MiB, 5, 16, 5, 16, 1980 MHz, 700 W",
    "tessera --version": "echo tessera 0",
    "tessera hash synthetic:room *": "echo beef; echo 'backend cuda, GPU 0 (NVIDIA H100)' >&2",
    "tessera hash *": "echo cafe keyframes=100",
    "tessera bench *": f"echo '{json.dumps(bench(0.24, 5000))}'",
    "test_gpu_cuda *--list-test-names-only": f"echo '{CASES}'",
    "test_gpu_cuda *": f"echo '{PASSED}'",
    "compute-sanitizer *": f"echo '{PASSED}{CLEAN}'",
}
# It stops who started it, at once: that may be still about to start it.
STOPS = 'sleep 600 & echo $$ $! >"${0%/*}/children"; kill $PPID; wait'


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def started(folder, *more, faults=None, binary=None):
    """It runs on the program, or on scripts, of which `faults` are answers as in USUAL."""
    if not binary:
        answers = {**(faults or {}), **USUAL, **(faults or {})}.items()
        lines = [re.sub("[^*]+", lambda plain: f'"{plain[0]}"', call) + f") {does} ;;" for call, does in answers]
        for name in ("test_gpu_cuda", "compute-sanitizer", "nvidia-smi", "tessera"):
            binary = script(folder / name, "\n".join(['case "${0##*/} $*" in', *lines, "*) exit 99", "esac"]))
    command = [sys.executable, "-B", "-S", BENCH / "gpu.py", "--binary", binary, "--out", folder / "out", *more]
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)


def ended(running, folder):
    """Its status, what failed in each part, and report.md."""
    assert not running.communicate(timeout=PATIENCE_S)[1]
    as_json, as_text = ((folder / "out" / name).read_text() for name in ("report.json", "report.md"))
    return running.returncode, {name: part["failures"] for name, part in json.loads(as_json)["parts"].items()}, as_text


def gone(pid):
    """Whether it ends: it is no more, or its parent has yet to bury it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


ASKED = ("SOURCE", "--voxels", 0.05, 0.02, "--sanitizers", "memcheck", "initcheck", "--rounds", 1,
         "--only", "tests", "hash", "bench", "sanitizers")


def test_a_missed_goal_is_told_and_no_failure(tmp_path):
    status, failures, text = ended(started(tmp_path, *ASKED), tmp_path)
    assert status == 0 and not any(failures.values()) and "Failed" not in text
    assert "0.192, goal 0.2: met | 0.240, goal 0.2: **missed** | 2.00, goal 3: met" in text
    assert "5,000, goal 6,000: **missed** | yes" in text and "| initcheck | 2 | 2 | 0 | 0 | 0 |" in text


def test_what_fails_is_told_and_the_rest_still_runs(tmp_path):
    status, failures, text = ended(started(tmp_path, *ASKED, faults={
        "test_gpu_cuda ": "echo broken >&2; exit 42", "tessera hash * 0.02 --backend cuda": "echo face",
        "tessera bench * 0.05 *": f"echo '{json.dumps(bench(0.2, 1, 'f00d'))}'",
        "tessera bench * 0.02 *": "echo lost >&2; exit 1", "compute-sanitizer *memcheck*": f"echo '{PASSED}'"}), tmp_path)
    assert status == 1 and not failures.pop("machine") and "ended with 1: lost" in failures["bench"][0]
    assert {name: lines[-1].rpartition("/")[2] for name, lines in failures.items()} == {
        "tests": "test_gpu_cuda: ended with 42: broken", "hash": "hashes differ at 0.02 m: cafe on the CPU, face on the GPU",
        "bench": "bench made another map at 0.05 m: f00d, and hash on the CPU cafe",
        "sanitizers": "test_gpu_cuda meshes: it gave no summary"}
    assert all(f"- {name}: {line}" in text for name, lines in failures.items() for line in lines)


def test_a_drill_that_ends_with_another_map_is_told(tessera, tmp_path):
    liar = script(tmp_path / "tessera", f'[ "$1" != hash ] && exec "{tessera}" "$@"; echo f00d keyframes=3')
    status, failures, text = ended(started(tmp_path, "synthetic:room", "--limit", 3, "--backend", "cpu", "--only", "drills",
                                           "--voxels", 0.1, binary=liar), tmp_path)
    assert status == 1 and len(failures["drills"]) == 1, text
    assert re.match(r"failure, the CPU's device is killed: the map's hash is \w{32}, and the CPU's f00d$", failures["drills"][0])
    assert "| **failed** |" in text and "| refusal | 20 walls, 64MiB, a memory cap | passed |" in text


@pytest.mark.parametrize("part, call", [("tests", "test_gpu_cuda "), ("sanitizers", "compute-sanitizer *")])
def test_what_is_known_when_it_is_stopped_is_written_and_no_child_is_left(tmp_path, part, call):
    running = started(tmp_path, "SOURCE", "--only", part, "bench", "--jobs", 1, faults={call: STOPS})
    status, failures, text = ended(running, tmp_path)
    before = {"bench": []} if part == "sanitizers" else {}  # parts come in an order of their own
    assert status == 1 and failures == {"machine": [], **before, part: ["interrupted"]} and f"- {part}: interrupted" in text
    assert all(gone(pid) for pid in (tmp_path / "children").read_text().split())


def test_a_command_ends_at_its_own_limit_and_the_next_one_runs(tmp_path):
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        runner = bounded.Runner(time.monotonic() + PATIENCE_S, log)
        late = runner.run(["sleep", 600], 0.1)
        assert late.late and late.status is None and gone(late.pid) and "not done within" in late.reason
        assert runner.run(["sh", "-c", "echo why >&2; kill -9 $$"], 60).complaint().endswith(": ended by SIGKILL: why")
        with runner.running(["sleep", 600]) as (child, _):
            assert child.poll() is None
        assert gone(child.pid) and not runner.run(["true"], 60).reason
        too_late = bounded.Runner(time.monotonic(), log).run(["sleep", 600], 60)
        assert too_late.late and "the time for everything is used up" in too_late.reason
    assert "$ sleep 600\n# not done within" in (tmp_path / "log").read_text()


def test_what_a_command_says_is_whole_although_it_is_read_meanwhile(tmp_path):
    lines = 20_000
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        runner = bounded.Runner(time.monotonic() + PATIENCE_S, log)
        with runner.running(["sh", "-c", f"i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo $i; done"]) as (child, output):
            while child.poll() is None:
                output()
            assert output().split() == [str(i + 1) for i in range(lines)]


def test_a_signal_that_comes_while_a_command_is_started_ends_it(tmp_path, monkeypatch):
    children, start = [], subprocess.Popen

    def start_and_stop(*words, **options):
        children.append(start(*words, **options))
        signal.raise_signal(signal.SIGTERM)
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", start_and_stop)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as gpu.py's
    try:
        with open(tmp_path / "log", "w", encoding="utf-8") as log:
            runner = bounded.Runner(time.monotonic() + PATIENCE_S, log)
            with pytest.raises(KeyboardInterrupt):
                runner.run(["sleep", 600], 60)
            with pytest.raises(KeyboardInterrupt), runner.running(["sleep", 600]):
                pass
    finally:
        signal.signal(signal.SIGTERM, before)
    assert all(child.poll() is not None for child in children) and len(children) == 2


def measured(measure, answer, parts=None, **options):
    """What a part finds and what fails, where answer(words) says what becomes of a command."""
    data, failures = {}, []
    runner = SimpleNamespace(left_s=lambda: 600, run=lambda command, limit_s, env=None: answer([*map(str, command)]))
    job = SimpleNamespace(options=SimpleNamespace(**options), runner=runner, parts=parts or {}, gpu=True, backend="", tessera="",
                          limit_s=lambda part: 60, program=Path, input=lambda voxel_m: [voxel_m], label=str)
    measure(job, data, failures)
    return data, failures


def said(out="", reason="", late=False):
    return bounded.Ended("COMMAND", reason, None if late else 1 if reason else 0, out=out, late=late)


def test_tests_that_pass_without_a_gpu_or_do_not_say_so_prove_nothing():
    for out, gpu, why in ((PASSED, None, ": it passed without a GPU"), ("ok\n", "GPU 0", ": it ended with 0 and did not say"),
                          (f"no CUDA device was found\n{PASSED}", "GPU 0", ": it passed without a GPU")):
        _, failures = measured(checks.tests, lambda words: said(out), {"machine": {"gpu_used": gpu}}, repeats=1)
        assert len(failures) == 1 and why in failures[0]


def test_what_each_sanitizer_says_of_a_case_is_told(monkeypatch):
    monkeypatch.setattr(tools, "find", lambda name: name)
    late = said(reason="not done within 60 s", late=True)
    found = said(PASSED + "========= Uninitialized read\n========= ERROR SUMMARY: 3 errors\n", "ended with 9")
    answers = {"memcheck": (said(PASSED), said(CLEAN)), "racecheck": (said(PASSED + NO_RACE), late), "initcheck": (late, found),
               "synccheck": (said(PASSED + CLEAN), said(PASSED + CLEAN + sanitizers.NO_GPU, "ended with 255"))}  # of each case

    def answer(words):
        if "--list-test-names-only" in words:
            return said(CASES)
        if "--kernel-name-exclude" in words:  # the other half of racecheck
            return said(PASSED + (NO_RACE if words[-1] == "meshes" else NO_RACE.replace("0", "2")))
        return answers[words[2]][words[-1] == "meshes"]

    asked = {"cases": [], "jobs": 2, "sanitizers": [*answers], "racecheck": "both", "sanitizer_seconds": 60, "batches": True}
    data, failures = measured(sanitizers.measure, answer, **asked)
    assert {name: [(one["state"], one["all_kernels"]) for one in row["cases"]] for name, row in data["tools"].items()} == {
        "memcheck": [("failed", True)] * 2, "racecheck": [("found", False), ("clean", False)],
        "initcheck": [("not done", True), ("found", True)], "synccheck": [("clean", True), ("failed", True)]}
    assert [failure.partition(", as a set")[0] for failure in failures] == [
        "memcheck: COMMAND: it gave no summary", "memcheck: it ended with 0 and did not say that its tests passed",
        'racecheck: 2 found in "rays', 'initcheck: 3 found in "meshes": Uninitialized read',
        "initcheck: 1 of 2 cases did not end in time: rays",
        "synccheck: COMMAND: it used no GPU; cases that never do are tagged [emulated]"]
    assert measured(sanitizers.measure, lambda words: said(), **asked)[1] == ["COMMAND: it names no test cases; "]


def test_each_case_of_the_tests_can_be_named_to_the_sanitizers(tessera):
    program = Path(tessera).parent / "tests" / "test_gpu_cuda"
    if not program.is_file():
        left_out("test_gpu_cuda is not built")

    def listed(*words):
        done = (subprocess.run([program, *words, *way], capture_output=True, text=True) for way in sanitizers.NAMES_ONLY)
        return next(one.stdout.splitlines() for one in done if not one.stderr.strip())

    of_a_gpu = listed(sanitizers.ON_A_GPU)
    assert 20 < len(of_a_gpu) < len(listed()) and any("," in name for name in of_a_gpu)
    assert all(listed(sanitizers.literally(name)) == [name] for name in of_a_gpu)
    assert sanitizers.literally('a "b", [c]\\') == r'a \"b\"\, \[c\]' + 2 * "\\"


def test_only_kernels_without_shared_memory_are_left_out_of_racecheck():
    ours = [path for path in (ROOT / "gpu").rglob("*") if path.suffix in (".hpp", ".cpp", ".cu", ".cuh")]
    assert len(ours) > 20 and not [path for path in ours if "__shared__" in path.read_text(encoding="utf-8")]


def launch(kernel, duration, unit="us"):
    return (f"  void {kernel} (1056, 1, 1)x(256, 1, 1), Context 1, Stream 21, Device 0, CC 9.0\n"
            f"    Metric Name            Metric Unit Metric Value\n    gpu__time_duration.sum {unit:>11} {duration:>12}\n")


def test_kernels_are_read_from_ncus_text(monkeypatch):
    text = "==PROF== Connected to process 7\n9 kernels of 0.05 m (1, 1, 1)\n" + "".join([
        launch("tessera::run_each<tessera::split_rays>(const unsigned int *, unsigned long, T1)", "35.90"),
        launch("tessera::run_items<tessera::cuda::add_points<3>>(unsigned long, T1)", "1,250", "ns"),
        launch("tessera::(anonymous namespace)::run<32, tessera::add_points>(T1)", "0.00225", "ms"),
        launch("cub::DeviceScanKernel<cub::policy_hub<unsigned long>::Policy1000, unsigned int>(T2, T3)", "4.25"),
        launch("tessera::run_each<tessera::not_measured>(T1)", "n/a"), launch("tessera::clear(unsigned int *)", "1"),
        "    gpu__time_duration.sum          us         9.00\n"])  # of no launch
    found = [("split_rays", 35.9), ("add_points", 1.25), ("add_points", 2.25), ("DeviceScanKernel", 4.25), ("clear", 1.0)]
    assert kernels.read(text) == [(name, pytest.approx(us)) for name, us in found]
    assert [tuple(row.values()) for row in kernels.by_kernel(found)][:2] == [
        ("split_rays", 1, 35.9, 35.9, pytest.approx(35.9 / 44.65)), ("add_points", 2, 1.75, 2.25, pytest.approx(3.5 / 44.65))]
    with pytest.raises(ValueError, match="'cycle'"):
        kernels.read(launch("tessera::clear()", "7", "cycle"))
    monkeypatch.setattr(tools, "find", lambda name: name)
    data, failures = measured(kernels.measure, lambda words: said("==PROF== gone\n"), voxels=[0.05], ncu_skip=7, ncu_count=1)
    assert data["voxels"] == [] and "no kernel was profiled; are there more than 7 launches?" in failures[0]


def test_the_round_in_the_middle_is_held_against_the_goals():
    row = stages.row(0.05, [bench(ms, per_s) for ms, per_s in ((0.9, 1), (0.2, 2), (0.22, 6000), (0.7, 4))], gpu=True)
    assert row["rounds_total_ms"] == [0.9, 0.2, 0.22, 0.7] and row["stages"]["total"]["median_ms"] == 0.22
    met = {name: verdict["met"] for name, verdict in row["goals"].items()}
    assert met == {"device": True, "total": False, "p99": True, "keyframes_per_s": True}
    service = {"rate_hz": 100, "latency_p50_ms": 8, "latency_p99_ms": 20.1, "kept_up": True, "keyframes_seen": 9}
    for more, wanted in (({}, [True, False]), ({"kept_up": False}, [False, False]), ({"rate_hz": 50}, [])):
        assert [verdict["met"] for verdict in latency.verdicts({**service, **more}).values()] == wanted


def test_a_growth_that_ends_early_tells_how_far_it_came(tmp_path):
    found = {"keyframes": 3400, "asked": 10_000, "ended_early": True, "bins": [], "last_over_first": None,
             "report": {"field_bytes": 3e9, "triangles": 22, "map_hash": "cafe"}}
    data, failures = measured(growth_of.measure, lambda words: said(f"as text\n{json.dumps(found)}\n"), growth=10_000,
                              growth_voxels=[0.05], out=tmp_path)
    assert failures == ["0.05 m: 3,400 of 10,000 keyframes, ended early, after 45 s"] and data["voxels"][0]["ended_early"]
