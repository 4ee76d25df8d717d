"""Reads patches of codec 2, "cells": a region's surface as the cells that it runs through (docs/cells.md), whole or as what
changed since a version that is held. Marching cubes then makes the same mesh of it as the service did.

Over a stream whose subprotocol is ``tessera.v2``::

    held = {}
    for frame in frames:
        header = read_header(frame)
        if header.kind == EMPTY:
            held.pop(header.region, None)
        elif header.codec == CELLS:
            records = held[header.region] = apply(frame[HEADER.size:], header, region_voxels, held.get(header.region))
            show(mesh_of(records))

This is to be read, and to check others by; a large region takes a second.
"""

import struct
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from .cells_reader import Bytes, CellsError, CellsReader, Vertex, VerticesReader
from .keyframe import Array
from .marching_cubes import TRIANGLE_EDGES

#: Steps of the position grid in a voxel, and of a colour channel's step in its byte.
STEPS_PER_VOXEL, COLOUR_STEP = 32, 5

#: A patch frame's header: docs/protocol.md, "Patch frame".
HEADER = struct.Struct("<IBBBBiiiIQQQII")
MAGIC = 0x31505354
SURFACE, EMPTY = 0, 1
DRACO, CELLS = 1, 2

Region = Tuple[int, int, int]

# Edges that begin in a block, and voxels of it.
_BLOCK_EDGES, _BLOCK_VOXELS = 1536, 512
# The largest region that there can be, and how far from the origin the map reaches, in voxels.
_MOST_REGION_VOXELS, _MOST_VOXELS = 256, 1 << 19
# A partial payload begins with the version that it builds on; then it says how long its code is, as each does.
_BASE, _LENGTH = struct.Struct("<Q"), struct.Struct("<I")


class MissingBaseError(CellsError):
    """What a partial patch builds on is not held. Say so to the service (``lost``), and the region comes whole."""


class PatchHeader(NamedTuple):
    """What a patch frame says before its payload."""

    kind: int
    codec: int
    partial: bool
    region: Region
    vertices: int
    triangles: int
    version: int
    keyframe_ns: int
    received_ns: int


class Mesh(NamedTuple):
    """Triangles of one region; equal vertices of neighbouring regions have equal places."""

    #: N x 3 int32; times the hello's ``quantum_m``: metres.
    places: Array
    #: N x 3 uint8, sRGB.
    colours: Array
    #: M x 3 uint32, counter-clockwise seen from the observed side.
    triangles: Array


@dataclass(frozen=True)
class Records:
    """What a region's surface is made of. Blocks have 8^3 voxels and are named by slots, x fastest, region_voxels / 8 + 1 of them
    on an axis, since vertices may lie in the blocks after the region's. All arrays ascend by slot and place in it."""

    region: Region
    version: int
    region_voxels: int
    #: Of each cell that the surface runs through, 512 * slot + voxel of its lowest corner.
    cells: Array
    #: Which of its corners are inside: a bit for each.
    cases: Array
    #: Of each vertex, 1536 * slot + 3 * voxel + axis of the lattice edge that it lies on.
    edges: Array
    #: Steps from that edge's beginning: 1 to 31.
    fractions: Array
    #: N x 3, steps of COLOUR_STEP: 0 to 51.
    colours: Array


def read_header(frame: Bytes) -> PatchHeader:
    """Returns what a binary frame of the stream begins with. Throws CellsError unless it is a whole patch."""
    if len(frame) < HEADER.size:
        raise CellsError(f"patch frame of {len(frame)} bytes, its header alone takes {HEADER.size}")
    (magic, kind, codec, level, flags, x, y, z, vertices, version, keyframe_ns, received_ns, triangles,
     payload_bytes) = HEADER.unpack_from(frame)
    if magic != MAGIC:
        raise CellsError(f"patch magic {magic:#x}, expected {MAGIC:#x}")
    for name, value, most in (("kind", kind, 1), ("level", level, 0), ("flags", flags, 1 if codec == CELLS else 0)):
        if value > most:
            raise CellsError(f"patch {name} {value}, at most {most} is known")
    if kind == SURFACE and codec not in (DRACO, CELLS):
        raise CellsError(f"patch codec {codec}, known are {DRACO} (Draco) and {CELLS} (cells)")
    if payload_bytes != len(frame) - HEADER.size:
        raise CellsError(f"patch says {payload_bytes} payload bytes, {len(frame) - HEADER.size} are there")
    partial = kind == SURFACE and flags == 1
    return PatchHeader(kind, codec, partial, (x, y, z), vertices, triangles, version, keyframe_ns, received_ns)


