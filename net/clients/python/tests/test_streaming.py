import asyncio
import os
import struct
import time

import msgpack
import numpy as np
import pytest

from tessera_client import SharedMemoryManager, StreamingKeyframePublisher

POINTS = np.arange(30, dtype=np.float32).reshape(10, 3)
COLORS = np.full((10, 3), 200, np.uint8)
POSE = np.eye(4)


class Exchange:
    """Stands in for an exchange of aio-pika."""

    def __init__(self):
        self.sent = []
        self.error = None

    async def publish(self, message, routing_key):
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        self.sent.append((message, routing_key))


@pytest.fixture
def manager():
    made = SharedMemoryManager(f"/tessera_test_{os.getpid()}_{time.monotonic_ns()}_")
    yield made
    made.cleanup()


def test_publishes_as_deployments_call_it(manager):
    exchange = Exchange()
    publisher = StreamingKeyframePublisher(exchange)
    publisher.shm_manager = manager
    key = asyncio.run(publisher.publish_keyframe(keyframe_id="3", pose=POSE, points=POINTS, colors=COLORS))
    assert key == f"{manager.prefix}~{publisher.session}~3" and key in manager.active_segments
    (message, routing_key), = exchange.sent
    assert routing_key == "keyframe.new" and message.content_type == "application/msgpack"
    said = msgpack.unpackb(message.body)
    assert said["shm_key"] == key and said["point_count"] == 10 and said["keyframe_id"] == "3"
    assert said["bbox"] == [0, 1, 2, 27, 28, 29]
    assert said["session"] == publisher.session and "group" not in said
    with open("/dev/shm" + key, "rb") as file:
        assert struct.unpack_from("<Q", file.read())[0] == said["timestamp_ns"]
    assert publisher.keyframe_counter == 1


def test_without_an_exchange_it_only_writes(manager):
    publisher = StreamingKeyframePublisher(shm_manager=manager)
    key = asyncio.run(publisher.publish_keyframe("a", POSE, POINTS, COLORS, np.ones(10)))
    assert manager.active_segments == {key: 108 + 190}
    with pytest.raises(RuntimeError, match="no exchange was given"):
        asyncio.run(publisher.retract_keyframe("a"))


def test_a_segment_nobody_is_told_of_goes_again(manager):
    exchange = Exchange()
    exchange.error = ConnectionResetError("gone")
    publisher = StreamingKeyframePublisher(exchange, shm_manager=manager)
    with pytest.raises(ConnectionResetError):
        asyncio.run(publisher.publish_keyframe("a", POSE, POINTS, COLORS))
    assert manager.active_segments == {} and publisher.keyframe_counter == 0


def test_many_at_once_do_not_mix(manager):
    """Each is of float64, so that all want the same scratch memory."""
    exchange = Exchange()
    publisher = StreamingKeyframePublisher(exchange, shm_manager=manager)

    async def all_of_them():
        await asyncio.gather(*(publisher.publish_keyframe(i, POSE, np.full((100, 3), float(i)), COLORS[:1].repeat(100, 0))
                               for i in range(20)))

    asyncio.run(all_of_them())
    for i in range(20):
        with open(f"/dev/shm{manager.key_of(i, publisher.session)}", "rb") as file:
            assert (np.frombuffer(file.read()[104:1304], np.float32) == i).all()


def test_revises_and_retracts(manager):
    exchange = Exchange()
    publisher = StreamingKeyframePublisher(exchange, shm_manager=manager)
    asyncio.run(publisher.revise_keyframe("a", POSE))
    asyncio.run(publisher.retract_keyframe("a"))
    assert [key for _, key in exchange.sent] == ["keyframe.revise", "keyframe.retract"]
    said = [msgpack.unpackb(m.body) for m, _ in exchange.sent]
    assert [each["type"] for each in said] == ["keyframe.revise", "keyframe.retract"]
    assert [each["session"] for each in said] == [publisher.session] * 2


def test_moves_many_keyframes_and_groups(manager):
    exchange = Exchange()
    publisher = StreamingKeyframePublisher(exchange, shm_manager=manager)
    asyncio.run(publisher.revise_keyframes({"a": POSE, 1: POSE}))
    asyncio.run(publisher.move_group("upstairs", POSE, revision=9))
    assert [key for _, key in exchange.sent] == ["keyframe.revise"] * 2
    many, group = (msgpack.unpackb(m.body) for m, _ in exchange.sent)
    assert many["type"] == group["type"] == "keyframe.revise"
    assert [one["id"] for one in many["revisions"]] == ["a", "1"] and many["session"] == publisher.session
    assert (group["group"], group["revision"]) == ("upstairs", 9) and len(group["transform"]) == 16
    with pytest.raises(ValueError, match="a notification has 1048576 at most"):
        asyncio.run(publisher.revise_keyframes((str(i), POSE) for i in range(10_000)))


def test_embeds_the_keyframe_for_another_machine(manager):
    exchange = Exchange()
    publisher = StreamingKeyframePublisher(exchange, shm_manager=manager, embed=True, persistent=True)
    assert asyncio.run(publisher.publish_keyframe("a", POSE, POINTS, COLORS)) == ""
    (message, routing_key), = exchange.sent
    assert routing_key == "keyframe.new" and message.content_type == "application/vnd.tessera.keyframe"
    assert message.message_id == "a" and message.delivery_mode == 2
    assert message.headers == {"session": publisher.session}
    assert len(message.body) == 108 + 150 and manager.active_segments == {}


@pytest.mark.parametrize("embed", [False, True])
def test_without_a_session_it_says_what_older_producers_say(manager, embed):
    exchange = Exchange()
    publisher = StreamingKeyframePublisher(exchange, shm_manager=manager, embed=embed, session="")
    key = asyncio.run(publisher.publish_keyframe("a", POSE, POINTS, COLORS))
    (message, _), = exchange.sent
    assert key == ("" if embed else manager.prefix + "a")
    assert not message.headers and (embed or "session" not in msgpack.unpackb(message.body))


@pytest.mark.parametrize("embed", [False, True])
def test_says_its_group(manager, embed):
    exchange = Exchange()
    publisher = StreamingKeyframePublisher(exchange, shm_manager=manager, embed=embed, session="run", group="floor 2")
    asyncio.run(publisher.publish_keyframe("a", POSE, POINTS, COLORS))
    (message, _), = exchange.sent
    said = message.headers if embed else msgpack.unpackb(message.body)
    assert said["session"] == "run" and said["group"] == "floor 2"
