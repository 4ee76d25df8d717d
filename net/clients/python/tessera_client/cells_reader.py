"""What docs/cells.md says of a payload: which decisions tell a region's cells, and which bits its vertices."""

from typing import Dict, Iterator, List, Sequence, Tuple, Union

from .errors import TesseraError
from .marching_cubes import TRIANGLE_EDGES

Bytes = Union[bytes, bytearray, memoryview]
#: Cells of a block by their places, and vertices as fraction, red, green, blue.
Cases = Dict[int, int]
Vertex = Tuple[int, int, int, int]

# The corners on each face of a cell: before and after it along x, y, z.
_FACE_CORNERS = (0x55, 0xAA, 0x33, 0xCC, 0x0F, 0xF0)
# What is known of a voxel: its side, and of the cell whose lowest corner it is.
_OUTSIDE, _SIDE, _QUEUED, _NO_TRIANGLES, _TRIANGLES = 1, 3, 4, 8, 128
_MOST_LEVEL, _MOST_ZEROS = 51, 12
# Where the newest vertices near a voxel are looked for, in a grid of 10^3 of which a block has the inner 8^3.
_NEAR = (0, -1, -10, -100, -11, -9, -101, -99, -110, -90)


class CellsError(TesseraError, ValueError):
    """A frame or a payload cannot be what it claims to be."""


class RangeDecoder:
    """Reads a code, decision by decision. A context is a list and an index: the chance of 0, in 2048ths."""

    def __init__(self, payload: Bytes) -> None:
        self._payload = bytes(payload)
        self._at = 0
        self._range = 0xFFFFFFFF
        self._code = 0
        for _ in range(4):
            self._code = self._code << 8 | self._next()
        if self._code == self._range:
            raise CellsError("its code begins with 4 bytes of 255")

    def bit(self, contexts: List[int], at: int = 0) -> int:
        """Returns a decision in a context, which learns from it."""
        chance = contexts[at]
        bound = (self._range >> 11) * chance
        if self._code < bound:
            bit = 0
            self._range = bound
            contexts[at] = chance + (2048 - chance >> 4)
        else:
            bit = 1
            self._code -= bound
            self._range -= bound
            contexts[at] = chance - (chance >> 4)
        self._shift()
        return bit

    def plain(self, count: int) -> int:
        """Returns so many bits that are as likely as not."""
        self._range >>= count
        value = self._code // self._range
        if value >> count:
            raise CellsError(f"its code is none before byte {self._at}")
        self._code -= self._range * value
        self._shift()
        return value

    @property
    def left(self) -> int:
        """Bytes that were not needed."""
        return max(0, len(self._payload) - self._at)

    def _shift(self) -> None:
        while self._range < 1 << 24:
            self._range <<= 8
            self._code = self._code << 8 | self._next()

    def _next(self) -> int:
        at = self._at
        self._at += 1
        if at < len(self._payload):
            return self._payload[at]
        if at >= len(self._payload) + 4:
            raise CellsError(f"its code of {len(self._payload)} bytes ends too early")
        return 0


