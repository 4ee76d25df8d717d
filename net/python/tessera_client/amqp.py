"""Publishes through RabbitMQ from code that is not asyncio: the connection lives in a thread of its own."""

import asyncio
import os
import threading
from types import TracebackType
from typing import Any, Coroutine, Optional, Type, TypeVar
from urllib.parse import urlsplit

from .errors import UnreachableError
from .keyframe import KeyframeId
from .shared_memory import DEFAULT_PREFIX, SharedMemoryManager
from .streaming import StreamingKeyframePublisher, _aio_pika

DEFAULT_EXCHANGE = "slam3r_keyframe_exchange"
_T = TypeVar("_T")


class AmqpPublisher:
    """Publishes keyframes through shared memory and a broker, or with `embed` through the broker alone.

    `url` is amqp://USER:PASSWORD@HOST:PORT/VHOST. The exchange is declared (durable, topic); its name is taken from the
    environment (SLAM3R_KEYFRAME_EXCHANGE) if not given. The connection comes back by itself after the broker was away; calls
    wait for that, `timeout_s` at most, and throw UnreachableError then.

    Threads: any.
    """

    def __init__(
        self,
        url: str,
        *,
        exchange: Optional[str] = None,
        prefix: str = DEFAULT_PREFIX,
        embed: bool = False,
        persistent: bool = True,
        timeout_s: float = 10,
    ) -> None:
        self._pika = _aio_pika()
        parts = urlsplit(url)
        self._where = f"{parts.hostname or 'localhost'}:{parts.port or 5672}"
        self._timeout_s = timeout_s
        self._manager = SharedMemoryManager(prefix)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tessera-amqp", daemon=True)
        self._thread.start()
        self._connection: Any = None
        try:
            exchange = exchange or os.environ.get("SLAM3R_KEYFRAME_EXCHANGE") or DEFAULT_EXCHANGE
            target = self._run(self._open(url, exchange))
            self._publisher = StreamingKeyframePublisher(target, shm_manager=self._manager, persistent=persistent, embed=embed)
        except BaseException:
            self.close()
            raise

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
    ) -> str:
        """See StreamingKeyframePublisher.publish_keyframe. Returns when the broker has the notification."""
        return self._run(
            self._publisher.publish_keyframe(
                keyframe_id, pose, points, colors, confidence, bbox=bbox, timestamp_ns=timestamp_ns
            )
        )

    def revise_keyframe(self, keyframe_id: KeyframeId, pose: Any) -> None:
        """Gives a keyframe another pose."""
        self._run(self._publisher.revise_keyframe(keyframe_id, pose))

    def retract_keyframe(self, keyframe_id: KeyframeId) -> None:
        """Takes a keyframe out of the map."""
        self._run(self._publisher.retract_keyframe(keyframe_id))

    def close(self) -> None:
        """Closes the connection. Segments that were announced stay for the service."""
        if not self._thread.is_alive():
            return
        try:
            if self._connection is not None:
                self._run(self._connection.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(self._timeout_s)
            if not self._thread.is_alive():
                self._loop.close()

    def __enter__(self) -> "AmqpPublisher":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    async def _open(self, url: str, exchange: str) -> Any:
        self._connection = await self._pika.connect_robust(url)
        channel = await self._connection.channel()
        return await channel.declare_exchange(exchange, self._pika.ExchangeType.TOPIC, durable=True)

    def _run(self, work: "Coroutine[Any, Any, _T]") -> _T:
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, self._timeout_s), self._loop)
        try:
            return future.result()
        except (asyncio.TimeoutError, TimeoutError):
            raise UnreachableError(f"the broker at {self._where} did not answer within {self._timeout_s} s") from None
        except (self._pika.exceptions.AMQPError, ConnectionError) as error:
            raise UnreachableError(f"the broker at {self._where} cannot be used: {error or type(error).__name__}") from error
