"""The broker is away at the start, or goes in the middle, or its exchanges and queues are not as they should be: the service says
so, waits, comes back, and loses nothing; and whatever the broker does, it ends when it is told to."""

import asyncio
import os
import signal
import socket
import subprocess
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
    own_broker.start()
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
    options = dict(exchange=names.exchange, prefix=names.prefix, queue=names.queue)
    with tessera_client.connect(own_broker.url, **options) as publisher:
        with pytest.raises(tessera_client.UnreachableError, match=f"{names.queue} cannot be made"):
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])]


def test_the_client_sees_that_the_broker_is_gone(own_broker, recording, names):
    own_broker.start()
    frame = recording[0]
    publisher = tessera_client.connect(own_broker.url, exchange=names.exchange, prefix=names.prefix)
    publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    own_broker.stop()
    publisher._timeout_s = 1
    with pytest.raises(tessera_client.UnreachableError, match="the broker at 127.0.0.1"):
        publisher.publish_keyframe("b", frame.pose, frame.points, frame.colours)
    publisher._timeout_s = service.PATIENCE_S
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
    with tessera_client.connect(own_broker.url, exchange=names.exchange, prefix=names.prefix, timeout_s=rabbitmq.BOOT_LIMIT_S) as publisher:
        publisher.publish_keyframe("a", frame.pose, frame.points, frame.colours)
        own_broker.stop()
        later = threading.Timer(1, own_broker.start)
        later.start()
        publisher.publish_keyframe("b", frame.pose, frame.points, frame.colours)
        later.join()


def test_wrong_password_is_said_at_the_start(tessera, own_broker):
    own_broker.start()
    url = own_broker.url.replace("guest:guest", "guest:wr0ng-pass")
    status, out, err = service.run(tessera, "serve", url, "--port", "0", "--metrics-port", "0")
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


# -- Exchanges and queues ---------------------------------------------------------------------------------------------------------


def at_the_broker(broker, what):
    """Runs what(channel) over a connection of its own."""

    async def run():
        connection = await aio_pika.connect(broker.url)
        async with connection:
            await what(await connection.channel())

    asyncio.run(run())


def publish_plainly(broker, names, frames):
    """Without declaring anything: as a producer that finds things as they are."""

    async def send(channel):
        exchange = await channel.get_exchange(names.exchange, ensure=False)
        for frame in frames:
            key = names.prefix + frame.id
            stock.write_segment(key, stock.segment_bytes(frame))
            await stock.send(exchange, msgpack.packb(stock.notification(frame, key)))

    at_the_broker(broker, send)


def times_listening(running):
    return sum("listening on" in line and "queue" in line for line in running.log)


def test_a_queue_that_is_deleted_is_made_again(serve, broker, recording, wanted, names):
    """The broker ends our deliveries, and says so only to those who asked to be told."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    half = len(recording) // 2
    publish_plainly(broker, names, recording[:half])
    running.wait_for_keyframes(half)
    at_the_broker(broker, lambda channel: channel.queue_delete(names.queue))
    running.wait(lambda: times_listening(running) == 2, "a queue again")
    assert any(" warning " in line and names.queue in line for line in running.log)
    publish_plainly(broker, names, recording[half:])
    assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: running.fetch("/readyz")[0] == 200, "ready")


def test_a_binding_that_is_taken_away_comes_back(serve, broker, recording, wanted, names):
    """AMQP tells nobody of it: what is published meanwhile is lost, and what is published again later is not."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")

    async def unbind(channel):
        queue = await channel.get_queue(names.queue, ensure=False)
        for key in ("keyframe.*", "keyframe.new", "keyframe.revise", "keyframe.retract"):
            await queue.unbind(names.exchange, key)

    at_the_broker(broker, unbind)

    def all_of_them():
        publish_plainly(broker, names, recording)
        return running.map()["keyframes"] == len(recording)

    running.wait(all_of_them, "all keyframes")
    assert running.map()["hash"] == wanted


