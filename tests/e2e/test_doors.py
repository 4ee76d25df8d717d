"""Every way in gives the same map: the one that `tessera hash` makes of the same frames."""

import asyncio
import json
import os
import random

import msgpack
import numpy as np
import pytest

import tessera_client
from conftest import MAPPING
from support import service, stock


def test_a_stock_client_over_rabbitmq(serve, broker, recording, wanted, names):
    """No code of ours on the producer's side. Headers carry a transposed pose and a constant time, as they do out there."""
    running = serve(broker.url)

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for frame in recording:
                key = names.prefix + frame.id
                stock.write_segment(key, stock.segment_bytes(frame, pose=frame.pose.T))
                await stock.send(exchange, msgpack.packb(stock.notification(frame, key)))

    running.wait(lambda: listening(running), "a queue at the broker")
    asyncio.run(produce())
    assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: not segments(names), "all segments unlinked")


def test_a_stock_client_with_only_what_must_be_there(serve, broker, recording, wanted, names):
    """Optional keys are missing; unknown ones are there."""
    running = serve(broker.url)

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for frame in recording:
                key = names.prefix + frame.id
                stock.write_segment(key, stock.segment_bytes(frame, form=108, channels=4))
                less = dict(timestamp_ns=None, pose_matrix=None, point_count=None, bbox=None, shm_key=None)
                more = {"camera": {"name": "left", "exposure": [1, 2.5, None, True, b"\0"]}, "": 0}
                await stock.send(exchange, msgpack.packb({**stock.notification(frame, key, **less), **more}))

    running.wait(lambda: listening(running), "a queue at the broker")
    asyncio.run(produce())
    assert running.wait_for_keyframes(len(recording)) == wanted


@pytest.mark.parametrize("form", [104, 108, "108 with confidence"])
@pytest.mark.parametrize("way", ["shared memory", "inline"])
def test_a_stock_client_in_every_form_moves_and_takes_back(serve, broker, recording, wanted, names, way, form):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    turned = recording[1].pose.astype(float).copy()
    turned[:3, 3] += 0.25

    def content(frame):
        confidence = np.ones(len(frame.points)) if form == "108 with confidence" else None
        return stock.segment_bytes(frame, form=104 if form == 104 else 108, confidence=confidence)

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)

        async def publish(frame, keyframe_id):
            if way == "inline":
                properties = dict(content_type="application/vnd.tessera.keyframe", message_id=keyframe_id)
                return await stock.send(exchange, content(frame), **properties)
            key = names.prefix + keyframe_id
            stock.write_segment(key, content(frame))
            await stock.send(exchange, msgpack.packb(stock.notification(frame, key, keyframe_id=keyframe_id)))

        async def say(what, keyframe_id, **more):
            note = {"type": what, "keyframe_id": keyframe_id, **more}
            await stock.send(exchange, msgpack.packb(note), what)

        async with connection:
            await publish(recording[5], "extra")
            for frame in recording:
                await publish(frame, frame.id)
            await say("keyframe.revise", recording[1].id, pose_matrix=turned.tolist())
            await say("keyframe.revise", recording[1].id, pose_matrix=recording[1].pose.astype(float).tolist())
            await say("keyframe.revise", recording[2].id, pose_matrix=turned.tolist())
            await say("keyframe.retract", "extra")

    asyncio.run(produce())
    running.wait_for_keyframes(len(recording))
    running.wait(lambda: running.metrics()["tessera_keyframes_revised_total"] == 3, "three revisions")
    assert running.map()["hash"] != wanted, "the last revision moved nothing"
    status, _ = running.fetch(
        f"/v1/keyframes/{recording[2].id}/pose",
        data=json.dumps({"pose": recording[2].pose.astype(float).ravel().tolist()}).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    assert status == 200
    assert running.map()["hash"] == wanted
    running.wait(lambda: not segments(names), "all segments unlinked")


def test_an_older_producer(serve, broker, recording, wanted, names):
    """Its headers say 0 channels for RGB, in both layouts, and its ids are integers."""
    running = serve(broker.url)

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for number, frame in enumerate(recording):
                key = f"{names.prefix}{number}"
                content = bytearray(stock.segment_bytes(frame, form=(104, 108)[number % 2]))
                content[12:16] = bytes(4)
                stock.write_segment(key, content)
                await stock.send(exchange, msgpack.packb(stock.notification(frame, key, keyframe_id=number)))
            await stock.send(exchange, msgpack.packb({"type": "keyframe.retract", "keyframe_id": 0}), "keyframe.retract")
            stock.write_segment(names.prefix + "again", stock.segment_bytes(recording[0]))
            again = stock.notification(recording[0], names.prefix + "again", keyframe_id=0)
            await stock.send(exchange, msgpack.packb(again))

    running.wait(lambda: listening(running), "a queue at the broker")
    asyncio.run(produce())
    running.wait(lambda: not segments(names), "all segments unlinked")
    assert running.wait_for_keyframes(len(recording)) == wanted
    assert {camera["id"] for camera in running.get("/v1/cameras")} == {str(n) for n in range(len(recording))}


def test_our_client_over_rabbitmq(serve, broker, recording, wanted, names):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    with tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: not segments(names), "all segments unlinked")


