"""Small file systems of our own, which nobody else sees and which go with this process: a /dev/shm and a disk."""

import os
import subprocess
import sys

SHM_MIB, DISK_MIB = 16, 64
_INSIDE = "TESSERA_TORTURE_INSIDE"


def _unshare():
    if os.geteuid() == 0:
        return ["unshare", "--mount"]
    return ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]


def _small(size_mib, folder):
    return ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=1777", "none", str(folder)]


def why_not(program):
    """Returns why we cannot have them, or an empty string."""
    if os.path.realpath(program).startswith("/dev/shm/"):
        return "the program lies in /dev/shm"
    try:
        tried = subprocess.run([*_unshare(), *_small(1, "/dev/shm")], capture_output=True, check=False)
    except OSError as error:
        return f"unshare cannot be run: {error}"
    return "" if tried.returncode == 0 else f"no mounts of our own: {tried.stderr.decode(errors='replace').strip()}"


def enter(program):
    """Begins this program anew where /dev/shm is small and ours; returns why not, if that cannot be."""
    if os.environ.pop(_INSIDE, None):
        subprocess.run(_small(SHM_MIB, "/dev/shm"), check=True)
        return ""
    reason = why_not(program)
    if not reason:
        os.execvpe("unshare", [*_unshare(), sys.executable, "-B", *sys.argv], {**os.environ, _INSIDE: "1"})
    return reason


class Filling:
    """A file system that can be filled by somebody else, and emptied again."""

    def __init__(self, folder):
        self._file = os.path.join(folder, "somebody-else")

    def fill(self, left_bytes=0):
        """Takes all of it but so many bytes."""
        with open(self._file, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        size = os.path.getsize(self._file)
        os.truncate(self._file, max(0, size - left_bytes))

    def free(self):
        """Gives it back."""
        if os.path.exists(self._file):
            os.unlink(self._file)


def small_disk(folder):
    """Makes `folder` a file system of DISK_MIB; only after enter()."""
    os.makedirs(folder, exist_ok=True)
    subprocess.run(_small(DISK_MIB, folder), check=True)
