"""Bad, not now, conflict: what a producer over HTTP is told, and that starting anew is exact."""

import json
import resource

import numpy as np

from support import stock


class Wall:
    """A keyframe of so many rays: points 6 cm apart, before a camera of its own."""

    def __init__(self, number, side=100):
        self.id = str(number)
        at = 10.0 * number
        u, v = np.meshgrid(np.arange(side), np.arange(side))
        self.points = np.stack((at + (u - side / 2) * 0.06, (v - side / 2) * 0.06, np.full(u.shape, 4.0)), axis=-1).reshape(-1, 3)
        self.colours = np.full((side * side, 3), 40 + number, np.uint8)
        self.pose = np.eye(4, dtype=np.float32)
        self.pose[0, 3] = at


def post(running, frame, keyframe_id=None, **labels):
    headers = {"Content-Type": "application/vnd.tessera.keyframe", "X-Keyframe-Id": keyframe_id or frame.id}
    headers.update({"Tessera-" + name.title(): value for name, value in labels.items()})
    status, body = running.fetch("/v1/keyframes", data=stock.segment_bytes(frame, form=108), headers=headers, method="POST")
    return status, json.loads(body)


def clear(running, query=""):
    status, body = running.fetch("/v1/keyframes" + query, method="DELETE")
    return status, json.loads(body)


def test_a_full_disk_leaves_keyframes_with_their_sender_until_there_is_space(serve):
    running = serve(options=("--store-memory", "1MiB"))
    walls = [Wall(number) for number in range(14)]
    for wall in walls[:8]:
        assert post(running, wall)[0] == 200
    soft, hard = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (0, hard))  # as if the disk were full
    try:
        for wall in walls[8:]:
            status, answer = post(running, wall)
            assert status == 503 and answer["error"] == "not_now" and "could not be stored" in answer["reason"]
        status, text = running.fetch("/readyz")
        assert status == 503 and b"could not be stored" in text
        assert running.fetch("/healthz")[0] == 200
        assert running.map()["keyframes"] == 8
        assert post(running, walls[0])[1]["outcome"] == "duplicate"
    finally:
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (soft, hard))
    numbers = running.metrics()
    assert numbers['tessera_keyframes_not_now_total{reason="store"}'] == 6
    assert numbers['tessera_keyframes_total{outcome="refused"}'] == 0
    assert running.get("/v1/aside") == []
    for wall in walls[8:]:
        assert post(running, wall)[1]["outcome"] == "accepted"
    assert running.fetch("/readyz") == (200, b"ready\n")
    undisturbed = serve()
    for wall in walls:
        assert post(undisturbed, wall)[0] == 200
    assert running.map()["hash"] == undisturbed.map()["hash"]


def test_a_full_map_leaves_keyframes_with_their_sender_until_there_is_room(serve):
    running = serve(options=("--memory-cap", "64MiB"))
    walls = [Wall(number) for number in range(40)]
    taken = []
    for wall in walls:
        status, answer = post(running, wall)
        if status == 200:
            taken.append(wall)
        else:
            assert status == 503 and answer["error"] == "not_now" and "the map is full" in answer["reason"]
    assert 0 < len(taken) < len(walls)
    assert running.map()["keyframes"] == len(taken)
    assert clear(running) == (200, {"outcome": "accepted", "keyframes": len(taken)})
    assert int(running.map()["hash"], 16) == 0
    assert post(running, walls[-1])[1]["outcome"] == "accepted"


def test_another_scan_with_the_same_ids_is_told_and_can_start_anew(serve):
    running = serve()
    first, second = [Wall(number) for number in range(4)], [Wall(number + 7) for number in range(4)]
    for wall in first:
        assert post(running, wall)[1]["outcome"] == "accepted"
    before = running.map()["hash"]
    for old, new in zip(first, second):
        status, answer = post(running, new, old.id)
        assert status == 409 and answer["error"] == "conflict" and "another session" in answer["reason"]
        assert post(running, old)[1]["outcome"] == "duplicate"
    assert running.map()["hash"] == before
    assert running.metrics()["tessera_keyframe_conflicts_total"] == 4
    assert [entry["what"] for entry in running.get("/v1/aside")] == ["3", "2", "1", "0"]
    # In a session of its own it is another scan beside the first, and goes as it came.
    for old, new in zip(first, second):
        assert post(running, new, old.id, session="second run", group="upstairs")[1]["outcome"] == "accepted"
    assert running.map()["keyframes"] == 8
    assert {camera["id"] for camera in running.get("/v1/cameras")} == {
        shown for number in range(4) for shown in (str(number), f"second run/{number}")}
    assert clear(running, "?session=second%20run&group=downstairs") == (200, {"outcome": "accepted", "keyframes": 0})
    assert clear(running, "?session=second%20run") == (200, {"outcome": "accepted", "keyframes": 4})
    assert running.map()["hash"] == before
    # Or the first goes, and the second has its ids.
    assert clear(running, "?sesion=") [0] == 400
    assert clear(running, "?session=&source=http") == (200, {"outcome": "accepted", "keyframes": 4})
    for old, new in zip(first, second):
        assert post(running, new, old.id)[1]["outcome"] == "accepted"
    alone = serve()
    for new in second:
        post(alone, new)
    assert running.map()["hash"] == alone.map()["hash"]
    assert clear(running, "?group=upstairs")[1]["keyframes"] == 0


def test_a_keyframe_of_a_session_is_moved_and_taken_out_by_both_names(serve):
    running = serve()
    wall = Wall(1)
    assert post(running, wall, session="a/b")[0] == 200
    body = json.dumps({"pose": np.eye(4).ravel().tolist()}).encode()

    def move(query):
        return running.fetch("/v1/keyframes/1/pose" + query, data=body, headers={"Content-Type": "application/json"},
                             method="PUT")[0]

    assert move("") == 404
    assert move("?session=a%2Fb") == 200
    assert post(running, wall, session="a/b")[1]["outcome"] == "duplicate"  # as it came
    assert running.fetch("/v1/keyframes/1", method="DELETE")[0] == 404
    assert running.fetch("/v1/keyframes/1?session=a%2Fb", method="DELETE")[0] == 200
    assert running.map()["keyframes"] == 0
