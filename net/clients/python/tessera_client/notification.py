"""Writes the MessagePack notifications of docs/protocol.md, so that no package is needed for them."""

import struct
from typing import Any, Dict, List, Optional, Tuple

from .keyframe import KeyframeId, Layout, checked_id, checked_label, checked_pose, checked_time

CONTENT_TYPE = "application/msgpack"
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


def retract_keyframe(keyframe_id: KeyframeId, timestamp_ns: Optional[int] = None, session: str = "") -> bytes:
    """Says that a keyframe shall count no longer, as if it had never come."""
    message = _named(RETRACT, keyframe_id, session)
    message["timestamp_ns"] = checked_time(timestamp_ns)
    return pack(message)
