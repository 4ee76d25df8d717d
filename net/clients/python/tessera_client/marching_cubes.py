"""The marching cubes table, derived as gpu/shared/marching_cubes.hpp does: the same triangles in the same order."""

from typing import List, Tuple

# The corners of each face of a cell, counter-clockwise seen from outside.
_FACES = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))


def _edge(p: int, q: int) -> int:
    return 3 * min(p, q) + (0, 0, 1, 0, 2)[p ^ q]


def _lies_in_a_face(e: int, f: int) -> bool:
    low_e, low_f = e // 3, f // 3
    high_e, high_f = low_e | 1 << e % 3, low_f | 1 << f % 3
    return low_e & high_e & low_f & high_f != 0 or low_e | high_e | low_f | high_f != 7


def _contours(inside: int) -> List[int]:
    """For each edge the one that follows it on the contours of the surface; -1 where there is none."""
    following = [-1] * 24
    for face in _FACES:
        for i in range(4):
            if not inside >> face[i] & 1 or inside >> face[(i + 1) & 3] & 1:
                continue
            begin = i  # of the run of inside corners that ends here
            while inside >> face[(begin + 3) & 3] & 1:
                begin = (begin + 3) & 3
            following[_edge(face[begin], face[(begin + 3) & 3])] = _edge(face[i], face[(i + 1) & 3])
    return following


def _triangles(inside: int) -> Tuple[int, ...]:
    following = _contours(inside)
    out: List[int] = []
    for start in range(24):
        loop: List[int] = []
        at = start
        while following[at] >= 0:
            loop.append(at)
            following[at], at = -1, following[at]
        # A fan about the first vertex none of whose diagonals lies in a face; there is one for every loop.
        apex = 0
        while any(_lies_in_a_face(loop[apex], loop[(apex + i) % len(loop)]) for i in range(2, len(loop) - 1)):
            apex += 1
        for i in range(1, len(loop) - 1):
            out += (loop[apex], loop[(apex + i) % len(loop)], loop[(apex + i + 1) % len(loop)])
    return tuple(out)


#: For each set of inside corners (bit c: corner c, at (c & 1, c >> 1 & 1, c >> 2), is inside), the edges of its triangles, three
#: each, counter-clockwise seen from outside. An edge is 3 * (its lower corner) + axis.
TRIANGLE_EDGES: Tuple[Tuple[int, ...], ...] = tuple(_triangles(inside) for inside in range(256))
