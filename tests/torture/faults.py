"""What is done to the service, its broker, its machine. Each fault takes its time, and ends what it began."""

import dataclasses
import os
import signal
import struct
import subprocess
import time
from typing import Callable

from support import service

BLOCK = 32768  # of RocksDB's logs


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    do: Callable
    times: int  # a round
    needs: str = ""  # an attribute of the world without which it is left out
    dear: bool = False  # in rounds that must be short it is left out


def kill(world, rng):
    world.victim.kill(rng)


def kill_and_tear(world, rng):
    world.victim.kill(rng, lambda: tear(world.journal, rng))


def kill_and_compact(world, rng):
    """`tessera journal compact` is killed as well, in the middle if it takes long enough."""

    def compact():
        running = subprocess.Popen([world.program, "journal", "compact", world.journal], env=service.clean_environment(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.01, 0.08))
        world.tally["kill -9 of tessera journal compact"] += running.poll() is None
        running.kill()
        running.wait()

    world.victim.kill(rng, compact)


def kill_in_snapshot(world, rng):
    """As soon as the file is seen under its first name: it is there for a moment."""

    def half():
        try:
            return any(name.endswith(".part") for name in os.listdir(os.path.join(world.journal, "snapshots")))
        except FileNotFoundError:
            return False

    def look():
        world.tally["a snapshot was half written then"] += half()

    until = time.monotonic() + 3
    while not half() and time.monotonic() < until:
        pass
    world.victim.kill(rng, look)


def terminate(world, rng):
    world.victim.terminate(rng)


def freeze(world, rng):
    world.victim.freeze(rng.uniform(0.1, 1.5))


def tear(journal, rng):
    """Appends to the newest log the begin of a record: what a write leaves that was cut off. Nobody was told that it is safe."""
    log = newest_log(journal)
    left = BLOCK - os.path.getsize(log) % BLOCK
    if left > 64:
        torn = rng.randbytes(4) + struct.pack("<HB", left - 7, rng.choice((1, 2))) + rng.randbytes(left - 7)
        with open(log, "ab") as file:
            file.write(torn[: rng.randrange(1, left)])


def newest_log(journal):
    return max((os.path.join(journal, name) for name in os.listdir(journal) if name.endswith(".log")))


def cut(world, _):
    """The service's connection breaks: the broker delivers again what was not acknowledged."""
    world.proxy.cut()


def delay(world, rng):
    world.proxy.hold(rng.uniform(0.2, 2))


def freeze_broker(world, rng):
    with world.broker_lock:
        world.broker.freeze()
        try:
            time.sleep(rng.uniform(0.3, 3))
        finally:
            world.broker.thaw()


def kill_broker(world, rng, how=signal.SIGKILL):
    with world.broker_lock:
        world.broker.stop(how)
        time.sleep(rng.uniform(0, 1))
        world.broker.start()


def restart_broker(world, rng):
    kill_broker(world, rng, signal.SIGTERM)


def deliver_all_again(world, _):
    for one in world.producers:
        if hasattr(one, "replay") and one.replays:
            one.replay = True


def fill_shm(world, rng):
    try:
        world.shm.fill()
        time.sleep(rng.uniform(0.3, 2))
    finally:
        world.shm.free()


def fill_disk(world, rng):
    try:
        world.disk_is_full = True
        world.disk.fill(rng.choice((0, 0, 3000, 200_000, 4_000_000)))
        time.sleep(rng.uniform(0.3, 2))
    finally:
        world.disk.free()
        world.disk_free_since = time.monotonic()
        world.disk_is_full = False


def set_clock_back(world, rng):
    """By a minute to ten days; and forward again."""
    world.clock.set(-rng.choice((60, 3600, 86400, 10 * 86400)))
    time.sleep(rng.uniform(0.3, 2))
    world.clock.set(0)


FAULTS = (
    Fault("kill -9", kill, 3),
    Fault("kill -9, and a torn record at the journal's end", kill_and_tear, 1),
    Fault("kill -9, and another while the journal is compacted", kill_and_compact, 1),
    Fault("kill -9 while a snapshot is written", kill_in_snapshot, 2),
    Fault("SIGTERM", terminate, 1),
    Fault("service frozen", freeze, 1),
    Fault("broker's connection cut", cut, 2),
    Fault("notifications delayed", delay, 1),
    Fault("broker frozen", freeze_broker, 1),
    Fault("broker killed", kill_broker, 1),
    Fault("broker restarted", restart_broker, 1, dear=True),
    Fault("all delivered again", deliver_all_again, 1),
    Fault("/dev/shm full", fill_shm, 1, "shm"),
    Fault("disk full", fill_disk, 1, "disk"),
    Fault("clock jumps back", set_clock_back, 1, "clock"),
)
