"""Every door gets garbage: each piece is set aside and counted, the map is untouched, and the next good keyframe counts."""

import asyncio
import json
import os
import struct
import threading
import time

import msgpack
import numpy as np

import tessera_client
from support import service, stock
from test_doors import listening

EYE = np.eye(4, dtype=np.float32)


def moved(pose, **changes):
    matrix = pose.astype(np.float64).copy()
    for place, value in changes.items():
        matrix[int(place[1]), int(place[2])] = value
    return matrix


def bad_messages(frame, prefix):
    """name: (body, content type). None of them is a keyframe, whoever reads it."""
    good_key = prefix + "good"

    def note(**changes):
        return msgpack.packb(stock.notification(frame, good_key, **{"keyframe_id": "bad", **changes}))

    pose = frame.pose.astype(float)
    nested = b"\x91" * 10_000 + b"\xc0"
    yield "nothing", b""
    yield "random bytes", np.random.default_rng(1).bytes(500)
    yield "the byte that is never used", b"\xc1"
    yield "text", b"hello"
    yield "json", json.dumps(stock.notification(frame, good_key)).encode()
    yield "a list", msgpack.packb([1, 2, 3])
    yield "an empty map", msgpack.packb({})
    yield "another message", msgpack.packb({"type": "video_frame", "timestamp": 1, "data": {"jpeg": b"\xff\xd8"}})
    yield "a list of 2^32 - 1", b"\xdd\xff\xff\xff\xff"
    yield "a map of 2^32 - 1", b"\xdf\xff\xff\xff\xff" + msgpack.packb("type")
    yield "a text of 2^32 - 1", b"\x81\xdb\xff\xff\xff\xffabc"
    yield "binary of 2^32 - 1", b"\x81\xa4type\xc6\xff\xff\xff\xffabc"
    yield "nested 10,000 deep", nested
    yield "nested 10,000 deep inside", b"\x82\xa4type\xackeyframe.new\xa1x" + nested
    yield "maps nested 10,000 deep", b"\x81\xa1a" * 10_000 + b"\xc0"
    yield "cut off", note()[:-3]
    yield "something after it", note() + b"\0"
    yield "a key that is no text", b"\x81\x01\x02"
    yield "an unknown type", note(type="keyframe.explode")
    yield "a type that is a number", note(type=7)
    yield "no id", msgpack.packb({"type": "keyframe.new", "shm_key": good_key})
    yield "an empty id", note(keyframe_id="")
    yield "an id that is a list", note(keyframe_id=[1])
    yield "an id of 257 bytes", note(keyframe_id="x" * 257)
    yield "an id with a control character", note(keyframe_id="a\nb")
    yield "an id that is no text", note()[:].replace(b"\xa3bad", b"\xa3\xff\xfe\xfd")
    yield "a pose with NaN", note(pose_matrix=moved(pose, m03=float("nan")).tolist())
    yield "an infinite pose", note(pose_matrix=moved(pose, m13=float("inf")).tolist())
    yield "a pose of zeros", note(pose_matrix=np.zeros((4, 4)).tolist())
    yield "a pose that scales too much", note(pose_matrix=(np.diag([200, 200, 200, 1]) @ pose).tolist())
    yield "a pose that shrinks too much", note(pose_matrix=(np.diag([0.005, 0.005, 0.005, 1]) @ pose).tolist())
    yield "a pose that stretches", note(pose_matrix=(np.diag([2, 1, 1, 1]) @ pose).tolist())
    yield "a pose that mirrors", note(pose_matrix=(np.diag([1, 1, -1, 1]) @ pose).tolist())
    yield "a transposed pose", note(pose_matrix=pose.T.tolist())
    yield "a pose of three rows", note(pose_matrix=pose[:3].tolist())
    yield "a pose with a short row", note(pose_matrix=[[1, 0, 0], *pose[1:].tolist()])
    yield "a pose of texts", note(pose_matrix=[["a"] * 4] * 4)
    yield "a pose too large for a float", note(pose_matrix=moved(pose, m03=1e300).tolist())
    yield "a path upwards", note(shm_key=prefix + "../../etc/passwd")
    yield "a path", note(shm_key="/etc/passwd")
    yield "a path in the prefix's folder", note(shm_key=prefix + "a/b")
    yield "another prefix", note(shm_key="/somebody_elses_segment")
    yield "the prefix alone", note(shm_key=prefix)
    yield "a name with a zero", note(shm_key=prefix + "a\0b")
    yield "a name of 10,000 bytes", note(shm_key=prefix + "x" * 10_000)
    yield "a name that is a number", note(shm_key=5)
    yield "a segment that does not exist", note(shm_key=prefix + "nowhere")
    yield "a negative point count", note(point_count=-1)
    yield "2^32 - 1 points", note(point_count=2**32 - 1)
    yield "2^63 points", note(point_count=2**63)
    yield "a point count that is not the segment's", note(point_count=len(frame.points) - 1)
    yield "a box of five", note(bbox=[0.0] * 5)
    yield "a time before 1970", note(timestamp_ns=-5)
    yield "a revision without a pose", msgpack.packb({"type": "keyframe.revise", "keyframe_id": "good"})
    yield "a retraction without an id", msgpack.packb({"type": "keyframe.retract"})


