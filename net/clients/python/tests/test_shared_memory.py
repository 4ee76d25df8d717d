import errno
import os
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

import tessera_client.shared_memory as shared_memory
from tessera_client import BacklogError, SharedMemoryFullError, SharedMemoryManager

POINTS = np.arange(300, dtype=np.float32).reshape(100, 3)
COLORS = np.arange(300, dtype=np.uint32).astype(np.uint8).reshape(100, 3)
POSE = np.eye(4)
SIZE = 104 + 100 * 15


@pytest.fixture
def prefix():
    name = f"/tessera_test_{os.getpid()}_{time.monotonic_ns()}_"
    yield name
    for file in os.listdir("/dev/shm"):
        if file.startswith(name[1:]):
            os.unlink("/dev/shm/" + file)


def read(key):
    with open("/dev/shm" + key, "rb") as file:
        return file.read()


def hidden():
    return [f for f in os.listdir("/dev/shm") if f.startswith(shared_memory._HIDDEN + str(os.getpid()))]


def test_the_default_name_is_the_deployments():
    assert SharedMemoryManager().key_of(357) == "/slam3r_keyframe_357"


def test_writes_the_short_form(prefix):
    key = SharedMemoryManager(prefix).write_keyframe("7", POINTS, COLORS, POSE, timestamp_ns=5)
    assert key == prefix + "7"
    data = read(key)
    assert len(data) == SIZE
    assert struct.unpack_from("<QII", data) == (5, 100, 3)
    assert data[104:1304] == POINTS.tobytes() and data[1304:] == COLORS.tobytes()
    assert not hidden()


def test_writes_the_long_form_with_confidence(prefix):
    confidence = np.linspace(0, 1, 100, dtype=np.float32)
    key = SharedMemoryManager(prefix).write_keyframe("7", POINTS, COLORS, POSE, None, confidence)
    data = read(key)
    assert len(data) == 108 + 100 * 19
    assert struct.unpack_from("<III", data, 8) == (100, 3, 1)
    assert data[-400:] == confidence.tobytes()


def test_only_this_user_may_read_it_unless_told_otherwise(prefix):
    key = SharedMemoryManager(prefix).write_keyframe("a", POINTS, COLORS, POSE)
    assert os.stat("/dev/shm" + key).st_mode & 0o777 == 0o600
    key = SharedMemoryManager(prefix, mode=0o666).write_keyframe("b", POINTS, COLORS, POSE)
    assert os.stat("/dev/shm" + key).st_mode & 0o777 == 0o666


def test_a_name_used_again_gets_new_content_and_leaves_readers_the_old(prefix):
    manager = SharedMemoryManager(prefix)
    key = manager.write_keyframe("a", POINTS, COLORS, POSE)
    with open("/dev/shm" + key, "rb") as old:
        manager.write_keyframe("a", POINTS + 1, COLORS, POSE)
        assert old.read()[104:1304] == POINTS.tobytes()
    assert read(key)[104:1304] == (POINTS + 1).tobytes()
    assert manager.active_segments == {key: SIZE}


def test_a_reader_never_sees_half_a_segment(prefix, monkeypatch):
    """Looks at the folder at the worst moment: between the pieces of a write."""
    real = os.pwritev
    seen = []

    def slowly(descriptor, buffers, offset):
        seen.append([f for f in os.listdir("/dev/shm") if f.startswith(prefix[1:])])
        return real(descriptor, [memoryview(b)[:50] for b in buffers][:1], offset)

    monkeypatch.setattr(os, "pwritev", slowly)
    key = SharedMemoryManager(prefix).write_keyframe("a", POINTS, COLORS, POSE, timestamp_ns=5)
    assert len(seen) > 10 and not any(seen)
    data = read(key)
    assert data[104:1304] == POINTS.tobytes() and data[1304:] == COLORS.tobytes()


