"""What the end-to-end tests share: the program, a broker, a recording, and names of their own."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "net" / "clients" / "python")]

import tessera_client  # noqa: E402
from support import rabbitmq, scene, service, stock  # noqa: E402
from support.left_out import left_out, need_module  # noqa: E402

# Small enough for seconds, and the same for the service and for `tessera hash`.
MAPPING = ("--voxel-size", "0.05", "--truncation", "0.15", "--threads", "2")

_connect = tessera_client.connect


def _connect_patiently(url, **options):
    """As tessera_client.connect, but where a test says nothing else it waits as long as a busy machine may need."""
    if not url.startswith("shm:"):
        options.setdefault("timeout_s", service.PATIENCE_S)
    return _connect(url, **options)


tessera_client.connect = _connect_patiently


@pytest.fixture(scope="session")
def tessera():
    """The program under test."""
    path = os.environ.get("TESSERA_BIN")
    if not path:
        left_out("TESSERA_BIN is not set: give the path of the built program, as make test does")
    if not os.access(path, os.X_OK):
        pytest.fail(f"TESSERA_BIN is {path}, which is no program")
    return os.path.abspath(path)


@pytest.fixture(name="for_others", scope="session")
def program_for_others(tessera):
    """A copy of the program that other users may run, wherever the tree lies; a user's processes are counted alone."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield shutil.copy(tessera, folder)


def a_broker(**options):
    """What a fixture of a broker yields: one that is not started, and is gone afterwards."""
    reason = rabbitmq.why_not()
    if reason:
        left_out(reason)
    need_module("aio_pika", "python3-aio-pika")
    need_module("msgpack", "python3-msgpack")
    made = rabbitmq.Broker(**options)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def broker(tessera):
    """One broker for all tests of a file: to start one costs seconds. Names are new in each test. Some users may not do all."""
    ours = "^exchange_"
    for made in a_broker(users={"stranger": ("", "", ""), "reader": (ours, "", ""), "no_queues": (ours, ours, "")}):
        yield made.start()


@pytest.fixture(scope="session")
def recording():
    return scene.frames()


@pytest.fixture(scope="session")
def folder(recording, tmp_path_factory):
    return scene.write_folder(tmp_path_factory.mktemp("recording"), recording)


@pytest.fixture(scope="session")
def wanted(tessera, folder, recording):
    """What the map of the recording must be, from the program's own offline run."""
    digits, counts = service.hash_of(tessera, f"rgbd:{folder}", *MAPPING)
    assert counts["keyframes"] == len(recording)
    return digits


@pytest.fixture
def names():
    """A segment prefix, an exchange and a queue that no other test uses; segments are removed afterwards."""
    mark = f"{os.getpid()}_{time.monotonic_ns()}"

    class Names:
        prefix = f"/tessera_e2e_{mark}_"
        exchange = f"exchange_{mark}"
        queue = f"queue_{mark}"
        options = ("--shm-prefix", prefix, "--exchange", exchange, "--queue", queue)

    yield Names
    stock.unlink_all(Names.prefix)


@pytest.fixture
def serve(tessera, names):
    """Starts services; each must end cleanly when its test is over."""
    started = []

    def start(*sources, options=(), env=None):
        sources = sources or (f"shm:{names.prefix}",)
        one = service.Service(tessera, *sources, options=(*MAPPING, *names.options, *options), env=env)
        started.append(one)
        return one

    yield start
    for one in started:
        if one.ended:
            continue
        alive = one.alive()
        status = one.stop()
        assert alive, f"the service ended by itself with {status}:\n" + "".join(one.log[-50:])
        assert status == 0, f"the service ended with {status} after SIGTERM:\n" + "".join(one.log[-50:])
