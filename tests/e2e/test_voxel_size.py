"""`--voxel-size auto`: the first keyframe that the map would take decides, whichever door it comes by; nothing else does, and
nothing waits for it."""

import asyncio
import json
import resource
import signal
import subprocess
import threading

import numpy as np
import pytest

from support import scene, service, stock

WAITING = "waiting for the first keyframe"
KEYFRAME = {"Content-Type": "application/vnd.tessera.keyframe"}


class Changed:
    """A frame of the recording with something else about it."""

    def __init__(self, frame, id, **changes):
        self.id, self.number = id, frame.number
        self.pose, self.points, self.colours = frame.pose, frame.points, frame.colours
        self.__dict__.update(changes)


def bad_ones(frame):
    """What a map refuses, each of which would set another voxel size if it were asked."""
    camera = frame.pose[:3, 3]
    mirrored = frame.pose.copy()
    mirrored[:3, 0] *= -1
    return [
        Changed(frame, "nan", points=np.full_like(frame.points, np.nan)),
        Changed(frame, "at-camera", points=np.tile(camera, (len(frame.points), 1)).astype(np.float32)),
        Changed(frame, "mirrored", pose=mirrored, points=camera + (frame.points - camera) * np.float32(10_000)),
    ]


def auto(tessera, *sources, options=()):
    return service.Service(tessera, *sources, options=("--voxel-size", "auto", "--backend", "cpu", "--threads", "2", *options))


def post(running, frame):
    return running.fetch("/v1/keyframes", data=stock.segment_bytes(frame, form=108),
                         headers={**KEYFRAME, "X-Keyframe-Id": frame.id})


def expect_decided(running, aside):
    """The recording's room is 4 x 3 x 2.4 m."""
    map = running.map()
    assert 0.005 <= map["voxel_m"] <= 0.05 and map["keyframes"] == 1 and map["region_voxels"] == 64
    listed = {entry["what"]: entry["reason"] for entry in running.get("/v1/aside")}
    for id in aside:
        assert listed[id]
    assert running.metrics()['tessera_keyframes_total{outcome="refused"}'] == len(aside)
    running.wait(lambda: any("voxel-size" in line and "from keyframe" in line for line in running.log), "the log tells the size")


def test_http_is_open_from_the_start_and_the_first_good_keyframe_decides(tessera, recording):
    running = auto(tessera)
    try:
        assert running.fetch("/healthz")[0] == 200
        status, text = running.fetch("/readyz")
        assert status == 200 and WAITING in text.decode()
        map = running.map()
        assert map["keyframes"] == map["regions"] == 0 and map["voxel_m"] is None and WAITING in map["waiting"]
        assert running.get("/v1/regions") == running.get("/v1/cameras") == []
        status, text = running.fetch("/v1/mesh.ply")
        assert status == 503 and WAITING in json.loads(text)["reason"]
        assert running.fetch("/v1/regions/0,0,0.drc")[0] == 404
        assert running.fetch("/metrics")[0] == 200 and running.fetch("/")[0] == 200
        assert running.fetch("/v1/keyframes/none", method="DELETE")[0] == 404
        assert running.fetch("/v1/keyframes", method="DELETE")[0] == 200

        bad = bad_ones(recording[0])
        for frame in bad:
            status, text = post(running, frame)
            assert status == 422 and json.loads(text)["reason"], frame.id
        assert running.fetch("/v1/keyframes", data=b"nothing", headers={**KEYFRAME, "X-Keyframe-Id": "short"})[0] == 400
        assert running.map()["voxel_m"] is None
        assert post(running, recording[0])[0] == 200
        expect_decided(running, [frame.id for frame in bad])
        assert running.fetch("/readyz") == (200, b"ready\n")
        assert running.fetch("/v1/mesh.ply")[0] == 200
        assert post(running, recording[1])[0] == 200
    finally:
        assert running.stop() == 0


def test_segments_of_shared_memory_decide(tessera, recording, names):
    running = auto(tessera, f"shm:{names.prefix}", options=names.options)
    try:
        bad = bad_ones(recording[0])
        for frame in [*bad, recording[0]]:
            stock.write_segment(names.prefix + frame.id, stock.segment_bytes(frame, form=108))
            if frame is not recording[0]:
                running.wait(lambda id=frame.id: any(entry["what"] == id for entry in running.get("/v1/aside")),
                             f"{frame.id} is set aside")
        running.wait_for_keyframes(1)
        expect_decided(running, [frame.id for frame in bad])
    finally:
        assert running.stop() == 0