def test_full_memory_leaves_nothing_behind(prefix, monkeypatch):
    real = os.pwritev
    calls = []

    def full(descriptor, buffers, offset):
        calls.append(offset)
        if len(calls) == 1:
            return real(descriptor, [memoryview(buffers[1])[:64]], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    manager = SharedMemoryManager(prefix)
    with pytest.raises(SharedMemoryFullError, match=f"needs {SIZE} bytes, /dev/shm has [0-9]+ of [0-9]+ free") as caught:
        manager.write_keyframe("a", POINTS, COLORS, POSE)
    assert caught.value.errno == errno.ENOSPC
    assert calls == [0, 64]
    assert not hidden() and not os.path.exists("/dev/shm" + prefix + "a") and manager.active_segments == {}


@pytest.fixture
def small_folder(tmp_path):
    """A file system of one megabyte, if this user may mount one."""
    folder = tmp_path / "shm"
    folder.mkdir()
    if os.getuid() != 0 or os.system(f"mount -t tmpfs -o size=1m tmpfs {folder} 2>/dev/null") != 0:
        pytest.skip("mounting a small tmpfs needs root")
    yield str(folder)
    os.system(f"umount {folder}")


def write_many(manager, ids, count):
    for i in ids:
        manager.write_keyframe(i, np.full((count, 3), float(i)), np.zeros((count, 3), np.uint8), POSE)


def test_a_small_folder_really_runs_full(small_folder):
    manager = SharedMemoryManager("/k_", folder=small_folder)
    write_many(manager, [0], 40_000)
    with pytest.raises(SharedMemoryFullError, match="1 segments of this producer with 600104 bytes"):
        write_many(manager, [1], 40_000)
    assert os.listdir(small_folder) == ["k_0"]


def test_a_small_folder_drops_the_oldest(small_folder):
    manager = SharedMemoryManager("/k_", folder=small_folder, when_full="drop_oldest")
    write_many(manager, range(10), 16_000)  # 240 KB each: four fit
    assert sorted(os.listdir(small_folder)) == ["k_6", "k_7", "k_8", "k_9"]
    assert manager.dropped == 6 and len(manager.active_segments) == 4
    with open(f"{small_folder}/k_6", "rb") as file:
        assert (np.frombuffer(file.read()[104 : 104 + 12 * 16_000], np.float32) == 6).all()
    write_many(manager, [10], 40_000)  # a larger one: as many go as it takes, and no more
    assert sorted(os.listdir(small_folder)) == ["k_10", "k_9"]


def test_dropping_never_touches_what_is_anothers(small_folder):
    theirs = SharedMemoryManager("/t_", folder=small_folder)
    write_many(theirs, range(3), 16_000)
    manager = SharedMemoryManager("/k_", folder=small_folder, when_full="drop_oldest")
    write_many(manager, range(3), 16_000)
    assert sorted(os.listdir(small_folder)) == ["k_2", "t_0", "t_1", "t_2"]
    with pytest.raises(SharedMemoryFullError, match="0 segments of this producer with 0 bytes"):
        write_many(manager, [3], 40_000)
    assert sorted(os.listdir(small_folder)) == ["t_0", "t_1", "t_2"]


@pytest.mark.parametrize("when_full", ["raise", "drop_oldest"])
def test_what_a_killed_producer_left_goes_first(small_folder, when_full):
    manager = SharedMemoryManager("/k_", folder=small_folder, when_full=when_full)
    write_many(manager, range(2), 16_000)
    with open(f"{small_folder}/{shared_memory._HIDDEN}1-1-1", "wb") as left:
        left.write(bytes(500_000))
    write_many(manager, [2], 16_000)
    assert sorted(os.listdir(small_folder)) == ["k_0", "k_1", "k_2"] and manager.dropped == 0


def test_what_would_never_fit_drops_nothing(small_folder):
    manager = SharedMemoryManager("/k_", folder=small_folder, when_full="drop_oldest")
    write_many(manager, range(2), 16_000)
    with pytest.raises(SharedMemoryFullError, match="needs 1500104 bytes, .* of 1048576 free"):
        write_many(manager, [2], 100_000)
    assert sorted(os.listdir(small_folder)) == ["k_0", "k_1"] and manager.dropped == 0


def test_bad_arguments_write_nothing(prefix):
    manager = SharedMemoryManager(prefix)
    with pytest.raises(ValueError, match="pose"):
        manager.write_keyframe("a", POINTS, COLORS, np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match="neither '/' nor"):
        manager.write_keyframe("../../etc/passwd", POINTS, COLORS, POSE)
    with pytest.raises(ValueError, match="neither '/' nor"):
        manager.write_keyframe("a/b", POINTS, COLORS, POSE)
    with pytest.raises(ValueError, match="and at most 255 together"):
        manager.write_keyframe("x" * 250, POINTS, COLORS, POSE)
    assert not hidden() and not [f for f in os.listdir("/dev/shm") if f.startswith(prefix[1:])]


@pytest.mark.parametrize("bad", ["", "/", "/a/b", "../a", "//a", "/.hidden"])
def test_prefixes_that_will_not_do(bad):
    with pytest.raises(ValueError, match="prefix is"):
        SharedMemoryManager(bad)


def test_counts_only_what_nobody_took(prefix):
    manager = SharedMemoryManager(prefix)
    keys = [manager.write_keyframe(i, POINTS, COLORS, POSE) for i in range(4)]
    os.unlink("/dev/shm" + keys[1])
    assert list(manager.active_segments) == [keys[0], keys[2], keys[3]]


def test_the_backlog_is_bounded(prefix):
    manager = SharedMemoryManager(prefix, max_pending_bytes=3 * SIZE)
    keys = [manager.write_keyframe(i, POINTS, COLORS, POSE) for i in range(3)]
    with pytest.raises(BacklogError, match=f"3 segments of this producer with {3 * SIZE} bytes"):
        manager.write_keyframe(3, POINTS, COLORS, POSE)
    os.unlink("/dev/shm" + keys[1])  # not the oldest: found by the sweep
    manager.write_keyframe(3, POINTS, COLORS, POSE)
    assert len(manager.active_segments) == 3


def test_the_backlog_may_drop_its_oldest(prefix):
    manager = SharedMemoryManager(prefix, max_pending_bytes=3 * SIZE, when_full="drop_oldest")
    for i in range(5):
        manager.write_keyframe(i, POINTS, COLORS, POSE)
    assert [key[len(prefix) :] for key in manager.active_segments] == ["2", "3", "4"]
    assert manager.dropped == 2


def test_cleanup_takes_only_its_own(prefix):
    ours, theirs = SharedMemoryManager(prefix), SharedMemoryManager(prefix)
    ours.write_keyframe("a", POINTS, COLORS, POSE)
    ours.write_keyframe("b", POINTS, COLORS, POSE)
    theirs.write_keyframe("b", POINTS, COLORS, POSE)
    ours.cleanup()
    assert not os.path.exists(f"/dev/shm{prefix}a")
    assert os.path.exists(f"/dev/shm{prefix}b")


def test_segments_outlive_their_manager(prefix):
    manager = SharedMemoryManager(prefix)
    key = manager.write_keyframe("a", POINTS, COLORS, POSE)
    del manager
    assert len(read(key)) == SIZE


WRITE_FOR_EVER = """
import os, sys, time
import numpy as np
import tessera_client
real = os.pwritev
def slowly(descriptor, buffers, offset):
    real(descriptor, buffers, offset)
    print("writing", flush=True)
    time.sleep(600)
os.pwritev = slowly
tessera_client.SharedMemoryManager(sys.argv[1]).write_keyframe(1, np.zeros((1000, 3)), np.zeros((1000, 3), np.uint8), np.eye(4))
"""


@pytest.mark.parametrize("namespace", ["this", "its own"])
def test_removes_what_a_killed_producer_left_and_nothing_that_is_being_written(prefix, namespace):
    """With process ids of its own, as in another container that shares the folder, the writer cannot be seen by its id."""
    command = [sys.executable, "-c", WRITE_FOR_EVER, prefix]
    if namespace == "its own":
        command = ["unshare", "--pid", "--fork", "--kill-child", *command]
        if os.getuid() != 0 or subprocess.run([*command[:4], "true"], capture_output=True).returncode != 0:
            pytest.skip("unshare needs root")
    before = set(os.listdir("/dev/shm"))
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(shared_memory.__file__))}
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert writer.stdout.readline() == "writing\n"
        left = [f for f in os.listdir("/dev/shm") if f not in before and f.startswith(shared_memory._HIDDEN)]
        assert left
        SharedMemoryManager(prefix)
        assert all(os.path.exists("/dev/shm/" + f) for f in left)
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    until = time.monotonic() + 180  # the writer's own process may end a moment after the one that was killed
    while any(os.path.exists("/dev/shm/" + f) for f in left) and time.monotonic() < until:
        time.sleep(0.05)
        SharedMemoryManager(prefix)
    assert not any(os.path.exists("/dev/shm/" + f) for f in left)


