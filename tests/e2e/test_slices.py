"""Pictures of the field along a plane, by the command, the service and the console; and a keyframe's rays."""

import json
import struct
import zlib

import numpy
import pytest

import tessera_client
from conftest import MAPPING
from support import browser, scene, service

SLICE = ("--axis", "z", "--at", "0.1", "--size", "400")


def read_png(data):
    """Pixels of an 8-bit RGB PNG, height x width x 3, by a reader of our own."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, header = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        header = struct.unpack(">IIBBBBB", body) if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    width, height, bits, colour, *_, interlaced = header
    assert (bits, colour, interlaced) == (8, 2, 0)
    raw = numpy.frombuffer(zlib.decompress(packed), numpy.uint8).reshape(height, 1 + 3 * width)
    rows = numpy.zeros((height, width, 3), numpy.uint8)
    for y in range(height):
        line, above = raw[y, 1:].reshape(width, 3), rows[y - 1] if y > 0 else numpy.zeros((width, 3), numpy.uint8)
        if raw[y, 0] == 0:
            rows[y] = line
        elif raw[y, 0] == 1:
            rows[y] = numpy.cumsum(line, axis=0, dtype=numpy.uint8)
        elif raw[y, 0] == 2:
            rows[y] = line + above
        else:
            raise AssertionError(f"filter {raw[y, 0]} is none of those that the program uses")
    return rows


def picture(tessera, folder, file, *options):
    status, _, err = service.run(tessera, "slice", f"rgbd:{folder}", *MAPPING, *SLICE, "-o", file, *options)
    assert status == 0, err
    return read_png(file.read_bytes())


def is_blue(pixels):
    return pixels[..., 2].astype(int) - pixels[..., 0] > 60


def is_red(pixels):
    return pixels[..., 0].astype(int) - pixels[..., 2] > 60


HATCH = numpy.array([240, 241, 243])


def test_a_slice_shows_the_walls_where_they_are(tessera, folder, tmp_path):
    pixels = picture(tessera, folder, tmp_path / "slice.png", "--show", "distance", "--area", "-2.5,2.5,-2,2")
    # 101 x 81 voxels of 5 cm in 400 pixels: 3 pixels each. The plot is inside of a margin, an axis and a title.
    left, top, width, height = 18 + 44, 44 + 26, 303, 243
    assert pixels.shape[1] == 2 * 18 + 44 + 303 and pixels.shape[0] > top + height + 60
    plot = pixels[top : top + height, left : left + width]
    # The frames saw the walls at x = 2 and at y = 1.5: the first along y = 0, the second along x = 0.
    def pixel(metres, low):
        return int((metres - low) / 0.05 * 3 + 1.5)

    along_x, along_y = plot[height - 1 - pixel(0, -2)], plot[::-1, pixel(0, -2.5)]
    for line, wall, low in ((along_x, scene.ROOM[0], -2.5), (along_y, scene.ROOM[1], -2)):
        at = pixel(wall, low)
        black = [i for i in range(at - 5, at + 6) if line[i].max() < 110]
        assert black and abs(numpy.mean(black) - at) <= 2, f"no black line at {wall}: {line[at - 8 : at + 9].tolist()}"
        assert is_blue(line[pixel(wall - 0.1, low)]), "the side that was seen is blue"
        assert is_red(line[pixel(wall + 0.05, low)]), "what is behind the wall is red"
        assert (line[pixel(wall + 0.3, low)] >= HATCH - 40).all(), "what is far behind it is hatched"
    middle = plot[height // 2 - 20 : height // 2 + 20, width // 2 - 20 : width // 2 + 20].reshape(-1, 3)
    assert (middle == HATCH).all(axis=1).mean() > 0.7, "the middle of the room is not observed, and hatched"


def test_three_panels_have_their_scales(tessera, folder, tmp_path):
    pixels = picture(tessera, folder, tmp_path / "slice.png")
    alone = picture(tessera, folder, tmp_path / "alone.png", "--show", "distance")
    assert pixels.shape[0] == alone.shape[0] and pixels.shape[1] > 2.5 * alone.shape[1]
    assert pixels.shape[0] * pixels.shape[1] < 2**24
    # The scale of the distance runs from the darkest red to the darkest blue, that of the weight from violet to yellow.
    colours = {tuple(c) for c in pixels.reshape(-1, 3)}
    assert {(0x67, 0, 0x1F), (0x05, 0x30, 0x61), (0x44, 0x01, 0x54), (0xFD, 0xE7, 0x25)} <= colours
    assert (pixels[:, -1] == 255).all(), "a margin"


def test_a_slice_does_not_depend_on_threads_or_regions(tessera, folder, tmp_path):
    first = picture(tessera, folder, tmp_path / "first.png")
    for options in (("--threads", "1"), ("--region-size", "16"), ("--shuffle", "3")):
        assert (picture(tessera, folder, tmp_path / "other.png", *options) == first).all(), options


@pytest.mark.parametrize(
    "options, status, said",
    [
        (("--at", "0", "--axis", "w", "-o", "x.png"), 2, "axis is 'w', and can be x, y or z"),
        (("--at", "low", "-o", "x.png"), 2, "at is 'low', and can be a number of metres"),
        (("--at", "1e9", "-o", "x.png"), 2, "reaches to 26214.4 m"),
        (("--at", "0", "--size", "9999", "-o", "x.png"), 2, "size is '9999', and can be 100 to 2048 pixels"),
        (("--at", "0", "--area", "3,1,0,1", "-o", "x.png"), 2, "area is '3,1,0,1', and can be four numbers of metres"),
        (("--at", "0", "-o", "x.jpg"), 2, "does not end in .png"),
        (("--at", "0", "-o", "nowhere/x.png"), 1, "cannot write into"),
        (("-o", "x.png"), 2, "--at"),
        (("--at", "77", "-o", "x.png"), 1, "nothing was observed at z = 77 m"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_drawn_says_why(tessera, folder, tmp_path, monkeypatch, options, status, said):
    monkeypatch.chdir(tmp_path)
    ended, out, err = service.run(tessera, "slice", f"rgbd:{folder}", *MAPPING, *options)
    assert ended == status and said in err and not out, err
    assert list(tmp_path.iterdir()) == []


def feed(running, frames):
    with tessera_client.connect(running.url, session="") as publisher:
        for frame in frames:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)


def test_the_service_draws_what_the_command_draws(serve, tessera, folder, recording, tmp_path):
    running = serve()
    status, body = running.fetch("/v1/slices?at=0.1")
    assert status == 404 and "nothing was observed" in json.loads(body)["reason"]
    feed(running, recording)
    running.wait_for_keyframes(len(recording))
    query = "axis=z&at=0.1&size=400"
    status, body = running.fetch(f"/v1/slices?{query}")
    assert status == 200
    assert (read_png(body) == picture(tessera, folder, tmp_path / "slice.png")).all()
    status, body = running.fetch("/v1/slices?axis=z&at=0.1&size=7")
    assert status == 400 and json.loads(body)["field"] == "size"
    # A keyframe that goes is in no picture any more.
    for frame in recording[:-1]:
        assert running.fetch(f"/v1/keyframes/{frame.id}", method="DELETE")[0] == 200
    running.wait_for_keyframes(1)
    assert (read_png(running.fetch(f"/v1/slices?{query}")[1]).shape != ()) and running.fetch(f"/v1/slices?{query}")[1] != body


def test_the_console_shows_a_slice_and_follows_its_slider(serve, recording, tmp_path):
    running = serve()
    feed(running, recording)
    running.wait_for_keyframes(len(recording))
    shown = "document.querySelector('.slice-picture').naturalWidth > 100"
    place = "document.querySelector('.slice-place')"
    move = f"(() => {{ const p = {place}; p.value = p.max; p.dispatchEvent(new Event('input')); return p.value; }})()"
    seen = browser.drive(
        f"{running.url.rstrip('/')}/console", tmp_path,
        f"until:{shown}", "requests", f"eval:{move}",
        "until:document.querySelector('.slice .nothing').textContent.includes('Nothing was observed')", "requests",
    )
    first, _, second = seen["values"]
    assert len([r for r in first if "/v1/slices" in r]) == 1, "drawn once, and again only when asked"
    assert any("/v1/slices" in r for r in second)


def read_points(data):
    """A strict reader of the PLY of rays."""
    head, _, body = data.partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    types = {"float": "<f4", "uchar": "u1"}
    kind = numpy.dtype([(words[2], types[words[1]]) for words in map(str.split, lines) if words[0] == "property"])
    (count,) = [int(words[2]) for words in map(str.split, lines) if words[:2] == ["element", "vertex"]]
    assert len(body) == count * kind.itemsize
    return numpy.frombuffer(body, kind), [line[8:] for line in lines if line.startswith("comment ")]


def test_rays_of_a_keyframe_are_points_on_what_it_saw(tessera, folder, recording, tmp_path):
    file = tmp_path / "rays.ply"
    frame = recording[3]
    status, _, err = service.run(tessera, "rays", f"rgbd:{folder}", *MAPPING, "--keyframe", frame.id, "-o", file)
    assert status == 0, err
    points, comments = read_points(file.read_bytes())
    assert f"keyframe {frame.id}" in comments
    assert points["points"].astype(int).sum() == len(frame.points), "each point is in one bundle"
    assert (points["quality"] == 4 * numpy.minimum(points["points"], 31)).all()
    places = numpy.stack([points[a] for a in "xyz"], 1).astype(float)
    beyond = numpy.abs(numpy.abs(places) - scene.ROOM).min(axis=1)
    assert numpy.quantile(beyond, 0.95) < 0.03, "on the walls, but for corners"
    towards = numpy.stack([points[f"n{a}"] for a in "xyz"], 1)
    wanted = frame.pose[:3, 3] - places
    assert numpy.abs(towards - wanted / numpy.linalg.norm(wanted, axis=1, keepdims=True)).max() < 1e-3
    nearest = numpy.linalg.norm(places[:50, None] - frame.points[None], axis=2).argmin(axis=1)
    colours = numpy.stack([points[c] for c in ("red", "green", "blue")], 1)[:50].astype(int)
    assert numpy.abs(colours - frame.colours[nearest].astype(int)).mean() < 25


@pytest.mark.parametrize(
    "options, status, said",
    [
        (("--keyframe", "nobody", "-o", "x.ply"), 1, "has no keyframe 'nobody'; it has frame-000000, frame-000001"),
        (("--keyframe", "frame-000000", "-o", "x.png"), 2, "does not end in .ply"),
        (("-o", "x.ply"), 2, "--keyframe"),
        (("--keyframe", "frame-000000", "--max-range", "0.1", "-o", "x.ply"), 1, "keyframe frame-000000 is not in the map: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_rays_that_there_are_not_say_why(tessera, folder, tmp_path, monkeypatch, options, status, said):
    monkeypatch.chdir(tmp_path)
    ended, out, err = service.run(tessera, "rays", f"rgbd:{folder}", *MAPPING, *options)
    assert ended == status and said in err and not out, err
    assert list(tmp_path.iterdir()) == []
