"""Viewers over the real stream: a late one gets the whole map, a lost one what it missed, a stalled one costs nothing."""

import json
import subprocess

import numpy
import pytest

import tessera_client
from support.left_out import need_program
from support.viewer import Viewer, WebSocket
from test_mesh_files import read_ply


def feed(running, frames):
    with tessera_client.connect(running.url, session="") as publisher:
        for frame in frames:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)


def settled(running, viewer, keyframes, held=None):
    """Waits until the viewer, together with what it held before, shows the whole map of so many keyframes; returns the
    triangles."""
    running.wait_for_keyframes(keyframes)
    running.wait(running.quiet, "nothing under way")
    newest = {tuple(one["region"]): int(one["version"]) for one in running.get("/v1/regions") if one["triangles"] > 0}
    assert newest
    running.wait(lambda: {**(held or {}), **viewer.versions()} == newest, f"the newest patches at the viewer ({viewer.error})")
    return running.map()["triangles"]


def test_a_viewer_follows_and_a_late_one_gets_everything(serve, recording):
    running = serve()
    with Viewer(running.url) as early:
        assert early.socket.protocol == "tessera.v1"
        assert early.hello["voxel_m"] == pytest.approx(0.05)
        feed(running, recording)
        triangles = settled(running, early, len(recording))
        with Viewer(running.url) as late:
            assert settled(running, late, len(recording)) == late.triangles() == early.triangles() == triangles
            same = {k: (p.version, p.payload) for k, p in early.patches.items() if p.kind == 0}
            assert {k: (p.version, p.payload) for k, p in late.patches.items() if p.kind == 0} == same
            running.wait(lambda: len(late.cameras) == len(recording), "all cameras")
            camera = late.cameras[recording[3].id]
            assert camera["pose"] == pytest.approx(recording[3].pose.ravel().tolist())


def test_a_lost_viewer_gets_only_what_it_missed(serve, recording):
    running = serve()
    with Viewer(running.url) as first:
        feed(running, recording[:4])
        settled(running, first, 4)
        held, epoch = dict(first.patches), first.hello["epoch"]
    have = [[*k, str(p.version)] for k, p in held.items()]
    with Viewer(running.url, have=have, epoch=epoch) as again:
        running.wait(lambda: again.stats and again.stats["pending"] == 0, "all that it lacks")
        assert again.patches == {}, "sent again although nothing changed"
        feed(running, recording[4:])
        settled(running, again, len(recording), {k: p.version for k, p in held.items() if p.kind == 0})
        shown = {**held, **again.patches}
        assert sum(p.triangles for p in shown.values() if p.kind == 0) == running.map()["triangles"]


def test_taking_all_keyframes_back_empties_the_viewer(serve, broker, recording, names):
    from test_doors import listening

    running = serve(broker.url)
    running.wait(lambda: listening(running), "a queue at the broker")
    with Viewer(running.url) as viewer, tessera_client.connect(
        broker.url, exchange=names.exchange, prefix=names.prefix
    ) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        settled(running, viewer, len(recording))
        for frame in recording:
            publisher.retract_keyframe(frame.id)
        running.wait_for_keyframes(0)
        running.wait(lambda: viewer.triangles() == 0, "an empty picture")
        running.wait(lambda: not viewer.cameras, "no cameras")


def test_every_patch_opens_with_the_stock_decoder(serve, recording, tmp_path):
    decoder = need_program("draco_decoder", "draco")
    running = serve()
    with Viewer(running.url) as viewer:
        feed(running, recording)
        settled(running, viewer, len(recording))
        for number, patch in enumerate(viewer.patches.values()):
            if patch.kind == 1:
                assert patch.payload == b"" and patch.triangles == 0
                continue
            source, result = tmp_path / f"{number}.drc", tmp_path / f"{number}.ply"
            source.write_bytes(patch.payload)
            done = subprocess.run([decoder, "-i", source, "-o", result], stdout=subprocess.PIPE, check=False)
            assert done.returncode == 0, (patch.region, done.stdout)
            head = result.read_bytes()[:400].decode(errors="replace")
            assert f"element face {patch.triangles}\n" in head, head
            positions, triangles, _, _ = read_ply(result.read_bytes())
            a, b, c = (positions[triangles[:, k]] for k in range(3))
            assert numpy.cross(b - a, c - a).any(axis=1).all(), f"triangles of {patch.region} without area"


