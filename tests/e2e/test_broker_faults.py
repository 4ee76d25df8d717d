"""The broker is away at the start, or goes in the middle: the service waits, comes back, and loses nothing."""

import asyncio
import os
import signal
import threading

import msgpack
import pytest

import tessera_client
from support import rabbitmq, service, stock
from test_doors import listening

aio_pika = pytest.importorskip("aio_pika", reason="python3-aio-pika is not installed")


@pytest.fixture
def own_broker(tessera):
    """A broker that a test may break."""
    reason = rabbitmq.why_not()
    if reason:
        pytest.skip(reason)
    made = rabbitmq.Broker()
    try:
        yield made
    finally:
        made.close()


def publish_all(broker, names, frames):
    with tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix) as publisher:
        for frame in frames:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)


def test_a_broker_that_comes_later(serve, own_broker, recording, wanted, names):
    running = serve(own_broker.url)
    running.wait(lambda: any("trying again" in line for line in running.log), "an attempt that failed")
    assert running.fetch("/healthz")[0] == 200
    own_broker.start()
    running.wait(lambda: listening(running), "the connection")
    publish_all(own_broker, names, recording)
    assert running.wait_for_keyframes(len(recording)) == wanted


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["restart", "crash"])
def test_a_broker_that_goes_and_comes_back(serve, own_broker, recording, wanted, names, how):
    half = len(recording) // 2
    own_broker.start()
    running = serve(own_broker.url)
    running.wait(lambda: listening(running), "the connection")
    publish_all(own_broker, names, recording[:half])
    running.wait_for_keyframes(half)
    own_broker.stop(how)
    running.wait(lambda: any("trying again" in line for line in running.log), "the loss noticed")
    assert running.map()["keyframes"] == half
    before = sum("listening on" in line and "queue" in line for line in running.log)
    own_broker.start()
    running.wait(lambda: sum("listening on" in line and "queue" in line for line in running.log) > before, "the connection again")
    publish_all(own_broker, names, recording[half:])
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_what_waits_in_the_queue_outlives_the_broker(serve, tessera, own_broker, recording, wanted, names):
    """Published while no service runs, through a broker that restarts: the queue is durable, and the messages persist."""
    own_broker.start()
    first = serve(own_broker.url)
    first.wait(lambda: listening(first), "a queue at the broker")
    first.stop()
    first.alive, first.stop = lambda: True, lambda: 0  # ended on purpose
    publish_all(own_broker, names, recording)
    own_broker.stop()
    own_broker.start()
    second = serve(own_broker.url)
    assert second.wait_for_keyframes(len(recording)) == wanted


@pytest.mark.parametrize("client", ["blocking", "asyncio", "asyncio that raises", "tessera publish"])
def test_what_is_published_before_any_service_ran_waits_for_it(serve, tessera, broker, folder, recording, wanted, names, client):
    """There is no queue yet: the producer makes it, and nothing is lost."""
    if client == "blocking":
        options = dict(exchange=names.exchange, prefix=names.prefix, queue=names.queue)
        with tessera_client.connect(broker.url, **options) as publisher:
            publisher.publish_keyframe("extra", recording[0].pose, recording[0].points + 0.3, recording[0].colours)
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
            publisher.retract_keyframe("extra")
    elif client.startswith("asyncio"):

        async def produce():
            connection = await aio_pika.connect(broker.url)
            async with connection:
                channel = await connection.channel(on_return_raises=client == "asyncio that raises")
                exchange = await channel.declare_exchange(names.exchange, aio_pika.ExchangeType.TOPIC, durable=True)
                manager = tessera_client.SharedMemoryManager(names.prefix)
                publisher = tessera_client.StreamingKeyframePublisher(exchange, shm_manager=manager, queue=names.queue)
                await publisher.publish_keyframe("extra", recording[0].pose, recording[0].points + 0.3, recording[0].colours)
                for frame in recording:
                    await publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
                await publisher.retract_keyframe("extra")

        asyncio.run(produce())
    else:
        options = (*names.options, "--rate", "0")
        status, out, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", broker.url, *options)
        assert status == 0, err
    running = serve(broker.url)
    running.wait(lambda: running.map()["hash"] == wanted, "the hash of the recording alone")
    assert running.map()["keyframes"] == len(recording)


def test_a_queue_that_cannot_be_made_is_said(own_broker, recording, names):
    """Somebody has a queue of that name, with other arguments, bound to nothing: no keyframe is taken for delivered."""
    own_broker.start()

    async def occupy():
        connection = await aio_pika.connect(own_broker.url)
        async with connection:
            channel = await connection.channel()
            await channel.declare_queue(names.queue, durable=False, exclusive=False)

    asyncio.run(occupy())
    frame = recording[0]
    options = dict(exchange=names.exchange, prefix=names.prefix, queue=names.queue, timeout_s=2)
    with tessera_client.connect(own_broker.url, **options) as publisher:
        with pytest.raises(tessera_client.UnreachableError, match=f"{names.queue} cannot be made"):
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])]


def test_the_client_sees_that_the_broker_is_gone(own_broker, recording, names):
    own_broker.start()
    frame = recording[0]
    publisher = tessera_client.connect(own_broker.url, exchange=names.exchange, prefix=names.prefix, timeout_s=5)
    publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    own_broker.stop()
    publisher._timeout_s = 1
    with pytest.raises(tessera_client.UnreachableError, match="the broker at 127.0.0.1"):
        publisher.publish_keyframe("b", frame.pose, frame.points, frame.colours)
    publisher._timeout_s = 30
    own_broker.start()
    publisher.publish_keyframe("c", frame.pose, frame.points, frame.colours)
    publisher.close()
    with pytest.raises(tessera_client.UnreachableError):
        own_broker.stop()
        tessera_client.connect(own_broker.url, timeout_s=2)


def test_the_client_waits_for_the_broker_to_come_back(own_broker, recording, names):
    """A broker that restarts costs a pause, not a keyframe."""
    own_broker.start()
    frame = recording[0]
    with tessera_client.connect(own_broker.url, exchange=names.exchange, prefix=names.prefix, timeout_s=40) as publisher:
        publisher.publish_keyframe("a", frame.pose, frame.points, frame.colours)
        own_broker.stop()
        later = threading.Timer(1, own_broker.start)
        later.start()
        publisher.publish_keyframe("b", frame.pose, frame.points, frame.colours)
        later.join()


def test_wrong_password_is_said_at_the_start(tessera, own_broker):
    own_broker.start()
    url = own_broker.url.replace("guest:guest", "guest:wr0ng-pass")
    status, out, err = service.run(tessera, "serve", url, "--port", "0", "--metrics-port", "0", limit_s=30)
    assert status != 0
    assert "wr0ng-pass" not in out + err
    assert "password" in (out + err).lower()


def test_messages_that_came_while_the_service_was_down_come_once(serve, own_broker, recording, wanted, names):
    """Unacknowledged messages of a killed service are delivered again, and count once."""
    own_broker.start()
    first = serve(own_broker.url)
    first.wait(lambda: listening(first), "a queue at the broker")

    async def produce():
        connection, exchange = await stock.open_exchange(own_broker.url, names.exchange)
        async with connection:
            for frame in recording:
                for _ in range(2):
                    key = names.prefix + frame.id
                    stock.write_segment(key, stock.segment_bytes(frame))
                    await stock.send(exchange, msgpack.packb(stock.notification(frame, key)), delivery_mode=2)

    asyncio.run(produce())
    assert first.wait_for_keyframes(len(recording)) == wanted
