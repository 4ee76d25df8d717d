"""A growing cloud of all points, as SLAM3R deployments keep one for their own views."""

import threading
from collections import OrderedDict
from typing import Any, Dict, Hashable, Optional, Tuple

import numpy as np

from .keyframe import Array

_KEEP = 0.9


class OptimizedPointCloudBuffer:
    """Keeps the newest points and colours in numpy arrays. Nothing is thinned: when there are more than `max_points`, the oldest
    go until 90 % of that are left.

    The arrays grow by doubling and are moved together only when their spare room is used up, so that adding costs time in
    proportion to what is added, not to what is held. Arrays handed out stay as they are: later additions never write under them.

    Threads: any.
    """

    def __init__(self, max_points: int = 2_000_000) -> None:
        if max_points < 1:
            raise ValueError(f"max_points is {max_points}, and must be at least 1")
        self.max_points = int(max_points)
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._xyz = np.empty((0, 3), dtype=np.float32)
            self._rgb = np.empty((0, 3), dtype=np.uint8)
            self._begin = self._end = 0  # what is held, as indices into the arrays
            self._total = 0  # points ever added; spans count in these numbers, so that pruning does not touch them
            self._spans: "OrderedDict[Hashable, Tuple[int, int]]" = OrderedDict()

    def add_points(self, new_points: Any, new_colors: Any, keyframe_id: Optional[Hashable] = None) -> None:
        """Appends points (N x 3, metres) and their colours (N x 3, uint8) as the contribution of a keyframe. Throws ValueError if
        the shapes do not fit."""
        points = np.asarray(new_points)
        colours = np.asarray(new_colors)
        if points.size == 0 and colours.size == 0:
            return
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"new_points must be of shape (N, 3), not {points.shape}")
        if colours.shape != points.shape:
            raise ValueError(f"new_colors must be of shape {points.shape} like new_points, not {colours.shape}")
        count = len(points)
        with self._lock:
            stay = count
            if count > self.max_points:
                stay = self._keep
                self._begin = self._end
            self._make_room(stay)
            np.copyto(self._xyz[self._end : self._end + stay], points[count - stay :], casting="unsafe")
            np.copyto(self._rgb[self._end : self._end + stay], colours[count - stay :], casting="unsafe")
            self._end += stay
            self._total += count
            if keyframe_id is not None:
                self._spans.pop(keyframe_id, None)
                self._spans[keyframe_id] = (self._total - count, self._total)
            if len(self) > self.max_points:
                self._begin = self._end - self._keep
            while self._spans:
                oldest = next(iter(self._spans))
                if self._spans[oldest][1] > self._total - len(self):
                    break
                del self._spans[oldest]

    @property
    def points(self) -> Array:
        """All points held, oldest first: N x 3 float32, not a copy."""
        with self._lock:
            return self._xyz[self._begin : self._end]

    @property
    def colors(self) -> Array:
        """Their colours: N x 3 uint8, not a copy."""
        with self._lock:
            return self._rgb[self._begin : self._end]

    @property
    def keyframe_contributions(self) -> Dict[Hashable, Tuple[int, int]]:
        """For each keyframe that still has points here, where in `points` its latest contribution begins and ends."""
        with self._lock:
            first = self._total - len(self)
            return {key: (max(begin - first, 0), end - first) for key, (begin, end) in self._spans.items()}

    def get_visualization_data(self) -> Dict[str, Any]:
        """Returns the points as the deployments' views want them."""
        with self._lock:
            return {"type": "points", "data": {"points": self.points, "colors": self.colors}}

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def _keep(self) -> int:
        return max(int(self.max_points * _KEEP), 1)

    def _make_room(self, count: int) -> None:
        if self._end + count <= len(self._xyz):
            return
        held = len(self)
        # Half as much again as can ever be held: a full buffer is moved together once in half a buffer of new points.
        size = min(max(2 * (held + count), 1 << 12), held + count + self.max_points // 2)
        for name in ("_xyz", "_rgb"):
            old = getattr(self, name)
            new = np.empty((size, 3), dtype=old.dtype)
            new[:held] = old[self._begin : self._end]
            setattr(self, name, new)
        self._begin, self._end = 0, held
