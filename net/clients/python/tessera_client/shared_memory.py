"""Writes keyframes into POSIX shared memory segments.

A segment is written under a hidden name and then renamed: whoever looks at the folder sees either the whole keyframe or
nothing, and a name that is used again is replaced as a whole while a reader of the old content keeps it. The bytes go in by
one gathering write straight from the arrays; that takes half the time of a mapping, whose every page must be cleared
and faulted in first (tests/bench/producer.py).

Segments belong to the service once they are written: it unlinks them when it has used them. They outlive this process, so
that a producer that ends does not take its last keyframes with it.
"""

import errno
import fcntl
import itertools
import logging
import os
import stat
import threading
import time
from collections import OrderedDict
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .errors import BacklogError, SharedMemoryFullError
from .keyframe import Buffer, KeyframeId, Layout, Scratch, checked_id, checked_label, lay_out

DEFAULT_PREFIX = "/slam3r_keyframe_"
DEFAULT_BACKLOG_BYTES = 1 << 30
DEFAULT_MODE = 0o600
MAX_NAME_BYTES = 255
_FOLDER = "/dev/shm"
_HIDDEN = ".tessera-writing-"
_STALE_AFTER_S = 60
_log = logging.getLogger(__name__)


class _Written(NamedTuple):
    inode: int
    nbytes: int


