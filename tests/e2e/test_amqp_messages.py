"""What becomes of a message over RabbitMQ: it stays until its keyframe is safe or bad, in its order, and holds up no other."""

import asyncio
import os
import resource
import time

import msgpack
import numpy as np
import pytest

from support import service, stock
from test_doors import listening, segments

WHOLE = "application/vnd.tessera.keyframe"


@pytest.fixture
def say(broker, names):
    """Publishes messages: (routing key, body, properties) each; and does something when the broker has them."""

    def all_of(*messages, then=lambda: None):
        async def produce():
            connection, exchange = await stock.open_exchange(broker.url, names.exchange)
            async with connection:
                for key, body, properties in messages:
                    await stock.send(exchange, body, key, **properties)
                then()

        asyncio.run(produce())

    return all_of


def new(frame, names, **changes):
    key = names.prefix + changes.get("keyframe_id", frame.id)
    return "keyframe.new", msgpack.packb(stock.notification(frame, key, **changes)), {}


def other(what, keyframe_id, **more):
    return what, msgpack.packb({"type": what, "keyframe_id": keyframe_id, **more}), {}


def write(frame, names, keyframe_id=None):
    return stock.write_segment(names.prefix + (keyframe_id or frame.id), stock.segment_bytes(frame))


def logged(running, text):
    return any(text in line for line in running.log)


def start(serve, broker, **options):
    running = serve(broker.url, **options)
    running.wait(lambda: listening(running), "a queue at the broker")
    return running


def test_segments_that_come_after_their_announcement(serve, broker, recording, wanted, names, say):
    running = start(serve, broker)
    say(*(new(frame, names) for frame in recording), then=lambda: [write(frame, names) for frame in recording])
    assert running.wait_for_keyframes(len(recording)) == wanted
    assert running.bad_inputs() == 0
    running.wait(lambda: not segments(names), "all segments unlinked")


def test_many_announcements_before_their_segments(serve, broker, recording, names, say):
    """As from a producer that announces all that it has, and then writes: none is given up within the second."""
    running = start(serve, broker)
    frame, early = recording[0], [f"early{number}" for number in range(20)]

    def write_later():
        time.sleep(0.5)  # all of them wait by then, more than half of the prefetch; the first gives up 2 s after it came
        for keyframe_id in early:
            write(frame, names, keyframe_id)

    say(*(new(frame, names, keyframe_id=keyframe_id) for keyframe_id in early), then=write_later)
    running.wait_for_keyframes(len(early))
    assert running.bad_inputs() == 0
    running.wait(lambda: not segments(names), "all segments unlinked")


