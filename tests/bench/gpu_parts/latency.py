"""The whole service: from publishing a keyframe to its patch at a viewer, by bench_latency."""

import contextlib
import json
import pathlib

from . import goals

START_AND_END_S = 90  # on top of the time that it publishes: it decodes before, and drains for a minute at most


def measure(job, data, failures):
    options = job.options
    rows = data["cases"] = []
    cases = [(f"{points:,} points, 5 cm", ["--points", points]) for points in options.latency_points]
    cases += [(f"{options.source}, {voxel_m * 100:g} cm", ["--source", options.source, "--voxel-size", voxel_m])
              for voxel_m in options.latency_voxels]
    for name, more in cases:
        command = [job.program("bench_latency"), "--binary", job.tessera, "--backend", job.backend, "--rate", options.rate,
                   "--seconds", options.latency_seconds, "--warm-up", min(1.0, options.latency_seconds / 4), *more, "--json"]
        ended = job.runner.run(command, job.limit_s("latency") or options.latency_seconds + START_AND_END_S)
        if ended.late:
            remove_segments(ended.pid)
        if ended.reason:
            failures.append(ended.complaint())
            continue
        report = json.loads(ended.out.strip().splitlines()[-1])
        row = {"name": name, "report": report}
        if job.gpu:
            row["goals"] = verdicts(report)
        rows.append(row)
        if report["keyframes_seen"] == 0:
            failures.append(f"{name}: no keyframe was seen at the viewer")


def verdicts(report):
    """Goals are for one rate; and a service that falls behind meets none."""
    if report["rate_hz"] != goals.LATENCY_RATE_HZ:
        return {}
    found = {"p50": goals.at_most(report["latency_p50_ms"], goals.LATENCY_P50_MS),
             "p99": goals.at_most(report["latency_p99_ms"], goals.LATENCY_P99_MS)}
    for verdict in found.values():
        verdict["met"] = verdict["met"] and report["kept_up"] and report["keyframes_seen"] > 0
    return found


def remove_segments(pid):
    """What bench_latency and bench_throughput leave in shared memory when they are ended from outside."""
    if pid is None:
        return
    for prefix in ("bench", "hidden"):
        for path in pathlib.Path("/dev/shm").glob(f"tessera_{prefix}_{pid}_*"):
            with contextlib.suppress(OSError):
                path.unlink()
