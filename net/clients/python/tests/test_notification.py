import msgpack
import numpy as np
import pytest

from tessera_client import notification
from tessera_client.keyframe import Scratch, lay_out

POSE = np.array([[0, -1, 0, 1.5], [1, 0, 0, -2], [0, 0, 1, 3], [0, 0, 0, 1]], dtype=np.float64)


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    + [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63), 1.5, -0.0, 1e300]
    + ["", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65535, "x" * 65536, "ä€😀"]
    + [[], [0] * 15, [0] * 16, [0] * 65535, [0] * 65536, {}, {str(i): i for i in range(15)}, {str(i): i for i in range(16)}]
    + [{str(i): [i] for i in range(65536)}],
    ids=lambda v: (repr(v)[:20] + f"#{len(v)}") if hasattr(v, "__len__") else repr(v),
)
def test_packs_what_msgpack_packs(value):
    assert notification.pack(value) == msgpack.packb(value)


@pytest.mark.parametrize("value, error", [(2**64, OverflowError), (-(2**63) - 1, OverflowError), (b"", TypeError),
                                          ({1}, TypeError)])
def test_packs_nothing_else(value, error):
    with pytest.raises(error):
        notification.pack(value)


def test_new():
    layout = lay_out([[1, 2, 3], [4, 5, 6]], np.zeros((2, 3), np.uint8), POSE, scratch=Scratch(), timestamp_ns=12)
    assert msgpack.unpackb(notification.new_keyframe(357, "/slam3r_keyframe_357", layout)) == {
        "type": "keyframe.new",
        "keyframe_id": "357",
        "timestamp_ns": 12,
        "pose_matrix": POSE.tolist(),
        "shm_key": "/slam3r_keyframe_357",
        "point_count": 2,
        "bbox": [1, 2, 3, 4, 5, 6],
    }


def test_revise_and_retract():
    assert msgpack.unpackb(notification.revise_keyframe("a", POSE, 5)) == {
        "type": "keyframe.revise",
        "keyframe_id": "a",
        "timestamp_ns": 5,
        "pose_matrix": POSE.tolist(),
    }
    assert msgpack.unpackb(notification.retract_keyframe("a", 5)) == {
        "type": "keyframe.retract",
        "keyframe_id": "a",
        "timestamp_ns": 5,
    }


def test_session_and_group_stand_beside_the_id():
    layout = lay_out([[1, 2, 3]], np.zeros((1, 3), np.uint8), POSE, scratch=Scratch(), timestamp_ns=12)
    new = msgpack.unpackb(notification.new_keyframe("a", "/x", layout, "run", "floor"))
    assert new["session"] == "run" and new["group"] == "floor"
    assert msgpack.unpackb(notification.revise_keyframe("a", POSE, 5, "run"))["session"] == "run"
    assert msgpack.unpackb(notification.retract_keyframe("a", 5, "run"))["session"] == "run"
