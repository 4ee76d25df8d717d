"""The benchmarks themselves, on so little that it takes a second or two: do they measure what they say, and end?"""

import csv
import json
import os
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from conftest import ROOT
from support import service
from support.left_out import left_out

GROWTH = ROOT / "tests" / "bench" / "growth.py"


def built(tessera, name):
    """A benchmark's program; builds with sanitizers have none."""
    program = os.path.join(os.path.dirname(tessera), "tests", name)
    if not os.access(program, os.X_OK):
        left_out("the benchmarks are not built")
    return program


def words_of(svg):
    return [element.text for element in xml.etree.ElementTree.parse(svg).iter() if element.tag.endswith("}text")]


def test_bench_lists_the_times_of_each_keyframe(tessera, tmp_path):
    file = tmp_path / "times.csv"
    status, out, err = service.run(tessera, "bench", "synthetic:room", "--limit", 5, "--backend", "cpu", "--times", file,
                                   "--json")
    assert status == 0, err
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["keyframe"] for row in rows] == ["0", "1", "2", "3", "4"]
    for row in rows:
        stages = [float(row[name]) for name in ("rays_ms", "integrate_ms", "extract_ms")]
        assert min(stages) > 0
        assert sum(stages) <= float(row["total_ms"]) * 1.001
    totals = sorted(float(row["total_ms"]) for row in rows)
    assert totals[2] == pytest.approx(json.loads(out)["stages"]["total"]["median_ms"], rel=1e-3)


def test_bench_tells_at_once_where_times_cannot_be_written(tessera, tmp_path):
    file = tmp_path / "no" / "times.csv"
    status, out, err = service.run(tessera, "bench", "synthetic:building", "--times", file)
    assert status == 1 and str(file) in err and not out


