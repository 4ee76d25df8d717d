"""What the commands print and how they end."""

import json
import re
import shlex
import shutil
import subprocess

import pytest

from conftest import MAPPING, ROOT
from support import service, stock
from support.left_out import need_program


def test_hash_is_the_same_however_the_work_is_done(tessera, folder, wanted):
    for options in (("--threads", 1), ("--shuffle", 5), ("--region-size", 16), ("--region-size", 256, "--shuffle", 9)):
        digits, counts = service.hash_of(tessera, f"rgbd:{folder}", *MAPPING[:4], *options)
        assert digits == wanted, options


def test_hash_tells_other_maps_apart(tessera, folder, wanted):
    digits, counts = service.hash_of(tessera, f"rgbd:{folder}", *MAPPING, "--limit", 7)
    assert counts["keyframes"] == 7 and digits != wanted
    digits, counts = service.hash_of(tessera, f"rgbd:{folder}", *MAPPING, "--every", 2)
    assert counts["keyframes"] == 4


def test_a_frame_that_cannot_be_read_is_set_aside(tessera, folder, recording, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "frame-000001.depth.png").write_bytes(b"not a picture")
    (broken / "frame-000002.pose.txt").write_text("1 0 0 nan\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (broken / "frame-000003.color.png").unlink()
    (broken / "frame-000004.pose.txt").write_text("")
    status, out, err = service.run(tessera, "hash", f"rgbd:{broken}", *MAPPING)
    assert f"keyframes={len(recording) - 4} " in out.strip().splitlines()[-1]
    for name in ("frame-000001", "frame-000002", "frame-000003", "frame-000004"):
        assert name in out + err


@pytest.mark.parametrize(
    "ends_with, line",
    [
        (1, "hash rgbd:/nowhere"),
        (2, "hash ftp://x"),
        (2, "hash"),
        (2, "hash synthetic:nothing"),
        (2, "explode"),
        (2, "serve --port 99999"),
        (2, "serve --voxel-size -1"),
        (2, "serve --voxel-size nan"),
        (2, "serve --region-size 17"),
        (2, "serve --bind 0.0.0.0 --port 0 --metrics-port 0"),
        (2, "publish synthetic:room"),
        (2, "publish synthetic:room --limit 1 --to gopher://x"),
        (1, "publish synthetic:room --limit 1 --to http://127.0.0.1:1"),
    ],
)
def test_mistakes_are_named_and_end_with_an_error(tessera, ends_with, line):
    """2 for what was asked and cannot be, 1 for what is not there."""
    status, out, err = service.run(tessera, *line.split())  # publish asks for half a minute
    assert status == ends_with, out + err
    assert err.strip(), "nothing was said on standard error"
    assert "terminate called" not in err


def test_publish_says_where_a_token_goes(tessera):
    status, out, err = service.run(tessera, "publish", "synthetic:room", "--to", "http://127.0.0.1:1", "--token", "s3cret")
    assert status == 2 and "TESSERA_TOKEN" in err and "?token=" in err
    assert "s3cret" not in out + err


def test_serve_says_where_and_answers(serve, recording):
    running = serve()
    assert re.match(r"http://127\.0\.0\.1:\d+$", running.url)
    assert running.fetch("/healthz")[0] == 200
    running.wait(lambda: running.fetch("/readyz")[0] == 200, "readiness")
    assert running.get("/v1/map")["keyframes"] >= 0
    assert running.fetch("/metrics", running.metrics_url)[0] == 200
    assert json.loads(running.fetch("/v1/actors")[1])
    assert running.fetch("/nowhere")[0] == 404


def test_a_port_that_is_taken_is_named(tessera, serve):
    running = serve()
    port = running.url.rsplit(":", 1)[1]
    status, out, err = service.run(tessera, "serve", "--port", port, "--metrics-port", "0")
    assert status == 1 and port in err and "choose another with --port" in err


def test_health_asks_the_service_of_this_machine(tessera, serve):
    running = serve()
    port = running.url.rsplit(":", 1)[1]
    for bind in ("127.0.0.1", "0.0.0.0"):
        status, out, err = service.run(tessera, "health", env={"TESSERA_PORT": port, "TESSERA_BIND": bind})
        assert (status, out) == (0, f"http://127.0.0.1:{port}/healthz: 200 ok\n"), err
    running.end()
    status, out, err = service.run(tessera, "health", running.url)
    assert status == 1 and "is the service there?" in err
    assert service.run(tessera, "health", env={"TESSERA_PORT": "0"})[0] == 2


@pytest.mark.parametrize("address", ["http://[::1:80", "http://[::1]x:80", "http://u:s3cret@127.0.0.1:80", "http://:80",
                                     "ftp://a"])
def test_health_takes_no_address_that_cannot_be(tessera, address):
    status, out, err = service.run(tessera, "health", address)
    assert (status, out) == (2, "") and "s3cret" not in err


def test_what_cannot_be_printed_is_a_failure(tessera):
    for word in ("--version", "--help"):
        with open("/dev/full", "w") as full:
            assert subprocess.run([tessera, word], stdout=full, stderr=subprocess.DEVNULL, check=False).returncode == 1


def test_without_a_source_it_waits_for_keyframes_over_http(tessera, recording):
    """It must not bring a room of its own into the user's map."""
    running = service.Service(tessera)
    try:
        assert any("no source is named" in line for line in running.log) or running.wait(
            lambda: any("POST " + running.url + "/v1/keyframes" in line for line in running.log), "what to do is said"
        )
        headers = {"Content-Type": "application/vnd.tessera.keyframe", "X-Keyframe-Id": "mine"}
        assert running.fetch("/v1/keyframes", data=stock.segment_bytes(recording[0], form=108), headers=headers)[0] == 200
        assert [camera["id"] for camera in running.get("/v1/cameras")] == ["mine"]
        assert not any("source " in line and "taking keyframes" in line for line in running.log)
    finally:
        assert running.stop() == 0


@pytest.mark.parametrize(
    "given, served",
    [
        ("", ["synthetic:room"]),
        ("--port 9000", ["synthetic:room", "--port", "9000"]),
        ("rgbd:/tmp --voxel-size 0.02", ["rgbd:/tmp", "--voxel-size", "0.02"]),
        ("--rate 5 'rgbd:/a b'", ["--rate", "5", "rgbd:/a b"]),
        ("synthetic:building", ["synthetic:building"]),
    ],
)
def test_make_run_serves_the_room_unless_a_source_is_named(given, served):
    need_program("make")
    dry = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "-o", "build", "run", f"ARGS={given}"], cwd=ROOT, capture_output=True,
        text=True, check=True
    )
    assert shlex.split(dry.stdout.splitlines()[-1])[3:] == served


def test_a_map_that_reaches_its_memory_cap_says_so(tessera, tmp_path):
    """The setting, its value and what to do; and at once, not when the source has ended."""
    status, _, err = service.run(tessera, "mesh", "synthetic:room", "--output", tmp_path / "room.ply", *MAPPING, "--backend",
                                 "cpu", "--memory-cap", "1MiB")
    assert status == 1
    assert "memory-cap" in err and "1048576 bytes (1 MiB)" in err and "--voxel-size" in err and "--limit" in err
    assert "device" not in err
    assert not (tmp_path / "room.ply").exists()
