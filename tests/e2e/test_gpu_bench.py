"""tests/bench/gpu.py: it runs where no GPU is, by its own program; and on programs that only pretend, so that every verdict is seen."""

import json
import subprocess

import pytest

from gpu_parts import kernels, stages
from support import pretend_gpu
from support.service import PATIENCE_S
from support.gpu_bench import FILES, command, measured, words_of


def test_it_measures_where_no_gpu_is(tessera, tmp_path):
    status, report, text = measured(
        tmp_path, tessera, "synthetic:room", "--limit", 3, "--backend", "cpu", "--skip", "latency", "--voxels", 0.1, 0.05, "--rounds", 2,
        "--growth", 4, "--limits", "bench=900", "growth=900")
    assert status == 0, text
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"growth_5cm.svg"}
    parts = report["parts"]
    assert all(parts[name]["left_out"] == "needs a GPU" for name in ("tests", "hash", "upload", "spread", "throughput", "sanitizers"))
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
    assert "| 25.0, goal 20: **missed** | 8.00 | 75.00 | yes |" in text  # a keyframe's first patch, then every patch
    assert "| 2 cm | 0.120 |" in text and "0.600, goal 0.3: **missed**" in text and "Failed" not in text
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


def test_arguments_that_cannot_be_are_refused(pretended):
    binary = pretend_gpu.install(pretended.programs) / "tessera"
    for more, said in ((["--voxels", "0"], "0 is not more than 0"), (["--limits", "bench"], "'bench' is not PART=SECONDS"),
                       (["--limits", "all=3"], "PART being one of"), (["--only", "everything"], "everything")):
        done = subprocess.run(command(pretended.folder, binary, *more), capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    done = subprocess.run(command(pretended.folder, pretended.folder / "none"), capture_output=True, text=True, timeout=PATIENCE_S)
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
