"""The service that is tortured: whenever it ends it is started again, on the same port and with the same journal."""

import collections
import os
import re
import signal
import subprocess
import threading
import time

from support import ports, service

ROLES = ("ingest", "partitioner", "broadcaster", "placement", "device", "inspector")
LIMIT_S = 10  # from SIGTERM to its end: Docker kills what takes longer
LOST = "the supervisor ended and cannot be started again"


class Victim:
    """start() it, do to it what you like, end() it. `roles`: how often each actor is still to be killed, by drills."""

    def __init__(self, world, sources, options, env):
        self.port = ports.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.roles = collections.Counter()
        self.killed = collections.Counter()
        self.logs = []  # of each process, lists of lines
        self.now = None
        self._world, self._sources, self._options, self._env = world, sources, [*options, "--port", self.port], env
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._keeper = None
        self._read = 0

    def start(self):
        """Starts it for the first time, and has it watched from now on."""
        with self._lock:
            self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def kill(self, rng, before_start=lambda: None):
        """SIGKILL; a few times its successor is killed while it starts, too. `before_start` is done in between."""
        with self._lock:
            self.now.crash()
            self._look()
            before_start()
            for _ in range(rng.choice((0, 0, 0, 1, 2))):
                self._kill_early(rng.uniform(0, 0.15))
                self._world.tally["kill -9 while it starts"] += 1
            time.sleep(rng.uniform(0, 0.2))
            self._start()

    def terminate(self, rng):
        """SIGTERM, as an operator ends it."""
        with self._lock:
            begin = time.monotonic()
            status = self.now.end()
            took_s = time.monotonic() - begin
            if not self._look():
                assert status == 0, f"it ended with {status} after SIGTERM:\n" + self.tail()
            assert took_s < LIMIT_S, f"it took {took_s:.1f} s to end after SIGTERM:\n" + self.tail()
            time.sleep(rng.uniform(0, 0.3))
            self._start()

    def freeze(self, seconds):
        with self._lock:
            os.kill(self.now.pid, signal.SIGSTOP)
            try:
                time.sleep(seconds)
            finally:
                os.kill(self.now.pid, signal.SIGCONT)

    def end(self):
        """Ends it for good; returns its exit status."""
        self._over.set()
        if self._keeper:
            self._keeper.join()
        with self._lock:
            if self.now is None:
                return 0
            status = self.now.end()
            self._look()
            return status

    def again(self):
        """Starts it once more after end(), with nobody watching."""
        self._over.clear()
        self._keeper = None
        with self._lock:
            self._start()
        return self.now

    def has_queue(self):
        return any("listening on" in line and "queue" in line for line in self.now.log)

    def successors(self):
        """How many processes and actors were started in place of others so far."""
        return len(self.logs) + sum("restarting the" in line for line in self.logs[-1])

    def tail(self):
        """The last lines of its log, without those of what it was right to refuse."""
        return "".join([line for log in self.logs[-2:] for line in log if "set aside" not in line][-40:])

    def _start(self):
        until = time.monotonic() + service.PATIENCE_S
        while True:
            try:
                options = [*self._options, *self._drill()]
                self.now = service.Service(self._world.program, *self._sources, options=options, env=self._env)
                break
            except RuntimeError as error:  # a full disk ends the start with 1, as is documented: whoever runs it tries again
                if not self._world.disk_was_full() or time.monotonic() > until:
                    raise AssertionError(f"the service does not start:\n{error}") from None
                self._world.tally["start on a full disk refused"] += 1
                self._world.go_on()
                time.sleep(0.2)
        self.logs.append(self.now.log)
        self._read = 0

    def _kill_early(self, seconds):
        begun = subprocess.Popen(
            [self._world.program, "serve", *self._sources, "--metrics-port", "0", *map(str, self._options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**service.clean_environment(), **self._env},
        )
        time.sleep(seconds)
        begun.kill()
        begun.wait()

    def _drill(self):
        """Each role that is still to be killed, once, a few keyframes after another; the supervisor, which ends all, last."""
        left = [role for role, times in self.roles.items() if times > 0 and role != "supervisor"]
        left += ["supervisor"] * (self.roles["supervisor"] > 0)
        return ("--drill", ",".join(f"{role}@{2 + 3 * place}" for place, role in enumerate(left))) if left else ()

    def _look(self):
        """Counts the actors that died since the last look; true if the supervisor did."""
        lines = self.now.log[self._read:]
        self._read += len(lines)
        for line in lines:
            found = re.search(r"restarting the ([a-z ]+):", line)
            role = "supervisor" if LOST in line else found and found[1]
            if role in (*ROLES, "supervisor"):
                self.killed[role] += 1
                self.roles[role] -= 1
        return any(LOST in line for line in self.now.log)

    def _keep(self):
        """Starts it again if it ended by itself, which only the loss of the supervisor may bring about."""
        while not self._over.wait(0.05):
            if not self._lock.acquire(timeout=0.05):
                continue
            try:
                alive, lost = self.now.alive(), self._look()
                if alive:
                    continue
                status = self.now.end()
                lost = self._look() or lost
                assert lost and status == 1, f"the service ended by itself with {status}:\n" + self.tail()
                self._start()
            except BaseException as error:  # noqa: B036 (told by the thread that waits)
                self._world.fail(error)
                return
            finally:
                self._lock.release()
