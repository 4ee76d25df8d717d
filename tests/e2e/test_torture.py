"""Faults of all kinds, several at once, under load: one round of `make torture` (tests/torture), and what judges it."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from support import rabbitmq, service
from support.left_out import left_out, need_module, need_program
from test_journal import post
from torture import course, faults, judge, leftovers, mounts, tails
from torture.scan import Scan

LIMIT_S = 1800  # of a machine that does ten other things


@pytest.fixture
def torture(tessera):
    """Starts the program that tortures; it is ended with its test, and what it printed is returned by the call's result."""
    if reason := rabbitmq.why_not():
        left_out(reason)
    need_module("aio_pika", "python3-aio-pika")
    need_module("msgpack", "python3-msgpack")
    need_program("cc", "gcc")
    started = []

    def start(*arguments, **environment):
        command = [sys.executable, "-B", str(ROOT / "tests" / "torture"), tessera, *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        env={**os.environ, **environment}, text=True))
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.terminate()
        one.wait(LIMIT_S)
        one.stdout.close()


def test_a_round_of_all_faults_ends_in_the_undisturbed_map(torture):
    running = torture("--seed", 1, "--rounds", 1, "--short", "--kills", 3)
    said, _ = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 0, said
    assert "nothing lost, nothing counted twice" in said
    assert int(re.search(r"\nkill -9 in all +(\d+)\n", said)[1]) >= 3
    for fault in faults.FAULTS:
        assert fault.dear or f"\n{fault.name} " in said or f"left out: {fault.name}: " in said, said


def test_torture_goes_on_until_it_killed_as_often_as_it_was_told_to():
    def rounds(kills_each, minutes_each=1, **told):
        given = types.SimpleNamespace(**{"rounds": None, "minutes": None, "kills": None, **told})
        number = kills = 0
        while course.goes_on(given, number, 60 * minutes_each * number, kills):
            number, kills = number + 1, kills + kills_each
        return number

    assert rounds(6) == 20 and rounds(6, rounds=3) == 3 and rounds(6, minutes=5) == 5
    assert rounds(6, kills=100) == 17 and rounds(6, kills=100, rounds=4) == 4 and rounds(6, kills=100, minutes=2) == 2
    assert rounds(0, kills=100) == 100  # something is wrong, and it ends
    tally = {"kill -9": 3, "kill -9 while it starts": 2, "kill -9 of tessera journal compact": 1, "broker killed": 9,
             "SIGTERM": 4}
    assert course.kills_in(tally) == 6


def test_the_small_disks_of_that_round_can_be_had(tessera):
    if reason := mounts.why_not(tessera):
        pytest.skip(reason)


def test_what_tortures_leaves_nothing_behind_when_it_is_interrupted(torture, tessera):
    folder = tempfile.mkdtemp(prefix="torture-test-")
    os.chmod(folder, 0o755)  # the broker is another user
    try:
        running = torture("--seed", 2, TMPDIR=folder)
        until = time.monotonic() + LIMIT_S
        while not any(command_line(each).startswith(f"{tessera} serve ") for each in leftovers.users_of([folder])):
            assert running.poll() is None and time.monotonic() < until, "it did not start a service"
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=LIMIT_S)
        assert running.returncode == 130 and "interrupted" in said, said
        assert os.listdir(folder) == [] and not leftovers.users_of([folder]), said
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def command_line(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_the_judge_names_what_is_missing_elsewhere_or_too_much(serve, tessera, recording):
    running, scan = serve(), Scan("")
    for number, frame in enumerate(recording[:4]):
        scan.put(f"k{number}", frame, "", 0)
        assert post(running, f"k{number}", frame) == 200
    assert judge.difference(scan.wanted(), judge.live_in(running)) == []
    rng = random.Random(1)
    assert judge.undisturbed(tessera, tails.MAPPING, [scan], rng) == judge.undisturbed(tessera, tails.MAPPING, [scan], rng)
    scan.move("k1", scan.live["k1"].pose @ np.diag(np.float32([-1, -1, 1, 1])), 1)
    scan.drop(["k2"])
    scan.put("k9", recording[5], "", 0)
    wrong = judge.difference(scan.wanted(), judge.live_in(running), [scan])
    assert [line.split(" (")[0] for line in wrong] == ["k1 is elsewhere", "k2 is there, and must not be", "k9 is missing"]
    assert running.map()["hash"] != judge.undisturbed(tessera, tails.MAPPING, [scan], rng)[0]


def test_a_journal_that_was_never_like_that_is_no_prefix(tessera, tmp_path):
    states = tails.history(tessera, str(tmp_path / "journal"), random.Random(1))
    assert tails.whole_records(tessera, str(tmp_path / "journal"), states) == tails.OPERATIONS
    with pytest.raises(AssertionError, match="no moment was like this"):
        tails.whole_records(tessera, str(tmp_path / "journal"), states[:-1])
