#!/usr/bin/env python3
"""What a keyframe costs its producer: publishing through shared memory, against thinning a growing buffer with Open3D's
voxel_down_sample, which deployments did before. Both in the same run, on the same keyframes.

Prints a table, and with --json one line of JSON after it. The service's part is played by a consumer that unlinks each segment.
"""

import argparse
import asyncio
import json
import mmap
import os
import statistics
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "net", "clients", "python"))

from tessera_client import OptimizedPointCloudBuffer, SharedMemoryManager, StreamingKeyframePublisher  # noqa: E402
from tessera_client.keyframe import Scratch, lay_out  # noqa: E402

PREFIX = f"/tessera_bench_{os.getpid()}_"


def keyframe(number, count):
    """Points on the walls of a room of 8 x 6 x 3 m, seen from its middle in a direction that turns with the number."""
    generator = np.random.default_rng(number)
    angle = generator.uniform(-0.6, 0.6, count) + number * 0.1
    height = generator.uniform(-0.35, 0.35, count)
    ray = np.stack((np.cos(angle), np.sin(angle), height), axis=1)
    range_m = np.minimum(np.minimum(4 / np.abs(ray[:, 0]), 3 / np.abs(ray[:, 1])), 1.5 / np.maximum(np.abs(ray[:, 2]), 1e-9))
    points = (ray * range_m[:, None] + generator.normal(0, 0.005, (count, 3))).astype(np.float32)
    colors = generator.integers(0, 256, (count, 3), dtype=np.uint8)
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(number * 0.1), -np.sin(number * 0.1)], [np.sin(number * 0.1), np.cos(number * 0.1)]]
    return pose, points, colors


class Exchange:
    """The asyncio part of an exchange, without a broker."""

    async def publish(self, message, routing_key):
        await asyncio.sleep(0)


def timed(work, keyframes, after=None):
    """Milliseconds of work(number, keyframe) for each keyframe; `after` is not counted."""
    took = []
    for number, frame in enumerate(keyframes):
        begin = time.perf_counter()
        result = work(number, frame)
        took.append((time.perf_counter() - begin) * 1e3)
        if after is not None:
            after(result)
    return took


def unlink(key):
    os.unlink("/dev/shm" + key)


def bench_publish(frames, as_float64=False):
    publisher = StreamingKeyframePublisher(shm_manager=SharedMemoryManager(PREFIX))
    try:
        import aio_pika  # noqa: F401

        publisher = StreamingKeyframePublisher(Exchange(), shm_manager=SharedMemoryManager(PREFIX))
    except ImportError:
        print("aio-pika is not installed: publishing without the message", file=sys.stderr)
    loop = asyncio.new_event_loop()
    if as_float64:
        frames = [(pose, points.astype(np.float64), colors / 255.0) for pose, points, colors in frames]

    def publish(number, frame):
        pose, points, colors = frame
        return loop.run_until_complete(publisher.publish_keyframe(number, pose, points, colors))

    try:
        return timed(publish, frames, unlink)
    finally:
        loop.close()
        publisher.cleanup()


def bench_buffer(frames):
    buffer = OptimizedPointCloudBuffer()
    return timed(lambda number, frame: buffer.add_points(frame[1], frame[2], number), frames)


def bench_open3d(frames, voxel_m):
    try:
        import open3d
    except ImportError:
        return None
    cloud = open3d.geometry.PointCloud()

    def add(_, frame):
        nonlocal cloud
        new = open3d.geometry.PointCloud()
        new.points = open3d.utility.Vector3dVector(frame[1].astype(np.float64))
        new.colors = open3d.utility.Vector3dVector(frame[2] / 255.0)
        cloud += new
        cloud = cloud.voxel_down_sample(voxel_m)

    return timed(add, frames)


