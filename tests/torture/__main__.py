"""Tortures a built `tessera`: faults drawn from a seed, several at once, under load; at the end the map must be that of a run in
which nothing happened. See docs/hacking.md."""

import argparse
import collections
import logging
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from support import rabbitmq, scene  # noqa: E402
from torture import compaction, course, faults, leftovers, mounts, tails  # noqa: E402
from torture.victim import ROLES  # noqa: E402
from torture.world import World  # noqa: E402

RECORDED = 10  # keyframes of the folder that `tessera publish` sends


class Clock:
    """The system's clock, as a service that is started with `environment` sees it."""

    def __init__(self, folder):
        self._file = os.path.join(folder, "clock")
        library = self._file + ".so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, str(Path(__file__).with_name("clock.c"))], check=True)
        self.environment = {"LD_PRELOAD": library, "TORTURE_CLOCK": self._file}
        self.set(0)

    def set(self, ahead_s):
        with open(self._file, "r+b" if os.path.exists(self._file) else "w+b") as file:
            file.write(struct.pack("<q", ahead_s))


def why_no_clock(program):
    if shutil.which("cc") is None:
        return "cc is not installed"
    linked = subprocess.run(["ldd", program], capture_output=True, check=False).stdout
    return "the program is made for AddressSanitizer, which must be loaded first" if b"libasan" in linked else ""


def arguments():
    parser = argparse.ArgumentParser(prog="tests/torture", description=__doc__)
    parser.add_argument("program", help="the built tessera")
    parser.add_argument("--seed", type=int, help="of the first round, the next ones count on; drawn if not given")
    parser.add_argument("--rounds", type=int, help="so many at most (20, if nothing else ends it)")
    parser.add_argument("--minutes", type=float, help="no round begins after so many")
    parser.add_argument("--kills", type=int,
                        help="no round begins after so many kill -9 in all, and fewer are a failure; each round "
                        "also kills while the journal is compacted")
    parser.add_argument("--only", nargs="+", metavar="FAULT", help="these faults alone; their names are in the summary")
    parser.add_argument("--short", action="store_true", help="without what costs most: compactions, a broker's restart")
    given = parser.parse_args()
    for name in ("rounds", "minutes", "kills"):
        if getattr(given, name) is not None and not getattr(given, name) > 0:
            parser.error(f"--{name} is {getattr(given, name):g}, must be more than 0")
    unknown = set(given.only or ()) - {fault.name for fault in faults.FAULTS}
    if unknown:
        parser.error(f"--only has {sorted(unknown)}, and knows {[fault.name for fault in faults.FAULTS]}")
    if not os.access(given.program, os.X_OK):
        parser.error(f"program is {given.program}, which is none")
    given.program = os.path.abspath(given.program)
    return given


def main():
    given = arguments()
    left_out = {}
    if reason := mounts.enter(given.program):
        left_out["/dev/shm full"] = left_out["disk full"] = reason
    logging.disable(logging.CRITICAL)  # aio-pika's, of a broker that is gone
    if reason := rabbitmq.why_not():
        sys.exit(f"torture: {reason}")
    machine = types.SimpleNamespace(interrupted=False, program=given.program, recorded=RECORDED,
                                    shm=None, disk=None, clock=None)

    def interrupt(*_):
        machine.interrupted = True
        for which in (signal.SIGINT, signal.SIGTERM):
            signal.signal(which, signal.SIG_IGN)  # what began to clean up goes on
        raise KeyboardInterrupt

    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, interrupt)
    machine.folder = tempfile.mkdtemp(prefix="tessera-torture-")
    machine.broker = rabbitmq.Broker()
    try:
        machine.disk_folder = os.path.join(machine.folder, "disk")
        os.mkdir(machine.disk_folder)
        if not left_out:
            mounts.small_disk(machine.disk_folder)
            machine.shm, machine.disk = mounts.Filling("/dev/shm"), mounts.Filling(machine.disk_folder)
        if reason := why_no_clock(given.program):
            left_out["clock jumps back"] = reason
        else:
            machine.clock = Clock(machine.folder)
        machine.recording = scene.write_folder(Path(machine.folder) / "recording", scene.frames(RECORDED))
        for what, why in left_out.items():
            print(f"left out: {what}: {why}", flush=True)
        return rounds(given, machine)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    finally:
        machine.broker.close()
        leftovers.end_users_of((machine.folder, machine.broker.folder))
        if machine.disk:
            subprocess.run(["umount", "-l", machine.disk_folder], check=False)
        shutil.rmtree(machine.folder, ignore_errors=True)


def rounds(given, machine):
    """Does them, and tells of each; returns the exit status."""
    first = random.randrange(1_000_000) if given.seed is None else given.seed
    possible = [fault for fault in faults.FAULTS if not fault.needs or getattr(machine, fault.needs)]
    chosen = [fault for fault in possible if (fault.name in given.only if given.only else not (given.short and fault.dear))]
    roles = {} if given.only else dict.fromkeys((*ROLES, "supervisor"), 1)
    total, failed, begin = collections.Counter(), [], time.monotonic()
    machine.broker.start()
    number = 0
    while course.goes_on(given, number, time.monotonic() - begin, course.kills_in(total)):
        seed, since = first + number, time.monotonic()
        number += 1
        print(f"round {number}, seed {seed}: ", end="", flush=True)
        tally = collections.Counter()
        try:
            world = World(machine, seed)
            tally = world.tally
            digits, count = world.run(chosen, roles)
            if not given.only:
                tally += tails.torture(machine.program, machine.folder, world.rng("tails"), 2)
            if not given.only and not given.short and (given.kills or number % 5 == 1):
                tally += compaction.torture(machine.program, machine.folder, world.rng("compaction"))
            operations = sum(times for what, times in tally.items() if what.startswith("operations"))
            said = f"{operations} operations, {count} live, the undisturbed hash {digits}"
        except Exception as error:  # noqa: B902 (the next round is another chance to find something)
            if machine.interrupted:
                raise KeyboardInterrupt from error
            failed.append(seed)
            said = f"FAILED\n{type(error).__name__}: {error}"
        total += tally
        print(f"{said} ({time.monotonic() - since:.0f} s)", flush=True)
    print(f"\n{'what was survived' if not failed else 'what was done':60} times")
    for what, times in sorted(total.items()):
        print(f"{what:60} {times:5}")
    kills = course.kills_in(total)
    print(f"{'kill -9 in all':60} {kills:5}")
    if failed:
        print(f"\nFAILED: {len(failed)} of {number} rounds; again: make torture SEED={failed[0]} ROUNDS=1")
    else:
        print(f"\n{number} rounds from seed {first} on, {time.monotonic() - begin:.0f} s: nothing lost, nothing counted twice")
    short = given.kills is not None and kills < given.kills
    if short:
        print(f"FAILED: {kills} kill -9 of the {given.kills} that were asked for; more rounds, or minutes, have more")
    return 1 if failed or short or number == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
