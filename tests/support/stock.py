"""A producer as somebody else would write it: aio-pika, msgpack and numpy, from docs/protocol.md alone."""

import os
import struct
import time

import numpy as np

EXCHANGE = "slam3r_keyframe_exchange"


def segment_bytes(frame, *, form=104, pose=None, bbox=None, confidence=None, timestamp_ns=1_000_000_000, channels=3, count=None):
    """A segment's content. The header's timestamp is a constant by default, as it is with producers out there."""
    pose = frame.pose if pose is None else pose
    bbox = np.zeros(6) if bbox is None else bbox
    count = len(frame.points) if count is None else count
    colours = frame.colours
    if channels == 4:
        colours = np.hstack((colours, np.full((len(colours), 1), 255, np.uint8)))
    head = struct.pack("<QII", timestamp_ns, count, channels)
    if form == 108:
        head += struct.pack("<I", int(confidence is not None))
    head += np.asarray(pose, "<f4").tobytes() + np.asarray(bbox, "<f4").tobytes()
    tail = b"" if confidence is None else np.asarray(confidence, "<f4").tobytes()
    return head + np.asarray(frame.points, "<f4").tobytes() + colours.astype(np.uint8).tobytes() + tail


def write_segment(key, content):
    """As shm_open, ftruncate, mmap and memcpy would leave it."""
    path = "/dev/shm" + key
    with open(path, "wb") as file:
        file.write(content)
    return path


def notification(frame, key, **changes):
    """The map of a keyframe.new; a change to None leaves a key out."""
    said = {
        "type": "keyframe.new",
        "keyframe_id": frame.id,
        "timestamp_ns": time.time_ns(),
        "pose_matrix": frame.pose.astype(float).tolist(),
        "shm_key": key,
        "point_count": len(frame.points),
        "bbox": [0.0] * 6,
    }
    said.update(changes)
    return {key: value for key, value in said.items() if value is not None}


async def open_exchange(url, exchange=EXCHANGE):
    """A connection, and the exchange declared as deployments do."""
    import aio_pika

    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    return connection, await channel.declare_exchange(exchange, aio_pika.ExchangeType.TOPIC, durable=True)


async def send(exchange, body, routing_key="keyframe.new", content_type="application/msgpack", **properties):
    import aio_pika

    await exchange.publish(aio_pika.Message(body=body, content_type=content_type, **properties), routing_key=routing_key)


def unlink_all(prefix):
    for name in os.listdir("/dev/shm"):
        if name.startswith(prefix.lstrip("/")):
            try:
                os.unlink("/dev/shm/" + name)
            except FileNotFoundError:
                pass
