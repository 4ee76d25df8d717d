"""Publishes through RabbitMQ from code that is not asyncio: the connection lives in a thread of its own."""

import asyncio
import os
import threading
import time
from typing import Any, Callable, Coroutine, Mapping, Optional, TypeVar

from .address import checked_address
from .errors import UnreachableError
from .keyframe import KeyframeId
from .notification import Poses
from .publisher import Publisher
from .shared_memory import DEFAULT_MODE, DEFAULT_PREFIX, SharedMemoryManager
from .streaming import DEFAULT_QUEUE, StreamingKeyframePublisher, _aio_pika

DEFAULT_EXCHANGE = "slam3r_keyframe_exchange"
_PAUSE_S = 0.25
_T = TypeVar("_T")


class AmqpPublisher(Publisher):
    """Publishes keyframes through shared memory and a broker, or with `embed` through the broker alone.

    `url` is amqp://USER:PASSWORD@HOST:PORT/VHOST. The exchange is declared (durable, topic); its name is taken from the
    environment (SLAM3R_KEYFRAME_EXCHANGE) if not given. `queue`, `session`, `group`: see StreamingKeyframePublisher; `mode`: see
    SharedMemoryManager. publish_keyframe returns the segment's name, or "", when the broker has the notification. When the broker
    goes away, the next call opens the connection again; it tries for `timeout_s` at most, and throws UnreachableError then. It
    does so at once, with the broker's words, if the user may not use the exchange or make the queue, and if there is a queue or
    an exchange of that name that the broker will not change into ours.

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
        queue: str = DEFAULT_QUEUE,
        session: Optional[str] = None,
        group: str = "",
        mode: int = DEFAULT_MODE,
    ) -> None:
        self._pika = _aio_pika()
        from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed  # what aio-pika exports of them varies

        self._final_errors = (ChannelAccessRefused, ChannelPreconditionFailed)
        parts = checked_address(url, "amqp://USER:PASSWORD@HOST:PORT/VHOST")
        self._where = f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
        self._timeout_s = timeout_s
        self._manager = SharedMemoryManager(prefix, mode=mode)
        self._publisher = StreamingKeyframePublisher(
            shm_manager=self._manager, persistent=persistent, embed=embed, queue=queue, session=session, group=group
        )
        self.session = self._publisher.session
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tessera-amqp", daemon=True)
        self._thread.start()
        self._connection: Any = None
        self._url = url
        self._exchange = exchange or os.environ.get("SLAM3R_KEYFRAME_EXCHANGE") or DEFAULT_EXCHANGE
        try:
            self._run(self._open, again=False)
        except BaseException:
            self.close()
            raise

    def _publish(self, keyframe_id: KeyframeId, points: Any, colors: Any, pose: Any, **options: Any) -> str:
        if options["timestamp_ns"] is None:
            options["timestamp_ns"] = time.time_ns()  # once, however often it is tried
        return self._run(lambda: self._send(self._publisher.publish_keyframe, keyframe_id, pose, points, colors, **options))

    def revise_keyframe(self, keyframe_id: KeyframeId, pose: Any) -> None:
        self._run(lambda: self._send(self._publisher.revise_keyframe, keyframe_id, pose))

    def revise_keyframes(self, poses: Poses, *, revision: Optional[int] = None) -> None:
        poses = list(poses.items() if isinstance(poses, Mapping) else poses)  # it may be tried again
        self._run(lambda: self._send(self._publisher.revise_keyframes, poses, revision=revision))

    def move_group(self, group: str, transform: Any, *, revision: Optional[int] = None) -> None:
        if revision is None:
            revision = time.time_ns()  # once, however often it is tried
        self._run(lambda: self._send(self._publisher.move_group, group, transform, revision=revision))

    def retract_keyframe(self, keyframe_id: KeyframeId) -> None:
        self._run(lambda: self._send(self._publisher.retract_keyframe, keyframe_id))

    def close(self) -> None:
        """Closes the connection. Segments that were announced stay for the service."""
        if not self._thread.is_alive():
            return
        try:
            self._run(self._leave, again=False)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(self._timeout_s)
            if not self._thread.is_alive():
                self._loop.close()

    async def _send(self, how: "Callable[..., Coroutine[Any, Any, _T]]", *arguments: Any, **options: Any) -> _T:
        await self._open()
        return await how(*arguments, **options)

    async def _open(self) -> None:
        """Connects, unless there is a connection."""
        if self._connection is not None and not self._connection.is_closed:
            return
        self._connection = await self._pika.connect(self._url, timeout=self._timeout_s)
        channel = await self._connection.channel()
        self._publisher.keyframe_exchange = await channel.declare_exchange(
            self._exchange, self._pika.ExchangeType.TOPIC, durable=True
        )

    async def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _run(self, work: "Callable[[], Coroutine[Any, Any, _T]]", again: bool = True) -> _T:
        """Runs work() in the connection's thread; again, while the broker is away and there is time: what is sent twice counts
        once."""
        until = time.monotonic() + self._timeout_s
        reason = f"did not answer within {self._timeout_s} s"
        while True:
            left = until - time.monotonic()
            future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work(), max(left, 0.01)), self._loop)
            try:
                return future.result()
            except (asyncio.TimeoutError, TimeoutError):
                raise UnreachableError(f"the broker at {self._where} {reason}") from None
            # A closed channel is a RuntimeError.
            except (self._pika.exceptions.AMQPError, ConnectionError, RuntimeError) as error:
                reason = f"cannot be used: {error or type(error).__name__}"
                # We may not, or what is there is not as ours must be: neither will be otherwise in a moment.
                refused = any(isinstance(one, self._final_errors) for one in (error, error.__cause__))
                if not again or refused or time.monotonic() + _PAUSE_S > until:
                    raise UnreachableError(f"the broker at {self._where} {reason}") from error
                self._run(self._leave, again=False)
                time.sleep(_PAUSE_S)
