"""What is held follows from what is live: keyframes that come again, or are taken out and come again, leave nothing behind. How
resident memory behaves on real frames is measured by tests/bench/memory.py."""

import socket
import struct
import threading
import urllib.parse

import numpy as np

from support import service
from support.viewer import Viewer

KEYFRAME = "application/vnd.tessera.keyframe"


def held(running):
    """Bytes by who holds them."""
    metrics = running.metrics()
    return {
        "field": running.map()["field_bytes"],
        "patches": metrics["tessera_held_patch_bytes"],
        "store": metrics["tessera_store_memory_bytes"] + metrics["tessera_store_disk_bytes"],
        "rays": metrics["tessera_live_rays"],
        "cameras": len(running.get("/v1/cameras")),
    }


def send(tessera, folder, running):
    status, _, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", running.url, "--rate", 0)
    assert status == 0, err


def shown(running, recording, digits, viewer):
    """Waits until the map is that of the recording and each region's newest patch is the map's, and the viewer has it."""
    running.wait(lambda: running.map()["hash"] == digits and running.map()["keyframes"] == len(recording),
                 "the map of the recording")
    running.wait(running.quiet, "nothing under way")
    running.wait(lambda: running.map()["triangles"] == running.metrics()["tessera_triangles"] == viewer.triangles(),
                 "the newest patches")


def test_repeats_and_undo_leave_nothing_behind(tessera, folder, recording, wanted, serve):
    running = serve()
    viewer = Viewer(running.url)  # without one no patch is made, nor held
    send(tessera, folder, running)
    shown(running, recording, wanted, viewer)
    first = held(running)
    assert first["store"] > 0 and first["field"] > 0 and first["patches"] > 0
    for _ in range(3):
        send(tessera, folder, running)
    shown(running, recording, wanted, viewer)
    assert held(running) == first
    for _ in range(3):
        for camera in running.get("/v1/cameras"):
            name = urllib.parse.quote(camera["id"], safe="")
            assert running.fetch(f"/v1/keyframes/{name}", method="DELETE")[0] == 200
        empty = held(running)
        assert (empty["store"], empty["rays"], empty["cameras"]) == (0, 0, 0)
        send(tessera, folder, running)
        shown(running, recording, wanted, viewer)
        assert held(running) == first
    viewer.close()


def keyframe_body(points):
    """The 108-byte form, grey, seen from the origin."""
    header = struct.pack("<QIII16f6f", 1, len(points), 3, 0, *np.eye(4).ravel(), *[0.0] * 6)
    return header + points.astype("<f4").tobytes() + bytes([128]) * (3 * len(points))


def put(running, name, points):
    return running.fetch("/v1/keyframes", data=keyframe_body(points), headers={"Content-Type": KEYFRAME, "X-Keyframe-Id": name})


def meshers(running):
    return sum(a["role"] == "mesher" for a in running.get("/v1/actors"))


def test_a_map_that_is_emptied_keeps_nothing(serve):
    """Actors, regions and memory go, too, when the last keyframe of each region was taken out; also where one was refused for
    want of memory."""
    running = serve(options=("--memory-cap", "192MiB"))
    random = np.random.default_rng(1)
    scattered = random.uniform(-30, 30, (1500, 3))
    assert put(running, "warm up", scattered)[0] == 200
    assert running.fetch("/v1/keyframes/warm%20up", method="DELETE")[0] == 200
    running.wait(lambda: meshers(running) == 0, "no mesher")
    before = running.resident_bytes()
    for i in range(3):
        assert put(running, f"k{i}", random.uniform(-40, 40, (1500, 3)))[0] == 200
    assert put(running, "too much", random.uniform(-40, 40, (5000, 3)))[0] != 200
    assert meshers(running) > 1500
    for i in range(3):
        assert running.fetch(f"/v1/keyframes/k{i}", method="DELETE")[0] == 200
    running.wait(lambda: meshers(running) == 0, "no mesher")
    assert running.get("/v1/regions") == []
    assert running.map()["hash"] == "0" * 32 and running.map()["field_bytes"] == 0
    running.wait(lambda: running.resident_bytes() < before + (24 << 20), "memory as before")
    assert put(running, "again", scattered)[0] == 200
    assert running.map()["keyframes"] == 1


def test_a_keyframe_that_touches_too_many_regions_is_refused_before_it_costs(serve):
    running = serve()
    before = running.resident_bytes()
    status, answer = put(running, "far and wide", np.random.default_rng(2).uniform(-55, 55, (60_000, 3)))[:2]
    assert status == 422
    assert b"at most 8192" in answer and b"regions of 64 voxels" in answer
    assert meshers(running) == 0 and running.get("/v1/regions") == []
    running.wait(lambda: running.resident_bytes() < before + (24 << 20), "memory as before")


def test_a_keyframe_of_millions_of_scattered_points_is_refused_before_its_rays_are_made(serve):
    running = serve(options=("--voxel-size", "0.001", "--truncation", "0.003"))
    before = running.resident_bytes()
    points = np.random.default_rng(4).uniform(-3, 3, (3_000_000, 3))
    points[:, 2] = 3
    status, answer = put(running, "far too fine", points)[:2]
    assert status == 422
    assert b"touches at least 8193 regions of 64 voxels" in answer and b"at most 8192" in answer and b"0.001 m" in answer
    with open(f"/proc/{running.pid}/status", encoding="ascii") as file:
        peak = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    assert peak < before + (400 << 20)  # the body is 45 MB; with the tables of all rays it was 1.1 GB
    running.wait(lambda: running.resident_bytes() < before + (24 << 20), "memory as before")


def test_status_is_answered_while_a_large_keyframe_is_taken(serve):
    running = serve()
    points = np.random.default_rng(5).uniform(-55, 55, (4000, 3))
    answers, during = [], 0
    taking = threading.Thread(target=lambda: answers.append(put(running, "far and wide", points)[0]))
    taking.start()
    while not answers:
        assert all(running.fetch(path)[0] == 200 for path in ("/healthz", "/metrics", "/v1/actors"))
        during += not answers
    taking.join()
    assert answers == [200] and during >= 2
    assert running.map()["regions"] > 3000


def test_memory_that_was_needed_for_a_moment_goes_back(serve):
    """Bodies whose last byte never comes are held as long as their producers wait; afterwards their memory goes back, though
    nothing is asked of the service any more. A little may stay: AddressSanitizer keeps some of what was freed."""
    count, size, few = 16, 4 << 20, 24 << 20
    running = serve()
    before = running.resident_bytes()
    address = urllib.parse.urlsplit(running.url)
    head = f"POST /v1/keyframes?id=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {KEYFRAME}\r\nContent-Length: {size}\r\n\r\n"
    producers = [socket.create_connection((address.hostname, address.port), timeout=service.PATIENCE_S) for _ in range(count)]
    try:
        for one in producers:
            one.sendall(head.encode() + bytes(size - 1))
        running.wait(lambda: running.resident_bytes() > before + count * size - few, "all bodies")
    finally:
        for one in producers:
            one.close()
    running.wait(lambda: running.resident_bytes() < before + few, "their memory back")