def test_a_file_that_was_just_made_is_not_taken_for_one_that_was_left(tmp_path):
    """The kernel shows it in the folder a moment before it counts who makes it as a writer."""
    made, left = tmp_path / f"{shared_memory._HIDDEN}1-1-1", tmp_path / f"{shared_memory._HIDDEN}1-1-2"
    made.touch()
    left.write_bytes(b"half")
    SharedMemoryManager("/k_", folder=str(tmp_path))
    assert made.exists() and not left.exists()


def test_where_there_are_no_leases_age_decides(prefix, monkeypatch):
    def no_leases(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(shared_memory.fcntl, "fcntl", no_leases)
    old = f"/dev/shm/{shared_memory._HIDDEN}1-1-{time.monotonic_ns()}"
    new = old + "n"
    for path in (old, new):
        open(path, "wb").close()
    real = os.fstat

    def aged(descriptor):
        state = real(descriptor)
        if state.st_ino != os.stat(old).st_ino:
            return state
        values = list(state)
        values[7:10] = [1, 1, 1]  # atime, mtime, ctime
        return os.stat_result(values)

    monkeypatch.setattr(os, "fstat", aged)
    try:
        SharedMemoryManager(prefix)
        assert not os.path.exists(old) and os.path.exists(new)
    finally:
        os.unlink(new)


def test_the_session_is_part_of_the_name(prefix):
    manager = SharedMemoryManager(prefix)
    assert manager.key_of(7, "run") == f"{prefix}~run~7"
    assert manager.write_keyframe("a", POINTS, COLORS, POSE, session="run") == f"{prefix}~run~a"
    assert manager.write_keyframe("a", POINTS, COLORS, POSE) == f"{prefix}a"
    assert len(manager.active_segments) == 2
    for bad in ("a/b", "a~b", ".."):
        with pytest.raises(ValueError, match="session is"):
            manager.key_of(7, bad)
    room = 255 - len(prefix) + 1 - len("~run~")
    assert len(manager.key_of("x" * room, "run")) == 256
    with pytest.raises(ValueError, match="prefix, session and id have 256, and at most 255 together"):
        manager.key_of("x" * (room + 1), "run")
