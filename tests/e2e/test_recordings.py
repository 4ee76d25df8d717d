"""Recordings: what is recorded makes the same map, and other programs read and write them."""

import copy
import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import tessera_client

from conftest import MAPPING
from support import browser, scene, service
from support.service import PATIENCE_S


def record(tessera, *arguments):
    status, out, err = service.run(tessera, "record", *arguments)
    assert status == 0, err
    return err


def peer(*arguments):
    """What @mcap/core says of a file, or does with it."""
    browser.need_node_module("@mcap/core")
    done = subprocess.run(
        ["node", "dev/mcap_peer.mjs", *map(str, arguments)],
        cwd=browser.WEB,
        capture_output=True,
        timeout=5 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize("packing", ["none", "lz4", "zstd"])
def test_the_map_of_a_recording_is_that_of_its_source(tessera, folder, recording, wanted, tmp_path, packing):
    file = tmp_path / "scan.mcap"
    said = record(tessera, f"rgbd:{folder}", "-o", file, "--compression", packing)
    assert f"{len(recording)} keyframes, 0 new poses and retractions, {file.stat().st_size} bytes" in said
    digits, counts = service.hash_of(tessera, f"recording:{file}", *MAPPING)
    assert digits == wanted and counts["keyframes"] == len(recording)
    again = tmp_path / "again.mcap"  # and nothing is lost from one recording to the next
    record(tessera, f"recording:{file}", "-o", again, "--compression", packing)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("packing", ["none", "lz4", "zstd"])
def test_foxgloves_library_reads_what_is_recorded(tessera, folder, recording, tmp_path, packing):
    file = tmp_path / "scan.mcap"
    record(tessera, f"rgbd:{folder}", "-o", file, "--compression", packing)
    said = peer("read", file)
    assert said["library"].startswith("tessera ")
    assert said["messages"] == said["streamed"] == len(said["inputs"]) == 2 * len(recording)
    assert said["chunks"] == len(recording) and said["compression"] == [packing if packing != "none" else ""]
    clouds = [one for one in said["inputs"] if one["topic"] == "/tessera/keyframes"]
    cameras = [one for one in said["inputs"] if one["topic"] == "/tessera/cameras"]
    assert {one["schema"] for one in clouds} == {"foxglove.PointCloud"}
    assert {one["schema"] for one in cameras} == {"foxglove.PoseInFrame"}
    for frame, cloud, camera in zip(recording, clouds, cameras):
        what = cloud["what"]
        assert what["frame_id"] == camera["what"]["frame_id"] == "world"
        assert what["points"] == len(frame.points)
        first = what["first"]
        assert [first[axis] for axis in "xyz"] == frame.points[0].tolist()
        assert [first[name] for name in ("red", "green", "blue")] == frame.colours[0].tolist()
        about = what["keyframe"]
        assert (about["id"], about["source"]) == (frame.id, "rgbd")
        assert np.array_equal(np.array(about["world_from_camera"], np.float32).reshape(4, 4), frame.pose)
        at = camera["what"]["pose"]
        assert [at["position"][axis] for axis in "xyz"] == pytest.approx(frame.pose[:3, 3].tolist())
        x, y, z, w = (at["orientation"][axis] for axis in "xyzw")
        turned = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                  [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                  [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
        assert np.allclose(turned, frame.pose[:3, :3], atol=1e-6)


@pytest.mark.parametrize("packing, chunk_bytes", [("none", 1), ("none", 300_000), ("zstd", 300_000), ("zstd", 1 << 30)])
def test_what_foxgloves_library_writes_is_read(tessera, folder, wanted, recording, tmp_path, packing, chunk_bytes):
    ours, theirs = tmp_path / "ours.mcap", tmp_path / "theirs.mcap"
    record(tessera, f"rgbd:{folder}", "-o", ours)
    peer("write", ours, theirs, packing, chunk_bytes)
    status, out, err = service.run(tessera, "hash", f"recording:{theirs}", *MAPPING)
    assert status == 0 and out.startswith(wanted), err
    assert f"{2 * len(recording)} messages of 1 channels that are none of a recording's are passed over" in err


def test_the_scale_of_a_pose_is_recorded(tessera, recording, wanted, tmp_path):
    smaller = [copy.copy(frame) for frame in recording]
    for frame in smaller:
        frame.pose = (frame.pose @ np.diag([0.7, 0.7, 0.7, 1])).astype(np.float32)
    folder, file = scene.write_folder(tmp_path / "smaller", smaller), tmp_path / "scan.mcap"
    record(tessera, f"rgbd:{folder}", "-o", file)
    digits, counts = service.hash_of(tessera, f"recording:{file}", *MAPPING)
    assert digits == service.hash_of(tessera, f"rgbd:{folder}", *MAPPING)[0] != wanted
    assert counts["keyframes"] == len(recording)
    again = tmp_path / "again.mcap"
    record(tessera, f"recording:{file}", "-o", again)
    assert again.read_bytes() == file.read_bytes()


def test_a_recording_that_is_cut_off_is_read_up_to_there(tessera, folder, recording, tmp_path):
    file = tmp_path / "scan.mcap"
    record(tessera, f"rgbd:{folder}", "-o", file)
    os.truncate(file, file.stat().st_size // 2)
    status, out, err = service.run(tessera, "hash", f"recording:{file}", *MAPPING)
    assert status == 0
    assert 0 < int(out.split("keyframes=")[1].split()[0]) < len(recording)
    assert "it was cut off, or is still being written: at byte" in err and "bytes are not read" in err


def test_what_a_broker_brings_is_recorded_until_a_signal_with_what_happens_to_it(tessera, broker, names, recording, tmp_path):
    file = tmp_path / "scan.mcap"
    process = subprocess.Popen(
        [tessera, "record", broker.url, *names.options, "-o", file], stderr=subprocess.PIPE, env=service.clean_environment()
    )
    pose = np.array(recording[0].pose)
    pose[0, 3] += 0.25
    with tessera_client.connect(broker.url, exchange=names.exchange, queue=names.queue, embed=True) as client:
        for frame in recording:
            client.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        client.revise_keyframe(recording[0].id, pose)
        client.retract_keyframe(recording[1].id)
    for _ in range(PATIENCE_S * 10):
        if file.exists() and b"/tessera/retractions" in file.read_bytes():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err.decode()
    assert f"{len(recording)} keyframes, 2 new poses and retractions" in err.decode()

    digits, counts = service.hash_of(tessera, f"recording:{file}", *MAPPING)
    assert counts["keyframes"] == len(recording) - 1
    assert digits == served_hash(recording, pose, names, tessera)


def served_hash(recording, pose, names, tessera):
    """What a service makes of the same, over HTTP."""
    running = service.Service(tessera, options=MAPPING)
    try:
        with tessera_client.connect(running.url) as client:
            for frame in recording:
                client.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
            client.revise_keyframe(recording[0].id, pose)
            client.retract_keyframe(recording[1].id)
        return running.get("/v1/map")["hash"]
    finally:
        running.stop()


def test_a_service_plays_a_recording(tessera, folder, recording, wanted, tmp_path, serve):
    file = tmp_path / "scan.mcap"
    record(tessera, f"rgbd:{folder}", "-o", file)
    running = serve(f"recording:{file}")
    running.wait_for_keyframes(len(recording))
    assert running.get("/v1/map")["hash"] == wanted


def test_folders_whose_frames_are_called_alike_are_scans_of_their_own(serve, tessera, wanted, tmp_path):
    frames = scene.frames()
    for frame in frames[4:]:
        frame.id = f"frame-{frame.number - 4:06d}"
    sources = [
        f"rgbd:{scene.write_folder(tmp_path / name, part)}" for name, part in (("seq-01", frames[:4]), ("seq-02", frames[4:]))
    ]
    running = serve(*sources, options=("--rate", "0"))
    assert running.wait_for_keyframes(8) == wanted
    ids = {camera["id"] for camera in running.get("/v1/cameras")}
    assert {"seq-01/frame-000000", "seq-02/frame-000000"} < ids and len(ids) == 8
    file = tmp_path / "both.mcap"
    assert "8 keyframes" in record(tessera, *sources, "-o", file)
    digits, counts = service.hash_of(tessera, f"recording:{file}", *MAPPING)
    assert digits == wanted and counts["keyframes"] == 8


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        (("record", "synthetic:room", "--limit", "1"), 2, "--output"),
        (("record", "-o", "FILE"), 2, "SOURCE"),
        (("record", "synthetic:room", "--limit", "1", "-o", "/nowhere/a.mcap"), 1, "cannot make /nowhere/a.mcap"),
        (("record", "synthetic:room", "--compression", "gzip", "-o", "FILE"), 2, "none, lz4 or zstd"),
        (("hash", "recording:/nowhere.mcap"), 1, "cannot read /nowhere.mcap"),
        (("hash", "recording:/etc/passwd"), 1, "is not a recording"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_mistakes_are_named(tessera, tmp_path, arguments, status, words):
    file = str(tmp_path / "a.mcap")
    ended, out, err = service.run(tessera, *(file if one == "FILE" else one for one in arguments))
    assert ended == status and words in err, err


def test_a_file_that_is_there_is_kept(tessera, tmp_path):
    file = tmp_path / "scan.mcap"
    file.write_text("precious")
    status, out, err = service.run(tessera, "record", "synthetic:room", "--limit", 1, "-o", file)
    assert status == 1 and "cannot make" in err and "exists" in err
    assert file.read_text() == "precious"
