"""Shared memory when something is wanting: descriptors, permissions, room, or a producer that leaves its segments alone."""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tessera_client
from conftest import MAPPING
from support import service, stock
from test_doors import segments

NOBODY = 65534


@pytest.fixture
def other_users():
    """Calls that run as somebody else, if this process may."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("changing the user needs root and setpriv")
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def serve_as(wrapper, tessera, names, tmp_path):
    """A service of another user: the program where that user can reach it, and its own working folder."""
    home = tmp_path / "home"
    home.mkdir()
    program = home / "tessera"
    shutil.copy(tessera, program)
    for folder in (home, *list(home.parents)[:3]):
        os.chmod(folder, os.stat(folder).st_mode | 0o055)
    script = home / "serve"
    script.write_text(f'#!/bin/sh\nexec {" ".join(wrapper)} {program} "$@"\n')
    script.chmod(0o755)
    return service.Service(str(script), f"shm:{names.prefix}", options=("--voxel-size", "0.05", "--threads", "2", *names.options))


def asides(running):
    return [each["reason"] for each in running.get("/v1/aside")]


def test_a_service_of_another_user_says_whose_a_segment_is_and_takes_it_after_chmod(
    tessera, names, recording, other_users, tmp_path
):
    running = serve_as(other_users, tessera, names, tmp_path)
    try:
        with tessera_client.connect(f"shm:{names.prefix}") as publisher:
            for frame in recording[:2]:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        running.wait(lambda: len(asides(running)) == 2, "both listed aside")
        for reason in asides(running):
            for part in ("belongs to uid 0", "mode 600", f"runs as uid {NOBODY}", "0644"):
                assert part in reason
        assert sum("set aside: segment" in line and "Permission denied" in line for line in running.log) == 2
        time.sleep(1)
        assert len(asides(running)) == 2 and running.map()["keyframes"] == 0, "tried again, without a word"
        for name in segments(names):
            os.chmod("/dev/shm/" + name, 0o644)
        running.wait_for_keyframes(2)
        assert len(segments(names)) == 2, "only their owner and root may unlink them"
        with tessera_client.connect(f"shm:{names.prefix}", mode=0o644) as publisher:
            for frame in recording[2:]:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        running.wait_for_keyframes(len(recording))
        assert len(asides(running)) == 2
        told = []

        def said():
            told[:] = [line for line in running.log if "cannot be unlinked" in line]
            return told

        running.wait(said, "that a segment cannot be unlinked")  # which comes after its keyframe is in the map
        assert len(told) == 1 and "sticky" in told[0] and "belongs to uid 0" in told[0]
    finally:
        assert running.stop() == 0


def test_roots_service_takes_and_unlinks_what_others_write(tessera, names, recording, wanted, other_users, tmp_path):
    """With the one right that compose leaves to root."""
    compose = (Path(__file__).parents[2] / "docker/compose.yaml").read_text()
    assert "cap_drop: [ALL]" in compose and "cap_add: [DAC_READ_SEARCH]" in compose
    rights = ["setpriv", "--bounding-set=-all,+dac_read_search", "--inh-caps=-all", "--no-new-privs"]
    running = serve_as(rights, tessera, names, tmp_path)
    try:
        for frame in recording:
            path = stock.write_segment(names.prefix + frame.id, stock.segment_bytes(frame))
            os.chown(path, NOBODY, NOBODY)
            os.chmod(path, 0o600)
        assert running.wait_for_keyframes(len(recording)) == wanted
        running.wait(lambda: not segments(names), "all segments unlinked")
    finally:
        assert running.stop() == 0


def test_a_service_without_descriptors_loses_nothing(serve, recording, wanted, names):
    running = serve(f"shm:{names.prefix}")
    # The watch has all that it needs: it takes a segment.
    with tessera_client.connect(f"shm:{names.prefix}", session="before") as publisher:
        publisher.publish_keyframe(1, recording[0].pose, recording[0].points, recording[0].colours)
    running.wait_for_keyframes(1)
    running.fetch("/v1/keyframes", method="DELETE")
    running.wait_for_keyframes(0)
    soft, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    # The numbers below it are the standard streams': nothing more can be opened.
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (3, hard))
    try:
        with tessera_client.connect(f"shm:{names.prefix}") as publisher:
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        running.wait_for_line("cannot be taken now")
        running.wait_for_line("Too many open files")
        assert len(segments(names)) == len(recording)
    finally:
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: not segments(names), "all segments unlinked")
    assert running.get("/v1/aside") == []
    assert running.metrics()['tessera_keyframes_not_now_total{reason="input"}'] > 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_hash_of_what_has_no_end_is_told_when_it_is_to_end(tessera, recording, wanted, names, how):
    process = subprocess.Popen(
        [tessera, "hash", f"shm:{names.prefix}", *MAPPING], env=service.clean_environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    watchdog = threading.Timer(service.PATIENCE_S, process.kill)
    watchdog.start()
    try:
        while (line := process.stderr.readline()) and "has no end" not in line:
            pass
        for frame in recording:
            stock.write_segment(names.prefix + frame.id, stock.segment_bytes(frame))
        stock.write_segment(names.prefix + "bad", b"no header")
        while (line := process.stderr.readline()) and "set aside" not in line:  # the others came before it
            pass
        process.send_signal(how)
        out, err = process.communicate()
    finally:
        watchdog.cancel()
        process.kill()
    assert process.returncode == 0, err
    assert out.split()[:2] == [wanted, f"keyframes={len(recording)}"], (out, err)


def test_segments_written_again_in_place_while_they_are_read(serve, recording, wanted, names):
    """Each again and again, as it was: half of it is never a keyframe, and what lies there in the end is in the map."""
    running = serve(f"shm:{names.prefix}")

    def produce(frames):
        generator = np.random.default_rng(len(frames))
        for _ in range(20):
            for frame in frames:
                content = stock.segment_bytes(frame)
                with open(f"/dev/shm{names.prefix}{frame.id}", "wb", buffering=0) as file:
                    cut = int(generator.integers(0, len(content)))
                    file.write(content[:cut])
                    time.sleep(0.002)
                    file.write(content[cut:])

    threads = [threading.Thread(target=produce, args=(recording[part::3],)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running.wait(lambda: not segments(names), "all segments unlinked")
    assert running.wait_for_keyframes(len(recording)) == wanted
    assert running.get("/v1/aside") == []


@pytest.mark.parametrize("kind", ["shm", "amqp"])
def test_a_service_clears_away_what_a_killed_producer_left(serve, names, kind, request):
    serve(f"shm:{names.prefix}" if kind == "shm" else request.getfixturevalue("broker").url)
    script = """
