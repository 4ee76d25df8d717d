"""Publishes keyframes through shared memory and RabbitMQ, from asyncio code that has an exchange already."""

import logging
from typing import Any, Optional

from . import notification
from .errors import UnreachableError
from .keyframe import CONTENT_TYPE, KeyframeId, Scratch, checked_id, checked_label, chosen_session, lay_out
from .shared_memory import SharedMemoryManager

DEFAULT_QUEUE = "tessera"
_log = logging.getLogger(__name__)


def _aio_pika() -> Any:
    try:
        import aio_pika
    except ImportError:
        raise ImportError("RabbitMQ needs the package aio-pika: pip install 'tessera-client[amqp]', "
                          "or python3-aio-pika on Debian") from None
    return aio_pika


class StreamingKeyframePublisher:
    """Writes each keyframe into shared memory and tells the service through an exchange of aio-pika.

    `keyframe_exchange` is the durable topic exchange `slam3r_keyframe_exchange`, declared by the caller; None writes segments
    only, for a service that watches the folder. `shm_manager` replaces the default SharedMemoryManager. With `persistent` (the
    default) the broker keeps notifications over its own restart, at the price of a disk write for each. With `embed` keyframes
    travel inside the messages, for a service on another machine. `queue` is the service's: it is made, durable, when a message
    finds no queue bound to the exchange, so that what is published before the service runs for the first time waits for it.

    Keyframe ids are unique within `session`: a new one for each publisher unless it is given, so that a SLAM system that starts
    again and numbers from 0 again does not send what is there already. "" joins all who name none. `group` is a label by which
    keyframes can be taken out together.
    """

    def __init__(
        self,
        keyframe_exchange: Any = None,
        *,
        shm_manager: Optional[SharedMemoryManager] = None,
        persistent: bool = True,
        embed: bool = False,
        queue: str = DEFAULT_QUEUE,
        session: Optional[str] = None,
        group: str = "",
    ) -> None:
        self.session = chosen_session(session)
        self.group = checked_label("group", group)
        self.keyframe_exchange = keyframe_exchange
        self.shm_manager = shm_manager if shm_manager is not None else SharedMemoryManager()
        #: Keyframes published so far.
        self.keyframe_counter = 0
        self._persistent = persistent
        self._embed = embed
        self._queue = queue
        self._pika = _aio_pika() if keyframe_exchange is not None else None

    async def publish_keyframe(
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
        """Publishes one keyframe (arguments: see SharedMemoryManager.write_keyframe) and returns the segment's name, or "" if it
        was embedded. Throws what write_keyframe throws, and what the exchange throws; then the segment is gone again."""
        options = dict(bbox=bbox, confidence=confidence, timestamp_ns=timestamp_ns)
        if self._embed and self.keyframe_exchange is not None:
            whole = lay_out(points, colors, pose, scratch=Scratch(), long_form=True, **options)
            headers = {key: value for key, value in (("session", self.session), ("group", self.group)) if value}
            await self._send(
                b"".join(whole.buffers),
                notification.NEW,
                content_type=CONTENT_TYPE,
                message_id=checked_id(keyframe_id),
                headers=headers or None,
            )
            self.keyframe_counter += 1
            return ""
        manager = self.shm_manager
        with manager.lock:  # no await inside: the layout lies in the caller's arrays and the manager's scratch memory
            layout = manager.lay_out(points, colors, pose, **options)
            shm_key = manager.write(keyframe_id, layout, self.session)
        if self.keyframe_exchange is None:
            _log.debug("no exchange: wrote keyframe %s without telling anyone", keyframe_id)
        else:
            try:
                note = notification.new_keyframe(keyframe_id, shm_key, layout, self.session, self.group)
                await self._send(note, notification.NEW)
            except BaseException:
                manager.discard(shm_key)
                raise
        self.keyframe_counter += 1
        return shm_key

    async def revise_keyframe(self, keyframe_id: KeyframeId, pose: Any) -> None:
        """Gives a keyframe another pose, as after a loop closure."""
        await self._send(notification.revise_keyframe(keyframe_id, pose, session=self.session), notification.REVISE)

    async def revise_keyframes(self, poses: notification.Poses, *, revision: Optional[int] = None) -> None:
        """Gives many keyframes other poses at once: as many as fit into a notification, some 6,000. See Publisher."""
        await self._send(notification.of_many(notification.revisions_of(poses, self.session, revision)), notification.REVISE)

    async def move_group(self, group: str, transform: Any, *, revision: Optional[int] = None) -> None:
        """Moves all keyframes of a group by one similarity. See Publisher."""
        await self._send(notification.of_many(notification.group_moved(group, transform, revision)), notification.REVISE)

    async def retract_keyframe(self, keyframe_id: KeyframeId) -> None:
        """Takes a keyframe out of the map."""
        await self._send(notification.retract_keyframe(keyframe_id, session=self.session), notification.RETRACT)

    def cleanup(self) -> None:
        """Unlinks the segments that the service has not taken; see SharedMemoryManager.cleanup."""
        self.shm_manager.cleanup()

    async def _send(
        self, body: bytes, routing_key: str, content_type: str = notification.CONTENT_TYPE, **properties: Any
    ) -> None:
        if self.keyframe_exchange is None:
            raise RuntimeError("no exchange was given: keyframes can be published, but not revised or retracted")
        if self._pika is None:
            self._pika = _aio_pika()
        mode = self._pika.DeliveryMode.PERSISTENT if self._persistent else self._pika.DeliveryMode.NOT_PERSISTENT
        message = self._pika.Message(body=body, content_type=content_type, delivery_mode=mode, **properties)
        if await self._queued(message, routing_key):
            return
        await self._make_queue()
        if not await self._queued(message, routing_key):
            raise UnreachableError(f"the message found no queue bound to the exchange {self.keyframe_exchange.name}")

    async def _queued(self, message: Any, routing_key: str) -> bool:
        """Publishes; False if no queue took the message, and the broker gave it back."""
        try:
            answer = await self.keyframe_exchange.publish(message, routing_key=routing_key)  # mandatory: aio-pika's default
        except self._pika.exceptions.PublishError:  # instead, on channels with on_return_raises
            return False
        return getattr(getattr(answer, "delivery", None), "name", None) != "Basic.Return"

    async def _make_queue(self) -> None:
        channel = self.keyframe_exchange.channel
        if hasattr(channel, "get_underlay_channel"):  # aio-pika 9
            channel = await channel.get_underlay_channel()
        own = await channel.connection.channel()  # what the broker refuses closes the channel: not the caller's
        try:
            await own.queue_declare(self._queue, durable=True)
            await own.queue_bind(self._queue, self.keyframe_exchange.name, routing_key="keyframe.*")
        except self._pika.exceptions.AMQPError as error:
            raise UnreachableError(
                f"no queue is bound to the exchange {self.keyframe_exchange.name}, and {self._queue} cannot be made: {error}"
            ) from error  # the channel is closed by now: to close it, too, may meet the broker's close half done
        await own.close()
        _log.info("made the queue %s: no service has listened to this broker yet", self._queue)
