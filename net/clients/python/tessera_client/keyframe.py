"""Checks a keyframe's arrays and lays them out as the service reads them (docs/protocol.md, "Shared memory segment").

Nothing is copied that already has the right type and order: the layout is a list of buffers that a gathering write puts
behind one another.
"""

import secrets
import struct
import time
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

KeyframeId = Union[str, int]
Buffer = Union[bytes, memoryview]
if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]
else:
    Array = np.ndarray

SHORT_HEADER = struct.Struct("<QII16f6f")
LONG_HEADER = struct.Struct("<QIII16f6f")
MAX_POINTS = 1 << 22
MAX_ID_BYTES = 256
MAX_LABEL_BYTES = 64
CONTENT_TYPE = "application/vnd.tessera.keyframe"

#: How far the last row of a pose may be from 0 0 0 1.
POSE_TOLERANCE = 1e-3
_LAST_ROW = np.array((0, 0, 0, 1), dtype=np.float32)

# Rows that are reduced together, so that the reduction runs over long rows, and how many of those fit a core's cache.
_LANES = 192
_BLOCK_ROWS = 340


class Layout(NamedTuple):
    """A keyframe ready to be written: what the header says, and all bytes in order."""

    timestamp_ns: int
    point_count: int
    pose: Array
    bbox: Array
    buffers: List[Buffer]
    nbytes: int


class Scratch:
    """Memory for arrays that must be converted, kept from one keyframe to the next so that its pages stay warm."""

    def __init__(self) -> None:
        self._held: Dict[str, Array] = {}

    def take(self, name: str, shape: Tuple[int, ...], dtype: Any) -> Array:
        """Returns an array of that shape; its content is undefined, and it is the same memory at each call with that name."""
        size = int(np.prod(shape))
        held = self._held.get(name)
        if held is None or held.size < size or held.dtype != np.dtype(dtype):
            held = self._held[name] = np.empty(size + size // 8, dtype=dtype)
        return held[:size].reshape(shape)


def checked_id(keyframe_id: KeyframeId) -> str:
    """Returns the id as text. Throws ValueError unless it has 1 to 256 bytes of UTF-8 without control characters."""
    if isinstance(keyframe_id, (int, np.integer)) and not isinstance(keyframe_id, bool):
        return str(int(keyframe_id))
    if not isinstance(keyframe_id, str):
        raise TypeError(f"keyframe_id must be a str or an int, not {type(keyframe_id).__name__}")
    try:
        size = len(keyframe_id.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"keyframe_id is not valid text: {error}") from None
    if not 1 <= size <= MAX_ID_BYTES:
        raise ValueError(f"keyframe_id must have 1 to {MAX_ID_BYTES} bytes, not {size}")
    if any(ord(c) < 32 or ord(c) == 127 for c in keyframe_id):
        raise ValueError(f"keyframe_id must not hold control characters: {keyframe_id!r}")
    return keyframe_id


def new_session() -> str:
    """Returns a session that nobody has used: the time (UTC) and some digits drawn at random."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)


def chosen_session(session: Optional[str]) -> str:
    """Returns the session to be used: a new one for None. Throws ValueError or TypeError; see checked_label."""
    return new_session() if session is None else checked_label("session", session)


def checked_label(name: str, value: str) -> str:
    """Returns a session or a group. Throws ValueError unless it has at most 64 bytes of UTF-8 without control characters."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is not valid text: {error}") from None
    if size > MAX_LABEL_BYTES:
        raise ValueError(f"{name} must have at most {MAX_LABEL_BYTES} bytes, not {size}")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError(f"{name} must not hold control characters: {value!r}")
    return value


def _is_0001(row: Array) -> bool:
    return bool((np.abs(row - _LAST_ROW) <= POSE_TOLERANCE).all())


