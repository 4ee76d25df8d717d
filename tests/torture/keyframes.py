"""Small keyframes, and rigid motions that floats carry out exactly."""

import functools

import numpy as np

from support import scene, stock

COUNT = 40  # different ones
CONTENT_TYPE = "application/vnd.tessera.keyframe"


class Keyframe:
    """Some 2,300 points of a room: pose (4 x 4 float32), points (N x 3 float32, metres), colours (N x 3 uint8)."""

    def __init__(self, number):
        whole = scene.Frame(number)
        self.number = number
        self.pose = whole.pose + np.float32(0)  # no zero is negative
        self.points = np.ascontiguousarray(whole.points[::3])
        self.colours = np.ascontiguousarray(whole.colours[::3])


@functools.lru_cache(None)
def keyframe(number):
    return Keyframe(number)


def content(frame, stamp):
    """Its bytes, as they stand in a segment or a request's body."""
    return stock.segment_bytes(frame, form=108, timestamp_ns=stamp)


def motion(rng):
    """A rigid transform: quarter turns, and a shift by 64ths of a metre."""
    turn = np.zeros((3, 3), np.float32)
    while round(float(np.linalg.det(turn))) != 1:
        turn[:] = 0
        for row, column in enumerate(rng.sample(range(3), 3)):
            turn[row, column] = rng.choice((-1, 1))
    out = np.eye(4, dtype=np.float32)
    out[:3, :3] = turn
    out[:3, 3] = [rng.randrange(-16, 17) / 64 for _ in range(3)]
    return out


def carried(transform, pose):
    """The pose after the transform, to the bit."""
    return (transform @ pose + np.float32(0)).astype(np.float32)


def another_pose(rng, frame):
    return carried(motion(rng), frame.pose)


def numbers(matrix):
    """A matrix as a message has it."""
    return np.asarray(matrix, float).ravel().tolist()
