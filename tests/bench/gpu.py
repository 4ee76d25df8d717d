#!/usr/bin/env python3
"""All that is to be known of Tessera on a GPU, measured by one command that ends: which machine, the tests on the GPU, the same
under compute-sanitizer, the CPU's hashes against the GPU's, each stage's time, ways to upload, the service's latency, two GPUs
against one, the service's keyframes/s, drills in which a GPU breaks or runs out of memory, and if asked for the time of each
kernel and the cost of a keyframe in a growing map. What fails is reported, and the rest still runs.

Needs Python alone, so that it also runs from a bundle, where it finds the programs beside itself. Writes OUT/report.json and
report.md (after each part, so that what is known stays), where_time_goes.svg, a figure for each growth, and log.txt: what was run
and what it said.

  gpu.py rgbd:DIR --out OUT
  gpu.py rgbd:DIR --only bench ncu --rounds 5
  gpu.py --skip sanitizers latency --growth 10000 --seconds 900
  gpu.py synthetic:room --limit 5 --backend cpu       without a GPU: leaves out what needs one

Ends with 0 if all that was asked for could be measured and GPU and CPU agree, whether goals are met or not; else with 1.
"""

import argparse
import datetime
import json
import os
import pathlib
import signal
import sys
import time
import traceback

from gpu_parts import (bounded, checks, drills, figure, growth_of, kernels, latency, machine, report, sanitizers, spread, stages,
                       throughput, upload)

HERE = pathlib.Path(__file__).resolve().parent
# In this order: what says most for its time first, so that a short time for everything cuts the least.
PARTS = {"machine": machine.measure, "tests": checks.tests, "hash": checks.hashes, "bench": stages.measure,
         "upload": upload.measure,
         "latency": latency.measure, "spread": spread.measure, "throughput": throughput.measure, "drills": drills.measure,
         "ncu": kernels.measure, "growth": growth_of.measure, "sanitizers": sanitizers.measure}
GPU_ONLY = ("tests", "hash", "upload", "spread", "throughput", "ncu", "sanitizers")
LIMITS_S = {"machine": 30, "tests": 180, "hash": 120, "bench": 120, "upload": 60, "latency": None, "spread": 120,
            "throughput": 120, "drills": 120, "ncu": 180, "growth": 1200, "sanitizers": 120}


class Job:
    """What a part may ask for."""

    def __init__(self, options, runner):
        self.options, self.runner = options, runner
        self.backend, self.gpu, self.tessera = options.backend, options.backend != "cpu", options.binary
        self.parts = {}  # what each has found so far, by its name

    def limit_s(self, part):
        """Of one command; None where the part knows better."""
        return self.options.limits.get(part, LIMITS_S[part])

    def program(self, name):
        """A program of the tests: beside tessera, as in a bundle, or in tests/ below it, as in a build."""
        folder = pathlib.Path(self.tessera).parent
        return next((path for path in (folder / name, folder / "tests" / name) if path.is_file()), folder / name)

    def input(self, voxel_m):
        """Which keyframes, as the commands of tessera take it."""
        limit = ["--limit", self.options.limit] if self.options.limit else []
        return [self.options.source, "--voxel-size", voxel_m, *limit]

    def label(self):
        found = self.parts.get("machine", {}).get("gpus")
        return found[0]["name"] if found else self.backend


def default_program():
    """TESSERA_BIN, or the program beside this script, as a bundle has it."""
    beside = HERE / "tessera"
    return os.environ.get("TESSERA_BIN") or (str(beside) if beside.is_file() else None)


def default_source():
    """The recording of a real room where it is found, else the synthetic one."""
    shared = os.environ.get("TESSERA_SHARED")
    for place in [pathlib.Path(shared)] if shared else [HERE.parents[1].parent / "shared"]:
        if (place / "data" / "rgbd-room").is_dir():
            return f"rgbd:{place / 'data' / 'rgbd-room'}"
    return "synthetic:room"


def limit(text):
    part, _, seconds = text.partition("=")
    if part not in LIMITS_S or not seconds.replace(".", "", 1).isdigit() or float(seconds) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=SECONDS, PART being one of {', '.join(LIMITS_S)}")
    return part, float(seconds)


def positive(kind):
    def read(text):
        value = kind(text)
        if not value > 0 or value == float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not more than 0")
        return value

    read.__name__ = kind.__name__
    return read


