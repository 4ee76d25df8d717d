"""The files of `tessera mesh` and /v1/mesh.*, read by strict readers: no triangle without area, upright, named, valid."""

import json
import socket
import struct
import subprocess

import numpy
import pytest

import tessera_client
from conftest import MAPPING
from support import browser, scene, service
from support.left_out import need_program

ROOM = ("synthetic:room", "--every", 16, "--limit", 12, "--voxel-size", 0.1)


def written(tessera, file, *options):
    status, _, err = service.run(tessera, "mesh", *ROOM, "-o", file, *options)
    assert status == 0, err
    return file.read_bytes(), err


def read_ply(data):
    """A strict reader of what our PLY files are, and of draco_decoder's: positions, triangles, comments."""
    head, _, body = data.partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    vertex, counts, comments = [], {}, []
    types = {"float": "<f4", "uchar": "u1", "int": "<i4", "float32": "<f4", "uint8": "u1"}
    for line in lines[2:]:
        words = line.split()
        if words[0] == "comment":
            comments.append(line[8:])
        elif words[0] == "element":
            counts[words[1]] = int(words[2])
        elif words[1] != "list":
            assert list(counts) == ["vertex"]
            vertex.append((words[2], types[words[1]]))
        else:
            face = numpy.dtype([("n", types[words[2]]), ("corners", types[words[3]], 3)])
    vertex = numpy.dtype(vertex)
    vertices = numpy.frombuffer(body, vertex, counts["vertex"])
    faces = numpy.frombuffer(body, face, counts["face"], counts["vertex"] * vertex.itemsize)
    assert len(body) == counts["vertex"] * vertex.itemsize + counts["face"] * face.itemsize
    assert (faces["n"] == 3).all()
    positions = numpy.stack([vertices[a] for a in "xyz"], 1).astype(float)
    return positions, faces["corners"], comments, vertices


def read_glb(data):
    magic, version, size, json_bytes, kind = struct.unpack_from("<IIIII", data)
    assert (magic, version, size, kind) == (0x46546C67, 2, len(data), 0x4E4F534A)
    document = json.loads(data[20 : 20 + json_bytes])
    binary = data[28 + json_bytes :]
    assert len(binary) == document["buffers"][0]["byteLength"]

    def values(index):
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        kinds = {5126: "<f4", 5123: "<u2", 5125: "<u4"}
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        flat = numpy.frombuffer(binary, kinds[accessor["componentType"]], accessor["count"] * width, view["byteOffset"])
        return flat.reshape(-1, width)

    primitive = document["meshes"][0]["primitives"][0]
    attributes = {name: values(index) for name, index in primitive["attributes"].items()}
    return document, attributes, values(primitive["indices"]).reshape(-1, 3)


def check_triangles(positions, triangles):
    assert len(triangles) > 1000 and numpy.isfinite(positions).all()
    a, b, c = (positions[triangles[:, i]] for i in range(3))
    assert ((triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2]) & (triangles[:, 2] != triangles[:,
        0])).all()
    assert (numpy.linalg.norm(numpy.cross(b - a, c - a), axis=1) > 0).all()
    assert len(numpy.unique(triangles)) == len(positions), "a vertex that no triangle uses"
    places = numpy.unique(positions + 0.0, axis=0, return_inverse=True)[1].reshape(-1)[triangles]
    assert len(numpy.unique(numpy.sort(places, 1), axis=0)) == len(triangles), "two triangles between the same places"
    check_fans(triangles, len(positions))


def check_fans(triangles, vertices):
    """That the triangles at each vertex are one fan, as CGAL's is_polygon_soup_a_polygon_mesh asks: no edge has three triangles,
    none two that run along it in the same direction, and surfaces that touch in a point have a vertex each."""
    sides = numpy.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(numpy.int64)
    one_way = sides[:, 0] * vertices + sides[:, 1]
    assert len(numpy.unique(one_way)) == len(one_way), "two triangles run along an edge in the same direction"
    is_open = ~numpy.isin(one_way, sides[:, 1] * vertices + sides[:, 0])
    after = {}
    for a, b, c in triangles.tolist():
        after[a, b], after[b, c], after[c, a] = c, a, b
    begin = dict(sides.tolist()) | dict(sides[is_open].tolist())  # the rim, where there is one
    for v, size in enumerate(numpy.bincount(triangles.reshape(-1)).tolist()):
        seen, at = 0, begin[v]
        while (v, at) in after and seen < size:
            seen, at = seen + 1, after[v, at]
        assert seen == size, f"vertex {v} has {size} triangles, of which {seen} are one fan"


