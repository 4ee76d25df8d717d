#!/usr/bin/env python3
"""The running service, end to end: a producer at a fixed rate through shared memory and RabbitMQ (or HTTP), one viewer or many.

Measures from just before publish to the patch's last byte at the viewer: the patch says which keyframe it shows (keyframe_ns is
the producer's time). Reports latencies, whether anything fell behind, CPU, memory and bytes. Prints a table, and with --json one
line of JSON.

  service.py --binary build/release/tessera                      25 keyframes/s of 50,000 points, one viewer
  service.py --binary ... --points 300000                        the heavy one
  service.py --binary ... --viewers 200 --stalled 100            a crowd, half of which reads nothing
  service.py --binary ... --journal                              with a journal (journal_cost.py compares)
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "..", "net", "clients", "python")]

import tessera_client  # noqa: E402
from support import rabbitmq, service, stock  # noqa: E402
from support.measuring import command_line, options_of  # noqa: E402
from support.viewer import Viewer, WebSocket  # noqa: E402

ROOM = np.array([4.0, 3.0, 1.5])
SNAPSHOTS = {"usual": (), "often": ("--snapshot-after", 0.5), "none": ("--snapshots", 0)}


def keyframe(number, count):
    """Points on the walls, floor and ceiling of a room of 8 x 6 x 3 m, seen from a camera that goes round in it."""
    angle = number * 0.05
    eye = np.array([1.5 * np.cos(angle), 1.0 * np.sin(angle), 0.2 * np.sin(3 * angle)])
    right = np.array([np.sin(angle), -np.cos(angle), 0])
    ahead = np.array([np.cos(angle), np.sin(angle), 0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack((right, [0, 0, -1], ahead), axis=1)
    pose[:3, 3] = eye
    side = int(np.sqrt(count))
    u, v = np.meshgrid(np.linspace(-0.8, 0.8, side), np.linspace(-0.8, 0.8, count // side))
    rays = ahead + u[..., None] * right + v[..., None] * np.array([0, 0, -1.0])
    rays = rays.reshape(-1, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.nanmin(np.where(rays != 0, (np.sign(rays) * ROOM - eye) / rays, np.nan), axis=1)
    points = eye + rays * reach[:, None]
    points += np.random.default_rng(number).normal(0, 0.003, points.shape)
    colors = (127 + 120 * np.sin(points * (3, 4, 5))).astype(np.uint8)
    return pose, points.astype(np.float32), colors


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class Crowd:
    """Viewers that only read, in a process of their own so that they do not share this one's interpreter."""

    def __init__(self, url, reading, stalled, protocol):
        self._end, self._child_end = __import__("multiprocessing").Pipe()
        import multiprocessing

        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=self._run, args=(url, reading, stalled, protocol), daemon=True)
        self._process.start()
        self._child_end.close()
        assert self._end.recv() == "ready"

    def _run(self, url, reading, stalled, protocol):
        still = []
        for _ in range(stalled):
            one = WebSocket(url.replace("http", "ws", 1) + "/v1/stream", protocol, receive_buffer=4096)
            one.send_text(json.dumps({"type": "subscribe", "epoch": "", "have": []}))
            still.append(one)
        viewers = [Viewer(url, protocol=protocol) for _ in range(reading)]
        self._child_end.send("ready")
        self._child_end.recv()
        latencies = []
        for viewer in viewers:
            latencies += first_sightings(viewer)
        self._child_end.send((latencies, sum(v.error is not None for v in viewers)))

    def finish(self):
        self._end.send("enough")
        result = self._end.recv()
        self._process.join(5)
        return result