def test_an_exchange_that_is_deleted_is_made_again(serve, broker, recording, wanted, names):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    at_the_broker(broker, lambda channel: channel.exchange_delete(names.exchange))

    def is_back():
        try:
            at_the_broker(broker, lambda channel: channel.declare_exchange(names.exchange, passive=True))
            return True
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return False

    running.wait(is_back, "the exchange again")

    def all_of_them():  # it is bound a moment after it is made
        publish_plainly(broker, names, recording)
        return running.map()["keyframes"] == len(recording)

    running.wait(all_of_them, "all keyframes")
    assert running.map()["hash"] == wanted


@pytest.mark.parametrize("kind", ["direct", "fanout", "headers"])
def test_an_exchange_of_another_type_will_do(serve, broker, tessera, folder, recording, wanted, names, kind):
    at_the_broker(broker, lambda channel: channel.declare_exchange(names.exchange, kind, durable=True))
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    assert any(" warning " in line and f"'{kind}'" in line for line in running.log)
    publish_plainly(broker, names, recording)
    assert running.wait_for_keyframes(len(recording)) == wanted
    status, out, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", broker.url, *names.options, "--rate", "0")
    assert status == 0, err


def test_a_queue_that_is_somebody_elses_is_said_and_waited_for(serve, broker, recording, wanted, names):
    async def hold():
        connection = await aio_pika.connect(broker.url)
        await (await connection.channel()).declare_queue(names.queue, exclusive=True)
        return connection

    loop = asyncio.new_event_loop()
    try:
        connection = loop.run_until_complete(hold())
        running = serve(broker.url)
        running.wait(lambda: any(" warning " in line and names.queue in line for line in running.log), "a warning")
        status, text = running.fetch("/readyz")
        assert status == 503 and names.queue.encode() in text
        assert not listening(running)
        loop.run_until_complete(connection.close())
    finally:
        loop.close()
    running.wait(lambda: listening(running), "a queue at the broker")
    publish_plainly(broker, names, recording)
    assert running.wait_for_keyframes(len(recording)) == wanted


# -- Ending -----------------------------------------------------------------------------------------------------------------------

# Docker kills what has not ended ten seconds after it was told to.
DOCKER_LIMIT_S = 10


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


@pytest.mark.parametrize("state", ["connected and frozen", "frozen while connecting", "black hole", "away"])
def test_a_service_ends_whatever_the_broker_does(serve, own_broker, black_hole, recording, wanted, names, state):
    url = own_broker.url
    if state == "black hole":
        url = f"amqp://guest:guest@127.0.0.1:{black_hole}/"
    elif state != "away":
        own_broker.start()
    if state == "frozen while connecting":
        own_broker.freeze()
    running = serve(url)
    if state == "connected and frozen":
        running.wait(lambda: listening(running), "a queue at the broker")
        publish_all(own_broker, names, recording)
        own_broker.freeze()
    elif state == "away":
        running.wait(lambda: any("trying again" in line for line in running.log), "an attempt that failed")
    else:
        running.wait(lambda: running.fetch("/readyz")[0] == 503, "waiting for the broker")
    assert ends(running._process) == 0
    running.alive, running.stop = lambda: True, lambda: 0  # ended on purpose
    if state != "connected and frozen":
        return
    own_broker.thaw()
    second = serve(own_broker.url)
    # What the first had acknowledged is in its map, which is gone with it; the rest comes again, with its segments.
    left = {name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])}
    second.wait(lambda: {f"{names.prefix[1:]}{camera['id']}" for camera in second.get("/v1/cameras")} >= left, "what was left")


@pytest.mark.parametrize("state", ["short of memory", "black hole", "nobody", "nobody over HTTP"])
@pytest.mark.parametrize("embed", [False, True])
def test_publish_says_what_it_waits_for_and_ends(tessera, black_hole, names, state, embed):
    reason = rabbitmq.why_not()
    if reason:
        pytest.skip(reason)
    made = rabbitmq.Broker("vm_memory_high_watermark.absolute = 1MB\n") if state == "short of memory" else None
    try:
        url = {
            "short of memory": made and made.start().url,
            "black hole": f"amqp://guest:guest@127.0.0.1:{black_hole}/",
            "nobody": "amqp://guest:guest@127.0.0.1:9/",
            "nobody over HTTP": "http://127.0.0.1:9",
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
    finally:
        if made:
            made.close()
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])]
