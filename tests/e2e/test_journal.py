"""The journal: what was acknowledged is there after the next start, whatever ended the process."""

import http.client
import json
import os
import random
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

import tessera_client
from conftest import MAPPING
from support import service, stock
from support.ports import free_port
from support.viewer import Viewer

KILLS = 20
MIB = 1 << 20


def post(running, name, frame):
    """One attempt to send a keyframe: the status, or None if the service went away."""
    headers = {"Content-Type": "application/vnd.tessera.keyframe", "X-Keyframe-Id": name}
    try:
        return running.fetch("/v1/keyframes", data=stock.segment_bytes(frame), headers=headers)[0]
    except (OSError, http.client.HTTPException):
        return None


def publish_all(running, recording):
    for frame in recording:
        assert post(running, frame.id, frame) == 200


def loaded(running):
    """Waits until what the journal holds is in the map; returns the map's description."""
    return running.wait(lambda: running.fetch("/v1/map")[0] == 200 and running.map(), "the map of the journal")


def test_a_service_that_ends_and_starts_again_has_the_same_map(serve, recording, wanted, tmp_path):
    options = ("--journal", tmp_path / "deep" / "journal")
    running = serve(options=options)
    running.wait_for_line("which is empty")
    publish_all(running, recording)
    assert running.map()["hash"] == wanted
    assert running.end() == 0
    running = serve(options=options)
    running.wait_for_line(f"holds {len(recording)} from last time")
    assert loaded(running)["hash"] == wanted
    viewer = Viewer(running.url)
    running.wait(lambda: viewer.triangles() == running.map()["triangles"] > 0, "the whole map at a viewer")
    viewer.close()
    publish_all(running, recording)  # each counts once
    after = running.map()
    assert after["hash"] == wanted and after["keyframes"] == len(recording)
    assert running.metrics()['tessera_keyframes_total{outcome="duplicate"}'] == len(recording)


def test_what_was_acknowledged_survives_kills_at_any_moment(serve, recording, tmp_path):
    options = ("--journal", tmp_path / "journal")
    todo = {f"{frame.id}-{copy}": frame for copy in range(12) for frame in recording}
    acknowledged = set()
    rng = random.Random(1)
    ids = list(todo)

    def send(running, part):
        for name in part:
            if name not in acknowledged:
                if post(running, name, todo[name]) != 200:
                    return
                acknowledged.add(name)

    for _ in range(KILLS):
        running = serve(options=options)
        rng.shuffle(ids)
        threads = [threading.Thread(target=send, args=(running, ids[part::3])) for part in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0, 0.4))
        running.crash()
        for thread in threads:
            thread.join()
    assert acknowledged
    running = serve(options=options)
    assert loaded(running)["keyframes"] >= len(acknowledged)
    for name in sorted(acknowledged):  # each is known, and the same
        assert post(running, name, todo[name]) == 200
    assert running.metrics()['tessera_keyframes_total{outcome="duplicate"}'] == len(acknowledged)
    for name, frame in todo.items():
        assert post(running, name, frame) == 200
    undisturbed = serve()
    for name, frame in todo.items():
        assert post(undisturbed, name, frame) == 200
    there, reference = running.map(), undisturbed.map()
    assert (there["hash"], there["keyframes"]) == (reference["hash"], len(todo))


def test_retractions_and_new_poses_survive(serve, recording, tmp_path):
    options = ("--journal", tmp_path / "journal")
    moved = recording[3].pose
    running = serve(options=options)
    with tessera_client.connect(running.url, session="one") as client:
        for frame in recording:
            client.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        client.revise_keyframe(recording[0].id, moved)
        client.retract_keyframe(recording[1].id)
    before = running.map()
    running.crash()
    running = serve(options=options)
    after = loaded(running)
    assert (after["hash"], after["keyframes"]) == (before["hash"], len(recording) - 1)
    with tessera_client.connect(running.url, session="one") as client:
        first = recording[0]
        # A repetition of what came, wherever it is now.
        client.publish_keyframe(first.id, first.pose, first.points, first.colours)
        assert running.map()["hash"] == before["hash"]
        client.revise_keyframe(first.id, first.pose)
        second = recording[1]
        client.publish_keyframe(second.id, second.pose, second.points, second.colours)
    everything = serve()
    with tessera_client.connect(everything.url, session="one") as client:
        for frame in recording:
            client.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.map()["hash"] == everything.map()["hash"]
    assert running.fetch("/v1/keyframes", method="DELETE")[0] == 200
    running.crash()
    running = serve(options=options)
    running.wait_for_line("which is empty")
    assert running.map()["keyframes"] == 0


