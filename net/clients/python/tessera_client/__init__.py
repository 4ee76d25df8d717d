"""Sends keyframes of a SLAM system to Tessera, which makes a live mesh of them.

Five lines connect a SLAM system::

    import tessera_client
    with tessera_client.connect("http://127.0.0.1:8080") as tessera:
        for number, frame in enumerate(slam):
            tessera.publish_keyframe(number, frame.pose, frame.points, frame.colors)

``connect`` also takes ``shm:`` (shared memory, nothing else) and ``amqp://...`` (shared memory and RabbitMQ). The names that
SLAM3R deployments call are here too: ``SharedMemoryManager``, ``StreamingKeyframePublisher``, ``OptimizedPointCloudBuffer``.
Lengths are metres; points are world coordinates; a pose is world_from_camera, row-major: a rotation, perhaps times
a scale of 0.01 to 100, and a translation.
"""

from .amqp import AmqpPublisher
from .buffer import OptimizedPointCloudBuffer
from .connection import ShmPublisher, connect
from .errors import BacklogError, RefusedError, SharedMemoryFullError, TesseraError, UnreachableError
from .http import HttpPublisher
from .publisher import Publisher
from .shared_memory import SharedMemoryManager
from .streaming import StreamingKeyframePublisher

__version__ = "0.1.0"

__all__ = [
    "AmqpPublisher",
    "BacklogError",
    "HttpPublisher",
    "OptimizedPointCloudBuffer",
    "Publisher",
    "RefusedError",
    "SharedMemoryFullError",
    "SharedMemoryManager",
    "ShmPublisher",
    "StreamingKeyframePublisher",
    "TesseraError",
    "UnreachableError",
    "connect",
]