def rotated(quaternion, vectors):
    q, w = numpy.array(quaternion[:3]), quaternion[3]
    t = 2 * numpy.cross(q, vectors)
    return vectors + w * t + numpy.cross(q, t)


def check_upright(positions, normals):
    """That what lies lowest is a floor: seen from above."""
    low = positions[:, 1] < numpy.quantile(positions[:, 1], 0.02) + 0.1
    assert normals[low][:, 1].mean() > 0.8, normals[low].mean(axis=0)


def validate(file):
    folder = browser.need_node_module("gltf-validator")
    script = (
        "const fs=require('fs');require(process.argv[1]).validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))"
        ".then(r=>console.log(JSON.stringify(r)),e=>{console.error(e);process.exit(1)})"
    )
    done = subprocess.run(["node", "-e", script, folder, file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()
    report = json.loads(done.stdout)
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]


def test_ply_is_sound(tessera, tmp_path):
    data, said = written(tessera, tmp_path / "room.ply")
    positions, triangles, comments, vertices = read_ply(data)
    check_triangles(positions, triangles)
    assert f" {len(triangles)} triangles" in said
    assert {"unit metre", "colours sRGB", "voxel_m 0.1"} <= set(comments)
    assert [vertices.dtype[c] for c in ("red", "green", "blue")] == [numpy.dtype("u1")] * 3


def test_drc_is_sound(tessera, tmp_path):
    decoder = need_program("draco_decoder", "draco")
    _, said = written(tessera, tmp_path / "room.drc")
    subprocess.run([decoder, "-i", tmp_path / "room.drc", "-o", tmp_path / "again.ply"], check=True, stdout=subprocess.DEVNULL)
    positions, triangles, _, _ = read_ply((tmp_path / "again.ply").read_bytes())
    check_triangles(positions, triangles)
    assert f" {len(triangles)} triangles" in said
    grid = 0.1 / 32
    off = positions / grid - numpy.round(positions / grid)
    assert numpy.abs(off).max() < 0.01, "positions off the grid of patches"


def test_glb_is_sound_and_upright(tessera, tmp_path):
    file = tmp_path / "room.glb"
    data, said = written(tessera, file)
    document, attributes, triangles = read_glb(data)
    positions = attributes["POSITION"].astype(float)
    check_triangles(positions, triangles)
    assert f" {len(triangles)} triangles" in said
    node = document["nodes"][0]
    check_upright(rotated(node["rotation"], positions), rotated(node["rotation"], attributes["NORMAL"].astype(float)))
    assert node["extras"] == {"unit": "metre", "voxel_m": 0.1}
    material = document["materials"][0]
    assert not material.get("doubleSided", False) and "KHR_materials_unlit" in material["extensions"]
    validate(file)


def test_a_folder_whose_y_points_up_stands_as_the_same_room_does_elsewhere(tessera, folder, tmp_path):
    """With a negative fy: the same pixels, mirrored sideways, of cameras that are turned by half about the way they look."""
    frames = scene.frames()
    for frame in frames:
        frame.image, frame.depth_mm = frame.image[:, ::-1], frame.depth_mm[:, ::-1]
        frame.pose = frame.pose @ numpy.diag([-1, -1, 1, 1]).astype(numpy.float32)
    other = scene.write_folder(tmp_path / "other", frames)
    camera = [[scene.FOCAL, 0, scene.WIDTH / 2 - 1], [0, -scene.FOCAL, scene.HEIGHT / 2], [0, 0, 1]]
    numpy.savetxt(other / "camera-intrinsics.txt", camera)
    rotations = []
    for where in (folder, other):
        file = tmp_path / "room.glb"
        status, _, err = service.run(tessera, "mesh", f"rgbd:{where}", *MAPPING, "-o", file)
        assert status == 0, err
        rotations.append(read_glb(file.read_bytes())[0]["nodes"][0]["rotation"])
    assert rotations[1] == pytest.approx(rotations[0], abs=1e-5)


def test_up_turns_what_is_written(tessera, tmp_path):
    plain, _, _, _ = read_ply(written(tessera, tmp_path / "plain.ply")[0])
    wanted = {"y": plain, "-y": plain * (1, -1, -1), "z": plain[:, [0, 2, 1]] * (1, 1, -1),
              "-z": plain[:, [0, 2, 1]] * (1, -1, 1)}
    for up, expected in wanted.items():
        turned, triangles, _, _ = read_ply(written(tessera, tmp_path / "turned.ply", f"--up={up}")[0])
        assert len(turned) == len(plain)
        assert numpy.abs(turned - expected).max() < 1e-5, up
        check_triangles(turned, triangles)
    turned, _, _, vertices = read_ply(written(tessera, tmp_path / "turned.ply", "--up", "auto")[0])
    check_upright(turned, numpy.stack([vertices[n] for n in ("nx", "ny", "nz")], 1))
    document, _, _ = read_glb(written(tessera, tmp_path / "turned.glb", "--up", "-x")[0])
    assert rotated(document["nodes"][0]["rotation"], numpy.array([-1.0, 0, 0])) == pytest.approx([0, 1, 0], abs=1e-6)
    status, _, err = service.run(tessera, "mesh", *ROOM, "-o", tmp_path / "no.ply", "--up", "w")
    assert status == 2 and "'w'" in err and not (tmp_path / "no.ply").exists()


def corners_of(positions, triangles):
    """The triangles as places, each turned so that its least corner comes first, in order: they do not depend on numbering."""
    corners = positions[triangles]
    least = [min(range(3), key=lambda i, t=t: tuple(t[i])) for t in corners]
    return sorted(tuple(numpy.roll(t, -i, 0).reshape(-1)) for t, i in zip(corners, least))


def test_regions_have_a_file_each_and_together_the_whole_mesh(tessera, tmp_path):
    whole, triangles, comments, _ = read_ply(written(tessera, tmp_path / "whole.ply")[0])
    folder = tmp_path / "regions"
    status, _, err = service.run(tessera, "mesh", *ROOM, "--by-region", "-o", folder)
    assert status == 0, err
    files = sorted(folder.iterdir())
    assert len(files) > 1 and f" {len(files)} regions" in err
    found = []
    for file in files:
        assert file.suffix == ".ply" and len([int(n) for n in file.stem.split(",")]) == 3
        positions, of_region, told, _ = read_ply(file.read_bytes())
        assert told == comments
        found += corners_of(positions, of_region)
    assert sorted(found) == corners_of(whole, triangles)


def test_regions_go_only_into_a_folder_without_others_files(tessera, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "0,0,0.ply").write_text("of another map")
    (tmp_path / "file").write_text("no folder")
    for name, ends_with, said in (("used", 2, "empty folder"), ("file", 2, "empty folder"), ("none/deeper", 1, "none/deeper")):
        status, _, err = service.run(tessera, "mesh", *ROOM, "--by-region", "-o", tmp_path / name)
        assert status == ends_with and said in err and "triangles" not in err, err
    assert (tmp_path / "used" / "0,0,0.ply").read_text() == "of another map"
    assert not (tmp_path / "none").exists()
    status, _, err = service.run(tessera, "mesh", *ROOM, "--by-region", "-o", tmp_path / "new", "--up", "w")
    assert status == 2 and "'w'" in err and not (tmp_path / "new").exists()


def test_the_service_writes_the_same(serve, recording, tmp_path):
    running = serve()
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    epoch = running.map()["epoch"]
    status, data = running.fetch("/v1/mesh.glb")
    assert status == 200
    document, attributes, triangles = read_glb(data)
    check_triangles(attributes["POSITION"].astype(float), triangles)
    assert document["nodes"][0]["extras"] == {"unit": "metre", "voxel_m": pytest.approx(0.05), "epoch": epoch}
    (tmp_path / "map.glb").write_bytes(data)
    positions, triangles, comments, _ = read_ply(running.fetch("/v1/mesh.ply")[1])
    check_triangles(positions, triangles)
    assert f"epoch {epoch}" in comments
    validate(tmp_path / "map.glb")


def test_many_slow_readers_share_one_file(serve, recording):
    """A crowd that asks at once and reads nothing: one file is in memory, not one for each."""
    running = serve()
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    size = len(running.fetch("/v1/mesh.glb")[1])
    host, port = running.url.removeprefix("http://").split(":")
    before = running.resident_bytes()
    crowd = []
    try:
        for _ in range(200):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(60)
            one.connect((host, int(port)))
            one.sendall(b"GET /v1/mesh.glb HTTP/1.1\r\nHost: localhost\r\n\r\n")
            crowd.append(one)
        for one in crowd:
            assert one.recv(12) == b"HTTP/1.1 200"
        held = running.resident_bytes() - before
    finally:
        for one in crowd:
            one.close()
    assert held < 40 * size, (held, size)
