import struct

import numpy as np
import pytest

from tessera_client.keyframe import Scratch, bounds, checked_id, checked_pose, lay_out


def pose(x=1.0, y=2.0, z=3.0):
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, 3] = x, y, z
    return matrix


def lay(points, colors, the_pose=None, **options):
    return lay_out(points, colors, pose() if the_pose is None else the_pose, scratch=Scratch(), **options)


def whole(layout):
    data = b"".join(layout.buffers)
    assert len(data) == layout.nbytes
    return data


POINTS = np.array([[1, 2, 3], [-4, 5, 6.5]], dtype=np.float32)
COLORS = np.array([[1, 2, 3], [253, 254, 255]], dtype=np.uint8)


def test_short_form_byte_for_byte():
    data = whole(lay(POINTS, COLORS, timestamp_ns=7))
    assert len(data) == 104 + 2 * 12 + 2 * 3
    assert struct.unpack_from("<QII", data, 0) == (7, 2, 3)
    assert struct.unpack_from("<16f", data, 16) == (1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1)
    assert struct.unpack_from("<6f", data, 80) == (-4, 2, 3, 1, 5, 6.5)
    assert struct.unpack_from("<6f", data, 104) == (1, 2, 3, -4, 5, 6.5)
    assert data[128:] == bytes([1, 2, 3, 253, 254, 255])


def test_long_form_byte_for_byte():
    colors = np.hstack((COLORS, [[9], [8]])).astype(np.uint8)
    data = whole(lay(POINTS, colors, confidence=[0.5, 2.0], timestamp_ns=1 << 40, bbox=[0] * 6))
    assert len(data) == 108 + 2 * 12 + 2 * 4 + 2 * 4
    assert struct.unpack_from("<QIII", data, 0) == (1 << 40, 2, 4, 1)
    assert struct.unpack_from("<16f", data, 20)[3::4] == (1, 2, 3, 1)
    assert struct.unpack_from("<6f", data, 84) == (0,) * 6
    assert struct.unpack_from("<6f", data, 108) == (1, 2, 3, -4, 5, 6.5)
    assert data[132:140] == bytes([1, 2, 3, 9, 253, 254, 255, 8])
    assert struct.unpack_from("<2f", data, 140) == (0.5, 2.0)


def test_long_form_without_confidence():
    data = whole(lay(POINTS, COLORS, long_form=True))
    assert len(data) == 108 + 30
    assert struct.unpack_from("<III", data, 8) == (2, 3, 0)


def test_arrays_of_the_right_type_are_not_copied():
    layout = lay(POINTS, COLORS, confidence=np.ones(2, np.float32))
    for buffer, array in zip(layout.buffers[1:], (POINTS, COLORS)):
        assert np.shares_memory(np.frombuffer(buffer, np.uint8), array)


@pytest.mark.parametrize(
    "points",
    [
        POINTS.astype(np.float64),
        POINTS.tolist(),
        np.asfortranarray(POINTS),
        np.repeat(POINTS, 2, axis=0)[::2],
        POINTS.reshape(1, 2, 3),
        POINTS.astype(">f4"),
    ],
    ids=["float64", "list", "columns first", "every other row", "image", "big-endian"],
)
def test_points_of_any_kind_give_the_same_bytes(points):
    assert whole(lay(points, COLORS, timestamp_ns=1)) == whole(lay(POINTS, COLORS, timestamp_ns=1))


@pytest.mark.parametrize(
    "colors",
    [
        COLORS.astype(np.int64),
        COLORS.tolist(),
        COLORS / 255.0,
        (COLORS / 255.0).astype(np.float32),
        COLORS[:, ::-1].copy()[:, ::-1],
        COLORS.reshape(1, 2, 3),
    ],
    ids=["int64", "list", "float64", "float32", "reversed view", "image"],
)
def test_colours_of_any_kind_give_the_same_bytes(colors):
    assert whole(lay(POINTS, colors, timestamp_ns=1)) == whole(lay(POINTS, COLORS, timestamp_ns=1))


def test_every_byte_survives_as_float():
    colors = np.stack([np.arange(256)] * 3, axis=1)
    data = whole(lay(np.zeros((256, 3)), (colors / 255.0).astype(np.float32)))
    assert data[104 + 256 * 12 :] == colors.astype(np.uint8).tobytes()


def test_scratch_memory_is_used_again():
    scratch = Scratch()
    first = lay_out(POINTS.astype(np.float64), COLORS, pose(), scratch=scratch)
    second = lay_out(POINTS.astype(np.float64), COLORS, pose(), scratch=scratch)
    assert np.shares_memory(np.frombuffer(first.buffers[1], np.uint8), np.frombuffer(second.buffers[1], np.uint8))


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 340 * 64, 340 * 64 + 1, 50_000])
def test_bounds_are_those_of_numpy(count):
    points = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
    assert bounds(points).tolist() == np.concatenate((points.min(0), points.max(0))).tolist()