def bad_segments(frame):
    """name: content. None of them is a keyframe."""
    whole = stock.segment_bytes(frame)
    long = stock.segment_bytes(frame, form=108, confidence=np.ones(len(frame.points)))
    count = len(frame.points)
    yield "half a header", whole[:50]
    yield "a header alone", whole[:104]
    yield "one byte short", whole[:-1]
    yield "one byte long", whole + b"\0"
    yield "colours missing", whole[: 104 + 12 * count]
    yield "one byte short of confidence", long[:-1]
    yield "2^32 - 1 points", stock.segment_bytes(frame, count=2**32 - 1)
    yield "2^31 points", stock.segment_bytes(frame, count=2**31)
    yield "no points", struct.pack("<QII", 1, 0, 3) + EYE.tobytes() + bytes(24)
    yield "seven channels", whole[:12] + struct.pack("<I", 7) + whole[16:]
    yield "confidence said to be 2", long[:16] + struct.pack("<I", 2) + long[20:]
    yield "confidence there but denied", long[:16] + struct.pack("<I", 0) + long[20:]
    yield "a pose with NaN", stock.segment_bytes(frame, pose=moved(frame.pose, m00=np.nan))
    yield "a pose of zeros", stock.segment_bytes(frame, pose=np.zeros((4, 4)))
    yield "a pose that scales too much", stock.segment_bytes(frame, pose=np.diag([300, 300, 300, 1]))
    yield "a pose that stretches", stock.segment_bytes(frame, pose=np.diag([3, 1, 1, 1]))
    yield "random bytes", np.random.default_rng(2).bytes(5000)
    yield "zeros", bytes(5000)


def post_body(frame, **options):
    return stock.segment_bytes(frame, form=108, **options)


def counted(running, before, how_many):
    running.wait(lambda: running.bad_inputs() >= before + how_many, f"{how_many} more bad inputs counted than {before}")