def test_messages_of_a_broker_decide(tessera, broker, recording, names):
    running = auto(tessera, broker.url, options=names.options)
    bad = bad_ones(recording[0])

    async def send_all():
        connection, exchange = await stock.open_exchange(broker.url, names.exchange)
        async with connection:
            for frame in [*bad, recording[0]]:
                await stock.send(
                    exchange, stock.segment_bytes(frame, form=108), content_type="application/vnd.tessera.keyframe",
                    message_id=frame.id
                )

    try:
        running.wait(lambda: any("amqp: listening on" in line for line in running.log), "it listens")
        asyncio.run(send_all())
        running.wait_for_keyframes(1)
        expect_decided(running, [frame.id for frame in bad])
    finally:
        assert running.stop() == 0


def test_frames_of_a_folder_decide_for_the_service_and_the_commands(tessera, recording, tmp_path):
    frames = [Changed(frame, f"frame-{i:06d}") for i, frame in enumerate(recording[:3])]
    for frame, original in zip(frames, recording):
        frame.image, frame.depth_mm = original.image, original.depth_mm
    folder = scene.write_folder(tmp_path / "folder", frames)
    (folder / "frame-000000.pose.txt").write_text("-1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (folder / "frame-000001.pose.txt").write_text("-inf " * 16)
    sizes = set()
    for seed in ("off", "1", "2"):
        status, out, err = service.run(tessera, "bench", f"rgbd:{folder}", "--voxel-size", "auto", "--json", "--shuffle", seed)
        assert status == 0, err
        assert "from keyframe frame-000002" in err
        sizes.add(json.loads(out)["voxel_m"])
    running = auto(tessera, f"rgbd:{folder}", options=("--rate", "0"))
    try:
        running.wait_for_keyframes(1)
        expect_decided(running, ["frame-000000"])
        assert list(sizes) == pytest.approx([running.map()["voxel_m"]])
    finally:
        assert running.stop() == 0


def test_ranges_that_are_set_hold(tessera, recording):
    """A wall 1 m away and one 30 m away: which of them counts is the user's choice."""
    near, far = recording[0], Changed(recording[0], "far")
    camera = near.pose[:3, 3]
    distance = np.linalg.norm(near.points - camera, axis=1, keepdims=True)
    directions = (near.points - camera) / distance
    far.points = (camera + directions * np.where(np.arange(len(distance))[:, None] % 4 == 0, 1.0, 30.0)).astype(np.float32)
    for options, size in (((), 0.2), (("--max-range", "5"), 0.01), (("--min-range", "5"), 0.2)):
        running = auto(tessera, options=options)
        try:
            assert post(running, far)[0] == 200
            assert running.map()["voxel_m"] == pytest.approx(size, rel=0.6), options
        finally:
            assert running.stop() == 0
    running = auto(tessera, options=("--max-range", "0.5"))
    try:
        status, text = post(running, far)
        assert status == 422 and "max-range" in json.loads(text)["reason"]
    finally:
        assert running.stop() == 0


def test_a_size_that_the_journal_cannot_keep_is_not_chosen_yet(tessera, recording, tmp_path):
    running = auto(tessera, options=("--journal", tmp_path / "journal"))
    try:
        before = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (0, before[1]))  # as if the disk were full
        status, text = post(running, recording[0])
        assert status == 503 and "journal" in json.loads(text)["reason"]
        status, text = running.fetch("/readyz")
        assert status == 503 and b"journal" in text
        assert running.metrics()['tessera_keyframes_not_now_total{reason="store"}'] == 1
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, before)
        assert post(running, recording[0])[0] == 200
        assert running.map()["keyframes"] == 1
    finally:
        assert running.stop() == 0


def test_it_ends_at_once_while_it_waits(tessera, names):
    running = auto(tessera, f"shm:{names.prefix}", options=names.options)
    assert running.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("bad", [False, True], ids=["nothing", "only bad ones"])
def test_a_hash_that_waits_for_its_first_keyframe_ends_when_it_is_told_to(tessera, recording, names, how, bad):
    process = subprocess.Popen(
        [tessera, "hash", f"shm:{names.prefix}", "--voxel-size", "auto", "--backend", "cpu"], env=service.clean_environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    watchdog = threading.Timer(service.PATIENCE_S, process.kill)
    watchdog.start()
    try:
        while (line := process.stderr.readline()) and "has no end" not in line:
            pass
        if bad:
            for frame in bad_ones(recording[0]):
                stock.write_segment(names.prefix + frame.id, stock.segment_bytes(frame))
            while (line := process.stderr.readline()) and "tells no voxel size" not in line:
                pass
        process.send_signal(how)
        out, err = process.communicate()
    finally:
        watchdog.cancel()
        process.kill()
    assert process.returncode == 1, (out, err)
    assert out == "" and "no keyframe to derive the voxel size from" in err
    assert ("the last one" in err) == bad
