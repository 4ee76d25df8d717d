"""Forgetting: what is beyond `--retain` goes by itself, what is asked for goes at once, and the map is that of the others."""

import json
import time
from datetime import datetime, timezone
from urllib.parse import quote

from support import service, stock
from support.viewer import Viewer

KEPT, SENT = 5, 12


def post(running, name, frame, timestamp_ns=None, group=""):
    headers = {"Content-Type": "application/vnd.tessera.keyframe", "X-Keyframe-Id": name, "Tessera-Group": group}
    if timestamp_ns is not None:
        headers["X-Timestamp-Ns"] = str(timestamp_ns)
    status, body = running.fetch("/v1/keyframes", data=stock.segment_bytes(frame), headers=headers)
    assert status == 200, body


def frames_of(recording):
    """More than are kept, each under an id of its own, also where the recording is short."""
    return [(f"{number}", recording[number % len(recording)]) for number in range(SENT)]


def map_of(serve, frames):
    running = serve()
    for name, frame in frames:
        post(running, name, frame)
    running.wait(running.quiet, "all meshes")
    return running.map()


def kept(running, count):
    def there():
        return running.fetch("/v1/map")[0] == 200 and running.map()["keyframes"] == count

    running.wait(there, f"{count} keyframes in the map")
    return running.map()


def test_the_newest_are_kept_exactly_and_so_after_a_crash(serve, recording, tessera, tmp_path):
    frames = frames_of(recording)
    wanted = map_of(serve, frames[-KEPT:])
    options = ("--journal", tmp_path / "journal", "--retain", KEPT)
    running = serve(options=options)
    running.wait_for_line(f"the oldest keyframes beyond {KEPT} keyframes are forgotten")
    for name, frame in frames:
        post(running, name, frame)
    there = kept(running, KEPT)
    assert there["hash"] == wanted["hash"]
    running.wait(lambda: running.metrics()["tessera_keyframes_forgotten_total"] == SENT - KEPT, "the count of what was forgotten")
    metrics = running.metrics()
    assert metrics["tessera_keyframes_retracted_total"] == 0
    assert metrics["tessera_live_keyframes"] == KEPT
    viewer = Viewer(running.url)
    running.wait(lambda: viewer.triangles() == wanted["triangles"] > 0, "the map of the newest at a viewer")
    viewer.close()
    running.crash()

    running = serve(options=options)
    assert kept(running, KEPT)["hash"] == wanted["hash"]
    post(running, "one more", recording[0])
    after = kept(running, KEPT)
    assert after["hash"] == map_of(serve, [*frames[-KEPT + 1 :], ("one more", recording[0])])["hash"]
    running.crash()
    status, out, _ = service.run(tessera, "journal", "info", tmp_path / "journal", "--json")
    assert status == 0 and json.loads(out)["keyframes"] == KEPT

    running = serve(options=(*options[:2], "--retain", "2,1h"))  # fewer than the journal has
    assert kept(running, 2)["hash"] == map_of(serve, [frames[-1], ("one more", recording[0])])["hash"]


def test_what_is_older_than_is_kept_goes_while_nothing_comes(serve, recording):
    running = serve(options=("--retain", "2s"))
    began = time.monotonic()
    for name, frame in frames_of(recording):
        post(running, name, frame)
    running.wait(lambda: running.map()["keyframes"] == 0, "an empty map")
    assert time.monotonic() - began >= 2
    assert running.map()["hash"] == "0" * 32
    running.wait(lambda: running.metrics()["tessera_keyframes_forgotten_total"] == SENT, "the count of what was forgotten")


