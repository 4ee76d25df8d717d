"""What can go wrong besides bad arguments, which are ValueError or TypeError as everywhere in Python."""

import errno
from typing import Optional


class TesseraError(Exception):
    """Base of this package's own errors."""


class SharedMemoryFullError(TesseraError, OSError):
    """Shared memory has no room for the keyframe. Nothing of it was left behind."""

    def __init__(self, message: str) -> None:
        OSError.__init__(self, errno.ENOSPC, message)


class BacklogError(TesseraError):
    """More bytes than allowed were written and not yet taken by the service. Nothing was written."""


class UnreachableError(TesseraError, ConnectionError):
    """The service or the broker does not answer. The keyframe may be sent again: it counts once, by its id."""


class RefusedError(TesseraError, ValueError):
    """The service will not take what was sent, and says why."""

    def __init__(self, reason: str, status: Optional[int] = None) -> None:
        super().__init__(reason)
        self.reason = reason
        #: HTTP status, where there was one.
        self.status = status
