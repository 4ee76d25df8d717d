"""Exchanges and queues that are not there, not as they should be, or taken away: it is said, mended where that can be, and
nothing is lost. What waits in a queue outlives the service."""

import asyncio
import os

import msgpack
import pytest

import tessera_client
from support import service, stock
from support.left_out import need_module
from test_doors import listening, times_listening

aio_pika = need_module("aio_pika", "python3-aio-pika")


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


def test_wrong_password_is_said_at_the_start(tessera, broker):
    url = broker.url.replace("guest:guest", "guest:wr0ng-pass")
    status, out, err = service.run(tessera, "serve", url, "--port", "0", "--metrics-port", "0")
    assert status == 1
    assert "wr0ng-pass" not in out + err
    assert "password" in (out + err).lower()


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


def test_messages_that_came_while_the_service_was_down_come_once(serve, broker, recording, wanted, names):
    """A crash leaves the queue; what is announced until the next start waits in it, and what is announced twice counts once."""
    first = serve(broker.url)
    first.wait(lambda: listening(first), "a queue at the broker")
    first.crash()
    publish_plainly(broker, names, [frame for frame in recording for _ in range(2)])
    second = serve(broker.url)
    assert second.wait_for_keyframes(len(recording)) == wanted


def test_a_queue_that_cannot_be_made_is_said(broker, recording, names):
    """Somebody has a queue of that name, with other arguments, bound to nothing: no keyframe is taken for delivered."""

    async def occupy():
        connection = await aio_pika.connect(broker.url)
        async with connection:
            channel = await connection.channel()
            await channel.declare_queue(names.queue, durable=False, exclusive=False)

    asyncio.run(occupy())
    frame = recording[0]
    options = dict(exchange=names.exchange, prefix=names.prefix, queue=names.queue)
    with tessera_client.connect(broker.url, **options) as publisher:
        with pytest.raises(tessera_client.UnreachableError, match=f"{names.queue} cannot be made"):
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])]


def test_an_exchange_that_is_not_ours_is_said(broker, names):
    """The blocking client publishes through exchanges of type topic alone."""
    at_the_broker(broker, lambda channel: channel.declare_exchange(names.exchange, "fanout", durable=True))
    with pytest.raises(tessera_client.UnreachableError, match=f"cannot be used: .*{names.exchange}"):
        tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix)


@pytest.mark.parametrize("user, at", [("stranger", "exchange"), ("reader", "exchange"), ("no_queues", "queue")])
@pytest.mark.parametrize("embed", [False, True])
def test_a_user_who_may_not_is_told_so_at_once(tessera, broker, folder, recording, names, user, at, embed, monkeypatch):
    def never(seconds):
        raise AssertionError(f"tried again after {seconds} s")

    # From 3.11 on it begins with which access it is.
    refused = f"access to {at} '{getattr(names, at)}' in vhost '/' refused for user '{user}'"
    frame = recording[0]
    at_the_broker(broker, lambda channel: channel.declare_exchange(names.exchange, "topic", durable=True))
    monkeypatch.setattr(tessera_client.amqp.time, "sleep", never)
    with pytest.raises(tessera_client.UnreachableError, match=refused):
        options = dict(exchange=names.exchange, prefix=names.prefix, queue=names.queue, embed=embed)
        with tessera_client.connect(broker.url_of(user), **options) as publisher:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    monkeypatch.undo()
    options = (*names.options, "--rate", "0", *(("--embed",) if embed else ()))
    status, out, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", broker.url_of(user), *options)
    assert status == 1 and refused in err and "trying for another" not in err, err
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])]


def test_services_that_share_a_queue_are_warned(serve, broker, names):
    """Both: the one that finds the other, and the one that was there before."""
    first = serve(broker.url)
    first.wait(lambda: listening(first), "a queue at the broker")
    assert not any("other consumer" in line for line in first.log)
    second = serve(broker.url)
    second.wait_for_line("has 1 other consumer")
    first.wait_for_line("has 1 other consumer")


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
    running.wait_for_line(f"exchange {names.exchange} was gone, and is made again")

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