def test_growth_bins_keyframes_and_draws_them(tessera, tmp_path):
    figure = tmp_path / "folder" / "growth.svg"
    done = subprocess.run(
        [sys.executable, "-B", "-S", GROWTH, "--binary", tessera, "--limit", "23", "--bin", "10",
         "--figure", figure, "--json"],
        capture_output=True, text=True, timeout=service.PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert [(row["first"], row["keyframes"]) for row in result["bins"]] == [(0, 10), (10, 13)]
    assert result["report"]["keyframes"] == 23
    medians = [row["total_ms"] for row in result["bins"]]
    assert min(medians) > 0 and all(f"{median:9.3f}" in done.stdout for median in medians)
    full = result["bins"]
    assert result["last_over_first"] == full[1]["total_ms"] / full[0]["total_ms"]
    assert {"keyframes in the map", "cpu 5 cm, 23 keyframes"} <= set(words_of(figure))
    assert "cpu 5 cm, 23 keyframes: ms per keyframe" in done.stdout and "ended early" not in done.stdout


def test_growth_tells_of_the_keyframes_that_came_in_its_time(tessera, tmp_path):
    figure = tmp_path / "growth.svg"
    done = subprocess.run(
        [sys.executable, "-B", "-S", GROWTH, "--binary", tessera, "--limit", "23", "--bin", "10", "--seconds", "1e-6", "--figure",
         figure, "--json"],
        capture_output=True, text=True, timeout=service.PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert (result["keyframes"], result["asked"], result["ended_early"]) == (1, 23, True)
    assert result["last_over_first"] is None and result["report"]["keyframes"] == 1
    assert "cpu 5 cm, 1 of 23 keyframes, ended early" in words_of(figure)
    assert "1 of 23 keyframes, ended early: ms per keyframe" in done.stdout and "too few keyframes" in done.stdout
    refused = subprocess.run([sys.executable, "-B", "-S", GROWTH, "--binary", tessera, "--seconds", "0"], capture_output=True,
                             text=True)
    assert refused.returncode == 2 and "--seconds is 0" in refused.stderr


def test_growth_compares_full_bins(tmp_path):
    def row(i):
        return f"{i},1,1,1,{1 + i // 10}\n"

    times = tmp_path / "machine.csv"
    times.write_text("keyframe,rays_ms,integrate_ms,extract_ms,total_ms\n" + "".join(row(i) for i in range(36)))
    done = subprocess.run([sys.executable, "-B", "-S", GROWTH, "--read", times, "--bin", "10", "--json"], capture_output=True,
                          text=True)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert [one["keyframes"] for one in result["bins"]] == [10, 10, 10, 6] and result["last_over_first"] == 3
    assert "machine, 36 keyframes: ms per keyframe" in done.stdout and "last full bin over the first: 3.000" in done.stdout


def test_latency_is_measured_by_programs_of_our_own(tessera):
    program = built(tessera, "bench_latency")
    running = subprocess.Popen(
        [program, "--binary", tessera, "--points", "2500", "--rate", "25", "--seconds", "1", "--warm-up", "0.2", "--backend",
         "cpu", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    out, err = running.communicate(timeout=service.PATIENCE_S)
    assert running.returncode == 0, err
    result = json.loads(out)
    assert result["published"] == result["accepted"] == 25
    assert result["points"] == 2500
    assert 0 < result["keyframes_seen"] <= 20
    assert 0 < result["latency_p50_ms"] <= result["latency_p99_ms"] <= result["latency_max_ms"]
    assert 0 < result["patch_age_p50_ms"]
    assert result["stages"]["tessera_stage_duration.rays"]["count"] == 25
    for stage in result["stages"].values():
        assert 0 < stage["p50_ms"] <= stage["p99_ms"] and 0 < stage["mean_ms"]
    assert 0 < result["patches"] <= result["stages"]["tessera_stage_duration.encode"]["count"]
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(f"tessera_bench_{running.pid}_")]


def test_latency_without_a_program_says_what_to_do(tessera, tmp_path):
    program = built(tessera, "bench_latency")
    done = subprocess.run([program, "--binary", tmp_path / "none", "--seconds", "1"], capture_output=True, text=True,
                          timeout=service.PATIENCE_S)
    assert done.returncode == 1 and str(tmp_path / "none") in done.stderr


@pytest.mark.parametrize("written_before", [False, True])
def test_throughput_counts_what_is_accepted(tessera, written_before):
    program = built(tessera, "bench_throughput")
    running = subprocess.Popen(
        [program, "--binary", tessera, "--points", "1000", "--producers", "2", "--seconds", "2", "--warm-up", "0.5", "--distinct",
         "10", "--backend", "cpu", "--json", *(["--prewritten"] if written_before else [])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    out, err = running.communicate(timeout=service.PATIENCE_S)
    assert running.returncode == 0, err
    result = json.loads(out)
    assert 900 <= result["points"] <= 1000 and result["producers"] == 2
    assert result["accepted_per_s"] > 0
    assert result["cpu_cores"] > 0
    left = ("tessera_bench_", "tessera_hidden_")
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(tuple(f"{one}{running.pid}_" for one in left))]


@pytest.mark.parametrize("snapshots", [True, False])
def test_restart_measures_a_map_that_comes_back_and_is_corrected(tessera, snapshots):
    done = subprocess.run(
        [sys.executable, "-B", ROOT / "tests" / "bench" / "restart.py", "--binary", tessera, "--keyframes", "12", "--moved", "4",
         "--rounds", "1", "--json", *(() if snapshots else ("--no-snapshots",))],
        capture_output=True, text=True, timeout=2 * service.PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert (result["keyframes"], result["moved"]) == (12, 4)
    assert 0 < result["listening_s"] < result["first_patch_s"] and 0 < result["complete_s"]
    assert result["journal_bytes"] > 0 and (result["snapshots_used"] > 0) == snapshots
    assert snapshots or result["moved_of_complete"] > 0


def test_flat_samples_fits_and_draws(tessera, tmp_path):
    figure = tmp_path / "flat.svg"
    command = [sys.executable, "-B", ROOT / "tests" / "bench" / "flat.py", "--binary", tessera, "--minutes", "0.12", "--every",
               "1", "--points", "2000", "--retain", "10", "--figure", figure, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * service.PATIENCE_S)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["keyframes"] > 10 >= result["live"] and result["samples"] >= 4
    assert all(result[name]["mean"] > 0 for name in ("resident", "journal", "field", "actors"))
    assert {"resident memory, MB", "journal, MB"} <= set(words_of(figure))


def test_journal_cost_compares_in_turns(tessera):
    command = [sys.executable, "-B", ROOT / "tests" / "bench" / "journal_cost.py", "--binary", tessera, "--points", "2000",
               "--seconds", "1", "--rounds", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * service.PATIENCE_S)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["journal_bytes_of_points"] > 0 and result["ratios"]["cpu_cores"] > 0


def test_thin_tells_what_is_left_of_a_boards_sides(tessera):
    script = ROOT / "tests" / "bench" / "thin.py"
    command = [sys.executable, "-B", script, "--binary", tessera, "--frames", "4", "--phases", "1", "--thick", "4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * service.PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    (row,) = result["rows"]
    assert row["thick_voxels"] == 4 and row["tessera"]["front"] > 0.9 and row["tessera"]["back"] > 0.9
    assert 0 <= row["tessera"]["error_voxels"] < 0.3 and "tessera" in done.stdout
    refused = subprocess.run([sys.executable, "-B", script, "--binary", tessera, "--frames", "1"], capture_output=True, text=True)
    assert refused.returncode == 2 and "--frames is 1, must be at least 2" in refused.stderr


def test_undo_and_redo_are_measured_and_leave_the_same_map(tessera):
    script = ROOT / "tests" / "bench" / "undo_redo.py"
    done = subprocess.run(
        [sys.executable, "-B", script, "--binary", tessera, "--keyframes", "8", "--voxel-m", "0.1", "--rounds", "2", "--settle-s",
         "1.5", "--json"],  # without a viewer surfaces, whose bytes count, are made once a second
        capture_output=True, text=True, timeout=5 * service.PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert [row["keyframes"] for row in result["rows"]] == [2, 10] * 3
    assert result["same_map"] and result["same_device_use"] and result["rows"][0]["hash"] != result["rows"][1]["hash"]
    assert all(row["resident_mb"] > 0 for row in result["rows"]) and "the same each time" in done.stdout
    refused = subprocess.run([sys.executable, "-B", script, "--binary", tessera, "--rounds", "0"], capture_output=True, text=True)
    assert refused.returncode == 2 and "--rounds is 0, must be more than 0" in refused.stderr


def test_a_thin_link_is_measured_by_viewers_of_both_protocols(tessera):
    script = ROOT / "tests" / "bench" / "thin_link.py"
    for protocols, spoken in (("tessera.v2, tessera.v1", "tessera.v2"), ("tessera.v1", "tessera.v1")):
        done = subprocess.run(
            [sys.executable, "-B", script, "--binary", tessera, "--limit", "3", "--rate", "0", "--voxels", "0.1", "--cases",
             "no limit", "--protocols", protocols, "--json", "synthetic:room"],
            capture_output=True, text=True, timeout=service.PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        row, = json.loads(done.stdout.splitlines()[-1])
        assert row["protocol"] == spoken and row["keyframes"] == 3
        assert row["triangles"] > 0 and 0 < row["patches"] and 0 < row["bytes"]
