"""tests/bench/gpu.py: it runs where no GPU is, by its own program; and on programs that only pretend, so that every verdict is seen."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
import xml.etree.ElementTree

import pytest

from conftest import ROOT
from support import pretend_gpu, service

BENCH = ROOT / "tests" / "bench"
sys.path.insert(0, str(BENCH))

from gpu_parts import bounded, growth_of, kernels, sanitizers, served, stages  # noqa: E402
from gpu_parts import report as report_text  # noqa: E402

FILES = {"report.json", "report.md", "where_time_goes.svg", "log.txt"}


def command(folder, binary, *more):
    return [str(word) for word in (sys.executable, "-B", "-S", BENCH / "gpu.py", "--binary", binary, "--out", folder / "out", *more)]


def measured(folder, binary, *more, path=None):
    """Runs it; returns its status, report.json, report.md."""
    env = {**os.environ, "PATH": str(path or os.environ["PATH"]), "TESSERA_THREADS": "nonsense"}
    done = subprocess.run(command(folder, binary, *more), capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode in (0, 1), done.stderr
    out = folder / "out"
    return done.returncode, json.loads((out / "report.json").read_text()), (out / "report.md").read_text()


def words_of(svg):
    return [element.text for element in xml.etree.ElementTree.parse(svg).iter() if element.tag.endswith("}text")]


@pytest.fixture
def pretended(tmp_path):
    """Runs it on pretended programs; `faults` as pretend_gpu.install takes them."""
    programs = tmp_path / "programs"
    programs.mkdir()

    def run(*more, faults=()):
        pretend_gpu.install(programs, *faults)
        return measured(tmp_path, programs / "tessera", "SOURCE", *more, path=programs)

    run.folder, run.programs, run.out = tmp_path, programs, tmp_path / "out"
    run.calls = lambda: (programs / "calls").read_text().splitlines()
    return run


def test_it_measures_where_no_gpu_is(tessera, tmp_path):
    status, report, text = measured(
        tmp_path, tessera, "synthetic:room", "--limit", 3, "--backend", "cpu", "--skip", "latency", "--voxels", 0.1, 0.05, "--rounds", 2,
        "--growth", 4, "--limits", "bench=60")
    assert status == 0, text
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"growth_5cm.svg"}
    parts = report["parts"]
    assert all(parts[name]["left_out"] == "needs a GPU" for name in ("tests", "hash", "upload", "spread", "sanitizers"))
    assert [row["voxel_m"] for row in parts["bench"]["voxels"]] == [0.1, 0.05]
    for row in parts["bench"]["voxels"]:
        assert row["backend"] == "cpu" and row["keyframes"] == 3 and "goals" not in row
        assert set(row["stages"]) == {"rays", "integrate", "extract", "total"}
        assert row["stages"]["total"]["median_ms"] == min(row["rounds_total_ms"]) and len(row["rounds_total_ms"]) == 2
    assert sum(one["keyframes"] for one in parts["growth"]["voxels"][0]["bins"]) == 4
    assert f"4 keyframes. Last full 1 over the first: {parts['growth']['voxels'][0]['last_over_first']:.3f}; field " in text
    words = words_of(tmp_path / "out" / "where_time_goes.svg")
    assert {"10 cm", "5 cm", "ms per keyframe, medians", "extract"} <= set(words) and "goal" not in words


def test_it_holds_a_gpu_against_its_goals(pretended):
    status, report, text = pretended("--ncu")
    assert status == 0, text
    assert text.startswith("## NVIDIA H100 80GB HBM3, driver 580.159.04, 20")
    parts = report["parts"]
    assert parts["machine"]["gpu_used"] == "GPU 0 (NVIDIA H100 80GB HBM3)"
    assert [run["assertions"] for run in parts["tests"]["runs"]] == [9040, 9040]
    assert [row["equal"] for row in parts["hash"]["voxels"]] == [True] * 3
    found = {row["voxel_m"]: row["goals"] for row in parts["bench"]["voxels"]}
    verdicts = {voxel: {name: (verdict["met"], round(verdict["ratio"], 3)) for name, verdict in of.items()} for voxel, of in found.items()}
    throughput = {"device": (True, 0.9), "total": (False, 1.125), "p99": (True, 0.667), "keyframes_per_s": (True, 1.1)}
    assert verdicts[0.05] == throughput
    assert verdicts[0.02] == {"device": (False, 1.6), "total": (False, 2.0), "p99": (True, 0.667), "keyframes_per_s": (False, 0.5)}
    assert verdicts[0.01]["total"] == (True, 1.0) and verdicts[0.01]["keyframes_per_s"] == (True, 1.0)
    assert all(row["map_is_the_cpus"] for row in parts["bench"]["voxels"])
    assert [case["goals"]["p50"]["met"] for case in parts["latency"]["cases"]] == [True] * 4
    assert [case["goals"]["p99"]["met"] for case in parts["latency"]["cases"]] == [False] * 4
    for name, run in parts["sanitizers"]["tools"].items():
        assert [(one["case"], one["state"], one["all_kernels"]) for one in run["cases"]] == [
            (case, "clean", True) for case in pretend_gpu.CASES], name
    assert parts["ncu"]["voxels"][2]["kernels"][0] | {"share": 1} == {
        "kernel": "split_rays", "launches": 2, "median_us": pytest.approx(33.67), "max_us": 37.34, "share": 1}
    assert [run["populated"] for run in parts["upload"]["runs"]] == [True, False]
    assert "Mapping: 300 (600) mapped with its pages; 5 (10) without." in text
    assert ("| registered for reading, copy | 900 (1800) | 600 (1200) | 6.8 | 900 (1800) | 600 (1200) | 6.8 | "
            "register 520 (1040), copy 80 (160), unregister 380 (760) |") in text
    assert "| mapped for writing | cudaHostRegister: not supported |  |  |" in text
    assert "| 25.00; **missed**, 1.25 of 20 | 8.00 | 75.00 | yes |" in text  # a keyframe's first patch, then every patch
    assert "| 2 cm | 0.120 |" in text and "**missed**, 2.00 of 0.3" in text and "Failed" not in text
    assert "goal" in words_of(pretended.out / "where_time_goes.svg")
    assert {path.name for path in pretended.out.iterdir()} == FILES
    calls = pretended.calls()
    # In turns, not one size after the other; nothing of this test's environment; and each tool sees what it must.
    benches = [call.split()[4] for call in calls if call.startswith("tessera bench") and "--threads 2" in call
               and "--gpus" not in call]
    assert benches == ["0.05", "0.02", "0.01"] * 3
    assert not any("TESSERA_THREADS" in call for call in calls)
    assert sum(call == "test_gpu_cuda  TESSERA_TEST_DEVICES=gpu" for call in calls) == 2
    assert sum("TESSERA_TEST_NO_POISON" in call for call in calls) == sum("--tool initcheck" in call for call in calls) == 3
    checked = [call for call in calls if call.startswith("compute-sanitizer")]
    assert len(checked) == 5 * 3 and all("TESSERA_TEST_DEVICES=gpu" in call for call in checked)
    assert sum("--kernel-name-exclude" in call for call in checked) == 3 and sum(r"rays\, as a set \[of rays\]" in call for call in checked) == 5


def test_what_fails_is_told_and_the_rest_still_runs(pretended):
    status, report, text = pretended(
        "--ncu", "--latency-points", 50_000, "--latency-voxels", 0.05,
        faults=[
            ["ncu ", {"out": "==PROF== Disconnected\n"}],
            ["tessera hash SOURCE --voxel-size 0.02 --backend cuda", {"out": "face keyframes=100\n"}],
            ["tessera hash SOURCE --voxel-size 0.01 --backend cuda", {"err": "tessera: out of memory\n", "status": 1}],
            ["tessera bench SOURCE --voxel-size 0.05", {"err": "tessera: the device is lost\n", "status": 1}],
            ["bench_latency", {"out": "not JSON\n"}],
            ["--no-populate", {"out": pretend_gpu.upload(False), "err": "other bytes arrived\n", "status": 1}],
            ["bench_upload", {"out": ""}],
            ["compute-sanitizer", {"out": pretend_gpu.PASSED + "========= ERROR SUMMARY: 0 errors\n"}],
            ["--list-test-names-only", {"err": "cannot\n", "status": 1}],
            ["test_gpu_cuda", {"err": "FAILED\n", "status": 42}],
        ])
    assert status == 1
    failures = {name: "\n".join(part["failures"]) for name, part in report["parts"].items()}
    assert "ended with 42: FAILED" in failures["tests"]
    assert "face on the GPU" in failures["hash"] and "out of memory" in failures["hash"]
    assert [row["equal"] for row in report["parts"]["hash"]["voxels"]] == [True, False, None]
    assert failures["bench"].count("the device is lost") == 3
    assert [row["voxel_m"] for row in report["parts"]["bench"]["voxels"]] == [0.02, 0.01]
    assert "JSONDecodeError" in failures["latency"]
    assert "it printed nothing" in failures["upload"] and "ended with 1: other bytes arrived" in failures["upload"]
    assert [run["populated"] for run in report["parts"]["upload"]["runs"]] == [False]
    assert failures["ncu"].count("no kernel was profiled") == 3
    assert "it names no test cases; ended with 42" in failures["sanitizers"] and "tools" in report["parts"]["sanitizers"]
    assert all(line in text for lines in failures.values() for line in lines.splitlines())
    assert words_of(pretended.out / "where_time_goes.svg")


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
        "--only", "sanitizers", "--jobs", 3, "--sanitizers", "racecheck", "initcheck", "--racecheck", "others", "--sanitizer-seconds", 4,
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
        return subprocess.run([program, *spec, "--list-test-names-only"], capture_output=True, text=True, timeout=60).stdout.splitlines()

    of_a_gpu = listed(sanitizers.ON_A_GPU)
    assert len(of_a_gpu) > 20 and len(of_a_gpu) < len(listed()) and any("," in name for name in of_a_gpu)
    assert all(listed(sanitizers.literally(name)) == [name] for name in of_a_gpu)
    assert sanitizers.literally('a "b", [c]\\') == '\\'.join(["a ", '"b', '"', ", ", "[c", "]", "", ""])


def test_only_kernels_without_shared_memory_are_left_out_of_racecheck():
    ours = [path for path in (ROOT / "gpu").rglob("*") if path.suffix in (".hpp", ".cpp", ".cu", ".cuh")]
    assert len(ours) > 20 and not [path for path in ours if "__shared__" in path.read_text(encoding="utf-8")]


def test_tests_that_pass_without_a_gpu_say_nothing(pretended):
    pretended.out.mkdir()
    (pretended.out / "where_time_goes.svg").write_text("of another run")
    status, report, text = pretended(
        "--only", "tests", faults=[["tessera hash synthetic:room", {"err": "tessera: no GPU can be used\n", "status": 2}]])
    assert status == 1 and "passed without a GPU" in text
    assert all("passed without a GPU" in run["reason"] for run in report["parts"]["tests"]["runs"])
    assert set(report["parts"]) == {"machine", "tests"} and "says nothing (2 times)" in text
    assert {path.name for path in pretended.out.iterdir()} == FILES - {"where_time_goes.svg"}


def test_tools_that_are_not_there_are_left_out(pretended):
    pretend_gpu.install(pretended.programs)
    tools = pretended.folder / "no tools"
    tools.mkdir()
    status, report, text = measured(
        pretended.folder, pretended.programs / "tessera", "SOURCE", "--only", "sanitizers", "ncu", path=tools)
    assert status == 1 and "nvidia-smi is not here" in report["parts"]["machine"]["failures"][0]
    for name in ("sanitizers", "ncu"):
        left_out = report["parts"][name].get("left_out")
        if left_out:  # a machine may have them where CUDA puts them
            assert "is not here" in left_out and f"- {name}: left out, " in text


def test_all_ends_when_its_time_is_over(pretended):
    status, report, text = pretended("--seconds", 2, "--ncu", "--growth", 10, faults=[["tessera --version", {"hang": True}]])
    assert status == 1
    assert "not done within" in report["parts"]["machine"]["failures"][0]
    for name in ("tests", "hash", "bench", "upload", "latency", "ncu", "growth", "sanitizers"):
        failures = report["parts"][name]["failures"]
        assert failures and all("the time for everything is used up" in failure for failure in failures), name
    assert [call.split()[:2] for call in pretended.calls()] in ([["tessera", "--version"]], [])


def test_a_command_ends_at_its_own_limit_and_the_next_one_runs(tmp_path):
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        runner = bounded.Runner(time.monotonic() + 600, log)
        late = runner.run(["sleep", 600], 0.1)
        assert late.late and late.status is None and gone(late.pid) and "not done within" in late.reason
        assert runner.run(["sh", "-c", "echo $SAID; echo why >&2; exit 3"], 60, {"SAID": "words"}).complaint() == (
            "SAID=words sh -c 'echo $SAID; echo why >&2; exit 3': ended with 3: why")
        assert runner.run(["sh", "-c", "kill -9 $$"], 60).reason == "ended by SIGKILL"
        assert "cannot be started: No such file" in runner.run([tmp_path / "none"], 60).reason
        assert not runner.run(["true"], 60).reason
    logged = (tmp_path / "log").read_text()
    assert "$ sleep 600\n# not done within" in logged and "words\nwhy\n" in logged


def gone(pid):
    """Ended, or about to be buried by its parent."""
    for _ in range(200):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def interrupted(pretended, *more):
    """The report of a run that was ended when a program hung, and left none behind."""
    running = subprocess.Popen(
        command(pretended.folder, pretended.programs / "tessera", "SOURCE", *more), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PATH": str(pretended.programs)})
    hangs = pretended.programs / "hangs"
    for _ in range(600):
        if hangs.exists():
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    err = running.communicate(timeout=30)[1]
    assert running.returncode == 1 and not err
    assert [gone(int(pid)) for pid in hangs.read_text().split()] == [True, True]
    return json.loads((pretended.out / "report.json").read_text())


def test_a_growth_whose_time_ends_tells_how_far_it_came(pretended):
    times = "keyframe,rays_ms,integrate_ms,extract_ms,total_ms\n" + "".join(f"{i},1,1,1,{4 + i // 1000}\n" for i in range(3400))
    answer = {"times": times, "out": json.dumps({"backend": "cpu", "keyframes": 3400, "field_bytes": 3_000_000_000, "triangles": 22_000_000,
                                                 "map_hash": "cafe"}) + "\n"}
    pretend_gpu.install(pretended.programs, ["tessera bench synthetic:building --limit 10000", answer])
    options = types.SimpleNamespace(growth=10_000, growth_voxels=[0.05], out=pretended.folder)
    part, failures = {}, []
    with open(pretended.folder / "log", "w", encoding="utf-8") as log:
        real = bounded.Runner(time.monotonic() + 60, log)
        # It is told of a time that is over at once, and gets more, so that the test waits for nothing.
        runner = types.SimpleNamespace(left_s=real.left_s, run=lambda command, limit_s: real.run(command, 60))
        growth_of.measure(types.SimpleNamespace(options=options, runner=runner, gpu=False, backend="cpu", label=lambda: "cpu",
                                                tessera=pretended.programs / "tessera", limit_s=lambda part: 4e-6), part, failures)
    assert "--seconds 3e-06" in pretended.calls()[0]
    assert failures == ["0.05 m: 3,400 of 10,000 keyframes, ended early, after 0 s"]
    row = part["voxels"][0]
    assert (row["keyframes"], row["asked"], row["ended_early"], row["last_over_first"]) == (3400, 10_000, True, 1.5)
    assert [one["keyframes"] for one in row["bins"]] == [1000, 1000, 1400]
    assert report_text._growth(part)[1].startswith(
        "3,400 of 10,000 keyframes, ended early. Last full 1,000 over the first: 1.500; field 3,000 MB, 22,000,000 triangles.")
    assert "cpu cpu 5 cm, 3,400 of 10,000 keyframes, ended early" in words_of(pretended.folder / "growth_5cm.svg")


def test_what_is_known_when_it_is_stopped_is_written(pretended):
    pretend_gpu.install(pretended.programs, ["test_gpu_cuda", {"hang": True}])
    report = interrupted(pretended)
    assert report["parts"]["tests"]["failures"] == ["interrupted"] and "bench" not in report["parts"]


def test_arguments_that_cannot_be_are_refused(pretended):
    binary = pretend_gpu.install(pretended.programs) / "tessera"
    for more, said in ((["--voxels", "0"], "0 is not more than 0"), (["--limits", "bench"], "'bench' is not PART=SECONDS"),
                       (["--limits", "all=3"], "PART being one of"), (["--only", "everything"], "everything")):
        done = subprocess.run(command(pretended.folder, binary, *more), capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    done = subprocess.run(command(pretended.folder, pretended.folder / "none"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"--binary is {pretended.folder / 'none'}, which is no program" in done.stderr


def test_kernels_are_read_from_ncus_text():
    text = "==PROF== Connected to process 7\n9 kernels of 0.05 m (1, 1, 1)\n" + "".join([
        pretend_gpu.launch("tessera::run_each<tessera::split_rays>(const unsigned int *, unsigned long, T1)", "35.90"),
        pretend_gpu.launch("tessera::run_items<tessera::cuda::add_points<3>>(unsigned long, T1)", "1,250", "ns"),
        pretend_gpu.launch("tessera::(anonymous namespace)::run<32, tessera::add_points>(T1)", "0.00225", "ms"),
        pretend_gpu.launch("cub::DeviceScanKernel<cub::policy_hub<unsigned long>::Policy1000, unsigned int>(T2, T3)", "4.25"),
        pretend_gpu.launch("tessera::run_each<tessera::not_measured>(T1)", "n/a"),
        pretend_gpu.launch("tessera::clear(unsigned int *)", "1.00"),
        "    gpu__time_duration.sum          us         9.00\n",  # of no launch
    ])
    assert kernels.read(text) == [
        ("split_rays", 35.9), ("add_points", pytest.approx(1.25)), ("add_points", pytest.approx(2.25)), ("DeviceScanKernel", 4.25),
        ("clear", 1.0)]
    table = {row["kernel"]: row for row in kernels.by_kernel(kernels.read(text))}
    assert list(table) == ["split_rays", "add_points", "DeviceScanKernel", "clear"]
    assert table["add_points"]["launches"] == 2 and table["add_points"]["median_us"] == pytest.approx(1.75)
    assert sum(row["share"] for row in table.values()) == pytest.approx(1)
    assert kernels.read("") == [] and kernels.by_kernel([]) == []
    with pytest.raises(ValueError, match="'cycle'"):
        kernels.read(pretend_gpu.launch("tessera::clear()", "7", "cycle"))


def test_the_round_in_the_middle_is_shown():
    reports = [json.loads(pretend_gpu.bench(0.05, ms, per_s)) for ms, per_s in ((0.9, 1.0), (0.3, 2.0), (0.5, 3.0), (0.7, 4.0))]
    row = stages.row(0.05, reports, gpu=True)
    assert row["stages"]["total"]["median_ms"] == 0.5 and row["throughput"]["keyframes_per_s"] == 3.0
    assert row["rounds_total_ms"] == [0.9, 0.3, 0.5, 0.7] and row["rounds_keyframes_per_s"] == [1.0, 2.0, 3.0, 4.0]
    assert stages.row(0.03, reports, gpu=True)["goals"].keys() == {"p99"}


def drilled(report):
    return {f"{row['check']}: {row['what']}": row for row in report["parts"]["drills"]["checks"]}


def test_drills_are_survived(pretended):
    status, report, text = pretended("--only", "drills", "hash", faults=[
        ["--memory-pool 29MiB --memory-cap 0 --host-memory 16GiB --json", {"err": "tessera: out of memory\n", "status": 1}]])
    rows = drilled(report)
    assert status == 0, text
    assert [row["reason"] for row in rows.values()] == [""] * len(rows)
    assert rows["failure: one GPU, breaks after the last keyframe"]["error"].endswith("cudaErrorLaunchFailure (unspecified)")
    pools = [row.get("pool_mib") for name, row in rows.items() if name.startswith("eviction")]
    assert pools == [182, 29, 16]  # the second did not fit: nothing smaller is tried but by the service
    assert rows["eviction: the service, whose regions come one by one"]["moves_in"] == 12
    walls = rows["refusal: 20 walls, 64MiB, no host memory"]
    assert (walls["accepted"], walls["refused"], walls["room_after_retracting"]) == (4, 16, True)
    capped = rows["memory cap: a cap of 1024 MiB"]
    assert (capped["peak_mib"], capped["context_mib"]) == (1500, 500)
    assert "| failure | one GPU, breaks while keyframes come | passed |" in text and "peak 1500 MiB" in text
    calls = pretended.calls()
    assert sum("hash SOURCE --voxel-size 0.01 --backend cpu" in call for call in calls) == 1  # what is known is not asked again
    assert not any(word in call for call in calls for word in ("--gpus 2", "gpu@50,"))


def test_drills_of_two_gpus(pretended):
    two = {"out": "beef keyframes=1\n", "err": "".join(f"backend cuda, GPU {i} (NVIDIA H200)\n" for i in range(2))}
    faults = [["tessera hash synthetic:room --limit 1", two]]
    status, report, _ = pretended("--only", "drills", faults=faults)
    rows = drilled(report)
    assert status == 0 and sum("two GPUs" in name for name in rows) == 3
    assert rows["failure: one of two GPUs breaks while keyframes come"]["gpus_left"] == 1
    # Where the other GPU goes with the first, the map is whole and the law broken.
    status, report, text = pretended("--only", "drills", faults=[*faults, ["--drill gpu@50 --gpus 2", {"serve": pretend_gpu.broken(2, 0)}]])
    assert status == 1 and "not every broken GPU is taken out" not in text
    assert report["parts"]["drills"]["failures"] == ["failure, one of two GPUs breaks while keyframes come: 0 GPUs are in use, not 1"]


def broken_gpu(**more):
    return {"serve": {**pretend_gpu.broken(1, 0), **more}}


def moving(**more):
    return {"serve": {"map": {"keyframes": 100, "hash": pretend_gpu.hash_at(0.01)}, "metrics": pretend_gpu.on_gpus(1), **more}}


# In each run one drill of each kind goes wrong: {kind: (fault, what is said of it)}.
@pytest.mark.parametrize("wrong", [
    {"failure": (["--drill gpu@50", broken_gpu(map={"keyframes": 100, "hash": "f00d"})], "the map's hash is f00d"),
     "eviction": (["--region-size 32 --memory-pool 29MiB", {"out": pretend_gpu.bench(0.02, 1, 1)}],
                  f"the map's hash is {pretend_gpu.hash_at(0.02)}"),
     "refusal": (["--host-memory 0", {"serve": {"room": 4, "reason": "it is too late"}}], "does not say that memory is wanting"),
     "memory cap": (["--memory-cap 1024MiB", moving(memory=1700)], "1697 MiB are used, more than the cap of 1024 and the context's 500")},
    {"failure": (["--drill gpu@50", broken_gpu(status=139)], "ended with 139 at SIGTERM"),
     "eviction": (["--region-size 32 --memory-pool 29MiB", {"err": "tessera: lost\n", "status": 1}], "ended with 1: tessera: lost"),
     "refusal": (["--host-memory 0", {"serve": {"room": 4, "refused": 3}}], "16 were refused, and /metrics counts 3")},
    {"failure": (["--drill gpu@50", broken_gpu(health=500)], "/healthz"),
     "eviction": (["--rate 0 --gpus 1 --region-size 32 --memory-pool 16MiB", moving()], "no region moved out"),
     "refusal": (["--host-memory 0", {"serve": {}}], "none was refused")},
    {"failure": (["--drill gpu@50", broken_gpu(refused=2)], "2 keyframes were refused"),
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
            runner = bounded.Runner(time.monotonic() + 60, log)
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


def spread_over(ways):
    """What tessera bench answers at 5 cm for --gpus and --share as given: {words: (keyframes/s, hash, regions)}."""
    return [[f"{words} --threads 2", {"out": pretend_gpu.bench(0.05, 0.2, per_s, digits, regions)}]
            for words, (per_s, digits, regions) in ways.items()]


WHOLE = "fffffffffffffffe" + "00000000000000ff"
CPU = ["hash SOURCE --voxel-size 0.05 --backend cpu", {"out": f"{WHOLE} keyframes=100\n"}]
TWO_GPUS = ["tessera hash synthetic:room --limit 1",
            {"out": "beef keyframes=1\n", "err": "".join(f"backend cuda, GPU {i} (NVIDIA H200)\n" for i in range(2))}]


def test_two_gpus_are_held_against_the_better_one(pretended):
    faults = [TWO_GPUS, CPU, *spread_over({
        "--gpus 0,": (5000, WHOLE, (40,)), "--gpus 1,": (4000, WHOLE, (40,)), "--gpus 0,1": (9600, WHOLE, (22, 18))})]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, "--spread-rounds", 2, faults=faults)
    assert status == 0, text
    row = report["parts"]["spread"]["voxels"][0]
    assert row["ratio"]["value"] == pytest.approx(1.92) and row["ratio"]["met"]
    assert row["regions"] == [22, 18] and row["map_is_the_cpus"]
    assert "| 5 cm | 5,000 | 4,000 | 9,600 | met, 1.01 of 1.9 | 660 + 540 | 22 + 18 | yes |" in text
    order = [call.partition("--gpus ")[2].split()[0] for call in pretended.calls() if call.startswith("tessera bench")]
    assert order == ["0,", "1,", "0,1"] * 2  # in turns
    faults[-1] = spread_over({"--gpus 0,1": (9400, "bad", (40, 0))})[0]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, faults=faults)
    assert status == 1 and "missed" in text
    failures = "\n".join(report["parts"]["spread"]["failures"])
    assert "hashes differ at 0.05 m" in failures and "does not span both at 0.05 m: regions [40, 0]" in failures


def test_one_gpu_is_measured_as_each_of_two(pretended):
    faults = [CPU, *spread_over({"--gpus 0,": (5000, WHOLE, (40,)),
                                 "--gpus 0, --share 0/2": (9000, "ffffffffffffffff" + "0" * 14 + "f0", (21,)),
                                 "--gpus 0, --share 1/2": (9800, "ffffffffffffffff" + "0" * 14 + "0f", (19,))})]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, faults=faults)
    assert status == 0, text
    row = report["parts"]["spread"]["voxels"][0]
    assert (row["ratio"]["value"], row["ratio"]["met"], row["regions"]) == (pytest.approx(1.8), False, [21, 19])
    assert "One GPU doing the work of each of two" in text and "**missed**, 0.95 of 1.9" in text
    faults[0] = ["hash SOURCE --voxel-size 0.05 --backend cpu", {"out": "c0de keyframes=100\n"}]
    faults[2] = ["--share 0/2", {"err": "tessera: lost\n", "status": 1}]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, 0.02, "--spread-rounds", 1, faults=faults)
    failures = "\n".join(report["parts"]["spread"]["failures"])
    assert status == 1 and failures.count("ended with 1: tessera: lost") == 2 and report["parts"]["spread"]["voxels"] == []


def test_a_share_that_cannot_be_is_refused(tessera):
    for text in ("2/2", "0/0", "1", "/2", "-1/2", "0/2x", "0/65"):
        status, _, err = service.run(tessera, "bench", "synthetic:room", "--limit", 1, f"--share={text}", limit_s=20)
        assert status == 2 and f'share is "{text}", not K/N' in err
    status, _, err = service.run(tessera, "bench", "synthetic:room", "--limit", 1, "--backend", "cpu", "--share", "0/2", limit_s=20)
    assert status == 2 and 'share is "0/2", for one GPU, and there are 0' in err
