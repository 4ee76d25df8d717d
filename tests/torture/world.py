"""One round: a service with its broker, its disk and its producers, faults drawn from a seed, and the verdict."""

import collections
import os
import random
import shutil
import threading
import time

from support import rabbitmq, service
from torture import faults, judge, watchers
from torture.links import Bus, Proxy
from torture.messengers import EmbeddedProducer, SegmentProducer
from torture.producers import HttpProducer, Publisher, WatchProducer
from torture.victim import Victim

MAPPING = ("--voxel-size", "0.1", "--truncation", "0.3", "--threads", "2")
# Small buffers, so that RocksDB writes files and compacts them all the time; a bound on age that no jump of the clock may reach.
KEEPING = ("--store-memory", "1MiB", "--retain", "30d", "--snapshot-after", "0.2")


class Stopped(Exception):
    """The round is over for another reason."""


class World:
    """`machine` has what all rounds share: program, folder, broker, recording, and perhaps shm, disk, clock."""

    def __init__(self, machine, seed):
        self.__dict__.update(vars(machine))
        self.seed = seed
        self.tally = collections.Counter()
        self.enough, self.stopped = threading.Event(), threading.Event()
        self.failures = []
        self.broker_lock = threading.Lock()
        self.disk_is_full, self.disk_free_since = False, 0.0
        mark = f"{os.getpid()}_{seed}"
        self.prefix, self.watched = f"/torture_{mark}_", f"/watched_{mark}_"
        self.exchange, self.queue = f"exchange_{mark}", f"queue_{mark}"
        self.names = ("--shm-prefix", self.prefix, "--exchange", self.exchange, "--queue", self.queue)
        self.journal = os.path.join(self.disk_folder, f"journal-{seed}")
        self.proxy = Proxy(self.broker.port)
        sources = (f"amqp://guest:guest@127.0.0.1:{self.proxy.port}/", f"shm:{self.watched}")
        environment = self.clock.environment if self.clock else {}
        self.victim = Victim(self, sources, (*MAPPING, *KEEPING, *self.names, "--journal", self.journal), environment)
        self.producers, self.watchers, self.under_way = [], [], []

    def rng(self, name):
        """Numbers of its own for each who draws: what one does changes nothing of what another draws."""
        return random.Random(f"{self.seed}/{name}")

    def go_on(self):
        if self.stopped.is_set():
            raise Stopped

    def fail(self, error, who=""):
        """Notes why the round failed, and ends it."""
        if not isinstance(error, Stopped):
            self.failures.append(f"{who}: {type(error).__name__}: {error}" if who else f"{type(error).__name__}: {error}")
        self.enough.set()
        self.stopped.set()

    def disk_was_full(self):
        return self.disk_is_full or time.monotonic() - self.disk_free_since < 5

    def run(self, chosen, roles):
        """Does all of `chosen` and kills each of `roles` so often; then judges. Returns hash and number of live keyframes. Throws
        AssertionError with all that went wrong."""
        try:
            self.victim.roles.update(roles)
            self.victim.start()
            self.victim.now.wait(self.victim.has_queue, "a queue at the broker")
            self._populate()
            self._torment(chosen)
            self.victim.now.wait(self._idle, "the last operations", rabbitmq.BOOT_LIMIT_S)
            self._check()
            return self._judge()
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self.close()

    def close(self):
        self.enough.set()
        self.stopped.set()
        for one in self.watchers:
            one.finish()
        for one in (*self.under_way, *self.producers):  # what a fault began it ends, too
            one.join(service.PATIENCE_S)
            if hasattr(one, "bus"):
                one.bus.close()
        try:
            self.victim.end()
        finally:
            self.proxy.close()
            shutil.rmtree(self.journal, ignore_errors=True)
            for name in os.listdir("/dev/shm"):
                if name.startswith((self.prefix[1:], self.watched[1:])):
                    os.unlink("/dev/shm/" + name)

    def _populate(self):
        kinds = (("http-1", HttpProducer), ("http-2", HttpProducer), ("watched", WatchProducer), ("embedded", EmbeddedProducer),
                 ("segments", SegmentProducer))
        self.producers = [kind(self, name, self.rng(name)) for name, kind in kinds]
        ways = {"publish-http": self.victim.url, "publish-amqp": self.broker.url, "publish-shm": f"shm:{self.watched}"}
        for name, to in ways.items():
            self.producers.append(Publisher(self, name, self.rng(name), to))
        self.watchers = [kind(self, f"{self.seed}/{kind.__name__}") for kind in watchers.ALL]
        for one in (*self.producers, *self.watchers):
            one.start()

    def _torment(self, chosen):
        """Three faults at once at most, each at a moment of its own; goes on until each role was killed as often as told."""
        rng, places = self.rng("faults"), threading.BoundedSemaphore(3)
        deck = [fault for fault in chosen for _ in range(fault.times)]
        rng.shuffle(deck)

        def do(number, fault):
            try:
                fault.do(self, self.rng(f"fault {number}"))
                self.tally[fault.name] += 1
            except BaseException as error:  # noqa: B036 (told by the thread that waits)
                self.fail(error, fault.name)
            finally:
                places.release()

        for number, fault in enumerate(deck):
            time.sleep(rng.uniform(0.05, 0.6))
            self._wait_for_load()
            places.acquire()
            if self.failures:
                places.release()
                break
            self.under_way.append(threading.Thread(target=do, args=(number, fault), daemon=True))
            self.under_way[-1].start()
        for one in self.under_way:
            one.join()
        self._check()
        self._kill_the_rest()
        self.enough.set()

    def _wait_for_load(self, limit_s=3):
        """Until something more of each producer was acknowledged, or so long: faults that nobody works through try nothing."""
        until = time.monotonic() + limit_s
        before = [(one.scan, one.scan.operations) for one in self.producers if not isinstance(one, Publisher)]
        while any(scan.operations == count for scan, count in before) and time.monotonic() < until and not self.failures:
            time.sleep(0.02)

    def _kill_the_rest(self):
        until = time.monotonic() + service.PATIENCE_S
        last, since = None, time.monotonic()
        while left := +self.victim.roles:
            self._check()
            assert time.monotonic() < until, f"not killed within {service.PATIENCE_S} s: {dict(left)}"
            if left != last:
                last, since = left, time.monotonic()
            elif time.monotonic() - since > 5:  # one was asked for while the last of its role was not there yet
                self.victim.terminate(self.rng("again"))
                since = time.monotonic()
            time.sleep(0.05)

    def _idle(self):
        return self.failures or not any(one.is_alive() for one in self.producers)

    def _check(self):
        assert not self.failures, "\n".join(self.failures) + "\nThe service's last words:\n" + self.victim.tail()

    def _judge(self):
        running, scans = self.victim.now, [one.scan for one in self.producers]
        honest, *others = self.watchers
        for one in others:
            one.finish()
        wanted = {each: pose for scan in scans for each, pose in scan.wanted().items()}
        judge.settled(running, wanted, scans)
        judge.seen(running, honest)
        honest.finish()
        running.wait(lambda: not self._segments(), f"an empty /dev/shm: {self._segments()}")
        there = running.map()
        assert (running.fetch("/healthz")[0], there["keyframes"]) == (200, len(wanted))
        digits, count = judge.undisturbed(self.program, MAPPING, scans, self.rng("order"))
        assert count == len(wanted) and there["hash"] == digits, f"the map is {there['hash']}, undisturbed it would be {digits}"
        assert self.victim.end() == 0, "it did not end well:\n" + self.victim.tail()
        bus = Bus(self, self.exchange)
        waiting = bus.waiting(self.queue)
        bus.close()
        assert waiting == 0, f"{waiting} messages were never acknowledged"
        judge.verified(self.program, self.journal, len(wanted))
        judge.settled(self.victim.again(), wanted, scans)
        after = self.victim.now.map()
        assert after["hash"] == digits, f"after the last start the map is {after['hash']}, undisturbed it would be {digits}"
        assert self.victim.end() == 0, "it did not end well:\n" + self.victim.tail()
        judge.verified(self.program, self.journal, len(wanted))
        lost = [line for log in self.victim.logs for line in log if "is lost" in line or "damaged" in line]
        assert not lost, "".join(lost[:20])
        for role, times in self.victim.killed.items():
            self.tally[f"{role} killed"] += times
        for scan in scans:
            self.tally[f"operations acknowledged: {scan.session}"] += scan.operations
        return digits, count

    def _segments(self):
        return [name for name in os.listdir("/dev/shm") if name.startswith((self.prefix[1:], self.watched[1:]))]