def test_messages(serve, broker, recording, wanted, names):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    frame = recording[0]
    stock.write_segment(names.prefix + "good", stock.segment_bytes(frame))
    cases = list(bad_messages(frame, names.prefix))

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for name, body in cases:
                before = running.bad_inputs()
                await stock.send(exchange, body)
                until = time.monotonic() + service.PATIENCE_S
                while running.bad_inputs() != before + 1:
                    assert running.alive(), f"{name}: the service ended"
                    assert time.monotonic() < until, f"{name}: {running.bad_inputs() - before} counted, not 1"
                    await asyncio.sleep(0.01)
                assert running.map()["keyframes"] == 0, f"{name} counts as a keyframe"
                assert running.map()["hash"] == "0" * 32, f"{name} changed the map"
                assert running.get("/v1/aside")[0]["reason"], f"{name}: no reason"

    # The segment that they point at may be taken away, for the service was told of it; each finds it anew.
    stop = threading.Event()

    def restore():
        while not stop.is_set():
            if not os.path.exists("/dev/shm" + names.prefix + "good"):
                stock.write_segment(names.prefix + "good", stock.segment_bytes(frame))
            time.sleep(0.002)

    keeper = threading.Thread(target=restore)
    keeper.start()
    try:
        asyncio.run(produce())
    finally:
        stop.set()
        keeper.join()
    assert os.path.exists("/etc/passwd")
    with tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_messages_of_the_wrong_kind(serve, broker, recording, wanted, names):
    """Content types, bodies that are whole keyframes but broken, and sizes."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    frame = recording[0]
    whole = "application/vnd.tessera.keyframe"
    stock.write_segment(names.prefix + "good", stock.segment_bytes(frame))
    note = msgpack.packb(stock.notification(frame, names.prefix + "good"))
    cases = [
        ("json by type", note, dict(content_type="application/json")),
        ("an image by type", note, dict(content_type="image/jpeg")),
        ("two megabytes", b"\xc7" * 2_000_000, {}),
        ("a whole keyframe cut short", post_body(frame)[:-1], dict(content_type=whole, message_id="a")),
        ("a whole keyframe of 2^32 - 1", post_body(frame, count=2**32 - 1), dict(content_type=whole, message_id="a")),
        ("a whole keyframe over the limit", bytes((1 << 22) * 20 + 109), dict(content_type=whole, message_id="a")),
        ("no bytes as a whole keyframe", b"", dict(content_type=whole, message_id="a")),
        ("a notification as a whole keyframe", note, dict(content_type=whole, message_id="a")),
    ]

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for name, body, properties in cases:
                before = running.bad_inputs()
                await stock.send(exchange, body, **properties)
                until = time.monotonic() + service.PATIENCE_S
                while running.bad_inputs() != before + 1:
                    assert time.monotonic() < until, f"{name}: {running.bad_inputs() - before} counted, not 1"
                    await asyncio.sleep(0.01)
                assert running.map()["keyframes"] == 0, f"{name} counts as a keyframe"

    asyncio.run(produce())
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_a_refused_keyframe_is_a_line_of_the_log(serve, broker, recording, names):
    """With its id, the field, the value and the bound; and a flood of them is not a flood of lines."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    frame = recording[0]
    crooked = (np.diag([2, 1, 1, 1]) @ frame.pose).tolist()

    async def produce(ids):
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for keyframe_id in ids:
                key = names.prefix + keyframe_id
                stock.write_segment(key, stock.segment_bytes(frame))
                await stock.send(exchange, msgpack.packb(stock.notification(frame, key, keyframe_id=keyframe_id,
                    pose_matrix=crooked)))

    def lines():
        return [line for line in running.log if "set aside" in line]

    begin = time.monotonic()
    asyncio.run(produce(["crooked"]))
    running.wait(lines, "a line")
    wanted_parts = (" warning ", "crooked", "pose is not a rotation times a scale: columns 0 and ", " within 0.001")
    assert all(part in lines()[0] for part in wanted_parts), lines()
    asyncio.run(produce([f"more{number}" for number in range(300)]))
    counted(running, 0, 301)
    assert len(lines()) <= 5 * (time.monotonic() - begin + 1)  # five a second, however long the machine takes


def test_segments_that_were_announced(serve, broker, recording, wanted, names):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    frame = recording[0]
    cases = list(bad_segments(frame))

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for name, content in cases:
                key = names.prefix + name.replace(" ", "_")
                stock.write_segment(key, content)
                less = dict(pose_matrix=None, point_count=None, bbox=None)
                await stock.send(exchange, msgpack.packb(stock.notification(frame, key, keyframe_id=name, **less)))

    asyncio.run(produce())
    counted(running, 0, len(cases))  # all at once: one that might still be being written has a second to become whole
    told = [one["what"] for one in running.get("/v1/aside")]
    assert len(told) == len(cases) and all(any(name in what for what in told) for name, _ in cases), told
    assert running.map()["keyframes"] == 0
    with tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_segments_that_are_found(serve, recording, wanted, names):
    running = serve(f"shm:{names.prefix}")
    cases = list(bad_segments(recording[0]))
    before = running.bad_inputs()
    for number, (name, content) in enumerate(cases):
        stock.write_segment(f"{names.prefix}bad{number}", content)
    os.symlink("/etc/passwd", f"/dev/shm{names.prefix}link")
    os.mkdir(f"/dev/shm{names.prefix}folder")
    try:
        counted(running, before, len(cases))
        assert running.map()["keyframes"] == 0
        with tessera_client.connect(f"shm:{names.prefix}") as publisher:
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        assert running.wait_for_keyframes(len(recording)) == wanted
    finally:
        os.rmdir(f"/dev/shm{names.prefix}folder")


def test_points_that_are_no_points_are_left_out(serve, recording, wanted):
    """NaN, infinite and absurdly far points cost nothing but themselves."""
    running = serve()
    generator = np.random.default_rng(4)
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            count = len(frame.points)
            junk = np.empty((300, 3), np.float32)
            junk[:100] = np.nan, 0, 0
            junk[100:200] = 0, -np.inf, np.inf
            junk[200:] = generator.choice([-1e9, 1e9, 3e38], (100, 3))
            mixed = np.concatenate((frame.points, junk))
            colours = np.concatenate((frame.colours, np.zeros((300, 3), np.uint8)))
            order = generator.permutation(count + 300)
            publisher.publish_keyframe(frame.id, frame.pose, mixed[order], colours[order])
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_keyframes_without_one_good_point_leave_the_map_alone(serve, recording, wanted):
    running = serve()
    frame = recording[0]
    with tessera_client.connect(running.url) as publisher:
        for number, value in enumerate((np.nan, np.inf, 1e9)):
            points = np.full((1000, 3), value, np.float32)
            try:
                publisher.publish_keyframe(f"bad{number}", frame.pose, points, np.zeros((1000, 3), np.uint8))
            except tessera_client.RefusedError:
                pass
        assert running.map()["hash"] == "0" * 32
        for number in range(3):
            assert running.alive()
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    running.wait(lambda: running.map()["hash"] == wanted, "the recording's hash")