def test_a_journal_is_one_service_s(tessera, serve, tmp_path):
    serve(options=("--journal", tmp_path / "journal"))
    for more in ((), ("--fresh",)):
        status, _, err = service.run(tessera, "serve", "--port", 0, "--metrics-port", 0, "--journal", tmp_path / "journal", *more)
        assert status == 1 and "in use by another process" in err and str(tmp_path / "journal") in err
    status, _, err = service.run(tessera, "journal", "info", tmp_path / "journal")
    assert status == 1 and "in use" in err


def test_a_journal_of_other_settings_is_refused_taken_or_kept_aside(tessera, serve, recording, wanted, tmp_path):
    journal = tmp_path / "journal"
    running = serve(options=("--journal", journal))
    publish_all(running, recording)
    assert running.end() == 0
    bare = ("serve", "--port", 0, "--metrics-port", 0, "--journal", journal)
    status, _, err = service.run(tessera, *bare, "--voxel-size", 0.02)
    assert status == 2 and "voxel-size 0.05 (now 0.02)" in err and "--fresh" in err and f"{len(recording)} keyframes" in err
    status, _, err = service.run(tessera, *bare, *MAPPING, "--min-range", 1)
    assert status == 2 and "min-range 0.05 (now 1)" in err
    running = service.Service(tessera, options=("--journal", journal, "--voxel-size", "auto"))
    try:
        assert loaded(running)["hash"] == wanted
    finally:
        assert running.stop() == 0
    running = serve(options=("--journal", journal, "--fresh"))
    running.wait_for_line("is now")
    assert running.map()["keyframes"] == 0
    aside = [name for name in os.listdir(tmp_path) if name.startswith("journal.20")]
    assert len(aside) == 1
    running.end()
    running = serve(options=("--journal", tmp_path / aside[0]))
    assert loaded(running)["hash"] == wanted