def arguments():
    count, amount = positive(int), positive(float)
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("source", nargs="?", default=default_source(), help="rgbd:DIR, synthetic:room, ... (%(default)s)")
    add("--out", type=pathlib.Path, default=pathlib.Path("gpu-report"), help="folder for what is written (%(default)s)")
    add("--binary", default=default_program(),
        help="tessera (default: $TESSERA_BIN, or the one beside this script); the other programs "
        "lie beside it or in tests/ there")
    add("--backend", choices=("cuda", "cpu"), default="cuda")
    add("--only", nargs="+", choices=tuple(PARTS), metavar="PART",
        help=f"these parts alone, of {', '.join(PARTS)}; machine always")
    add("--skip", nargs="+", choices=tuple(PARTS), metavar="PART", default=[], help="not these parts")
    add("--seconds", type=amount, default=1800, help="ends everything after so long (%(default)s)")
    add("--limits", type=limit, nargs="+", metavar="PART=SECONDS", default=[],
        help="another time limit for each command of a part")
    add("--limit", type=count, help="so many keyframes of the source (default: all)")
    add("--voxels", type=amount, nargs="+", metavar="M", default=[0.05, 0.02, 0.01], help="voxel sizes (%(default)s)")
    add("--rounds", type=count, default=3, help="of tessera bench (%(default)s)")
    add("--spread-rounds", type=count, default=2, help="of tessera bench on two GPUs and on one (%(default)s)")
    add("--throughput-rounds", type=count, default=2, help="of the service on each GPU and on both (%(default)s)")
    add("--throughput-seconds", type=amount, default=3, help="how long each is measured (%(default)s)")
    add("--throughput-voxels", type=amount, nargs="+", metavar="M", default=[0.05], help="voxel sizes for it (%(default)s)")
    add("--threads", type=count, default=2, help="of tessera bench for its keyframes/s (%(default)s)")
    add("--repeats", type=count, default=2, help="of the tests, each with a fresh seed (%(default)s)")
    add("--sanitizers", nargs="+", choices=tuple(sanitizers.TOOLS), default=list(sanitizers.TOOLS), help="tools to run (all)")
    add("--sanitizer-seconds", type=amount, default=900, help="what they may take together (%(default)s)")
    add("--jobs", type=count, default=max(1, len(os.sched_getaffinity(0)) // 2), help="cases at once under them (%(default)s)")
    add("--racecheck", choices=tuple(sanitizers.RACECHECK), default="both",
        help="looks at all kernels, or at those that are not ours and "
        "alone have shared memory, or at these first (%(default)s)")
    add("--batches", action=argparse.BooleanOptionalAction, default=True,
        help="under the sanitizers tests ask for all regions at once")
    add("--cases", nargs="+", default=[], help="under the sanitizers only these cases, as Catch2 takes them")
    add("--upload-segments", type=count, default=200, metavar="N",
        help="for each way to bring a keyframe to the GPU (%(default)s)")
    add("--rate", type=amount, default=100, help="keyframes/s for the latency (%(default)s)")
    add("--latency-seconds", type=amount, default=10, help="how long each case publishes (%(default)s)")
    add("--latency-points", type=count, nargs="*", default=[50_000, 273_000], help="of made-up keyframes (%(default)s)")
    add("--latency-voxels", type=amount, nargs="*", metavar="M", default=[0.05, 0.02],
        help="for the source's keyframes (%(default)s)")
    add("--ncu", action="store_true", help="also time each kernel with Nsight Compute")
    add("--ncu-skip", type=count, default=700, help="launches before that (%(default)s)")
    add("--ncu-count", type=count, default=60, help="launches (%(default)s)")
    add("--growth", type=count, default=0, metavar="N", help="also N keyframes of synthetic:building, 10000 are all of it")
    add("--growth-voxels", type=amount, nargs="+", metavar="M", default=[0.05], help="2 cm needs a pool of 75 GiB (%(default)s)")
    options = parser.parse_args()
    if not options.binary:
        parser.error("--binary or TESSERA_BIN is needed")
    options.binary = os.path.abspath(options.binary)
    if not os.access(options.binary, os.X_OK):
        parser.error(f"--binary is {options.binary}, which is no program")
    options.limits = dict(options.limits)
    options.out = options.out.absolute()
    return options


def chosen(options):
    """Which parts run; the machine is part of every report."""
    names = options.only or [name for name in PARTS if name not in ("ncu", "growth")]
    names = {*names, "machine", *(["ncu"] if options.ncu else []),
             *(["growth"] if options.growth else [])} - {*options.skip} | {"machine"}
    return [name for name in PARTS if name in names]


def write(result, folder):
    """report.json, report.md and, once there are times, the figure. Each is whole at any moment."""
    def put(name, text):
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)

    put("report.json", json.dumps(result, indent=1) + "\n")
    put("report.md", report.markdown(result))
    rows = result["parts"].get("bench", {}).get("voxels")
    if rows:
        put("where_time_goes.svg", figure.draw(rows, f"{report.heading(result)}; {rows[0]['points']:,.0f} points a keyframe"))


def measure(name, job):
    """Runs a part; whatever goes wrong in it is its failure alone."""
    part = job.parts[name] = {}
    failures = part["failures"] = []
    if not job.gpu and name in GPU_ONLY:
        part["left_out"] = "needs a GPU"
        return
    begin = time.monotonic()
    try:
        PARTS[name](job, part, failures)
    except KeyboardInterrupt:
        failures.append("interrupted")
        raise
    except Exception as e:  # a program's output may be anything
        print(traceback.format_exc(), file=sys.stderr)
        failures.append(f"{type(e).__name__}: {e}")
    finally:
        part["seconds"] = round(time.monotonic() - begin, 1)


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


def main():
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    for old in (options.out / "where_time_goes.svg", *options.out.glob("growth_*cm.svg")):
        old.unlink(missing_ok=True)  # figures of another run would pass for this one's
    signal.signal(signal.SIGTERM, interrupt)
    begin = time.monotonic()
    with open(options.out / "log.txt", "w", encoding="utf-8") as log:
        job = Job(options, bounded.Runner(begin + options.seconds, log))
        result = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "backend": options.backend,
                  "source": options.source, "limit": options.limit, "parts": job.parts}
        interrupted = False
        for name in chosen(options):
            print(f"==> {name}", flush=True)
            try:
                measure(name, job)
            except KeyboardInterrupt:
                interrupted = True
            for failure in job.parts[name]["failures"]:
                print(f"    {failure}", flush=True)
            result["seconds"] = round(time.monotonic() - begin, 1)
            write(result, options.out)
            if interrupted:
                break
    print(f"\n{report.markdown(result)}\n{options.out}")
    return 1 if interrupted or any(part["failures"] for part in job.parts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
