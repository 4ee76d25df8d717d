"""What all publishers have in common."""

from typing import Any, Optional, TypeVar

from .keyframe import KeyframeId
from .notification import Poses

_Self = TypeVar("_Self", bound="Publisher")


class Publisher:
    """Sends keyframes to a service. Made by `connect`, and a context manager: leaving it closes it."""

    #: Ids are unique within it; "" is the one that all share who name none.
    session: str

    def publish_keyframe(
        self,
        keyframe_id: KeyframeId,
        pose: Any,
        points: Any,
        colors: Any,
        confidence: Any = None,
        *,
        bbox: Any = None,
        timestamp_ns: Optional[int] = None,
    ) -> Any:
        """Publishes one keyframe. Arguments, and errors for those that will not do: see SharedMemoryManager.write_keyframe. What
        it returns, when, and which other errors there are, each publisher says for itself."""
        return self._publish(keyframe_id, points, colors, pose, bbox=bbox, confidence=confidence, timestamp_ns=timestamp_ns)

    def revise_keyframe(self, keyframe_id: KeyframeId, pose: Any) -> None:
        """Gives a keyframe another pose, as if it had come with it; after a loop closure."""
        raise NotImplementedError

    def revise_keyframes(self, poses: Poses, *, revision: Optional[int] = None) -> Any:
        """Gives many keyframes other poses at once, so that viewers see each part of the map change once; after a loop closure.
        `poses` is a dict of poses by id, or pairs of both. With `revision`, an integer that grows, what comes late or twice
        changes nothing."""
        raise NotImplementedError

    def move_group(self, group: str, transform: Any, *, revision: Optional[int] = None) -> Any:
        """Moves all keyframes of a group by one similarity: new pose = transform @ pose. What comes later is not moved.
        `revision` must grow; by default it is the time, in nanoseconds."""
        raise NotImplementedError

    def retract_keyframe(self, keyframe_id: KeyframeId) -> None:
        """Takes a keyframe out of the map, as if it had never come."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the connection. What was published stays."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _publish(self, keyframe_id: KeyframeId, points: Any, colors: Any, pose: Any, **options: Any) -> Any:
        """`options`: bbox, confidence and timestamp_ns, as lay_out takes them."""
        raise NotImplementedError
