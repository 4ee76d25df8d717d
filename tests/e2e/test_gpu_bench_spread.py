"""tests/bench/gpu.py: a map on two GPUs, and on one that does the work of each of two."""

import pytest

from support import pretend_gpu
from support.gpu_bench import measured


def spread_over(ways):
    """What tessera bench answers at 5 cm for --gpus as given: {words: (keyframes/s, hash, regions)}."""
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
    assert "| 5 cm | 5,000 | 4,000 | 9,600 | 1.92, goal 1.9: met | 660 + 540 | 22 + 18 | yes |" in text
    order = [call.partition("--gpus ")[2].split()[0] for call in pretended.calls() if call.startswith("tessera bench")]
    assert order == ["0,", "1,", "0,1"] * 2  # in turns
    faults[-1] = spread_over({"--gpus 0,1": (9400, "bad", (40, 0))})[0]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, faults=faults)
    assert status == 1 and "missed" in text
    failures = "\n".join(report["parts"]["spread"]["failures"])
    assert "hashes differ at 0.05 m" in failures and "does not span both at 0.05 m: regions [40, 0]" in failures


def test_one_gpu_is_measured_as_each_of_two(pretended):
    faults = [CPU, ["bench_share SOURCE --voxel-size 0.05", {"out": pretend_gpu.share(0.05, 5000, [(9000, 21), (9800, 19)], WHOLE)}]]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, faults=faults)
    assert status == 0, text
    row = report["parts"]["spread"]["voxels"][0]
    assert (row["ratio"]["value"], row["ratio"]["met"], row["regions"]) == (pytest.approx(1.8), False, [21, 19])
    assert row["keyframes_per_s"] == {"GPU 0": 5000, "as 0 of 2": 9000, "as 1 of 2": 9800}
    assert "One GPU doing the work of each of two" in text and "1.80, goal 1.9: **missed**" in text
    faults = [["hash SOURCE --voxel-size 0.05 --backend cpu", {"out": "c0de keyframes=100\n"}],
              ["bench_share", {"out": pretend_gpu.share(0.05, 5000, [(9000, 40), (9800, 0)], WHOLE, add_up=False)}]]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, faults=faults)
    failures = "\n".join(report["parts"]["spread"]["failures"])
    assert status == 1 and f"the map at 0.05 m is {WHOLE}, and c0de on the CPU" in failures
    assert "hashes differ at 0.05 m" in failures and "does not span both at 0.05 m: regions [40, 0]" in failures
    faults = [["bench_share", {"err": "bench_share: lost\n", "status": 1}]]
    status, report, text = pretended("--only", "spread", "--voxels", 0.05, 0.02, "--spread-rounds", 1, faults=faults)
    failures = "\n".join(report["parts"]["spread"]["failures"])
    assert status == 1 and failures.count("ended with 1: bench_share: lost") == 2 and report["parts"]["spread"]["voxels"] == []


def test_a_gpu_is_not_measured_as_two_where_that_program_was_not_built(pretended):
    pretend_gpu.install(pretended.programs)
    (pretended.programs / "bench_share").unlink()
    status, report, text = measured(pretended.folder, pretended.programs / "tessera", "SOURCE", "--only", "spread", path=pretended.programs)
    assert status == 0 and "it is built where nvcc is" in report["parts"]["spread"]["left_out"] and "- spread: left out, " in text


def test_the_service_is_measured_on_each_gpu_and_on_both(pretended):
    faults = [TWO_GPUS, *([f"--seconds 0.001 --warm-up 1 {more}--json -- --gpus {numbers}", {"out": pretend_gpu.throughput(per_s, points=10)}]
                          for more, factor in (("", 1), ("--prewritten ", 1.5))
                          for numbers, per_s in (("0,1", 2400 * factor), ("0,", 1600 * factor), ("1,", 1500 * factor)))]
    asked = ("--only", "throughput", "--throughput-seconds", 0.001)
    status, report, text = pretended(*asked, faults=faults)
    assert status == 0, text
    assert "| 5 cm | written meanwhile | both | 2,400 | 2,400, 2,400 | 1.50 | 14.2 | 5.5 | 7.5 |" in text
    assert "| 5 cm | written before | GPU 1 | 2,250 | 2,250, 2,250 |  | 14.2 | 5.5 | 7.5 |" in text
    order = [call.partition("--gpus ")[2].split()[0] for call in pretended.calls() if call.startswith("bench_throughput")]
    assert order == ["0,", "1,", "0,1"] * 4  # in turns
    # What fails is told, and what there is no room for is left out.
    faults = [TWO_GPUS, ["--prewritten", {"err": "not begun\n", "status": 1}], ["-- --gpus 1,", {"err": "bench_throughput: lost\n", "status": 1}],
              ["bench_throughput", {"out": pretend_gpu.throughput(1600, points=1 << 50)}]]
    status, report, text = pretended(*asked, "--throughput-rounds", 1, faults=faults)
    assert status == 1 and len(report["parts"]["throughput"]["failures"]) == 1 and "bench_throughput: lost" in text
    assert "/dev/shm has no room for it" in text and {row["way"] for row in report["parts"]["throughput"]["cases"]} == {"GPU 0", "both"}


def test_one_gpu_is_measured_alone(pretended):
    status, report, _ = pretended("--only", "throughput", "--throughput-rounds", 1, "--throughput-seconds", 0.001)
    assert status == 0 and {row["way"] for row in report["parts"]["throughput"]["cases"]} == {"GPU 0"}