def test_a_segment_that_is_written_slowly_is_waited_for_and_is_no_shortage(serve, broker, recording, names, say):
    """For longer than one that is missing."""
    running = start(serve, broker)
    frame = recording[0]
    content = stock.segment_bytes(frame)
    pieces = np.array_split(np.frombuffer(content[len(content) // 2 :], np.uint8), 24)
    path = stock.write_segment(names.prefix + frame.id, content[: len(content) // 2])
    say(new(frame, names))
    with open(path, "ab", buffering=0) as file:
        for piece in pieces:
            time.sleep(0.3)
            file.write(piece.tobytes())
            status, text = running.fetch("/readyz")
            assert status == 200, text
    running.wait_for_keyframes(1)
    assert running.bad_inputs() == 0
    assert running.metrics()['tessera_keyframes_not_now_total{reason="input"}'] == 0


def test_segments_that_never_come_hold_up_nobody(serve, broker, recording, wanted, names, say):
    """Each announcement of one is set aside and counted, and a later one with its segment is as good as any."""
    running = start(serve, broker)
    frame, missing = recording[0], [f"missing{number}" for number in range(40)]
    say(*(new(frame, names, keyframe_id=keyframe_id) for keyframe_id in missing))
    for one in recording:
        write(one, names)
    say(*(new(one, names) for one in recording))
    assert running.wait_for_keyframes(len(recording)) == wanted
    running.wait(lambda: running.bad_inputs() == len(missing), "each counted")
    assert "does not exist" in running.get("/v1/aside")[0]["reason"]
    say(new(frame, names, keyframe_id="missing0"))
    running.wait(lambda: running.bad_inputs() == len(missing) + 1, "the second announcement counted")
    write(frame, names, "missing0")
    say(new(frame, names, keyframe_id="missing0"))
    running.wait_for_keyframes(len(recording) + 1)


def test_a_missing_segment_of_what_was_taken_out_is_no_repetition(serve, broker, recording, names, say):
    running = start(serve, broker)
    frame = recording[0]
    note = new(frame, names)
    write(frame, names)
    say(note)
    running.wait_for_keyframes(1)
    running.wait(lambda: not segments(names), "the segment unlinked")
    say(note)  # the same message: delivered twice
    say(other("keyframe.retract", frame.id))
    running.wait_for_keyframes(0)
    assert running.bad_inputs() == 0
    say(note)
    running.wait(lambda: running.bad_inputs() == 1, "the announcement counted")
    write(frame, names)
    say(note)
    running.wait_for_keyframes(1)
    say(new(frame, names))  # another message of an id that is live, and nothing where it points
    running.wait(lambda: running.bad_inputs() == 2, "the announcement counted")


def test_a_service_without_descriptors_takes_nothing_and_loses_nothing(serve, broker, recording, wanted, names, say):
    running = start(serve, broker)
    for frame in recording:
        write(frame, names)
    running.map()
    soft, hard = resource.prlimit(running.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (3, hard))
    say(*(new(frame, names) for frame in recording))
    running.wait(lambda: logged(running, "Too many open files"), "the shortage said")
    assert len(segments(names)) == len(recording)
    resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert running.wait_for_keyframes(len(recording)) == wanted
    assert running.bad_inputs() == 0
    running.wait(lambda: running.fetch("/readyz")[0] == 200, "ready again")


def test_what_waits_keeps_its_order(serve, broker, recording, names, say):
    """A revision does not overtake the keyframe that is tried again, and a retraction not its revision."""
    running = start(serve, broker)
    first, second = recording[:2]
    turned = first.pose.astype(float).copy()
    turned[:3, 3] += 0.25
    say(
        new(first, names),
        other("keyframe.revise", first.id, pose_matrix=turned.tolist()),
        new(second, names),
        other("keyframe.retract", second.id),
        then=lambda: [write(frame, names) for frame in (first, second)],
    )
    running.wait(lambda: running.metrics()["tessera_keyframes_revised_total"] == 1, "the revision")
    running.wait(lambda: running.metrics()["tessera_keyframes_retracted_total"] == 1, "the retraction")
    (camera,) = running.get("/v1/cameras")
    assert camera["id"] == first.id
    assert np.allclose(np.reshape(camera["pose"], (4, 4)), turned, atol=1e-6)


def test_segments_that_may_not_be_read_are_taken_once_they_may(serve, tessera, broker, recording, wanted, names, say, tmp_path):
    """Others go on meanwhile, and nothing is acknowledged."""
    user = os.getuid()
    if user == 0:  # whom no mode keeps from reading: so the service is somebody else
        user = 65534
        wrapper = tmp_path / "as-nobody"
        wrapper.write_text(f'#!/bin/sh\nexec setpriv --reuid {user} --regid {user} --clear-groups -- "{tessera}" "$@"\n')
        wrapper.chmod(0o755)
        if service.run(wrapper, "--version")[0] != 0:
            pytest.skip("the program cannot be run as another user here")
        running = service.Service(
            str(wrapper), broker.url, options=("--voxel-size", "0.05", "--truncation", "0.15", "--threads", "2", *names.options)
        )
    else:
        running = serve(broker.url)
    try:
        running.wait(lambda: listening(running), "a queue at the broker")
        half = len(recording) // 2
        paths = [write(frame, names) for frame in recording]
        for path in paths:
            os.chown(path, user, -1)
        for path in paths[:half]:
            os.chmod(path, 0)
        say(*(new(frame, names) for frame in recording))
        running.wait_for_keyframes(len(recording) - half)
        running.wait(lambda: logged(running, "stays with the broker"), "the advice")
        running.wait(lambda: running.bad_inputs() == half, "each listed")
        assert all("cannot be opened" in entry["reason"] for entry in running.get("/v1/aside"))
        for path in paths[:half]:
            os.chmod(path, 0o600)
        assert running.wait_for_keyframes(len(recording)) == wanted
        running.wait(lambda: not segments(names), "all segments unlinked")
        assert running.bad_inputs() == half  # once, however often they were tried
    finally:
        running.stop()


def test_content_types_know_no_case(serve, broker, recording, wanted, names, say):
    running = start(serve, broker)
    for number, frame in enumerate(recording):
        if number % 2:
            write(frame, names)
            key, body, properties = new(frame, names)
            say((key, body, dict(content_type="Application/MsgPack; charset=binary")))
        else:
            body = stock.segment_bytes(frame, form=108)
            say(("keyframe.new", body, dict(content_type="APPLICATION/vnd.Tessera.Keyframe ;v=1", message_id=frame.id)))
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_sessions_and_groups(serve, broker, recording, names, say):
    """A SLAM that starts again names another session, and its numbers begin at 0 again."""
    running = start(serve, broker)
    frame, count = recording[0], 0
    for session in ("", "monday", "tuesday"):
        keyframe_id = f"inside{session}"
        write(frame, names)
        say(new(frame, names, session=session or None, group="floor 2"))
        headers = {"session": session, "group": "floor 2"} if session else {}
        say(("keyframe.new", stock.segment_bytes(frame, form=108),
             dict(content_type=WHOLE, message_id="inside", headers=headers)))
        count += 2
        running.wait_for_keyframes(count)
        assert keyframe_id
    say(other("keyframe.revise", "inside", session="monday", pose_matrix=frame.pose.astype(float).tolist()))
    running.wait(lambda: running.metrics()["tessera_keyframes_revised_total"] == 1, "the revision")
    say(other("keyframe.retract", frame.id, session="tuesday"))
    running.wait_for_keyframes(count - 1)
    assert running.bad_inputs() == 0
    bad = {"session": "x" * 65}
    say(("keyframe.new", stock.segment_bytes(frame, form=108), dict(content_type=WHOLE, message_id="a", headers=bad)))
    say(("keyframe.new", stock.segment_bytes(frame, form=108), dict(content_type=WHOLE, message_id="a", headers={"session": 7})))
    say(new(frame, names, session="a\nb"))
    running.wait(lambda: running.bad_inputs() == 3, "bad sessions counted")
    assert all("session" in one["reason"] for one in running.get("/v1/aside"))


def test_publish_names_a_session_if_told_to(serve, tessera, broker, folder, recording, wanted, names):
    running = start(serve, broker)

    def publish(*more):
        options = (*names.options, "--rate", "0", *more)
        status, out, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", broker.url, *options)
        assert status == 0, err

    publish()
    assert running.wait_for_keyframes(len(recording)) == wanted
    publish()
    publish("--session", "again", "--embed")
    running.wait_for_keyframes(2 * len(recording))
    assert running.map()["hash"] != wanted


def test_a_map_that_is_full_leaves_messages_with_the_broker(serve, broker, recording, wanted, names, say):
    """Nothing is acknowledged that is not safe: a service that has room takes them."""
    small = start(serve, broker, options=("--memory-cap", "2MiB"))
    for frame in recording:
        write(frame, names)
    say(*(new(frame, names) for frame in recording))
    small.wait(lambda: logged(small, "stays with the broker"), "no room for them")
    assert small.end() == 0
    assert segments(names)
    large = serve(broker.url)
    taken = len(recording) - len(segments(names))
    large.wait_for_keyframes(len(recording) - taken)
    large.wait(lambda: not segments(names), "all segments unlinked")
    if taken == 0:
        assert large.map()["hash"] == wanted