def _edge_owners() -> Tuple[Array, Array]:
    """Of each edge of the 9^3 voxels from a block's first on, [z, y, x, axis]: which of the eight blocks (+x, +y, +z) has it, and
    its number there."""
    z, y, x, axis = np.indices((9, 9, 9, 3))
    return (x >> 3) | (y >> 3) << 1 | (z >> 3) << 2, 3 * ((z & 7) << 6 | (y & 7) << 3 | (x & 7)) + axis


_OWNER, _NUMBER = (a.reshape(-1) for a in _edge_owners())
_VOXEL = np.arange(_BLOCK_VOXELS)
# Where the edges of a voxel begin in these, and those of a cell from there on, by their names in the table.
_CELL_PLACE = 3 * (81 * (_VOXEL >> 6) + 9 * (_VOXEL >> 3 & 7) + (_VOXEL & 7))
_CORNER = np.arange(24) // 3
_EDGE_PLACE = 3 * (81 * (_CORNER >> 2) + 9 * (_CORNER >> 1 & 1) + (_CORNER & 1)) + np.arange(24) % 3
# For each case, its number of triangles, and where the edges of their corners are.
_TRIANGLES = np.array([len(edges) // 3 for edges in TRIANGLE_EDGES])
_CORNERS = np.zeros((256, 15), dtype=np.int64)
for _case, _edges in enumerate(TRIANGLE_EDGES):
    _CORNERS[_case, : len(_edges)] = _EDGE_PLACE[list(_edges)]


def _corners_of(cells: Array, cases: Array, region_voxels: int) -> Array:
    """The edges (1536 * slot + number) that the corners of the cells' triangles lie on, in the triangles' order."""
    across = region_voxels // 8 + 1
    n = np.arange(8)
    steps = (n & 1) + (n >> 1 & 1) * across + (n >> 2) * across * across
    slots, voxels = np.divmod(cells, _BLOCK_VOXELS)
    counts = 3 * _TRIANGLES[cases]
    places = (_CELL_PLACE[voxels][:, None] + _CORNERS[cases])[np.arange(15) < counts[:, None]]
    return (np.repeat(slots, counts) + steps[_OWNER[places]]) * _BLOCK_EDGES + _NUMBER[places]


def _check_header(header: PatchHeader, region_voxels: int) -> None:
    if not 8 <= region_voxels <= _MOST_REGION_VOXELS or region_voxels % 8:
        raise CellsError(f"regions of {region_voxels} voxels; they have 8 to {_MOST_REGION_VOXELS}, by eights")
    if header.kind != SURFACE or header.codec != CELLS:
        raise CellsError(f"a patch of kind {header.kind} and codec {header.codec}, not {SURFACE} and {CELLS}")
    for name, said, least, most in (("triangles", header.triangles, 1, 5 * region_voxels**3),
                                    ("vertices", header.vertices, 3, 3 * header.triangles)):
        if not least <= said <= most:
            raise CellsError(f"the header says {said} {name}; there are {least} to {most}")
    if max(map(abs, header.region)) * region_voxels > _MOST_VOXELS + region_voxels:
        raise CellsError(f"region {header.region} is beyond the map")


def _base_of(payload: Bytes, header: PatchHeader, region_voxels: int, held: Optional[Records]) -> Records:
    if len(payload) < _BASE.size:
        raise CellsError(f"a partial payload of {len(payload)} bytes, its base alone takes {_BASE.size}")
    (base,) = _BASE.unpack_from(payload)
    if held is None:
        raise MissingBaseError(f"it builds on version {base}, and none is held")
    if (held.region, held.region_voxels, held.version) != (header.region, region_voxels, base):
        raise MissingBaseError(f"it builds on version {base} of region {header.region}, and version {held.version} of region "
                               f"{held.region} is held")
    return held


def _halves_of(payload: bytes) -> Tuple[bytes, bytes]:
    there = len(payload) - _LENGTH.size
    (length,) = _LENGTH.unpack_from(payload) if there >= 0 else (0,)
    if there < length:
        raise CellsError(f"a code of {length} bytes does not fit into {len(payload)}")
    return payload[_LENGTH.size : _LENGTH.size + length], payload[_LENGTH.size + length :]


def apply(payload: Bytes, header: PatchHeader, region_voxels: int, held: Optional[Records] = None) -> Records:
    """Returns the records of the whole region as a patch of codec 2 makes them; `region_voxels` is the hello's, `held` what is
    held of the region, which a partial patch builds on. Throws MissingBaseError if that is not what it builds on, CellsError
    for anything that is no patch of that header."""
    _check_header(header, region_voxels)
    base = _base_of(payload, header, region_voxels, held) if header.partial else None
    code, bits = _halves_of(bytes(payload)[_BASE.size if base else 0 :])
    reader = CellsReader(code, region_voxels)
    touched = reader.touched()
    coded = reader.cells(header.triangles)
    cells = np.array([512 * slot + place for slot in touched for place in sorted(coded[slot])], dtype=np.int64)
    cases = np.array([coded[slot][place] for slot in touched for place in sorted(coded[slot])], dtype=np.uint8)
    if base:
        kept = ~np.isin(base.cells // _BLOCK_VOXELS, touched)
        cells, cases = np.concatenate((cells, base.cells[kept])), np.concatenate((cases, base.cases[kept]))
        order = np.argsort(cells)
        cells, cases = cells[order], cases[order]
    edges = np.unique(_corners_of(cells, cases, region_voxels))
    for name, there, said in (("triangles", int(_TRIANGLES[cases].sum()), header.triangles),
                              ("vertices", len(edges), header.vertices)):
        if there != said:
            raise CellsError(f"its cells have {there} {name}, and the header says {said}")
    # Vertices of blocks that are not touched are those that are held.
    is_touched = np.isin(edges // _BLOCK_EDGES, touched)
    vertices = np.zeros((len(edges), 4), dtype=np.uint8)
    was = np.flatnonzero(~np.isin(base.edges // _BLOCK_EDGES, touched)) if base else np.zeros(0, dtype=np.int64)
    if not np.array_equal(edges[~is_touched], base.edges[was] if base else was):
        raise CellsError("the patch changes which edges are crossed in blocks that it does not touch")
    if base:
        vertices[~is_touched] = np.column_stack((base.fractions, base.colours))[was]
    vertices_reader = VerticesReader(bits)
    coming: List[Vertex] = []
    bounds = np.searchsorted(edges, [(_BLOCK_EDGES * slot, _BLOCK_EDGES * (slot + 1)) for slot in touched])
    for slot, (begin, end) in zip(touched, bounds):
        coming += vertices_reader.block(slot, edges[begin:end] % _BLOCK_EDGES)
    if coming:
        vertices[is_touched] = coming
    vertices_reader.end()
    return Records(header.region, header.version, region_voxels, cells, cases, edges, vertices[:, 0], vertices[:, 1:])


def mesh_of(records: Records) -> Mesh:
    """Returns the region's mesh in the service's own order: vertices by block, voxel, axis; triangles by block and cell."""
    across = records.region_voxels // 8 + 1
    slots, numbers = np.divmod(records.edges, _BLOCK_EDGES)
    voxels, axes = np.divmod(numbers, 3)
    blocks = np.stack((slots % across, slots // across % across, slots // across // across), axis=1)
    inside = np.stack((voxels & 7, voxels >> 3 & 7, voxels >> 6), axis=1)
    first = np.asarray(records.region, dtype=np.int64) * records.region_voxels
    places = STEPS_PER_VOXEL * (first + 8 * blocks + inside)
    places[np.arange(len(places)), axes] += records.fractions
    corners = np.searchsorted(records.edges, _corners_of(records.cells, records.cases, records.region_voxels))
    return Mesh(places.astype(np.int32), (COLOUR_STEP * records.colours).astype(np.uint8),
                corners.astype(np.uint32).reshape(-1, 3))
