"""Many keyframes are moved at once, over HTTP and RabbitMQ: exact, counted, seen at once, and remembered."""

import json
import subprocess

import msgpack
import numpy as np
import pytest

import tessera_client
from test_amqp_messages import new, other, say, start, write  # noqa: F401 (say is a fixture)
from support.service import PATIENCE_S, clean_environment
from test_journal import loaded

TURN = np.array([[0, -1, 0, 0.5], [1, 0, 0, -0.25], [0, 0, 1, 0.125], [0, 0, 0, 1]], np.float32)
SHIFT = np.array([[1, 0, 0, 0.5], [0, 1, 0, -0.25], [0, 0, 1, 0.125], [0, 0, 0, 1]], np.float32)


def scaled(transform, by):
    """The same similarity with so many times its scale."""
    return (transform @ np.diag([by, by, by, 1])).astype(np.float32)


BAD_POSES = [
    (np.diag([0.005, 0.005, 0.005, 1]), "'s scale is 0.005, not 0.01 to 100"),
    (np.diag([200, 200, 200, 1]), "'s scale is 200, not 0.01 to 100"),
    (np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), " is not a rotation times a scale"),
    (np.diag([0.5, 0.5, -0.5, 1]), " is a reflection: its determinant is -0.125, not above 0"),
]


def publish(client, frames):
    for frame in frames:
        client.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)


def moved_one_by_one(serve, recording, transform):
    """The map's hash after each keyframe was moved alone."""
    running = serve()
    with tessera_client.connect(running.url, session="one") as client:
        publish(client, recording)
        for frame in recording:
            client.revise_keyframe(frame.id, transform @ frame.pose)
        return running.map()["hash"]


@pytest.mark.parametrize("turn", [TURN, scaled(TURN, 1.4)], ids=["rigid", "scaled"])
def test_many_keyframes_move_at_once_and_back(serve, recording, wanted, turn):
    expected = moved_one_by_one(serve, recording, turn)
    running = serve()
    with tessera_client.connect(running.url, session="one") as client:
        publish(client, recording)
        poses = {frame.id: turn @ frame.pose for frame in recording}
        answer = client.revise_keyframes({**poses, "never": TURN}, revision=1)
        assert answer == {
            "outcome": "accepted", "moved": len(poses), "duplicate": 0, "unknown": 1, "refused": 0, "not_now": 0
        }
        assert running.map()["hash"] == expected
        late = client.revise_keyframes({frame.id: frame.pose for frame in recording}, revision=1)
        assert (late["moved"], late["duplicate"]) == (0, len(poses))
        assert running.map()["hash"] == expected
        client.revise_keyframes({frame.id: frame.pose for frame in recording}, revision=2)
        assert running.map()["hash"] == wanted
        for bad, reason in BAD_POSES:
            with pytest.raises(tessera_client.RefusedError, match=r"revisions\[1\]: pose" + reason):
                client.revise_keyframes([(recording[0].id, TURN), (recording[1].id, bad)])
            with pytest.raises(tessera_client.RefusedError, match="pose" + reason):
                client.revise_keyframe(recording[1].id, bad)
            with pytest.raises(tessera_client.RefusedError, match=r"revisions\[0\]: transform" + reason):
                client.move_group("floor", bad)
            with pytest.raises(tessera_client.RefusedError, match="pose" + reason):
                client.publish_keyframe("bad", bad, recording[0].points, recording[0].colours)
        assert running.map()["hash"] == wanted
    metrics = running.metrics()
    assert metrics["tessera_corrections_total"] == 3
    assert metrics["tessera_keyframes_revised_total"] == 2 * len(poses)


@pytest.mark.parametrize("shift", [SHIFT, scaled(SHIFT, 2)], ids=["rigid", "scaled"])
def test_a_group_moves_once_also_if_the_service_crashed(serve, recording, tmp_path, shift):
    expected = moved_one_by_one(serve, recording, shift)
    options = ("--journal", tmp_path / "journal")
    running = serve(options=options)
    with tessera_client.connect(running.url, session="one", group="floor") as client:
        publish(client, recording)
        assert client.move_group("floor", shift, revision=7)["moved"] == len(recording)
        assert running.map()["hash"] == expected
    running.crash()
    running = serve(options=options)
    assert loaded(running)["hash"] == expected
    with tessera_client.connect(running.url, session="one", group="floor") as client:
        assert client.move_group("floor", shift, revision=7)["duplicate"] == len(recording)
        assert client.move_group("attic", SHIFT)["moved"] == 0
    body = json.dumps({"group": "floor", "transform": SHIFT.ravel().tolist()}).encode()
    status, answer = running.fetch("/v1/keyframes:revise", data=body, headers={"Content-Type": "application/json"})
    assert status == 422 and "revision is missing" in json.loads(answer)["reason"]
    assert running.map()["hash"] == expected