def test_where_a_journal_is_when_nothing_is_said(tessera, serve, tmp_path):
    home = {"TESSERA_JOURNAL": "", "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path / "home")}
    port = free_port()
    running = serve(options=("--port", port), env=home)
    running.wait_for_line(f"{tmp_path}/state/tessera/{port}, which is empty")
    running.end()
    running = serve(options=("--port", port), env={**home, "XDG_STATE_HOME": ""})
    running.wait_for_line(f"{tmp_path}/home/.local/state/tessera/{port}, which is empty")
    running.end()
    for sources, options in (((), ("--no-journal",)), ((), ("--journal", "off")), ((), ("--port", 0)), (("synthetic:room",), ())):
        running = serve(*sources, options=("--port", free_port(), *options), env=home)
        running.end()
        assert not any("journal" in line for line in running.log)
    status, _, err = service.run(tessera, "serve", "--port", port, env={**home, "XDG_STATE_HOME": "", "HOME": ""})
    assert status == 2 and "--journal DIR" in err and "--no-journal" in err
    status, _, err = service.run(tessera, "serve", "synthetic:room", "--fresh")
    assert status == 2 and "--fresh" in err


def test_a_folder_that_cannot_be_a_journal_is_told(tessera, tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("text")
    for name, told in (("file", "cannot be made"), ("file/below", "cannot be made"), ("full", "holds other things (letter)")):
        status, _, err = service.run(tessera, "serve", "--port", 0, "--metrics-port", 0, "--journal", tmp_path / name)
        assert status == 1 and told in err and str(tmp_path / name) in err
        status, _, err = service.run(tessera, "journal", "info", tmp_path / name)
        assert status == 1 and "no journal in" in err


def test_a_journal_of_another_user_is_told_and_what_root_does_in_it_is_its_owners(tessera, for_others, serve, recording):
    with tempfile.TemporaryDirectory() as above:  # which others may enter
        os.chmod(above, 0o755)
        journal = Path(above) / "journal"
        running = serve(options=("--journal", journal))
        publish_all(running, recording)
        running.crash()
        paths = [journal, *journal.rglob("*")]
        for path in paths:
            os.chown(path, 65534, 65534)
        for action in ("compact", "release"):
            assert subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", tessera, "journal", action, journal]).returncode == 0
        assert {path.stat().st_uid for path in (journal, *journal.rglob("*"))} == {65534}
        one = max(journal.glob("*.log"), key=os.path.getmtime)
        os.chown(one, 0, 0)
        one.chmod(0o600)
        done = subprocess.run(
            [for_others, "serve", "--port", "0", "--metrics-port", "0", "--journal", journal],
            user=65534, group=65534, capture_output=True, text=True, timeout=service.PATIENCE_S)
        assert done.returncode == 1 and "Permission denied" in done.stderr
        assert "is of the user 0, and this is 65534" in done.stderr and "chown" in done.stderr


def test_the_journal_command_tells_what_is_in_one(tessera, serve, recording, tmp_path):
    journal = tmp_path / "journal"
    running = serve(options=("--journal", journal))
    publish_all(running, recording)
    running.crash()
    for action in ("info", "verify", "compact", "release", "verify"):
        status, out, err = service.run(tessera, "journal", action, journal, "--json")
        assert status == 0, err
        told = json.loads(out)
        assert told["keyframes"] == len(recording) and told["sources"] == {"http": len(recording)}
        assert told["map"]["voxel_m"] == pytest.approx(0.05) and told["format"] == 5
        assert told["first"] <= told["last"] and told["disk_bytes"] > 0
        assert told.get("damaged", []) == []
        status, out, err = service.run(tessera, "journal", action, journal)
        assert status == 0 and f"keyframes {len(recording)}\n" in out and "from http" in out
    rays = sorted(journal.glob("*.blob"), key=os.path.getsize)[-1]
    content = bytearray(rays.read_bytes())
    content[len(content) // 2] ^= 1
    rays.write_bytes(content)
    status, out, err = service.run(tessera, "journal", "verify", journal)
    assert status == 1 and out.count("\ndamaged: ") == 1 and "frame-" in out
    status, _, err = service.run(tessera, "journal", "look", journal)
    assert status == 2 and "info, verify, salvage, compact, release or export" in err
    # The service tells it, and goes on without it; it can be sent again.
    running = serve(options=("--journal", journal))
    running.wait_for_line("is lost")
    assert loaded(running)["keyframes"] == len(recording) - 1
    publish_all(running, recording)
    assert running.map()["keyframes"] == len(recording)


def test_an_exported_journal_is_a_recording_of_the_same_map(tessera, serve, recording, wanted, tmp_path):
    journal, file = tmp_path / "journal", tmp_path / "export.mcap"
    running = serve(options=("--journal", journal))
    with tessera_client.connect(running.url, session="one") as client:
        for frame in recording:
            client.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    running.crash()
    status, _, err = service.run(tessera, "journal", "export", journal)
    assert status == 2 and "--output FILE" in err
    status, _, err = service.run(tessera, "journal", "export", journal, "-o", file)
    assert status == 0 and f"{len(recording)} of {len(recording)} keyframes" in err and "voxel-size 0.05 m" in err, err
    status, _, err = service.run(tessera, "journal", "export", journal, "-o", file)
    assert status == 1 and "cannot make" in err  # nothing is written over
    status, out, err = service.run(tessera, "hash", f"recording:{file}", *MAPPING)
    assert status == 0 and out.split()[0] == wanted, (out, err)
    # Poses that were corrected are those of the export.
    running = serve(options=("--journal", journal))
    loaded(running)
    with tessera_client.connect(running.url, session="one") as client:
        client.revise_keyframe(recording[0].id, recording[3].pose)
    moved = running.map()["hash"]
    assert running.end() == 0
    again = tmp_path / "again.mcap"
    assert service.run(tessera, "journal", "export", journal, "-o", again)[0] == 0
    assert moved != wanted and service.run(tessera, "hash", f"recording:{again}", *MAPPING)[1].split()[0] == moved
    # What is damaged is named and left out.
    rays = sorted(journal.glob("*.blob"), key=os.path.getsize)[-1]
    content = bytearray(rays.read_bytes())
    content[len(content) // 2] ^= 1
    rays.write_bytes(content)
    status, _, err = service.run(tessera, "journal", "export", journal, "-o", tmp_path / "damaged.mcap")
    assert status == 1 and f"{len(recording) - 1} of {len(recording)} keyframes" in err and "is damaged and left out" in err


def has_snapshots(running, regions):
    return running.metrics()["tessera_snapshots"] == regions


def test_a_start_makes_regions_of_snapshots_and_of_keyframes_what_they_lack(tessera, serve, recording, wanted, tmp_path):
    journal = tmp_path / "journal"
    options = ("--journal", journal, "--snapshot-after", 0.1)
    running = serve(options=options)
    publish_all(running, recording[:-2])
    regions = len(running.get("/v1/regions"))
    running.wait(lambda: has_snapshots(running, regions), "a snapshot of each region")
    running.crash()
    status, out, err = service.run(tessera, "journal", "verify", journal, "--json")
    assert status == 0, err
    told = json.loads(out)["snapshots"]
    assert (told["regions"], told["usable"], told["damaged"]) == (regions, regions, []) and told["bytes"] > 0
    running = serve(options=(*options, "--snapshot-after", 3600))
    loaded(running)
    assert running.metrics()["tessera_snapshots_used_total"] == regions
    publish_all(running, recording)  # two are new to the map, and in no snapshot
    assert running.map()["hash"] == wanted
    assert running.end() == 0
    some = sorted((journal / "snapshots").glob("*.region"))[0]
    content = bytearray(some.read_bytes())
    content[-1] ^= 1
    some.write_bytes(content)
    status, out, _ = service.run(tessera, "journal", "verify", journal)
    assert status == 1 and f"a damaged snapshot, which costs time alone: {some}" in out
    running = serve(options=options)
    running.wait_for_line(f"the snapshot {some} cannot be used")
    after = loaded(running)
    assert (after["hash"], after["keyframes"]) == (wanted, len(recording))
    assert running.metrics()["tessera_snapshots_used_total"] == regions - 1
    viewer = Viewer(running.url)
    running.wait(lambda: viewer.triangles() == running.map()["triangles"] > 0, "the whole map at a viewer")
    viewer.close()
    assert running.fetch("/v1/keyframes", method="DELETE")[0] == 200
    running.wait(lambda: has_snapshots(running, 0), "no snapshot of what is empty")


def test_viewers_who_come_back_to_a_new_process_are_sent_what_they_lack(serve, recording, wanted, tmp_path):
    options = ("--journal", tmp_path / "journal", "--snapshot-after", 0.1)
    running = serve(options=options)
    publish_all(running, recording[:-1])
    viewer = Viewer(running.url, protocol="tessera.v2")
    running.wait(lambda: viewer.triangles() == running.map()["triangles"] > 0, "the whole map at a viewer")
    have, epoch = [[*region, str(version)] for region, version in viewer.versions().items()], viewer.hello["epoch"]
    viewer.close()
    # What is told is written within seconds, so that a process that is killed then has told the next.
    surfaces = tmp_path / "journal" / "surfaces"
    seen = surfaces.stat().st_mtime_ns
    running.wait(lambda: surfaces.stat().st_mtime_ns != seen, "what was told is written")
    for killed in (True, False):
        if killed:
            running.crash()
        else:
            assert running.end() == 0
        running = serve(options=options)
        viewer = Viewer(running.url, have=have, epoch=epoch)  # while the map is made again
        loaded(running)
        assert viewer.hello["epoch"] == epoch
        late = Viewer(running.url)
        running.wait(lambda: late.triangles() == running.map()["triangles"], "the whole map at another viewer")
        assert viewer.log == [] and late.versions() == {tuple(one[:3]): int(one[3]) for one in have}
        viewer.close()
        late.close()
    viewer = Viewer(running.url, have=have, epoch=epoch)
    publish_all(running, recording[-1:])
    late = Viewer(running.url)
    running.wait(lambda: late.triangles() == running.map()["triangles"], "the whole map at another viewer")
    kept = {tuple(one[:3]): int(one[3]) for one in have}
    changed = {region: version for region, version in late.versions().items() if kept.get(region) != version}
    assert 0 < len(changed) < len(have)
    running.wait(lambda: {**kept, **viewer.versions()} == late.versions(), "what changed at the viewer who came back")
    assert set(viewer.patches) == set(changed)
    assert running.map()["hash"] == wanted
    viewer.close()
    late.close()


def test_there_are_no_snapshots_without_room_for_them(serve, recording, wanted, tmp_path):
    options = ("--journal", tmp_path / "journal", "--snapshots", 0, "--snapshot-after", 0)
    running = serve(options=options)
    publish_all(running, recording)
    running.end()
    running = serve(options=options)
    assert loaded(running)["hash"] == wanted
    assert not list((tmp_path / "journal").glob("snapshots/*"))


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", disk], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("only root can mount a small file system: " + done.stderr.decode().strip())
    yield disk
    subprocess.run(["umount", "-l", disk], check=False)


def test_a_journal_that_has_no_room_to_be_compacted_is_told(tessera, serve, recording, small_disk):
    journal = small_disk / "journal"
    running = serve(options=("--journal", journal, "--store-memory", 8 * MIB))
    publish_all(running, recording)
    assert running.end() == 0
    running = serve(options=("--journal", journal, "--store-memory", 8 * MIB))  # what was in the log is now in files
    loaded(running)
    for frame in recording[::2]:
        assert running.fetch(f"/v1/keyframes/{frame.id}", method="DELETE")[0] == 200
    assert running.end() == 0
    with (small_disk / "others").open("wb") as others:
        others.write(b"x" * (24 * MIB))
    status, _, err = service.run(tessera, "journal", "compact", journal)
    assert status == 1 and "cannot be compacted" in err and "No space left" in err
    (small_disk / "others").unlink()
    before = sum(file.stat().st_size for file in journal.glob("*.blob"))
    status, _, err = service.run(tessera, "journal", "compact", journal)
    assert status == 0, err
    assert sum(file.stat().st_size for file in journal.glob("*.blob")) < before


def test_a_full_disk_is_not_now_and_is_over_when_there_is_room(serve, recording, small_disk):
    running = serve(options=("--journal", small_disk / "journal", "--store-memory", 8 * MIB))
    first, *others = recording
    assert post(running, first.id, first) == 200
    (small_disk / "others").write_bytes(b"x" * (36 * MIB))
    for frame in others:
        assert post(running, frame.id, frame) == 503
    status, body = running.fetch("/readyz")
    assert status == 503 and b"No space left" in body
    assert running.map()["keyframes"] == 1  # it goes on serving
    assert post(running, first.id, first) == 200
    assert running.fetch(f"/v1/keyframes/{first.id}", method="DELETE")[0] == 200  # and forgets
    (small_disk / "others").unlink()
    for frame in recording:
        running.wait(lambda frame=frame: post(running, frame.id, frame) == 200, "room")
    hash_ = running.map()["hash"]
    assert running.fetch("/readyz")[0] == 200
    running.end()
    running = serve(options=("--journal", small_disk / "journal", "--store-memory", 8 * MIB))
    assert loaded(running)["hash"] == hash_
    running.end()
