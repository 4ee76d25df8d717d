"""Whatever was started is ended, also what nobody knows of any more since its starter was interrupted over it or died."""

import os
import signal
import time
from pathlib import Path


def users_of(folders):
    """The numbers of the processes that name one of these folders in their command line or environment."""
    names, out = [os.fsencode(folder) for folder in folders], []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:  # it is gone, or somebody else's
            continue
        if int(process.name) != os.getpid() and any(name in text for name in names):
            out.append(int(process.name))
    return out


def end_users_of(folders, limit_s=10):
    """Kills them, each by its number, until there are none."""
    until = time.monotonic() + limit_s
    while (left := users_of(folders)) and time.monotonic() < until:
        for one in left:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
