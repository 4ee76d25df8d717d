"""The service is killed while its journal gives back the space of what was taken out."""

import collections
import http.client
import os
import shutil
import threading
import time
import types

import numpy as np

from support import service, stock
from torture.keyframes import CONTENT_TYPE

MAPPING = ("--voxel-size", "0.01", "--truncation", "0.02", "--threads", "2", "--store-memory", "8MiB")
STAY, GO = 12, 18
KILLS = 5


def wall(number):
    """A wall seen by every pixel of 420 x 300: as many rays, so that twenty of them are worth a compaction (32 MiB of rays). With
    noise, so that a ray takes about as much on the disk as a real one: by that the next process knows how much was erased."""
    noise = np.random.default_rng(number)
    u, v = np.meshgrid(np.arange(420) * 0.01 + 0.005, np.arange(300) * 0.01 + 0.005)
    points = np.stack((u, v, 2 + 0.2 * np.sin(u + number)), axis=-1).reshape(-1, 3)
    points += noise.uniform(-0.004, 0.004, points.shape)
    return types.SimpleNamespace(pose=np.eye(4, dtype=np.float32), points=points.astype(np.float32),
                                 colours=noise.integers(0, 256, points.shape, np.uint8))


def blob_bytes(journal):
    return sum(each.stat().st_size for each in os.scandir(journal) if each.name.endswith(".blob"))


def send(running, session, count):
    for number in range(count):
        headers = {"Content-Type": CONTENT_TYPE, "X-Keyframe-Id": str(number), "Tessera-Session": session}
        status, text = running.fetch("/v1/keyframes", data=stock.segment_bytes(wall(number), form=108), headers=headers)
        assert status == 200, (status, text)


def take_out(running):
    """Asks until it is done, or the service is gone."""
    status = 503
    while status == 503:
        try:
            status, text = running.fetch("/v1/keyframes?session=goes", method="DELETE")
        except (OSError, http.client.HTTPException):
            return
    assert status == 200, (status, text)


def torture(program, folder, rng):
    """Returns how often it was killed before it had done. Throws AssertionError if anything is lost or space not given back."""
    journal = os.path.join(folder, "compaction")
    options = (*MAPPING, "--journal", journal)
    done = collections.Counter()
    running = service.Service(program, options=options)
    try:
        send(running, "stays", STAY)
        wanted = running.map()["hash"]
        send(running, "goes", GO)
        running.crash()
        running = service.Service(program, options=options)  # what was in the log is now in files
        full = blob_bytes(journal)
        for _ in range(KILLS):
            asking = threading.Thread(target=take_out, args=(running,), daemon=True)
            asking.start()
            running.wait(lambda: blob_bytes(journal) != full, "a compaction")
            time.sleep(rng.uniform(0, 0.02))
            running.crash()
            asking.join()
            done["kill -9 while the journal is compacted by the service"] += blob_bytes(journal) > full / 2
            running = service.Service(program, options=options)
            if blob_bytes(journal) < full / 2:
                break
        take_out(running)
        running.wait(lambda: blob_bytes(journal) < full / 2, "the space of what was taken out")
        running.wait(lambda: running.fetch("/v1/map")[0] == 200, "the map of the journal")
        there = running.map()
        assert (there["hash"], there["keyframes"]) == (wanted, STAY), there
        assert running.end() == 0
        status, _, err = service.run(program, "journal", "verify", journal)
        assert status == 0, err
    finally:
        if not running.ended:
            running.stop()
        shutil.rmtree(journal, ignore_errors=True)
    return done