def test_our_asyncio_client_as_deployments_use_it(serve, broker, recording, wanted, names):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")

    async def produce():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            publisher = tessera_client.StreamingKeyframePublisher(exchange)
            publisher.shm_manager = tessera_client.SharedMemoryManager(names.prefix)
            for frame in recording:
                await publisher.publish_keyframe(frame.id, frame.pose, frame.points.astype(np.float64), frame.colours / 255)

    asyncio.run(produce())
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_whole_keyframes_over_rabbitmq(serve, broker, recording, wanted, names):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    with tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix, embed=True) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
            assert not segments(names)
        assert running.wait_for_keyframes(len(recording)) == wanted


def test_shared_memory_without_a_broker(serve, recording, wanted, names):
    running = serve(f"shm:{names.prefix}")
    with tessera_client.connect(f"shm:{names.prefix}") as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: not segments(names), "all segments unlinked")


@pytest.mark.parametrize("door", ["shm", "http", "amqp", "embed"])
def test_a_second_run_is_another_scan_unless_it_says_that_it_is_not(serve, broker, recording, names, door):
    """Numbered from 0 again, elsewhere: what came first stays what it was. Sent again under the session's name, it counts
    once."""
    source = {"shm": f"shm:{names.prefix}", "http": None}.get(door, broker.url)
    running = serve(*([source] if source else []))
    if source == broker.url:
        running.wait(lambda: listening(running), "a queue at the broker")

    def run(shift, **options):
        if source == broker.url:
            options.update(exchange=names.exchange, prefix=names.prefix, queue=names.queue, embed=door == "embed")
        with tessera_client.connect(source or running.url, **options) as publisher:
            for number, frame in enumerate(recording[:3]):
                publisher.publish_keyframe(number, frame.pose, frame.points + shift, frame.colours)
            return publisher.session

    session = run(0)
    first = running.wait_for_keyframes(3)
    run(0.3)
    both = running.wait_for_keyframes(6)
    assert both != first
    run(0, session=session)
    running.wait(lambda: not segments(names), "all segments taken")
    assert running.wait_for_keyframes(6) == both
    assert {camera["id"] for camera in running.get("/v1/cameras")} > {f"{session}/{number}" for number in range(3)}


def test_segments_that_were_there_before_the_service(serve, recording, wanted, names):
    with tessera_client.connect(f"shm:{names.prefix}") as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours, np.ones(len(frame.points)))
    running = serve(f"shm:{names.prefix}")
    assert running.wait_for_keyframes(len(recording)) == wanted


@pytest.mark.parametrize("setting", ["shm", "shm and amqp"])
def test_watched_segments_that_are_left_in_place(serve, broker, recording, wanted, names, setting):
    """As asked for; or because a broker's notifications will tell of the same segments."""
    both = setting == "shm and amqp"
    running = serve(*([broker.url] if both else []), f"shm:{names.prefix}", options=() if both else ("--unlink=false",))
    with tessera_client.connect(f"shm:{names.prefix}") as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted
    assert len(segments(names)) == len(recording)


