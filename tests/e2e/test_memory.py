"""What is held follows from what is live: keyframes that come again, or are taken out and come again, leave nothing behind. How resident
memory behaves on real frames is measured by tests/bench/memory.py."""

import urllib.parse

import pytest

from support import service


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


def as_before(now, first):
    """Blocks' meshes keep the room of larger ones that they were, and which ones those were depends on when the region was meshed."""
    assert now["field"] == pytest.approx(first["field"], rel=0.01)
    assert now | {"field": 0} == first | {"field": 0}


def send(tessera, folder, running):
    status, _, err = service.run(tessera, "publish", f"rgbd:{folder}", "--to", running.url, "--rate", 0)
    assert status == 0, err


def shown(running, recording, digits):
    """Waits until the map is that of the recording and each region's newest patch is the map's."""
    running.wait(lambda: running.map()["hash"] == digits and running.map()["keyframes"] == len(recording), "the map of the recording")
    running.wait(lambda: all(a["mailbox"] == 0 and a["state"] == "idle" for a in running.get("/v1/actors") if a["role"] != "inspector"),
                 "nothing under way")
    running.wait(lambda: running.map()["triangles"] == running.metrics()["tessera_triangles"], "the newest patches")


def test_repeats_and_undo_leave_nothing_behind(tessera, folder, recording, wanted, serve):
    running = serve()
    send(tessera, folder, running)
    shown(running, recording, wanted)
    first = held(running)
    assert first["store"] > 0 and first["field"] > 0 and first["patches"] > 0
    for _ in range(3):
        send(tessera, folder, running)
    shown(running, recording, wanted)
    as_before(held(running), first)
    for _ in range(3):
        for camera in running.get("/v1/cameras"):
            name = urllib.parse.quote(camera["id"], safe="")
            assert running.fetch(f"/v1/keyframes/{name}", method="DELETE")[0] == 200
        empty = held(running)
        assert (empty["store"], empty["rays"], empty["cameras"]) == (0, 0, 0)
        send(tessera, folder, running)
        shown(running, recording, wanted)
        as_before(held(running), first)