class CellsReader:
    """Reads the code of one payload: touched, and then cells."""

    def __init__(self, code: Bytes, region_voxels: int) -> None:
        self._coder = RangeDecoder(code)
        self._blocks = region_voxels // 8
        self._across = self._blocks + 1
        # One voxel more than the region's corners on each side, so that every neighbour is there.
        row = region_voxels + 3
        self._steps = (1, row, row * row)
        self._voxels: Dict[int, int] = {}
        self._queues: Dict[int, List[int]] = {}
        self._touched = [1024] * 8
        self._active = [1024] * 16
        self._more = [1024] * 4
        self._corners = [1024] * 27

    def touched(self) -> List[int]:
        """Returns the slots of the blocks that the patch touches."""
        across = self._across
        for slot in range(across**3):
            context = sum(
                1 << axis
                for axis in range(3)
                if slot // across**axis % across > 0 and slot - across**axis in self._queues
            )
            if self._coder.bit(self._touched, context):
                self._queues[slot] = []
        return list(self._queues)

    def cells(self, most_triangles: int) -> Dict[int, Cases]:
        """Returns the cells of each touched block, with `most_triangles` together at most."""
        out: Dict[int, Cases] = {}
        left = most_triangles
        for slot in self._queues:
            out[slot] = {}
            if max(self._block(slot)) == self._blocks:
                continue
            for place, inside in self._block_cells(slot):
                out[slot][place] = inside
                left -= len(TRIANGLE_EDGES[inside]) // 3
                if left < 0:
                    raise CellsError(f"its cells have more triangles than the header's {most_triangles}")
        if self._coder.left:
            raise CellsError(f"its code has {self._coder.left} bytes more than it needs")
        return out

    def _block(self, slot: int) -> Tuple[int, int, int]:
        return slot % self._across, slot // self._across % self._across, slot // self._across // self._across

    def _voxel(self, slot: int, place: int) -> int:
        inner = place & 7, place >> 3 & 7, place >> 6
        return sum(step * (8 * block + at + 1) for step, block, at in zip(self._steps, self._block(slot), inner))

    def _side(self, voxel: int) -> int:
        return self._voxels.get(voxel, 0) & _SIDE

    def _mark(self, voxel: int, what: int) -> None:
        self._voxels[voxel] = self._voxels.get(voxel, 0) | what

    def _block_cells(self, slot: int) -> Iterator[Tuple[int, int]]:
        coder, queue = self._coder, self._queues[slot]
        taken = parts = 0
        while True:
            while taken < len(queue):
                place = queue[taken]
                taken += 1
                voxel = self._voxel(slot, place)
                around = [self._voxels.get(voxel + sign * step, 0) for step in self._steps for sign in (1, -1)]
                without = sum(a & _NO_TRIANGLES != 0 for a in around)
                having = sum(a & _TRIANGLES != 0 for a in around)
                if coder.bit(self._active, 4 * min(without, 3) + min(having, 3)):
                    yield place, self._case(slot, place, voxel)
                else:
                    self._mark(voxel, _NO_TRIANGLES)
            if not coder.bit(self._more, min(parts, 3)):
                return
            parts += 1
            place = coder.plain(9)
            voxel = self._voxel(slot, place)
            if self._voxels.get(voxel, 0) & _QUEUED:
                raise CellsError(f"cell {place} of block {slot} comes a second time")
            self._mark(voxel, _QUEUED)
            yield place, self._case(slot, place, voxel)

    def _case(self, slot: int, place: int, voxel: int) -> int:
        """Reads the corners of a cell that are not known yet."""
        corners = [
            voxel + (c & 1) * self._steps[0] + (c >> 1 & 1) * self._steps[1] + (c >> 2) * self._steps[2] for c in range(8)
        ]
        sides = [self._side(corner) for corner in corners]
        for c in range(8):
            if sides[c] == 0:
                context = 9 * sides[c ^ 1] + 3 * sides[c ^ 2] + sides[c ^ 4]
                sides[c] = _OUTSIDE + self._coder.bit(self._corners, context)
                self._mark(corners[c], sides[c])
        inside = sum((side >> 1) << c for c, side in enumerate(sides))
        if inside in (0, 255):
            raise CellsError(f"cell {place} of block {slot} has all corners on one side")
        self._mark(voxel, _TRIANGLES)
        # The surface goes on through these faces, unless what is there was not observed.
        for face, of_face in enumerate(_FACE_CORNERS):
            if inside & of_face in (0, of_face):
                continue
            axis, after = face >> 1, face & 1
            step, at = 1 << 3 * axis, place >> 3 * axis & 7
            beside = voxel + (self._steps[axis] if after else -self._steps[axis])
            if not after:
                if at > 0:
                    self._queue(slot, beside, place - step)
            elif at < 7:
                self._queue(slot, beside, place + step)
            elif self._block(slot)[axis] + 1 < self._blocks:
                self._queue(slot + self._across**axis, beside, place - 7 * step)
        return inside

    def _queue(self, slot: int, voxel: int, place: int) -> None:
        if slot in self._queues and not self._voxels.get(voxel, 0) & _QUEUED:
            self._mark(voxel, _QUEUED)
            self._queues[slot].append(place)


class VerticesReader:
    """Reads the vertices of one payload, touched block by touched block; then end."""

    def __init__(self, bits: Bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in bytes(bits))
        self._at = 0
        self._last = (26, 26, 26)
        # Eight times the mean of the numbers of late.
        self._green, self._red, self._blue = [16] * 3, [16] * 3, [16] * 3

    def block(self, slot: int, edges: Sequence[int]) -> List[Vertex]:
        """Returns the vertices on these edges of a touched block."""
        near: Dict[int, Tuple[int, int, int]] = {}
        out = []
        for edge in edges:
            fraction = self._take(5)
            if fraction == 0:
                raise CellsError(f"edge {edge} of block {slot} is crossed at its end")
            place = int(edge) // 3
            at = 111 + (place & 7) + 10 * (place >> 3 & 7) + 100 * (place >> 6)
            self._last = near[at] = self._colour([near[at + step] for step in _NEAR if at + step in near][:2])
            out.append((fraction, *self._last))
        return out

    def end(self) -> None:
        """Throws CellsError if anything is left over but the zeros that fill the last byte."""
        left = self._bits[self._at :]
        if len(left) >= 8 or "1" in left:
            raise CellsError("it has more bits than its vertices need")

    def _take(self, count: int) -> int:
        taken = self._bits[self._at : self._at + count]
        if len(taken) < count:
            raise CellsError(f"its {len(self._bits) // 8} bytes of bits end too early")
        self._at += count
        return int(taken or "0", 2)

    def _colour(self, near: List[Tuple[int, int, int]]) -> Tuple[int, int, int]:
        """Reads a colour; `near` are those of the newest vertices around it, two at most."""
        if len(near) == 2:
            red, green, blue = ((a + b + 1) >> 1 for a, b in zip(*near))
        else:
            red, green, blue = near[0] if near else self._last
        green_off = self._off(self._green, len(near))
        red_off = self._off(self._red, min(abs(green_off), 2))
        blue_off = self._off(self._blue, min(abs(red_off), 2))
        colour = (
            min(max(red + green_off, 0), _MOST_LEVEL) + red_off,
            green + green_off,
            min(max(blue + green_off, 0), _MOST_LEVEL) + blue_off,
        )
        if min(colour) < 0 or max(colour) > _MOST_LEVEL:
            raise CellsError(f"a colour of {colour}, not 0 to {_MOST_LEVEL} each")
        return colour

    def _off(self, means: List[int], which: int) -> int:
        """Reads how far a channel is off what is expected: Rice's code for the mean of late."""
        low_bits = (means[which] >> 4).bit_length()
        zeros = 0
        while zeros < _MOST_ZEROS and self._take(1) == 0:
            zeros += 1
        number = zeros << low_bits | self._take(low_bits) if zeros < _MOST_ZEROS else self._take(7)
        means[which] += number - (means[which] >> 3)
        return (number + 1) // 2 if number & 1 else -(number // 2)