def first_sightings(viewer):
    """For each keyframe time that a viewer's patches showed, the milliseconds until the first of them was there."""
    first = {}
    for kind, received_ns, keyframe_ns, _, _ in viewer.log:
        if keyframe_ns and keyframe_ns not in first:
            first[keyframe_ns] = (received_ns - keyframe_ns) / 1e6
    return list(first.values())


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("--points", type=int, default=50_000)
    arguments.add_argument("--rate", type=float, default=25, help="keyframes per second (default: %(default)s)")
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--voxel-m", type=float, default=0.05)
    arguments.add_argument("--viewers", type=int, default=1)
    arguments.add_argument("--protocol", default="tessera.v2", help="what viewers speak (default: %(default)s)")
    arguments.add_argument("--stalled", type=int, default=0, help="so many of the viewers never read")
    arguments.add_argument("--door", choices=("amqp", "http", "shm"), default="amqp")
    arguments.add_argument("--journal", action="store_true", help="keeps a journal, in a temporary folder")
    arguments.add_argument("--snapshots", choices=SNAPSHOTS, default="usual", help="of regions, with a journal: as the service "
                           "does, of what has not changed for half a second, or none")
    options = options_of(arguments)
    if options.door == "amqp" and rabbitmq.why_not():
        print(f"{rabbitmq.why_not()}: measuring through HTTP", file=sys.stderr)
        options.door = "http"

    prefix = f"/tessera_bench_{os.getpid()}_"
    total = int(options.rate * options.seconds)
    distinct = [keyframe(i, options.points) for i in range(min(total, 125))]  # one round of the room
    broker = rabbitmq.Broker().start() if options.door == "amqp" else None
    source = broker.url if broker else f"shm:{prefix}"
    names = ("--shm-prefix", prefix, "--exchange", "bench", "--queue", "bench")
    journal = tempfile.mkdtemp(prefix="tessera-bench-") if options.journal else None
    kept = ("--journal", journal, *SNAPSHOTS[options.snapshots]) if journal else ()
    running = service.Service(options.binary, source, options=("--voxel-size", options.voxel_m, *names, *kept))
    try:
        if broker:
            running.wait(lambda: any("listening on amqp" in line for line in running.log), "the broker")
            publisher = tessera_client.connect(broker.url, exchange="bench", prefix=prefix)
        elif options.door == "http":
            publisher = tessera_client.connect(running.url)
        else:
            publisher = tessera_client.connect(f"shm:{prefix}")
        idle_bytes = running.resident_bytes()
        others = options.viewers - 1
        crowd = Crowd(running.url, others - options.stalled, options.stalled, options.protocol) if others > 0 else None
        joined_bytes = running.resident_bytes()
        viewer = Viewer(running.url, protocol=options.protocol)
        publish_ms, late = [], 0
        behind_most = 0
        done = threading.Event()

        def watch():
            nonlocal behind_most
            while not done.wait(0.5):
                behind_most = max(behind_most, len(publish_ms) - running.map()["keyframes"])

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        cpu, begin = cpu_seconds(running.pid), time.perf_counter()
        for number in range(total):
            due = begin + number / options.rate
            pause = due - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            else:
                late += pause < -1 / options.rate
            pose, points, colors = distinct[number % len(distinct)]
            before = time.perf_counter()
            publisher.publish_keyframe(number, pose, points, colors, timestamp_ns=time.time_ns())
            publish_ms.append((time.perf_counter() - before) * 1e3)
        sent = time.perf_counter()
        running.wait(lambda: running.map()["keyframes"] == total, "all keyframes in the map", 60)
        drained_s = time.perf_counter() - sent
        wall_s = time.perf_counter() - begin
        cpu = cpu_seconds(running.pid) - cpu
        running.wait(lambda: viewer.triangles() == running.map()["triangles"], "the whole map at the viewer", 20)
        done.set()
        watcher.join()
        latencies = first_sightings(viewer)
        full = [entry for entry in viewer.log if entry[0] == 0]
        triangles = sum(entry[4] for entry in full)
        report = {
            "door": options.door,
            "points": options.points,
            "rate_hz": options.rate,
            "keyframes": total,
            "voxel_m": options.voxel_m,
            "publish_median_ms": round(statistics.median(publish_ms), 3),
            "publish_p99_ms": round(percentile(publish_ms, 0.99), 3),
            "producer_late": late,
            "latency_p50_ms": round(percentile(latencies, 0.5), 2),
            "latency_p99_ms": round(percentile(latencies, 0.99), 2),
            "latency_max_ms": round(max(latencies), 2),
            "keyframes_seen": len(latencies),
            "most_behind": behind_most,
            "drained_s": round(drained_s, 3),
            "cpu_cores": round(cpu / wall_s, 3),
            "viewer_bytes_per_s": round(sum(entry[3] for entry in full) / wall_s),
            "bytes_per_triangle": round(sum(entry[3] for entry in full) / max(triangles, 1), 3),
            "map_triangles": running.map()["triangles"],
            "resident_bytes_idle": idle_bytes,
            "resident_bytes_end": running.resident_bytes(),
        }
        if journal:
            files = [os.path.join(folder, name) for folder, _, names in os.walk(journal) for name in names]
            on_disk = sum(os.stat(file).st_blocks * 512 for file in files)
            report["journal_bytes_of_points"] = round(on_disk / (15 * options.points * total), 4)
        if crowd:
            others, lost = crowd.finish()
            report.update(
                viewers=options.viewers,
                stalled=options.stalled,
                viewers_lost=lost,
                crowd_latency_p50_ms=round(percentile(others, 0.5), 2),
                crowd_latency_p99_ms=round(percentile(others, 0.99), 2),
                bytes_per_viewer_on_joining=round((joined_bytes - idle_bytes) / (options.viewers - 1)),
            )
        viewer.close()
        publisher.close()
    finally:
        running.stop()
        if broker:
            broker.close()
        stock.unlink_all(prefix)
        if journal:
            shutil.rmtree(journal, ignore_errors=True)
    for name, value in report.items():
        print(f"{name:>28}  {value}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
