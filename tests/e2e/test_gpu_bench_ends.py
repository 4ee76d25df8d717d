"""tests/bench/gpu.py ends in time, with all that it started, and tells what it knows by then."""

import json
import time
import types

from gpu_parts import bounded, growth_of
from gpu_parts import report as report_text
from support import pretend_gpu
from support.gpu_bench import gone, interrupted, words_of


def test_all_ends_when_its_time_is_over(pretended):
    status, report, text = pretended("--seconds", 4, "--ncu", "--growth", 10, faults=[["tessera --version", {"hang": True}]])
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


def test_a_growth_whose_time_ends_tells_how_far_it_came(pretended):
    times = "keyframe,rays_ms,integrate_ms,extract_ms,total_ms\n" + "".join(f"{i},1,1,1,{4 + i // 1000}\n" for i in range(3400))
    answer = {"times": times, "out": json.dumps({"backend": "cpu", "keyframes": 3400, "field_bytes": 3_000_000_000, "triangles": 22_000_000,
                                                 "map_hash": "cafe"}) + "\n"}
    pretend_gpu.install(pretended.programs, ["tessera bench synthetic:building --limit 10000", answer])
    options = types.SimpleNamespace(growth=10_000, growth_voxels=[0.05], out=pretended.folder)
    part, failures = {}, []
    with open(pretended.folder / "log", "w", encoding="utf-8") as log:
        real = bounded.Runner(time.monotonic() + 600, log)
        # It is told of a time that is over at once, and gets more, so that the test waits for nothing.
        runner = types.SimpleNamespace(left_s=real.left_s, run=lambda command, limit_s: real.run(command, 600))
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
