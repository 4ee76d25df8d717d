import numpy as np
import pytest

from tessera_client import OptimizedPointCloudBuffer


def some(count, value):
    return np.full((count, 3), value, dtype=np.float32), np.full((count, 3), int(value) % 256, dtype=np.uint8)


def test_keeps_every_point_below_the_limit():
    buffer = OptimizedPointCloudBuffer(max_points=1000)
    for i in range(10):
        buffer.add_points(*some(100, i), keyframe_id=i)
    assert len(buffer) == 1000
    assert buffer.points.dtype == np.float32 and buffer.colors.dtype == np.uint8
    assert buffer.points[:, 0].tolist() == [float(i) for i in range(10) for _ in range(100)]
    assert buffer.colors[:, 2].tolist() == [i for i in range(10) for _ in range(100)]
    assert buffer.keyframe_contributions == {i: (100 * i, 100 * i + 100) for i in range(10)}


def test_prunes_the_oldest_to_ninety_percent():
    buffer = OptimizedPointCloudBuffer(max_points=1000)
    for i in range(10):
        buffer.add_points(*some(100, i), keyframe_id=f"k{i}")
    buffer.add_points(*some(50, 10), keyframe_id="k10")
    assert len(buffer) == 900
    # 1050 - 900 = 150 went: all of k0, half of k1.
    assert buffer.points[0, 0] == 1 and buffer.points[-1, 0] == 10
    contributions = buffer.keyframe_contributions
    assert "k0" not in contributions
    assert contributions["k1"] == (0, 50)
    assert contributions["k10"] == (850, 900)
    for key, (begin, end) in contributions.items():
        assert (buffer.points[begin:end, 0] == int(key[1:])).all()


def test_takes_more_at_once_than_it_can_hold():
    buffer = OptimizedPointCloudBuffer(max_points=100)
    buffer.add_points(*some(50, 1), keyframe_id="small")
    points = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    buffer.add_points(points, np.zeros((1000, 3), np.uint8), keyframe_id="large")
    assert len(buffer) == 90
    assert (buffer.points == points[-90:]).all()
    assert buffer.keyframe_contributions == {"large": (0, 90)}


def test_equals_a_plain_concatenation_under_random_use():
    generator = np.random.default_rng(5)
    buffer = OptimizedPointCloudBuffer(max_points=500)
    wanted = np.empty((0, 3), np.float32)
    for i in range(300):
        count = int(generator.integers(0, 120))
        points = generator.random((count, 3)).astype(np.float32)
        buffer.add_points(points, np.zeros((count, 3), np.uint8), keyframe_id=i)
        wanted = np.vstack((wanted, points))
        if len(wanted) > 500:
            wanted = wanted[-450:]
        assert (buffer.points == wanted).all()
        assert len(buffer) == len(wanted)
        spans = sorted(buffer.keyframe_contributions.values())
        assert spans[-1][1] == len(wanted) and spans[0][0] == 0
        assert all(a[1] == b[0] for a, b in zip(spans, spans[1:]))


def test_arrays_handed_out_do_not_change():
    buffer = OptimizedPointCloudBuffer(max_points=100)
    buffer.add_points(*some(90, 1))
    held = buffer.points
    for i in range(50):
        buffer.add_points(*some(90, 2))
    assert (held == 1).all() and len(held) == 90


def test_memory_stays_within_twice_the_limit():
    buffer = OptimizedPointCloudBuffer(max_points=10_000)
    for i in range(100):
        buffer.add_points(*some(777, i), keyframe_id=i)
        assert len(buffer._xyz) <= 20_000


def test_is_empty_again_after_clear():
    buffer = OptimizedPointCloudBuffer()
    buffer.add_points(*some(10, 1), keyframe_id="a")
    buffer.clear()
    assert len(buffer) == 0 and buffer.keyframe_contributions == {}
    assert buffer.get_visualization_data()["data"]["points"].shape == (0, 3)


def test_ignores_an_empty_addition_and_names_a_bad_one():
    buffer = OptimizedPointCloudBuffer()
    buffer.add_points([], [])
    assert len(buffer) == 0
    with pytest.raises(ValueError, match=r"new_points must be of shape \(N, 3\), not \(5,\)"):
        buffer.add_points(np.zeros(5), np.zeros(5))
    with pytest.raises(ValueError, match="new_colors must be of shape"):
        buffer.add_points(np.zeros((5, 3)), np.zeros((4, 3)))