def checked_pose(pose: Any) -> Array:
    """Returns world_from_camera as 4 x 4 float32. Throws ValueError if it has another shape, a value that is not finite, or no
    0 0 0 1 in its last row (a transposed pose has it in its last column)."""
    matrix = np.asarray(pose, dtype=np.float32)
    if matrix.shape == (16,):
        matrix = matrix.reshape(4, 4)
    if matrix.shape != (4, 4):
        raise ValueError(f"pose must be 4 x 4 (world_from_camera, row-major), not of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise ValueError(f"pose[{row}][{column}] is {matrix[row, column]}; all values must be finite")
    last = matrix[3]
    if not _is_0001(last):
        hint = "; it looks transposed" if _is_0001(matrix[:, 3]) else ""
        raise ValueError(f"pose's last row is {last.tolist()}, and must be [0, 0, 0, 1]{hint}")
    return np.ascontiguousarray(matrix)


def checked_time(timestamp_ns: Optional[int]) -> int:
    """Returns the time in nanoseconds, now if it is None."""
    if timestamp_ns is None:
        return time.time_ns()
    value = int(timestamp_ns)
    if not 0 <= value < 1 << 63:
        raise ValueError(f"timestamp_ns is {value}, and must be within 0 to 2^63 - 1")
    return value


def bounds(points: Array) -> Array:
    """Returns min xyz and max xyz of an (N, 3) float32 array, over its finite points; zeros if there is none.

    numpy reduces over rows of three ten times slower than over long rows, so rows are taken 64 at a time; both reductions
    go over a block while it is in the cache.
    """
    flat = points.reshape(-1)
    whole = flat.size // _LANES * _LANES
    low = np.full(3, np.inf, dtype=np.float32)
    high = -low
    if whole:
        rows = flat[:whole].reshape(-1, _LANES)
        lows = rows[0].copy()
        highs = rows[0].copy()
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            np.minimum(lows, np.minimum.reduce(block, axis=0), out=lows)
            np.maximum(highs, np.maximum.reduce(block, axis=0), out=highs)
        np.minimum(low, lows.reshape(-1, 3).min(axis=0), out=low)
        np.maximum(high, highs.reshape(-1, 3).max(axis=0), out=high)
    if whole != flat.size:
        rest = flat[whole:].reshape(-1, 3)
        np.minimum(low, rest.min(axis=0), out=low)
        np.maximum(high, rest.max(axis=0), out=high)
    box = np.concatenate((low, high))
    if np.isfinite(box).all():
        return box
    finite = points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        return np.zeros(6, dtype=np.float32)
    return np.concatenate((finite.min(axis=0), finite.max(axis=0)))


def _checked_points(points: Any, scratch: Scratch) -> Array:
    array = np.asarray(points)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"points must be numbers, not {array.dtype}")
    if array.ndim not in (2, 3) or array.shape[-1] != 3:
        raise ValueError(f"points must be of shape (N, 3) or (H, W, 3), not {array.shape}")
    count = array.size // 3
    if count == 0:
        raise ValueError("points is empty: a keyframe has at least one point")
    if count > MAX_POINTS:
        raise ValueError(f"points has {count} points; a keyframe has at most {MAX_POINTS}")
    if array.dtype == np.float32 and array.flags.c_contiguous:
        return array.reshape(-1, 3)
    target = scratch.take("points", array.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is left out by the service
        np.copyto(target, array, casting="unsafe")
    return target.reshape(-1, 3)


def _checked_colours(colors: Any, count: int, scratch: Scratch) -> Array:
    if colors is None:
        raise ValueError("colors is missing: one row of 3 or 4 values for each point")
    array = np.asarray(colors)
    if array.ndim not in (2, 3) or array.shape[-1] not in (3, 4):
        raise ValueError(f"colors must be of shape (N, 3) or (N, 4), not {array.shape}")
    if array.size // array.shape[-1] != count:
        raise ValueError(f"colors has {array.size // array.shape[-1]} rows, points has {count}")
    channels = array.shape[-1]
    if array.dtype == np.uint8:
        if array.flags.c_contiguous:
            return array.reshape(-1, channels)
        target = scratch.take("colors", array.shape, np.uint8)
        np.copyto(target, array)
        return target.reshape(-1, channels)
    kind = array.dtype.kind
    if kind not in "fiu":
        raise TypeError(f"colors must be uint8 0 to 255 or float 0 to 1, not {array.dtype}")
    low, high = array.min(), array.max()
    top = 1 if kind == "f" else 255
    if not (low >= 0 and high <= top):  # so that NaN fails too
        raise ValueError(
            f"colors of type {array.dtype} must lie within 0 to {top}, found {low} to {high}"
            + ("; give 0 to 255 as uint8" if kind == "f" else "")
        )
    target = scratch.take("colors", array.shape, np.uint8)
    if kind == "f":
        scaled = scratch.take("scaled", array.shape, np.float32)
        np.multiply(array, np.float32(255), out=scaled, casting="same_kind")
        np.rint(scaled, out=scaled)
        np.copyto(target, scaled, casting="unsafe")
    else:
        np.copyto(target, array, casting="unsafe")
    return target.reshape(-1, channels)


def _checked_confidence(confidence: Any, count: int, scratch: Scratch) -> Array:
    array = np.asarray(confidence)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"confidence must be numbers, not {array.dtype}")
    if array.size != count:
        raise ValueError(f"confidence has {array.size} values, points has {count}")
    if array.dtype == np.float32 and array.flags.c_contiguous:
        return array.reshape(-1)
    target = scratch.take("confidence", array.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        np.copyto(target, array, casting="unsafe")
    return target.reshape(-1)


def _checked_box(bbox: Any) -> Array:
    box = np.asarray(bbox, dtype=np.float32).reshape(-1)
    if box.shape != (6,):
        raise ValueError(f"bbox must be 6 numbers (min xyz, max xyz), not {box.size}")
    if not np.isfinite(box).all():
        raise ValueError(f"bbox is {box.tolist()}; all values must be finite")
    return box


def lay_out(
    points: Any,
    colors: Any,
    pose: Any,
    *,
    scratch: Scratch,
    bbox: Any = None,
    confidence: Any = None,
    timestamp_ns: Optional[int] = None,
    long_form: Optional[bool] = None,
) -> Layout:
    """Checks a keyframe and returns its bytes: the 108-byte form if `long_form` (by default: if there is confidence), else the
    104-byte form.

    The buffers lie in the given arrays or in `scratch`: use them before either changes. Throws ValueError or TypeError that
    names the argument, what was found, and what is asked for.
    """
    matrix = checked_pose(pose)
    stamp = checked_time(timestamp_ns)
    xyz = _checked_points(points, scratch)
    count = len(xyz)
    rgb = _checked_colours(colors, count, scratch)
    certainty = None if confidence is None else _checked_confidence(confidence, count, scratch)
    box = bounds(xyz) if bbox is None else _checked_box(bbox)
    if long_form is None:
        long_form = certainty is not None
    if long_form:
        head = LONG_HEADER.pack(stamp, count, rgb.shape[1], int(certainty is not None), *matrix.ravel().tolist(), *box.tolist())
    elif certainty is not None:
        raise ValueError("confidence needs the 108-byte form")
    else:
        head = SHORT_HEADER.pack(stamp, count, rgb.shape[1], *matrix.ravel().tolist(), *box.tolist())
    buffers: List[Buffer] = [head, _bytes_of(xyz), _bytes_of(rgb)]
    if certainty is not None:
        buffers.append(_bytes_of(certainty))
    return Layout(stamp, count, matrix, box, buffers, sum(len(b) for b in buffers))


def _bytes_of(array: Array) -> memoryview:
    if array.dtype.byteorder == ">" or (array.dtype.itemsize > 1 and _BIG_ENDIAN and array.dtype.byteorder == "="):
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.reshape(-1).data.cast("B")


_BIG_ENDIAN = struct.pack("=H", 1) != struct.pack("<H", 1)
