"""Reads our PLY, and says what a strict reader of meshes would object to."""

import numpy as np


def read_ply(path):
    """Positions (N x 3), triangles (M x 3), comments of a binary PLY of ours."""
    data = path.read_bytes()
    end = data.index(b"end_header\n") + len(b"end_header\n")
    lines = data[:end].decode().splitlines()
    counts = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("element ")}
    vertex = np.dtype([("place", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)])
    face = np.dtype([("corners", "u1"), ("vertices", "<i4", 3)])
    vertices = np.frombuffer(data, vertex, counts["vertex"], end)
    faces = np.frombuffer(data, face, counts["face"], end + vertices.nbytes)
    assert len(data) == end + vertices.nbytes + faces.nbytes
    assert (faces["corners"] == 3).all()
    comments = [line[8:] for line in lines if line.startswith("comment ")]
    return vertices["place"].astype(float), faces["vertices"].astype(np.int64), comments


def objections(places, triangles):
    """Counts what CGAL and the like refuse: repeated corners, no area, an edge used twice in a direction, several fans."""
    a, b, c = triangles.T
    repeated = (a == b) | (b == c) | (c == a)
    area = np.linalg.norm(np.cross(places[b] - places[a], places[c] - places[a]), axis=1)
    starts, ends = np.concatenate((a, b, c)), np.concatenate((b, c, a))
    crowded = len(starts) - len(np.unique(starts * len(places) + ends))
    # Around a vertex, each triangle leads from one neighbour to the next: one fan is one walk.
    onward = {}
    for x, y, z in np.concatenate((triangles, triangles[:, [1, 2, 0]], triangles[:, [2, 0, 1]])).tolist():
        onward.setdefault(x, {})[y] = z
    fans = 0
    for spokes in onward.values():
        begun = next(iter(set(spokes) - set(spokes.values())), next(iter(spokes)))
        at, walked = begun, 0
        while at in spokes and walked < len(spokes):
            at, walked = spokes[at], walked + 1
        fans += walked != len(spokes)
    return {"repeated": int(repeated.sum()), "no area": int((area == 0).sum()), "crowded": crowded, "fans": fans}