def test_segments_that_grow_slowly(serve, recording, wanted, names):
    """Written in pieces under their final name, as a stock producer may: none counts before it is whole."""
    running = serve(f"shm:{names.prefix}")
    frames = recording
    files = [open(f"/dev/shm{names.prefix}{frame.id}", "wb", buffering=0) for frame in frames]
    contents = [stock.segment_bytes(frame) for frame in frames]
    for file, content in zip(files, contents):
        os.ftruncate(file.fileno(), len(content))
    steps = 5
    for step in range(steps):
        for file, content in zip(files, contents):
            part = slice(len(content) * step // steps, len(content) * (step + 1) // steps)
            os.pwrite(file.fileno(), content[part], part.start)
    for file in files:
        file.close()
    assert running.wait_for_keyframes(len(frames)) == wanted


def test_http(serve, recording, wanted):
    running = serve()
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_http_with_a_token(serve, recording, wanted):
    running = serve(env={"TESSERA_TOKEN": "open-sesame"})
    frame = recording[0]
    for token in (None, "wrong"):
        with tessera_client.connect(running.url, token=token) as publisher, pytest.raises(tessera_client.RefusedError) as caught:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        assert caught.value.status == 401
    with tessera_client.connect(running.url, token="open-sesame") as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    status, body = running.fetch("/v1/map", headers={"Authorization": "Bearer open-sesame"})
    assert status == 200
    assert running.fetch("/v1/map")[0] == 401
    running.map = lambda: json.loads(running.fetch("/v1/map", headers={"Authorization": "Bearer open-sesame"})[1])
    assert running.wait_for_keyframes(len(recording)) == wanted


@pytest.mark.parametrize("way", ["address", "environment"])
def test_tessera_publish_with_a_token(serve, tessera, folder, recording, wanted, way):
    token = "open/sesame"
    running = serve(env={"TESSERA_TOKEN": token})
    status, out, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", running.url, "--rate", "0")
    assert status == 1 and "set TESSERA_TOKEN" in err and err.count("keyframe frame-") == 1, "it ends with the first"
    to = f"{running.url}/?token=open%2Fsesame" if way == "address" else running.url
    env = {"TESSERA_TOKEN": token} if way == "environment" else None
    status, out, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", to, "--rate", "0", env=env)
    assert status == 0, err
    assert token not in out + err and "open%2Fsesame" not in out + err
    running.map = lambda: json.loads(running.fetch("/v1/map", headers={"Authorization": f"Bearer {token}"})[1])
    assert running.wait_for_keyframes(len(recording)) == wanted


@pytest.mark.parametrize("door", ["http", "amqp"])
def test_tessera_publish(serve, tessera, broker, folder, recording, wanted, names, door):
    running = serve(broker.url) if door == "amqp" else serve()
    if door == "amqp":
        running.wait(lambda: listening(running), "a queue at the broker")
    to = broker.url if door == "amqp" else running.url
    options = (*names.options, "--rate", "0", "--shuffle", "7")
    status, out, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", to, *options)
    assert status == 0, err
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_serve_a_folder(serve, folder, recording, wanted):
    running = serve(f"rgbd:{folder}", options=("--rate", "0"))
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_all_doors_at_once_in_any_order_and_twice(serve, broker, recording, wanted, names):
    """Any order and once: every keyframe comes through every door, shuffled, under its own id."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    jobs = [(frame, door) for frame in recording for door in ("http", "amqp", "embed")]
    random.Random(3).shuffle(jobs)
    amqp = dict(exchange=names.exchange, prefix=names.prefix, session="one for all")
    with tessera_client.connect(running.url, session="one for all") as http, tessera_client.connect(broker.url, **amqp) as shm:
        with tessera_client.connect(broker.url, embed=True, **amqp) as embed:
            doors = {"http": http, "amqp": shm, "embed": embed}
            for frame, door in jobs:
                doors[door].publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    running.wait(lambda: not segments(names), "all segments unlinked")
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_retract_and_revise(serve, broker, recording, wanted, names):
    """Undo: what is retracted was never there, what is revised came with its new pose."""
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    amqp = dict(exchange=names.exchange, prefix=names.prefix)
    crooked = recording[2].pose.copy()
    crooked[:3, 3] += 0.5
    with tessera_client.connect(broker.url, **amqp) as publisher:
        extra = recording[0]
        publisher.publish_keyframe("extra", extra.pose, extra.points + 0.3, extra.colours)
        for frame in recording:
            pose = crooked if frame is recording[2] else frame.pose
            # Rays do not depend on the pose: under the crooked one the points lie where it puts them.
            shift = pose[:3, 3] - frame.pose[:3, 3]
            publisher.publish_keyframe(frame.id, pose, frame.points + shift, frame.colours)
        assert running.wait_for_keyframes(len(recording) + 1) != wanted
        publisher.retract_keyframe("extra")
        running.wait_for_keyframes(len(recording))
        before = running.map()["hash"]
        publisher.revise_keyframe(recording[2].id, recording[2].pose)
        running.wait(lambda: running.map()["hash"] != before, "another hash after the revision")
        for frame in recording:
            publisher.retract_keyframe(frame.id)
        running.wait_for_keyframes(0)
        empty = running.map()
        assert empty["hash"] == "0" * 32
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        assert running.wait_for_keyframes(len(recording)) == wanted


def test_revising_to_the_pose_it_has_changes_nothing(serve, broker, recording, wanted, names):
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    with tessera_client.connect(broker.url, exchange=names.exchange, prefix=names.prefix) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        running.wait_for_keyframes(len(recording))
        turned = recording[1].pose.copy()
        turned[:3, 3] += 0.25
        publisher.revise_keyframe(recording[1].id, turned)
        running.wait(lambda: running.map()["hash"] != wanted, "another hash after the revision")
        publisher.revise_keyframe(recording[1].id, recording[1].pose)
        running.wait(lambda: running.map()["hash"] == wanted, "the first hash after revising back")


def test_the_real_room(serve, tessera, broker, names):
    """Ten real frames through RabbitMQ, against the offline hash with other settings of the work."""
    shared = os.environ.get("TESSERA_SHARED") or os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")
    room = os.path.join(shared, "data", "rgbd-room")
    if not os.path.isdir(room):
        pytest.skip(f"{room} is not there")
    source = f"rgbd:{room}"
    offline, counts = service.hash_of(
        tessera, source, "--limit", 10, "--shuffle", 11, "--threads", 1, "--region-size", 32, *MAPPING[:4]
    )
    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    options = (*names.options, "--rate", 0, "--limit", 10)
    status, out, err = service.run(tessera, "publish", source, "--to", broker.url, *options)
    assert status == 0, err
    assert running.wait_for_keyframes(10) == offline


def listening(running):
    """Whether the service has its queue: what is published before has nowhere to go."""
    return times_listening(running) > 0


def times_listening(running):
    return sum("listening on" in line and "queue" in line for line in running.log)


def segments(names):
    return [name for name in os.listdir("/dev/shm") if name.startswith(names.prefix[1:])]
