"""tests/bench/gpu.py, where no GPU is: its parts run by the CPU, and the report tells of each."""

import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT
from support.service import PATIENCE_S


def measure(out, *more):
    command = (sys.executable, "-B", "-S", ROOT / "tests" / "bench" / "gpu.py", "--out", out, *more)
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=PATIENCE_S,
                          env={**os.environ, "TESSERA_THREADS": "nonsense"})  # a setting of the service: it measures the defaults


def test_it_reports_each_part(tessera, tmp_path):
    done = measure(tmp_path, "synthetic:room", "--binary", tessera, "--backend", "cpu", "--skip", "latency", "--limit", 3,
                   "--rounds", 1, "--voxels", 0.1, 0.05, "--growth", 4)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.md", "log.txt", "where_time_goes.svg",
                                                          "growth_5cm.svg"}
    text = (tmp_path / "report.md").read_text()
    sections = [line[4:] for line in text.splitlines() if line.startswith("### ")]
    assert sections == ["Stages", "Drills: the map's hash is the CPU's after each", "Growth, 5 cm", "Failed or left out"]
    assert "- tests: left out, needs a GPU" in text
    parts = json.loads((tmp_path / "report.json").read_text())["parts"]
    assert [(row["voxel_m"], row["keyframes"]) for row in parts["bench"]["voxels"]] == [(0.1, 3), (0.05, 3)]
    assert [row["reason"] for row in parts["drills"]["checks"]] == ["", ""]


@pytest.mark.parametrize("more, said", [
    (["--binary", sys.executable, "--voxels", "0"], "0 is not more than 0"),
    (["--binary", sys.executable, "--limits", "bench"], "'bench' is not PART=SECONDS"),
    (["--binary", "none"], "none, which is no program"),
])
def test_options_that_cannot_be_are_refused(tmp_path, more, said):
    done = measure(tmp_path / "out", *more)
    assert done.returncode == 2 and said in done.stderr and not (tmp_path / "out").exists()
