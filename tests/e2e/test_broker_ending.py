"""Whatever the broker does, the service and `tessera publish` end when they are told to, and nothing is acknowledged that is not
safe."""

import contextlib
import os
import signal
import socket
import subprocess
import threading

import pytest

from conftest import a_broker
from support import service
from test_broker_restarts import publish_all
from test_doors import listening

# Docker kills what has not ended ten seconds after it was told to.
DOCKER_LIMIT_S = 10


@pytest.fixture(scope="module")
def short_broker(tessera):
    """It takes no message, for want of memory."""
    for made in a_broker(settings="vm_memory_high_watermark.absolute = 1MB\n"):
        yield made.start()


@pytest.fixture
def frozen(broker):
    """Freezes the broker, until the end of the test at most."""
    yield broker.freeze
    broker.thaw()


@pytest.fixture
def black_hole():
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        yield hole.getsockname()[1]


def ends(process):
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(DOCKER_LIMIT_S)
    finally:
        process.kill()


NOBODY = "127.0.0.1:9"


@pytest.mark.parametrize("state", ["connected and frozen", "frozen while connecting", "black hole", "away"])
def test_a_service_ends_whatever_the_broker_does(serve, broker, frozen, black_hole, recording, wanted, names, state):
    url = broker.url
    if state == "black hole":
        url = f"amqp://guest:guest@127.0.0.1:{black_hole}/"
    elif state == "away":
        url = f"amqp://guest:guest@{NOBODY}/"
    elif state == "frozen while connecting":
        frozen()
    running = serve(url)
    if state == "connected and frozen":
        running.wait(lambda: listening(running), "a queue at the broker")
        running._process.send_signal(signal.SIGSTOP)  # it has work left when it is told to end
        publish_all(broker, names, recording)
        frozen()
        running._process.send_signal(signal.SIGCONT)
    elif state == "away":
        running.wait(lambda: any("trying again" in line for line in running.log), "an attempt that failed")
    else:
        running.wait(lambda: running.fetch("/readyz")[0] == 503, "waiting for the broker")
    assert ends(running._process) == 0
    running.end()
    if state != "connected and frozen":
        return
    # What the first had acknowledged was in its map, which is gone with it; the rest comes again, with its segments.
    left = {name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])}
    broker.thaw()
    second = serve(broker.url)

    def segments_taken():  # a segment of a session is called `prefix`~`session`~`id`; the map knows it as `session`/`id`
        return {f"{names.prefix[1:]}~{camera['id'].replace('/', '~', 1)}" for camera in second.get("/v1/cameras")}

    second.wait(lambda: segments_taken() >= left, "what was left")


def test_a_service_that_hangs_at_its_end_is_ended(tessera):
    """Here since nobody reads its log; it may as well be rays that take long, or a driver."""
    reads, writes = os.pipe()
    process = subprocess.Popen(
        [tessera, "serve", "--port", "0", "--metrics-port", "0"], env=service.clean_environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=writes, text=True,
    )
    try:
        assert "listening" in process.stdout.readline() and "metrics" in process.stdout.readline()
        os.set_blocking(writes, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writes, b"\n")
        os.set_blocking(writes, True)
        assert ends(process) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(reads)
        os.close(writes)


@pytest.mark.parametrize("state", ["short of memory", "black hole", "nobody", "nobody over HTTP"])
@pytest.mark.parametrize("embed", [False, True])
def test_publish_says_what_it_waits_for_and_ends(tessera, short_broker, black_hole, names, state, embed):
    url = {
        "short of memory": short_broker.url,
        "black hole": f"amqp://guest:guest@127.0.0.1:{black_hole}/",
        "nobody": f"amqp://guest:guest@{NOBODY}/",
        "nobody over HTTP": f"http://{NOBODY}",
    }[state]
    options = (*names.options, "--rate", "0", "--limit", "20", *(("--embed",) if embed else ()))
    process = subprocess.Popen(
        [tessera, "publish", "synthetic:room", "--to", url, *options],
        env=service.clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    watchdog = threading.Timer(service.PATIENCE_S, process.kill)
    watchdog.start()
    said = ""
    for line in process.stderr:
        said += line
        if "trying for another" in line:
            break
    watchdog.cancel()
    assert "trying for another" in said, said
    assert ends(process) == 1  # not one was delivered
    process.stderr.close()
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])]