def test_stalled_viewers_cost_nothing(serve, recording):
    """Fifty that subscribe and never read: memory stays, and one that reads gets everything."""
    running = serve()
    feed(running, recording[:1])
    running.wait_for_keyframes(1)
    with Viewer(running.url) as viewer:
        settled(running, viewer, 1)
        before = running.resident_bytes()
        stalled = []
        for _ in range(50):
            one = WebSocket(running.url.replace("http", "ws", 1) + "/v1/stream", receive_buffer=4096)
            one.send_text(json.dumps({"type": "subscribe", "epoch": "", "have": []}))
            stalled.append(one)
        feed(running, recording)
        triangles = settled(running, viewer, len(recording))
        assert triangles > 0
        assert running.resident_bytes() - before < 64 << 20
        for one in stalled:
            one.close()


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"type": 5}', '{"type": "explode"}', '{"type": "subscribe", "have": 5}', "[" * 10_000]
    + ['{"type": "subscribe", "have": [[1, 2, 3]]}', '{"type": "subscribe", "have": [[1e300, 0, 0, "1"]]}']
    + ['{"type": "view", "position": [1, 2], "direction": "up"}',
       '{"type": "view", "position": [1e999, 0, 0], "direction": [0, 0, 0]}']
    + ['{"type": "ack", "patches": [[0, 0, 0, "99999999999999999999999"]]}', '{"type": "subscribe", "max_bits_per_s": -1}'],
    ids=lambda t: t[:40] or "nothing",
)
def test_bad_talk_is_answered_and_the_connection_stays(serve, recording, text):
    running = serve()
    with Viewer(running.url) as viewer:
        viewer.socket.send_text(text)
        running.wait(lambda: [t for t in viewer.talk if t["type"] == "error"], "an error in answer")
        assert viewer.talk[0]["message"]
        feed(running, recording[:1])
        settled(running, viewer, 1)


def test_frames_that_break_the_rules_close_the_connection(serve, recording):
    running = serve()
    url = running.url.replace("http", "ws", 1) + "/v1/stream"

    def huge(one):
        one.send_text('{"type": "subscribe", "epoch": "' + "x" * (2 << 20) + '"}')

    def fragments(one):
        one.send_frame(1, b"[", fin=False)
        for _ in range(5000):
            one.send_frame(0, b"[" * 1000, fin=False)

    def binary(one):
        one.send_frame(2, b"\0" * 100)

    def reserved(one):
        one._socket.sendall(b"\xff\xff" + b"\xff" * 100)

    def unmasked(one):
        one._socket.sendall(b"\x81\x02hi")

    def long_ping(one):
        one.send_frame(9, b"x" * 200)

    def claims_2_63(one):
        one._socket.sendall(b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"abcd" + b"x" * 1000)

    for attack in (huge, fragments, binary, reserved, unmasked, long_ping, claims_2_63):
        one = WebSocket(url)
        try:
            attack(one)
            for _ in range(1000):
                kind, data = one.receive()
                if kind == 1 and json.loads(data)["type"] == "error":
                    break
            else:
                pytest.fail(f"{attack.__name__}: neither an error nor the end")
        except TimeoutError:
            pytest.fail(f"{attack.__name__}: no answer")
        except (EOFError, OSError):
            pass
        finally:
            one.close()
        assert running.alive(), attack.__name__
    feed(running, recording)
    running.wait_for_keyframes(len(recording))