class SharedMemoryManager:
    """Writes keyframes into shared memory segments named `prefix` + id, or with a session `prefix` ~ session ~ id.

    At most `max_pending_bytes` lie there unread (0: no limit). Beyond that, and where the folder is full before, `when_full`
    decides: "raise" throws BacklogError (SharedMemoryFullError), "drop_oldest" unlinks the oldest segments of this manager that
    the service has not taken; `dropped` counts them. `mode` is the segments' permission bits: a service of another user needs
    0o644 to read them, and unlinks them only if it is root's, /dev/shm being sticky.

    What producers left half written when they were killed is removed at the start.

    Threads: any; one keyframe is written at a time.
    """

    def __init__(
        self,
        prefix: str = DEFAULT_PREFIX,
        *,
        max_pending_bytes: int = DEFAULT_BACKLOG_BYTES,
        when_full: str = "raise",
        mode: int = DEFAULT_MODE,
        folder: str = _FOLDER,
    ) -> None:
        name = prefix[1:] if prefix.startswith("/") else prefix
        if not name or "/" in name or "\0" in name or ".." in name or name.startswith("."):
            raise ValueError(f"prefix is {prefix!r}, and must be a name with at most one slash, at its begin, and no '..'")
        if when_full not in ("raise", "drop_oldest"):
            raise ValueError(f"when_full is {when_full!r}, and must be 'raise' or 'drop_oldest'")
        if max_pending_bytes < 0:
            raise ValueError(f"max_pending_bytes is {max_pending_bytes}, and must be 0 (no limit) or more")
        self.prefix = "/" + name
        self.max_pending_bytes = max_pending_bytes
        self.when_full = when_full
        if isinstance(mode, bool) or not isinstance(mode, int) or not 0o400 <= mode <= 0o777:
            raise ValueError(f"mode is {mode!r}, and must be permission bits, such as 0o644")
        self.mode = mode
        #: Segments that were unlinked unread under "drop_oldest".
        self.dropped = 0
        self._folder = folder
        self._pending: "OrderedDict[str, _Written]" = OrderedDict()
        self._pending_bytes = 0
        self._run = os.urandom(6).hex()  # process ids repeat where containers share the folder
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        self._scratch = Scratch()
        self._remove_abandoned()

    def write_keyframe(
        self,
        keyframe_id: KeyframeId,
        points: Any,
        colors: Any,
        pose: Any,
        bbox: Any = None,
        confidence: Any = None,
        *,
        timestamp_ns: Optional[int] = None,
        session: str = "",
    ) -> str:
        """Writes one keyframe and returns the segment's name (the notification's `shm_key`).

        points: (N, 3) or (H, W, 3), world coordinates, metres. colors: as many rows of 3 or 4, uint8 or float 0 to 1. pose:
        4 x 4 world_from_camera, row-major. bbox: min xyz, max xyz; made from the points if None. confidence: N values; with
        them the segment has the 108-byte header, without them the 104-byte one. session: ids are unique within it; it is part of
        the segment's name.

        Throws ValueError or TypeError for arguments that will not do, SharedMemoryFullError, BacklogError, OSError. Then
        nothing was written.
        """
        with self._lock:
            layout = self.lay_out(points, colors, pose, bbox=bbox, confidence=confidence, timestamp_ns=timestamp_ns)
            return self.write(keyframe_id, layout, session)

    def lay_out(self, points: Any, colors: Any, pose: Any, **options: Any) -> Layout:
        """Checks a keyframe as write_keyframe does, without writing it; for `write`. Hold `lock` until it is written."""
        return lay_out(points, colors, pose, scratch=self._scratch, **options)

    @property
    def lock(self) -> "threading.RLock":
        """Held while a keyframe is laid out and written."""
        return self._lock

    def write(self, keyframe_id: KeyframeId, layout: Layout, session: str = "") -> str:
        """Writes what lay_out returned; see write_keyframe."""
        key = self.key_of(keyframe_id, session)
        with self._lock:
            self._make_room(layout.nbytes)
            inode = self._write_in_any_room(key, layout)
            self._forget(key)
            self._pending[key] = _Written(inode, layout.nbytes)
            self._pending_bytes += layout.nbytes
        return key

    def key_of(self, keyframe_id: KeyframeId, session: str = "") -> str:
        """Returns the name of a keyframe's segment. Throws ValueError if id or session cannot be part of one."""
        text = checked_id(keyframe_id)
        if "/" in text or ".." in text:
            raise ValueError(f"keyframe_id is {text!r}: a segment's name holds neither '/' nor '..'")
        if any(part in checked_label("session", session) for part in ("/", "~", "..")):
            raise ValueError(f"session is {session!r}: in a segment's name it holds neither '/' nor '~' nor '..'")
        key = self.prefix + (f"~{session}~" if session else "") + text
        size = len(key.encode("utf-8")) - 1
        if size > MAX_NAME_BYTES:
            parts = "prefix, session and id" if session else "prefix and id"
            raise ValueError(
                f"keyframe_id has {len(text.encode('utf-8'))} bytes: {parts} have {size}, and at most {MAX_NAME_BYTES} together"
            )
        return key

    @property
    def active_segments(self) -> Dict[str, int]:
        """Segments of this manager that nobody has taken yet: name and bytes, oldest first."""
        with self._lock:
            self._sweep()
            return {key: written.nbytes for key, written in self._pending.items()}

    def discard(self, shm_key: str) -> bool:
        """Unlinks a segment of this manager that the service will not be told of. False if it is gone or no longer this
        manager's."""
        with self._lock:
            mine = self._is_mine(shm_key)
            if mine:
                self._unlink(shm_key)
            self._forget(shm_key)
            return mine

    def cleanup(self) -> None:
        """Unlinks all segments of this manager that the service has not taken. Their keyframes are lost: call it when no
        service will come for them."""
        with self._lock:
            for key in list(self._pending):
                self.discard(key)

    # -- private --

    def _path(self, key: str) -> str:
        return f"{self._folder}{key}"

    def _write_in_any_room(self, key: str, layout: Layout) -> int:
        """Where there is no room, in that of what killed producers left, and, if it may, in that of its own oldest segments."""
        while True:
            try:
                return self._write_and_rename(key, layout.buffers, layout.nbytes)
            except SharedMemoryFullError:
                if self._remove_abandoned() > 0:
                    continue
                if self.when_full != "drop_oldest" or not self._drop_one(layout.nbytes):
                    raise

    def _drop_one(self, nbytes: int) -> bool:
        """Unlinks the oldest segment that is still there. False if there is none, or if so much would never fit."""
        state = os.statvfs(self._folder)
        if 0 < state.f_blocks * state.f_frsize < nbytes:
            return False
        while self._pending:
            if self.discard(next(iter(self._pending))):
                self.dropped += 1
                return True
        return False

    def _write_and_rename(self, key: str, buffers: Sequence[Buffer], nbytes: int) -> int:
        hidden = f"{self._folder}/{_HIDDEN}{os.getpid()}-{self._run}-{next(self._numbers)}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(hidden, flags, self.mode)
        except OSError as error:
            raise self._explained(error, nbytes) from None
        try:
            _write_all(descriptor, buffers, nbytes)
            os.fchmod(descriptor, self.mode)  # whatever the umask says
            inode = os.fstat(descriptor).st_ino
            # Open until it has its name: a hidden file that nobody has open is one that a killed producer left.
            os.rename(hidden, self._path(key))
        except BaseException as error:
            os.unlink(hidden)
            if isinstance(error, OSError):
                raise self._explained(error, nbytes) from None
            raise
        finally:
            os.close(descriptor)
        return inode

    def _explained(self, error: OSError, nbytes: int) -> OSError:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
            return error
        state = os.statvfs(self._folder)
        return SharedMemoryFullError(
            f"shared memory is full: the keyframe needs {nbytes} bytes, {self._folder} has "
            f"{state.f_bavail * state.f_frsize} of {state.f_blocks * state.f_frsize} free; {len(self._pending)} segments of this "
            f"producer with {self._pending_bytes} bytes may still wait to be taken. Is the service running? Containers get 64 "
            f"MB unless told "
            "otherwise (docker run --shm-size)."
        )

    def _make_room(self, nbytes: int) -> None:
        # The service takes segments about in order: looking at the oldest ones keeps the count right at one stat a keyframe.
        while self._pending:
            oldest = next(iter(self._pending))
            if self._is_mine(oldest):
                break
            self._forget(oldest)
        if not self.max_pending_bytes or self._pending_bytes + nbytes <= self.max_pending_bytes:
            return
        self._sweep()
        while self._pending and self._pending_bytes + nbytes > self.max_pending_bytes and self.when_full == "drop_oldest":
            self.discard(next(iter(self._pending)))
            self.dropped += 1
        if self._pending_bytes + nbytes > self.max_pending_bytes:
            raise BacklogError(
                f"{len(self._pending)} segments of this producer with {self._pending_bytes} bytes have not been taken, and "
                f"{nbytes} more would exceed max_pending_bytes = {self.max_pending_bytes}. Is the service running, and does it "
                "unlink what it has used?"
            )

    def _sweep(self) -> None:
        for key in [k for k in self._pending if not self._is_mine(k)]:
            self._forget(key)

    def _is_mine(self, key: str) -> bool:
        written = self._pending.get(key)
        if written is None:
            return False
        try:
            return os.stat(self._path(key), follow_symlinks=False).st_ino == written.inode
        except FileNotFoundError:
            return False

    def _forget(self, key: str) -> None:
        written = self._pending.pop(key, None)
        if written is not None:
            self._pending_bytes -= written.nbytes

    def _unlink(self, key: str) -> None:
        try:
            os.unlink(self._path(key))
        except FileNotFoundError:
            pass

    def _remove_abandoned(self) -> int:
        """Removes what killed producers left half written, and says how many. What is being written, anywhere, stays."""
        try:
            names: List[str] = os.listdir(self._folder)
        except OSError as error:
            raise OSError(error.errno, f"cannot use shared memory at {self._folder}: {error.strerror}") from None
        removed = 0
        for name in names:
            if not name.startswith(_HIDDEN):
                continue
            path = f"{self._folder}/{name}"
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    if _is_abandoned(descriptor):
                        os.unlink(path)
                        removed += 1
                        _log.info("removed the half-written segment %s of a producer that is gone", name)
                finally:
                    os.close(descriptor)
            except OSError:
                pass  # gone, or another user's
        return removed