def bench_writers(frames):
    """Ways to get the same bytes into a new segment; the client uses the fastest that never lets a reader see half."""
    scratch = Scratch()
    path, hidden = f"/dev/shm{PREFIX}w", f"/dev/shm/.{PREFIX[1:]}w"

    def opened():
        return os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def done(descriptor):
        os.close(descriptor)
        os.rename(hidden, path)

    def gathered(layout, reserve):
        descriptor = opened()
        if reserve:
            os.posix_fallocate(descriptor, 0, layout.nbytes)
        assert os.pwritev(descriptor, layout.buffers, 0) == layout.nbytes
        done(descriptor)

    def mapped(layout, flags, reserve, advice):
        descriptor = opened()
        if reserve:
            os.posix_fallocate(descriptor, 0, layout.nbytes)
        else:
            os.ftruncate(descriptor, layout.nbytes)
        with mmap.mmap(descriptor, layout.nbytes, flags=flags) as memory:
            if advice is not None:
                memory.madvise(advice)
            at = 0
            for buffer in layout.buffers:
                memory[at : at + len(buffer)] = buffer
                at += len(buffer)
        done(descriptor)

    populate = getattr(mmap, "MAP_POPULATE", 0x8000)
    ways = {
        "pwritev": lambda layout: gathered(layout, False),
        "posix_fallocate + pwritev": lambda layout: gathered(layout, True),
        "mmap": lambda layout: mapped(layout, mmap.MAP_SHARED, False, None),
        "mmap + MAP_POPULATE": lambda layout: mapped(layout, mmap.MAP_SHARED | populate, False, None),
        "posix_fallocate + mmap": lambda layout: mapped(layout, mmap.MAP_SHARED, True, None),
        "mmap + MADV_HUGEPAGE": lambda layout: mapped(layout, mmap.MAP_SHARED, False, mmap.MADV_HUGEPAGE),
    }
    layouts = [lay_out(points, colors, pose, scratch=scratch) for pose, points, colors in frames[:30]]
    return {name: timed(lambda _, layout: way(layout), layouts, lambda _: os.unlink(path)) for name, way in ways.items()}


def summary(took):
    ordered = sorted(took)
    return {
        "median_ms": round(statistics.median(ordered), 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
        "first_ms": round(took[0], 3),
        "last_ms": round(statistics.median(took[-5:]), 3),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keyframes", type=int, default=100)
    arguments.add_argument("--points", type=int, nargs="+", default=[50_000, 300_000])
    arguments.add_argument("--voxel-m", type=float, default=0.02, help="of Open3D's voxel_down_sample (default: %(default)s)")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    report = {"keyframes": options.keyframes, "voxel_m": options.voxel_m, "python": sys.version.split()[0], "results": {}}
    print(f"{'points':>8}  {'what':<42}{'median':>9}{'p99':>9}{'first':>9}{'last':>9}   ms per keyframe")
    for count in options.points:
        distinct = [keyframe(i, count) for i in range(options.keyframes if count <= 100_000 else min(options.keyframes, 20))]
        frames = [distinct[i % len(distinct)] for i in range(options.keyframes)]
        rows = {
            "publish": bench_publish(frames),
            "publish, float64 points and float colours": bench_publish(frames[:30], as_float64=True),
            "OptimizedPointCloudBuffer.add_points": bench_buffer(frames),
            "Open3D voxel_down_sample of its buffer": bench_open3d(frames if count <= 100_000 else frames[:30], options.voxel_m),
        }
        rows.update({f"writing only: {name}": took for name, took in bench_writers(frames).items()})
        result = {name: summary(took) for name, took in rows.items() if took}
        for name, numbers in result.items():
            print(f"{count:>8}  {name:<42}" + "".join(f"{numbers[k]:>9.3f}"
                                                      for k in ("median_ms", "p99_ms", "first_ms", "last_ms")))
        thinning = result.get("Open3D voxel_down_sample of its buffer")
        if thinning:
            ratio = thinning["median_ms"] / result["publish"]["median_ms"]
            result["open3d_over_publish"] = round(ratio, 1)
            print(f"{count:>8}  publishing is {ratio:.0f} times cheaper than thinning")
        else:
            print(f"{count:>8}  Open3D is not installed: nothing to compare with")
        report["results"][str(count)] = result
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
