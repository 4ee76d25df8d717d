import hashlib
import json
import pathlib
import random
import zlib
from dataclasses import replace

import numpy as np
import pytest

from tessera_client.cells import CELLS, EMPTY, HEADER, CellsError, MissingBaseError, apply, mesh_of, read_header
from tessera_client.marching_cubes import TRIANGLE_EDGES

# Frames that the service wrote, each on the one before it, and digests of the meshes that it makes of them.
VECTORS = json.loads((pathlib.Path(__file__).parents[4] / "tests" / "support" / "cells_vectors.json").read_text())
BALL = next(vector for vector in VECTORS if vector["name"].startswith("a ball"))


def frames_of(vector):
    return [bytes.fromhex("".join(step["frame"])) for step in vector["steps"]]


def take(frame, region_voxels, held=None, **changed):
    return apply(frame[HEADER.size :], read_header(frame)._replace(**changed), region_voxels, held)


def digest(mesh):
    parts = (mesh.places.astype("<i4"), mesh.colours, mesh.triangles.astype("<u4"))
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


def test_the_table_is_the_services():
    # Counts and edges as gpu/shared/marching_cubes.hpp has them.
    assert zlib.crc32(b"".join(bytes((len(edges) // 3, *edges)) for edges in TRIANGLE_EDGES)) == 2055413051


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_mesh_is_the_services(vector):
    held = None
    for frame, step in zip(frames_of(vector), vector["steps"]):
        held = take(frame, vector["region_voxels"], held)
        mesh = mesh_of(held)
        assert (mesh.places.dtype, mesh.colours.dtype, mesh.triangles.dtype) == (np.int32, np.uint8, np.uint32)
        assert (len(mesh.places), len(mesh.triangles)) == (step["vertices"], step["triangles"])
        assert len(mesh.colours) == len(mesh.places) and mesh.triangles.max() < len(mesh.places)
        assert digest(mesh) == step["mesh"]


def test_a_header_is_read_field_by_field():
    header = read_header(HEADER.pack(0x31505354, 0, 2, 0, 1, -1, 2, -3, 10, 1 << 63, 5, 6, 20, 9) + bytes(9))
    assert header == (0, CELLS, True, (-1, 2, -3), 10, 20, 1 << 63, 5, 6)
    assert read_header(HEADER.pack(0x31505354, 1, 2, 0, 0, 0, 0, 0, 0, 7, 5, 6, 0, 0)).kind == EMPTY


@pytest.mark.parametrize(
    "at, value, words",
    [(0, 0, "magic"), (4, 2, "kind 2"), (5, 3, "codec 3"), (6, 1, "level 1"), (7, 2, "flags 2"), (52, 0, "payload bytes")],
)
def test_a_bad_header_is_named(at, value, words):
    frame = bytearray(frames_of(BALL)[0])
    frame[at] = value
    with pytest.raises(CellsError, match=words):
        read_header(frame)
    with pytest.raises(CellsError, match="its header alone takes 56"):
        read_header(frame[:55])


def test_a_partial_patch_without_its_base_is_told_apart():
    whole, partial = frames_of(BALL)[:2]
    held = take(whole, 16)
    for other in (None, replace(held, version=4), replace(held, region=(0, 0, 1))):
        with pytest.raises(MissingBaseError, match="it builds on version 5"):
            take(partial, 16, other)
    assert digest(mesh_of(take(partial, 16, held))) == BALL["steps"][1]["mesh"]
    assert digest(mesh_of(held)) == BALL["steps"][0]["mesh"]


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"triangles": 1447}, "more triangles than the header's 1447"),
        ({"triangles": 1449}, "its cells have 1448 triangles, and the header says 1449"),
        ({"vertices": 725}, "its cells have 726 vertices, and the header says 725"),
        ({"vertices": 1 << 31}, "the header says 2147483648 vertices; there are 3 to 4344"),
        ({"region": (1 << 20, 0, 0)}, "is beyond the map"),
        ({"codec": 1}, "codec 1"),
    ],
)
def test_a_lying_header_is_named(changed, words):
    with pytest.raises(CellsError, match=words):
        take(frames_of(BALL)[0], 16, **changed)


def test_damaged_payloads_end_in_an_error_or_in_a_mesh_of_the_same_counts():
    generator = random.Random(7)
    whole, partial = frames_of(BALL)[:2]
    held = take(whole, 16)
    for turn in range(60):
        frame = bytearray((whole, partial)[turn % 2])
        for _ in range(generator.randint(1, 3)):
            frame[generator.randrange(HEADER.size, len(frame))] ^= 1 << generator.randrange(8)
        try:
            mesh = mesh_of(take(frame, 16, held))
        except CellsError:
            continue
        header = read_header(frame)
        assert (len(mesh.places), len(mesh.triangles)) == (header.vertices, header.triangles)


def test_truncated_payloads_are_refused():
    frame = frames_of(BALL)[0]
    header, payload = read_header(frame), frame[HEADER.size :]
    for length in (*range(12), *range(12, len(payload), 97), len(payload) - 1):
        with pytest.raises(CellsError):
            apply(payload[:length], header, 16)
    with pytest.raises(CellsError, match="more bits than its vertices need"):
        apply(payload + b"\0", header, 16)