def _is_abandoned(descriptor: int) -> bool:
    """Nobody writes the file any more. A read lease is only given where nobody has the file open, or mapped, for writing; the
    kernel knows of writers in all containers that share the folder, whose process ids mean nothing here. Where there are no
    leases (another user's file, another kind of system), age must do: a write takes milliseconds. So it does for a file without
    content: a new one is seen in the folder a moment before the kernel counts who creates it among its writers."""
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        return False
    old = time.time() - max(state.st_mtime, state.st_ctime) > _STALE_AFTER_S
    if state.st_size == 0:
        return old
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return True
    except (OSError, AttributeError) as error:
        if isinstance(error, BlockingIOError):  # somebody has it open
            return False
        return old


def _write_all(descriptor: int, buffers: Sequence[Buffer], nbytes: int) -> None:
    written = os.pwritev(descriptor, buffers, 0)
    while written != nbytes:  # a write ends early at 2 GiB, at a signal, and where memory ends (the next one says so)
        skip, rest = written, []
        for buffer in buffers:
            if skip < len(buffer):
                rest.append(memoryview(buffer)[skip:])
                skip = 0
            else:
                skip -= len(buffer)
        step = os.pwritev(descriptor, rest, written)
        if step == 0:
            raise OSError(errno.ENOSPC, "no bytes were written")
        written += step
