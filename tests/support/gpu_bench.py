"""tests/bench/gpu.py, started by tests: on the real program, and on programs that pretend a GPU and NVIDIA's tools."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

import pytest

from support import pretend_gpu
from support.service import PATIENCE_S

BENCH = pathlib.Path(__file__).resolve().parents[1] / "bench"
sys.path.append(str(BENCH))  # for gpu_parts

FILES = {"report.json", "report.md", "where_time_goes.svg", "log.txt"}


def command(folder, binary, *more):
    return [str(word) for word in (sys.executable, "-B", "-S", BENCH / "gpu.py", "--binary", binary, "--out", folder / "out", *more)]


def measured(folder, binary, *more, path=None):
    """Runs it; returns its status, report.json, report.md."""
    env = {**os.environ, "PATH": str(path or os.environ["PATH"]), "TESSERA_THREADS": "nonsense"}
    done = subprocess.run(command(folder, binary, *more), capture_output=True, text=True, timeout=5 * PATIENCE_S, env=env)
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


def gone(pid):
    """Ended, or about to be buried by its parent."""
    for _ in range(20 * PATIENCE_S):
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
    for _ in range(20 * PATIENCE_S):
        if hangs.exists():
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    err = running.communicate(timeout=PATIENCE_S)[1]
    assert running.returncode == 1 and not err
    assert [gone(int(pid)) for pid in hangs.read_text().split()] == [True, True]
    return json.loads((pretended.out / "report.json").read_text())