def test_bounds_pass_over_what_is_not_finite():
    points = np.random.default_rng(1).normal(size=(1000, 3)).astype(np.float32)
    wanted = np.delete(points, [5, 300, 999], axis=0)
    points[5, 0], points[300, 1], points[999, 2] = np.nan, np.inf, -np.inf
    assert bounds(points).tolist() == np.concatenate((wanted.min(0), wanted.max(0))).tolist()
    assert bounds(np.full((70, 3), np.nan, np.float32)).tolist() == [0] * 6


@pytest.mark.parametrize(
    "bad, message",
    [
        (dict(points=np.zeros((4, 2))), r"points must be of shape \(N, 3\) or \(H, W, 3\), not \(4, 2\)"),
        (dict(points=np.zeros((0, 3)), colors=np.zeros((0, 3))), "points is empty"),
        (dict(points=None), "points must be numbers"),
        (dict(points=["a"]), "points must be numbers"),
        (dict(points=np.broadcast_to(np.float32(0), ((1 << 22) + 1, 3))), "at most 4194304"),
        (dict(colors=None), "colors is missing"),
        (dict(colors=np.zeros((3, 3), np.uint8)), "colors has 3 rows, points has 2"),
        (dict(colors=np.zeros((2, 2), np.uint8)), "colors must be of shape"),
        (dict(colors=np.full((2, 3), 1.5)), "must lie within 0 to 1, found 1.5 to 1.5; give 0 to 255 as uint8"),
        (dict(colors=np.full((2, 3), np.nan)), "must lie within 0 to 1, found nan"),
        (dict(colors=np.full((2, 3), 256)), "must lie within 0 to 255, found 256"),
        (dict(colors=np.full((2, 3), -1)), "must lie within 0 to 255, found -1"),
        (dict(colors=np.full((2, 3), "x")), "colors must be uint8"),
        (dict(confidence=np.zeros(3)), "confidence has 3 values, points has 2"),
        (dict(confidence=["x", "y"]), "confidence must be numbers"),
        (dict(bbox=[0] * 5), "bbox must be 6 numbers"),
        (dict(bbox=[0] * 5 + [np.inf]), "bbox is .*all values must be finite"),
        (dict(timestamp_ns=-1), "timestamp_ns is -1"),
        (dict(pose=np.full((4, 4), np.nan)), r"pose\[0\]\[0\] is nan"),
        (dict(pose=np.zeros((4, 4))), r"last row is \[0.0, 0.0, 0.0, 0.0\], and must be \[0, 0, 0, 1\]"),
        (dict(pose=pose().T), "it looks transposed"),
        (dict(pose=np.eye(3)), r"pose must be 4 x 4 .* not of shape \(3, 3\)"),
        (dict(confidence=np.ones(2), long_form=False), "needs the 108-byte form"),
    ],
)
def test_says_what_is_wrong(bad, message):
    arguments = dict(points=POINTS, colors=COLORS, pose=pose())
    arguments.update(bad)
    with pytest.raises((ValueError, TypeError), match=message):
        lay_out(scratch=Scratch(), **arguments)


def test_points_too_large_for_a_float_become_infinite_without_a_warning(recwarn):
    data = whole(lay([[1e300, 0, 0], [0, 0, 0]], COLORS))
    assert struct.unpack_from("<f", data, 104) == (np.inf,)
    assert not recwarn.list


def test_pose_may_be_flat():
    assert (checked_pose(pose().ravel().tolist()) == pose()).all()


def test_the_last_row_may_be_a_little_off():
    near = pose()
    near[3] = 0.0009, -0.0009, 0, 0.9991
    assert (checked_pose(near) == near).all()
    near[3, 1] = -0.0011
    with pytest.raises(ValueError, match="last row"):
        checked_pose(near)


@pytest.mark.parametrize("good, text", [(12, "12"), (np.int64(3), "3"), ("käse", "käse"), ("x" * 256, "x" * 256)])
def test_ids_that_will_do(good, text):
    assert checked_id(good) == text


@pytest.mark.parametrize("bad", ["", "x" * 257, "ä" * 129, "a\nb", "a\0", "\udc80", None, 1.5, True, b"a"])
def test_ids_that_will_not_do(bad):
    with pytest.raises((ValueError, TypeError), match="keyframe_id"):
        checked_id(bad)