def test_identity_for_every_keyframe_is_warned_about(serve, recording):
    """Rays would start at the origin; what is sent still counts."""
    running = serve()
    frame = recording[0]
    with tessera_client.connect(running.url) as publisher:
        for number in range(12):
            publisher.publish_keyframe(number, EYE, frame.points, frame.colours)
    running.wait_for_keyframes(12)
    running.wait(lambda: any(" warning " in line and "identity" in line for line in running.log), "the warning")
    assert sum("identity" in line for line in running.log) == 1


def test_segments_that_shrink_while_they_are_read(serve, broker, recording, wanted, names):
    """Whatever of it was seen: what counts can be taken back exactly, and the service lives."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    frame = recording[0]
    copies = 40
    large_points = np.tile(frame.points, (30, 1))
    large_colours = np.tile(frame.colours, (30, 1))

    class Large:
        id, pose, points, colours = frame.id, frame.pose, large_points, large_colours

    content = stock.segment_bytes(Large)
    handled = []

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for number in range(copies):
                key = f"{names.prefix}shrinking{number}"
                path = stock.write_segment(key, content)
                file = os.open(path, os.O_RDWR)
                await stock.send(exchange, msgpack.packb(stock.notification(Large, key, keyframe_id=f"shrinking{number}")))
                await asyncio.sleep(0.0005 * (number % 8))
                os.ftruncate(file, (0, 100, 5000, len(content) // 2)[number % 4])
                os.close(file)
            for number in range(copies):
                handled.append(f"shrinking{number}")
                await stock.send(
                    exchange, msgpack.packb({"type": "keyframe.retract", "keyframe_id": f"shrinking{number}"}), "keyframe.retract"
                )
            for frame in recording:
                key = names.prefix + frame.id
                stock.write_segment(key, stock.segment_bytes(frame))
                await stock.send(exchange, msgpack.packb(stock.notification(frame, key)))

    asyncio.run(produce())
    running.wait(lambda: running.map()["hash"] == wanted, "the hash of the recording alone")
    assert running.map()["keyframes"] == len(recording)


def test_segments_overwritten_while_they_are_read(serve, broker, recording, wanted, names):
    """A name is used again, in place, with other content: the map holds no mixture."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    contents = [stock.segment_bytes(frame) for frame in recording]
    key = names.prefix + "reused"

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            ids = [f"{turn} {frame.id}" for turn in range(5) for frame in recording]
            for keyframe_id, frame, content in zip(ids, recording * 5, contents * 5):
                stock.write_segment(key, content)
                await stock.send(exchange, msgpack.packb(stock.notification(frame, key, keyframe_id=keyframe_id,
                    pose_matrix=None)))
            for keyframe_id in ids:
                await stock.send(exchange, msgpack.packb({"type": "keyframe.retract", "keyframe_id": keyframe_id}),
                                 "keyframe.retract")
            for frame, content in zip(recording, contents):
                own = names.prefix + frame.id
                stock.write_segment(own, content)
                await stock.send(exchange, msgpack.packb(stock.notification(frame, own)))

    asyncio.run(produce())
    running.wait(lambda: running.map()["hash"] == wanted, "the hash of the recording alone")


def test_garbage_does_not_stay_in_memory(serve, broker, recording, names):
    """Ten thousand bad messages: counted, acknowledged, forgotten."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    bodies = [b"\xdd\xff\xff\xff\xff" * 200, b"\x91" * 2000, np.random.default_rng(3).bytes(2000)]

    async def produce(count):
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for start in range(0, count, 100):
                await asyncio.gather(*(stock.send(exchange, bodies[i % 3]) for i in range(start, start + 100)))

    asyncio.run(produce(2000))
    counted(running, 0, 2000)
    before = running.resident_bytes()
    asyncio.run(produce(8000))
    counted(running, 0, 10_000)
    assert running.resident_bytes() < before + (8 << 20)