def test_keyframes_before_a_time_are_taken_out(serve, recording):
    frames = frames_of(recording)
    begin = 1_764_454_500  # 2025-11-29T22:15:00Z
    running = serve()
    for second, (name, frame) in enumerate(frames):
        post(running, name, frame, (begin + second) * 10**9, "even" if second % 2 == 0 else "odd")

    def clear(query):
        status, body = running.fetch(f"/v1/keyframes?{query}", method="DELETE")
        return status, json.loads(body)

    text = datetime.fromtimestamp(begin + 4, timezone.utc).isoformat()
    assert text == "2025-11-29T22:15:04+00:00"
    assert clear(f"before={quote(text)}&group=odd") == (200, {"outcome": "accepted", "keyframes": 2})
    left = [one for second, one in enumerate(frames) if second not in (1, 3)]
    assert running.map()["hash"] == map_of(serve, left)["hash"]
    assert clear(f"before={(begin + 10) * 10**9}") == (200, {"outcome": "accepted", "keyframes": 8})
    assert running.map()["hash"] == map_of(serve, frames[10:])["hash"]
    for wrong in ("before=tomorrow", "before=", "before=1&before=2", f"before={2**64}", "befor=1"):
        status, answer = clear(wrong)
        assert status == 400 and answer["field"] == wrong.split("=")[0], answer
    assert running.map()["keyframes"] == 2


def test_a_contributor_is_taken_out_of_a_fused_map_to_the_byte(serve, recording):
    """Two robots see the same walls, in turn; one is forgotten. What is left is what the other alone would have made."""
    frames = frames_of(recording)
    running = serve()
    for number, (name, frame) in enumerate(frames):
        post(running, name, frame, group="ours" if number % 2 == 0 else "theirs")
    fused = running.map()
    status, body = running.fetch("/v1/keyframes?group=theirs", method="DELETE")
    assert (status, json.loads(body)) == (200, {"outcome": "accepted", "keyframes": SENT // 2})
    alone = serve()
    for name, frame in frames[::2]:
        post(alone, name, frame, group="ours")
    for one in (running, alone):
        one.wait(one.quiet, "all meshes")
    left, wanted = running.map(), alone.map()
    assert fused["hash"] != wanted["hash"]
    same = ("hash", "keyframes", "rays", "blocks", "voxels", "vertices", "triangles", "bounds")
    assert {name: left[name] for name in same} == {name: wanted[name] for name in same}
    for form in ("ply", "glb", "drc"):
        mine, others = running.fetch(f"/v1/mesh.{form}")[1], alone.fetch(f"/v1/mesh.{form}")[1]
        assert mine.replace(left["epoch"].encode(), b"") == others.replace(wanted["epoch"].encode(), b"")
        assert len(mine) > 10_000


def test_a_keyframe_that_is_retracted_before_it_comes_stays_out_also_after_a_crash(serve, recording, tessera, tmp_path):
    options = ("--journal", tmp_path / "journal")

    def offer(running, name, session=""):
        headers = {"Content-Type": "application/vnd.tessera.keyframe", "X-Keyframe-Id": name, "Tessera-Session": session}
        status, body = running.fetch("/v1/keyframes", data=stock.segment_bytes(recording[0]), headers=headers)
        assert status == 200, body
        return json.loads(body)["outcome"]

    running = serve(options=options)
    status, body = running.fetch("/v1/keyframes/late", method="DELETE")
    assert status == 404 and "stays out" in json.loads(body)["reason"]
    running.crash()
    running = serve(options=options)
    assert [offer(running, "late"), offer(running, "late"), offer(running, "late", "monday")] == ["retracted"] * 2 + ["accepted"]
    metrics = running.metrics()
    assert metrics['tessera_keyframes_total{outcome="retracted"}'] == 2
    assert metrics["tessera_retractions_remembered"] == 1
    assert running.map()["keyframes"] == 1
    running.crash()
    status, out, _ = service.run(tessera, "journal", "info", tmp_path / "journal", "--json")
    assert status == 0 and json.loads(out)["retractions"] == 1
    running = serve(options=options)
    status, body = running.fetch("/v1/keyframes", method="DELETE")
    assert (status, json.loads(body)) == (200, {"outcome": "accepted", "keyframes": 1})
    assert offer(running, "late") == "accepted"


def test_bounds_that_cannot_be_are_named(tessera):
    for value, why in {"0": "is not 1 keyframe or more", "5m": "write min or MB", "3,4": "a second number of keyframes"}.items():
        status, _, err = service.run(tessera, "serve", "--port", 0, "--metrics-port", 0, "--retain", value)
        assert status == 2 and "retain (--retain): " in err and why in err, err