import os, sys, time
import numpy as np
import tessera_client
real = os.pwritev
def slowly(descriptor, buffers, offset):
    real(descriptor, buffers, offset)
    print(os.readlink(f"/proc/self/fd/{descriptor}"), flush=True)
    time.sleep(600)
os.pwritev = slowly
tessera_client.SharedMemoryManager(sys.argv[1]).write_keyframe(1, np.zeros((1000, 3)), np.zeros((1000, 3), np.uint8), np.eye(4))
"""
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(tessera_client.__file__))}
    writer = subprocess.Popen([sys.executable, "-c", script, names.prefix], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        path = writer.stdout.readline().strip()
        assert path.startswith("/dev/shm/.tessera-writing-")
        time.sleep(1.5)
        assert os.path.exists(path), "it is being written"
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    until = time.monotonic() + service.PATIENCE_S
    while os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.05)
    assert not os.path.exists(path)


def test_a_dev_shm_as_small_as_dockers_is_told_by_service_and_producer(tessera, tmp_path):
    small = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=4m none /dev/shm && exec "$@"', "small"]
    if os.geteuid() != 0 or subprocess.run([*small, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a /dev/shm of one's own needs root, unshare and the right to mount")
    script = tmp_path / "serve"
    script.write_text(f"#!/bin/sh\nexec {shlex.join(small)} {shlex.quote(os.path.realpath(tessera))} \"$@\"\n")
    script.chmod(0o755)
    running = service.Service(str(script), "shm:/nobody", options=("--voxel-size", "0.05"))
    try:
        running.wait(lambda: any("/dev/shm has 4 MiB" in line and "--shm-size" in line for line in running.log), "what to do")
    finally:
        running.stop()
    command = [*small, tessera, "publish", "synthetic:room", "--limit", "9", "--to", "shm:/nobody"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as producer:  # tries for half a minute
        told = next((line for line in producer.stderr if "docker run --shm-size" in line), None)
        producer.terminate()
    assert told, "it ended without a word of what to do"