class Exact:
    """A keyframe whose numbers are so short that floats hold whatever a short similarity makes of them."""

    def __init__(self, frame):
        self.id, self.colours = frame.id, frame.colours
        self.pose = np.eye(4, dtype=np.float32)
        self.pose[:3, 3] = np.rint(frame.pose[:3, 3] * 64) / 64
        self.points = (np.rint(frame.points * 1024) / 1024).astype(np.float32)

    def moved(self, transform):
        out = Exact(self)
        out.pose = transform @ self.pose
        out.points = (self.points.astype(float) @ transform[:3, :3].T + transform[:3, 3]).astype(np.float32)
        return out


@pytest.mark.parametrize("scale", [0.5, 2])
def test_what_a_similarity_moved_is_as_if_it_had_come_right(serve, recording, scale):
    frames = [Exact(frame) for frame in recording]
    turn = scaled(TURN, scale)
    right = serve()
    with tessera_client.connect(right.url, session="one") as client:
        publish(client, [frame.moved(turn) for frame in frames])
        expected = right.map()["hash"]
    running = serve()
    with tessera_client.connect(running.url, session="one", group="floor") as client:
        publish(client, frames)
        before = running.map()["hash"]
        many = {"session": "one", "revisions": [{"id": one.id, "pose": (turn @ one.pose).tolist()} for one in frames[1:]]}
        status, answer = running.fetch(
            "/v1/keyframes:revise", data=msgpack.packb(many), headers={"Content-Type": "application/msgpack"}
        )
        assert status == 200 and json.loads(answer)["moved"] == len(frames) - 1
        client.revise_keyframe(frames[0].id, turn @ frames[0].pose)
        assert running.map()["hash"] == expected != before
        seen = {camera["id"]: np.reshape(camera["pose"], (4, 4)) for camera in running.get("/v1/cameras")}
        assert all(np.array_equal(seen["one/" + frame.id], turn @ frame.pose) for frame in frames)
        assert client.move_group("floor", np.linalg.inv(turn))["moved"] == len(frames)
        assert running.map()["hash"] == before


def test_what_a_broker_says_of_many_is_published_to_a_service(tessera, serve, broker, recording, names):
    expected = moved_one_by_one(serve, recording, TURN)
    running = serve()
    passing_on = subprocess.Popen([tessera, "publish", broker.url, *names.options, "--to", running.url, "--session", "one"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_environment())
    try:
        with tessera_client.connect(broker.url, exchange=names.exchange, queue=names.queue, embed=True, session="one") as client:
            publish(client, recording)
            client.revise_keyframes({frame.id: TURN @ frame.pose for frame in recording}, revision=1)
        running.wait(lambda: running.metrics()["tessera_corrections_total"] == 1, "the correction")
        assert running.map()["hash"] == expected and running.map()["keyframes"] == len(recording)
    finally:
        passing_on.terminate()
        _, err = passing_on.communicate(timeout=PATIENCE_S)
    assert passing_on.returncode == 0, err.decode()


def test_over_rabbitmq_a_correction_keeps_its_place(serve, broker, recording, names, say):  # noqa: F811
    """It goes after the keyframes that came before it, though their segments are late, and before what comes after it."""
    running = start(serve, broker)
    first, second, third = recording[:3]
    many = {"type": "keyframe.revise", "revisions": [
        {"id": frame.id, "pose": (scaled(SHIFT, 1.25) @ frame.pose).astype(float).ravel().tolist()} for frame in (first, second)
    ]}
    say(
        new(first, names, group="floor"),
        new(second, names),
        ("keyframe.revise", msgpack.packb(many), {}),
        ("keyframe.revise", msgpack.packb({"group": "floor", "transform": SHIFT.astype(float).ravel().tolist(), "revision": 1}),
         {}),
        ("keyframe.revise", msgpack.packb({**many, "revisions": [{"id": "x", "pose": [1.0] * 15}]}), {}),
        new(third, names, group="floor"),
        other("keyframe.retract", second.id),
        then=lambda: [write(frame, names) for frame in (first, second, third)],
    )
    running.wait(lambda: running.metrics()["tessera_keyframes_retracted_total"] == 1, "the retraction")
    running.wait_for_keyframes(2)
    poses = {camera["id"]: np.reshape(camera["pose"], (4, 4)) for camera in running.get("/v1/cameras")}
    assert np.allclose(poses[first.id], SHIFT @ scaled(SHIFT, 1.25) @ first.pose, atol=1e-5)
    assert np.allclose(poses[third.id], third.pose, atol=1e-6)
    assert running.bad_inputs() == 1
    (bad,) = running.get("/v1/aside")
    assert "revisions[0].pose has 15 elements" in bad["reason"]
