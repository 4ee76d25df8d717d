"""One call for every way in."""

from typing import Any, Optional

from .amqp import AmqpPublisher
from .http import HttpPublisher
from .keyframe import KeyframeId, chosen_session
from .notification import Poses
from .publisher import Publisher
from .shared_memory import DEFAULT_BACKLOG_BYTES, DEFAULT_MODE, DEFAULT_PREFIX, SharedMemoryManager


class ShmPublisher(Publisher):
    """Publishes keyframes through shared memory alone, for a service on this machine that watches the folder; publish_keyframe
    returns the segment's name. Nothing can be moved or taken back on this way.

    The service unlinks what it has taken. Where none runs, the oldest of this publisher go when there are more than
    `max_pending_bytes`, or when shared memory is full, and `shm_manager.dropped` counts them: a SLAM system need not stop because
    nobody looks.
    `session`: see connect; `mode`: see SharedMemoryManager.
    """

    def __init__(
        self,
        prefix: str = DEFAULT_PREFIX,
        *,
        max_pending_bytes: int = DEFAULT_BACKLOG_BYTES,
        shm_manager: Optional[SharedMemoryManager] = None,
        session: Optional[str] = None,
        mode: int = DEFAULT_MODE,
    ) -> None:
        self.session = chosen_session(session)
        self.shm_manager = shm_manager if shm_manager is not None else SharedMemoryManager(
            prefix, max_pending_bytes=max_pending_bytes, when_full="drop_oldest", mode=mode
        )
        self.shm_manager.key_of("0", self.session)  # one that cannot be part of a name is an error now, not at the first keyframe

    def revise_keyframe(self, keyframe_id: KeyframeId, pose: Any) -> None:
        raise NotImplementedError("shared memory alone cannot move a keyframe: connect to http:// or amqp://")

    def revise_keyframes(self, poses: Poses, *, revision: Optional[int] = None) -> None:
        raise NotImplementedError("shared memory alone cannot move keyframes: connect to http:// or amqp://")

    def move_group(self, group: str, transform: Any, *, revision: Optional[int] = None) -> None:
        raise NotImplementedError("shared memory alone cannot move keyframes: connect to http:// or amqp://")

    def retract_keyframe(self, keyframe_id: KeyframeId) -> None:
        raise NotImplementedError("shared memory alone cannot take a keyframe back: connect to http:// or amqp://")

    def _publish(self, keyframe_id: KeyframeId, points: Any, colors: Any, pose: Any, **options: Any) -> str:
        return self.shm_manager.write_keyframe(keyframe_id, points, colors, pose, session=self.session, **options)


def connect(url: str, *, token: Optional[str] = None, session: Optional[str] = None, **options: Any) -> Publisher:
    """Returns a publisher for a URL.

    - http://HOST:PORT or https://...: HttpPublisher; `token` is what the service was started with, by default the environment's
      TESSERA_TOKEN.
    - shm: or shm:/PREFIX: ShmPublisher, on the same machine.
    - amqp://USER:PASSWORD@HOST:PORT/VHOST: AmqpPublisher, shared memory and RabbitMQ; with embed=True RabbitMQ alone.

    Keyframe ids are unique within a `session`. By default each connection has a new one (`publisher.session`), so that a
    program that runs again, and numbers from 0 again, adds to the map instead of repeating what is there. A name of your own
    (at most 64 bytes) makes what is sent again count once; "" is the session of all who name none. `group` (at most 64 bytes;
    not for shm:) is a label by which keyframes can be taken out together.

    Other keyword arguments go to the publisher. Throws ValueError for any other URL.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, not {type(url).__name__}")
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme in ("http", "https"):
        return HttpPublisher(url, token, session=session, **options)
    if token is not None:
        raise ValueError(f"token is for http URLs, not for {url.split(':', 1)[0]}")
    if scheme in ("amqp", "amqps"):
        return AmqpPublisher(url, session=session, **options)
    if scheme == "shm":
        if options.get("group"):
            raise ValueError("group is for http and amqp URLs: a segment alone does not tell it")
        options.pop("group", None)
        return ShmPublisher(url[len("shm:") :] or DEFAULT_PREFIX, session=session, **options)
    shown = url.partition("://")[0] + "://..." if "://" in url else url
    raise ValueError(f"url is {shown!r}, and must begin with http://, https://, amqp://, amqps:// or shm:")
