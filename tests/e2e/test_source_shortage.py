"""A source that finds no descriptor when it starts, or later, waits for one: the service goes on, says so, and loses nothing."""

import os
import resource
import sys

import pytest

import tessera_client
from conftest import MAPPING
from support import service
from test_doors import listening, segments


# Runs the service with a full pipe as its standard output: it stops where it says where it listens, just before its sources
# start. There its limit of descriptors is lowered (it raises its limit by itself before), and then the pipe is emptied.
WRAPPER = """#!{python} -B
import os, resource, sys, time

def highest(pid):
    return max(int(each) for each in os.listdir(f"/proc/{{pid}}/fd"))

service, (mine, its) = os.getpid(), os.pipe()
os.set_blocking(its, False)
filled = 0
try:
    while True:
        filled += os.write(its, bytes(4096))
except BlockingIOError:
    os.set_blocking(its, True)
if os.fork() != 0:
    os.dup2(its, 1)
    os.execv({tessera!r}, [{tessera!r}, *sys.argv[1:]])
os.close(its)
while highest(service) < {needs} - 1:
    time.sleep(0.01)
hard = resource.prlimit(service, resource.RLIMIT_NOFILE)[1]
resource.prlimit(service, resource.RLIMIT_NOFILE, ({needs} + {more}, hard))
while filled > 0:
    filled -= len(os.read(mine, filled))
while text := os.read(mine, 4096):
    os.write(1, text)
"""


def descriptors_of(pid):
    return max(int(each) for each in os.listdir(f"/proc/{pid}/fd")) + 1


@pytest.fixture
def serve_short(tessera, names, tmp_path):
    """Starts a service that has so many descriptors more than it needs without a source."""
    started = []

    def start(source, more):
        idle = service.Service(tessera, options=(*MAPPING, *names.options))
        needs = descriptors_of(idle.pid)
        assert idle.stop() == 0
        script = tmp_path / "short"
        script.write_text(WRAPPER.format(python=sys.executable, tessera=str(tessera), needs=needs, more=more))
        script.chmod(0o755)
        started.append(service.Service(str(script), source, options=(*MAPPING, *names.options)))
        return started[-1]

    yield start
    for one in started:
        assert one.ended or one.stop() == 0, "".join(one.log[-50:])


def give_descriptors(running):
    _, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (hard, hard))


# Both kinds keep the first that they get, which wakes them; with two more one is left in the pauses, and the page can be asked.
@pytest.mark.parametrize("kind, more", [("shm", 0), ("shm", 2), ("amqp", 0), ("amqp", 2), ("rgbd", 0)])
def test_a_source_that_finds_no_descriptor_when_it_starts(serve_short, recording, wanted, folder, names, kind, more, request):
    source = {"shm": f"shm:{names.prefix}", "rgbd": f"rgbd:{folder}"}.get(kind) or request.getfixturevalue("broker").url
    running = serve_short(source, more)
    running.wait_for_line("Too many open files")
    if more > 0:
        status, text = running.fetch("/readyz")
        assert status == 503 and b"Too many open files" in text
    give_descriptors(running)
    if kind == "amqp":
        running.wait(lambda: listening(running), "a queue at the broker")
    if kind != "rgbd":
        options = {} if kind == "shm" else dict(exchange=names.exchange, prefix=names.prefix, queue=names.queue)
        with tessera_client.connect(source, **options) as publisher:
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: running.fetch("/readyz")[0] == 200, "ready")
    assert running.get("/v1/aside") == []
    assert running.metrics()['tessera_keyframes_not_now_total{reason="input"}'] > 0
    running.wait(lambda: not segments(names), "all segments unlinked")


@pytest.mark.parametrize("kind", ["shm", "amqp"])
def test_a_service_whose_source_waits_for_descriptors_ends_when_it_is_told_to(serve_short, names, kind, request):
    running = serve_short(f"shm:{names.prefix}" if kind == "shm" else request.getfixturevalue("broker").url, 0)
    running.wait_for_line("Too many open files")
    assert running.end() == 0
