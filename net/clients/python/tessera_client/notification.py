"""Writes the MessagePack notifications of docs/protocol.md, so that no package is needed for them."""

import struct
import time
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from .keyframe import KeyframeId, Layout, checked_id, checked_label, checked_pose, checked_time

CONTENT_TYPE = "application/msgpack"
#: The largest notification, and the most keyframes that can be moved at once.
MAX_BYTES, MAX_REVISIONS = 1 << 20, 1 << 16
#: A pose of each of many keyframes.
Poses = Union[Mapping[KeyframeId, Any], Iterable[Tuple[KeyframeId, Any]]]
NEW, REVISE, RETRACT = "keyframe.new", "keyframe.revise", "keyframe.retract"


def pack(value: Any) -> bytes:
    """Returns a value made of dict, list, str, int, float, bool and None in MessagePack. Throws TypeError for anything else."""
    out: List[bytes] = []
    _pack(value, out)
    return b"".join(out)


def _pack(value: Any, out: List[bytes]) -> None:
    if value is None:
        out.append(b"\xc0")
    elif isinstance(value, bool):
        out.append(b"\xc3" if value else b"\xc2")
    elif isinstance(value, int):
        out.append(_integer(value))
    elif isinstance(value, float):
        out.append(struct.pack(">Bd", 0xCB, value))
    elif isinstance(value, str):
        text = value.encode("utf-8")
        out.append(_length(len(text), 0xA0, 32, (0xD9, 0xDA, 0xDB)))
        out.append(text)
    elif isinstance(value, (list, tuple)):
        out.append(_length(len(value), 0x90, 16, (0, 0xDC, 0xDD)))
        for item in value:
            _pack(item, out)
    elif isinstance(value, dict):
        out.append(_length(len(value), 0x80, 16, (0, 0xDE, 0xDF)))
        for key, item in value.items():
            _pack(key, out)
            _pack(item, out)
    else:
        raise TypeError(f"cannot pack {type(value).__name__}")


def _integer(value: int) -> bytes:
    if 0 <= value < 128 or -32 <= value < 0:
        return struct.pack(">b", value)
    for code, form, low, high in (
        (0xCC, "B", 0, 1 << 8),
        (0xCD, "H", 0, 1 << 16),
        (0xCE, "I", 0, 1 << 32),
        (0xCF, "Q", 0, 1 << 64),
        (0xD0, "b", -(1 << 7), 0),
        (0xD1, "h", -(1 << 15), 0),
        (0xD2, "i", -(1 << 31), 0),
        (0xD3, "q", -(1 << 63), 0),
    ):
        if low <= value < high:
            return struct.pack(">B" + form, code, value)
    raise OverflowError(f"{value} has more than 64 bits")


def _length(size: int, short: int, short_below: int, codes: Tuple[int, int, int]) -> bytes:
    if size < short_below:
        return bytes((short | size,))
    if size < 1 << 8 and codes[0]:
        return struct.pack(">BB", codes[0], size)
    if size < 1 << 16:
        return struct.pack(">BH", codes[1], size)
    return struct.pack(">BI", codes[2], size)


def _named(what: str, keyframe_id: KeyframeId, session: str, group: str = "") -> Dict[str, Any]:
    message: Dict[str, Any] = {"type": what, "keyframe_id": checked_id(keyframe_id)}
    for key, value in (("session", session), ("group", group)):
        if value:
            message[key] = checked_label(key, value)
    return message


def new_keyframe(keyframe_id: KeyframeId, shm_key: str, layout: Layout, session: str = "", group: str = "") -> bytes:
    """Says that a segment holds a keyframe."""
    message = _named(NEW, keyframe_id, session, group)
    message["timestamp_ns"] = layout.timestamp_ns
    message["pose_matrix"] = layout.pose.tolist()
    message["shm_key"] = shm_key
    message["point_count"] = layout.point_count
    message["bbox"] = layout.bbox.tolist()
    return pack(message)


def revise_keyframe(keyframe_id: KeyframeId, pose: Any, timestamp_ns: Optional[int] = None, session: str = "") -> bytes:
    """Says that a keyframe has another pose, as if it had come with it."""
    message = _named(REVISE, keyframe_id, session)
    message["timestamp_ns"] = checked_time(timestamp_ns)
    message["pose_matrix"] = checked_pose(pose).tolist()
    return pack(message)


def _checked_revision(revision: Optional[int]) -> int:
    if not isinstance(revision, int) or isinstance(revision, bool) or not 0 <= revision < 1 << 64:
        raise ValueError(f"revision must be an integer of 0 to 2^64 - 1, not {revision!r}")
    return revision


def revisions_of(poses: Poses, session: str = "", revision: Optional[int] = None) -> Dict[str, Any]:
    """Returns what says that many keyframes have other poses: the body of POST /v1/keyframes:revise, and with `type` a
    notification. Throws ValueError for an entry that the service would refuse, and says which it is."""
    pairs = list(poses.items() if isinstance(poses, Mapping) else poses)
    if not 0 < len(pairs) <= MAX_REVISIONS:
        raise ValueError(f"there must be 1 to {MAX_REVISIONS} poses, not {len(pairs)}")
    entries = []
    for number, (keyframe_id, pose) in enumerate(pairs):
        try:
            entries.append({"id": checked_id(keyframe_id), "pose": checked_pose(pose).ravel().tolist()})
        except ValueError as error:
            raise ValueError(f"poses[{number}]: {error}") from None
    body: Dict[str, Any] = {"revisions": entries}
    if session:
        body["session"] = checked_label("session", session)
    if revision is not None:
        body["revision"] = _checked_revision(revision)
    return body


def group_moved(group: str, transform: Any, revision: Optional[int] = None) -> Dict[str, Any]:
    """The same of all keyframes of a group, which move by one similarity: new pose = transform @ pose. Without `revision`
    it is the time, in nanoseconds."""
    if not group:
        raise ValueError("group is empty: only keyframes that have one can be moved by it")
    return {
        "group": checked_label("group", group),
        "transform": checked_pose(transform).ravel().tolist(),
        "revision": _checked_revision(time.time_ns() if revision is None else revision),
    }


def of_many(body: Dict[str, Any]) -> bytes:
    """Returns the notification of what revisions_of or group_moved made. Throws ValueError if that is too large for one."""
    packed = pack({"type": REVISE, **body})
    if len(packed) > MAX_BYTES:
        raise ValueError(f"the poses need {len(packed)} bytes, and a notification has {MAX_BYTES} at most: send them in parts")
    return packed


def retract_keyframe(keyframe_id: KeyframeId, timestamp_ns: Optional[int] = None, session: str = "") -> bytes:
    """Says that a keyframe shall count no longer, as if it had never come."""
    message = _named(RETRACT, keyframe_id, session)
    message["timestamp_ns"] = checked_time(timestamp_ns)
    return pack(message)
