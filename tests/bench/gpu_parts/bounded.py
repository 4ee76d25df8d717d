"""Commands that end: each has a time limit of its own, and all together have one."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

KEPT_BYTES = 4 << 20  # of what a command prints, its end
LOGGED_BYTES = 16 << 10  # of each of both outputs
PATIENCE_S = 5  # between asking a command to end and ending it
# Settings of the service: measured are its defaults and what is said here.
FOREIGN = ("TESSERA_", "MESH_", "SLAM3R_", "RABBITMQ_")
KEPT = ("TESSERA_SHARED",)  # no setting; where tests look for a recording


@dataclass
class Ended:
    """What became of a command."""

    command: str
    reason: str  # why it did not do what it should; empty if it ended with 0
    status: int | None = None
    pid: int | None = None
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    late: bool = False  # ended by its limit, or not begun for want of time

    def complaint(self):
        """One line: what went wrong and the last that the command said of it."""
        said = [line.strip() for line in (self.err.strip() or self.out.strip()).splitlines() if line.strip(" -=.~")]
        return f"{self.command}: {self.reason}" + (f": {' / '.join(said[-2:])[-400:]}" if said else "")


def environment(more=None):
    """This process's environment without settings of the service, and with `more`."""
    mine = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(FOREIGN)
            and name != "LOG_LEVEL"}
    return {**mine, **(more or {})}


class Runner:
    """Runs commands until `deadline` (of time.monotonic()), and writes what they said to `log`. Threads: any, each waits for its
    own."""

    def __init__(self, deadline, log):
        self._deadline = deadline
        self._log = log
        self._lock = threading.Lock()
        self._running = set()
        self._over = False

    def left_s(self):
        return self._deadline - time.monotonic()

    def run(self, command, limit_s, env=None):
        """Never raises for what the command does: Ended.reason tells. The command is a process group of its own, ended as a
        whole."""
        command = [str(word) for word in command]
        shown = shlex.join([f"{name}={value}" for name, value in (env or {}).items()] + command)
        limit_s = min(limit_s, self.left_s())
        if limit_s <= 0:
            ended = Ended(shown, "not begun: the time for everything is used up", late=True)
        else:
            with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
                ended = self._run(command, shown, limit_s, env, out, err)
                ended.out, ended.err = _end_of(out), _end_of(err)
        self._note(ended)
        return ended

    @contextlib.contextmanager
    def running(self, command, env=None):
        """A command that is to run beside what the caller does: (process, a function that gives all it printed so far, both
        outputs in one). Ended as a whole when the block is left, whatever happens; OSError if it cannot be started."""
        command = [str(word) for word in command]
        shown = shlex.join([f"{name}={value}" for name, value in (env or {}).items()] + command)
        begin = time.monotonic()
        child = None
        with tempfile.TemporaryFile() as out:
            try:
                with _signals_later():
                    child = _start(command, out, subprocess.STDOUT, env)
                yield child, lambda: _end_of(out)
            finally:
                if child:
                    late = child.poll() is None
                    _end_group(child)
                    why = "ended from outside" if late else f"ended with {child.returncode}" if child.returncode else ""
                    self._note(Ended(shown, why, child.returncode, child.pid, out=_end_of(out),
                                     seconds=time.monotonic() - begin, late=late))

    def _run(self, command, shown, limit_s, env, out, err):
        begin = time.monotonic()
        child = None
        try:
            with _signals_later(), self._lock:
                if self._over:
                    return Ended(shown, "not begun: interrupted", late=True)
                child = _start(command, out, err, env)
                self._running.add(child)
            status = child.wait(limit_s)
            reason = "" if status == 0 else f"ended with {status}" if status > 0 else f"ended by {signal.Signals(-status).name}"
            return Ended(shown, reason, status, child.pid, seconds=time.monotonic() - begin)
        except subprocess.TimeoutExpired:
            return Ended(shown, f"not done within {limit_s:.0f} s", None, child.pid, seconds=limit_s, late=True)
        except OSError as e:
            return Ended(shown, f"cannot be started: {e.strerror}")
        finally:
            if child:
                _end_group(child)
                with self._lock:
                    self._running.discard(child)

    def end_all(self):
        """Ends what other threads wait for; nothing begins from now on."""
        with self._lock:
            self._over = True
            running = list(self._running)
        for child in running:
            _end_group(child)

    def _note(self, ended):
        texts = [text[-LOGGED_BYTES:].rstrip("\n") + "\n" for text in (ended.out, ended.err) if text]
        with self._lock:
            self._log.write(f"$ {ended.command}\n# {ended.reason or 'ended with 0'}, {ended.seconds:.1f} s\n{''.join(texts)}\n")
            self._log.flush()


def _start(command, out, err, env):
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(env), start_new_session=True)


@contextlib.contextmanager
def _signals_later():
    """A signal that would end this program has its effect after the block: a child that is just being started is not lost."""
    if threading.current_thread() is not threading.main_thread():  # no other sees signals
        yield
        return
    came = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def _end_of(file):
    """Without seek(): the place in the file is the child's, too, which would write over what it has said."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), KEPT_BYTES, max(0, size - KEPT_BYTES)).decode("utf-8", "replace")


def _end_group(child):
    """Ends a command that still runs, with all that it started."""
    if child.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE_S)
        os.killpg(child.pid, signal.SIGKILL)  # also those of its group that outlived it
    child.wait()
