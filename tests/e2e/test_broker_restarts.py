"""The broker is away at the start, or goes in the middle: the service says so, waits, comes back, and loses nothing; so do
clients."""

import signal
import threading

import pytest

import tessera_client
from conftest import a_broker
from support import rabbitmq, service
from test_doors import listening, times_listening


@pytest.fixture(scope="module")
def own_broker(tessera):
    """A broker that tests may stop and start, and leave as they like: names are new in each test."""
    yield from a_broker()


def publish_all(broker, names, frames):
    with tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix) as publisher:
        for frame in frames:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)


def test_a_broker_that_comes_later(serve, own_broker, recording, wanted, names):
    own_broker.stop()
    running = serve(own_broker.url)
    running.wait(lambda: any("trying again" in line for line in running.log), "an attempt that failed")
    assert running.fetch("/healthz")[0] == 200
    status, text = running.fetch("/readyz")
    assert status == 503 and b"127.0.0.1" in text
    own_broker.start()
    running.wait(lambda: listening(running), "the connection")
    running.wait(lambda: running.fetch("/readyz")[0] == 200, "ready")
    publish_all(own_broker, names, recording)
    assert running.wait_for_keyframes(len(recording)) == wanted


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["restart", "crash"])
def test_a_broker_that_goes_and_comes_back(serve, own_broker, recording, wanted, names, how):
    half = len(recording) // 2
    own_broker.run()
    running = serve(own_broker.url)
    running.wait(lambda: listening(running), "the connection")
    publish_all(own_broker, names, recording[:half])
    running.wait_for_keyframes(half)
    own_broker.stop(how)
    running.wait(lambda: any("trying again" in line for line in running.log), "the loss noticed")
    assert running.map()["keyframes"] == half
    before = times_listening(running)
    own_broker.start()
    running.wait(lambda: times_listening(running) > before, "the connection again")
    publish_all(own_broker, names, recording[half:])
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_clients_and_what_waits_outlive_the_broker(serve, own_broker, recording, wanted, names):
    """The queue is durable, and the messages persist: what is published while no service runs comes after a restart. A client
    says that the broker is gone, and one that may wait longer waits for it: a restart costs a pause, not a keyframe."""
    own_broker.run()
    first = serve(own_broker.url)
    first.wait(lambda: listening(first), "a queue at the broker")
    assert first.end() == 0
    *waiting, last = recording
    options = dict(exchange=names.exchange, prefix=names.prefix)
    publish_all(own_broker, names, waiting)
    publisher = tessera_client.connect(own_broker.url, **options)
    publisher.publish_keyframe("hello", last.pose, last.points, last.colours)
    publisher.retract_keyframe("hello")
    own_broker.stop()
    publisher._timeout_s = 1
    with pytest.raises(tessera_client.UnreachableError, match="the broker at 127.0.0.1"):
        publisher.publish_keyframe("lost", last.pose, last.points, last.colours)
    with pytest.raises(tessera_client.UnreachableError):
        tessera_client.connect(own_broker.url, timeout_s=2)
    publisher._timeout_s = rabbitmq.BOOT_LIMIT_S
    later = threading.Timer(1, own_broker.start)
    later.start()
    publisher.publish_keyframe(last.id, last.pose, last.points, last.colours)
    later.join()
    publisher.close()
    second = serve(own_broker.url)
    ids = {frame.id for frame in recording}
    second.wait(lambda: {one["id"].rsplit("/", 1)[-1] for one in second.get("/v1/cameras")} == ids,
                "the recording, and nothing else")
    assert second.wait_for_keyframes(len(recording)) == wanted
