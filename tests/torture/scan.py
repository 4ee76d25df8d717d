"""The truth: what a session must hold after the operations that were acknowledged."""

import collections
import dataclasses
import threading
import time

import numpy as np

from torture.keyframes import carried


@dataclasses.dataclass
class Held:
    """A live keyframe: what it shows, its pose now, its group and its producer's time."""

    frame: object
    pose: np.ndarray
    group: str
    stamp: int


class Scan:
    """One session. Its producer is one thread, which changes it only by what was acknowledged; others may look."""

    def __init__(self, session):
        self.session = session
        self.live = {}
        self.gone = {}  # taken out, with the group that it was in: these ids may be used again
        self.operations = 0
        self._revision = self._made = 0
        self._labels, self._used = {}, set()
        self._lock = threading.Lock()
        self._history = collections.defaultdict(list)

    def new_id(self):
        self._made += 1
        return f"{self._made:04d}"

    def new_stamp(self):
        """The producer's time, which only grows."""
        self._made += 1
        return 1_000_000_000 + self._made

    def new_revision(self):
        self._revision += 1
        return self._revision

    def label(self, rng):
        """A group for a new keyframe, or none. One that was left by all never comes again: its number may be forgotten."""
        slot = rng.choice((None, "hall", "stairs"))
        if slot is None:
            return ""
        turn = self._labels.get(slot, 0)
        name = f"{self.session}-{slot}-{turn}"
        if name in self._used and not self.members(name):
            self._labels[slot] = turn + 1
            name = f"{self.session}-{slot}-{turn + 1}"
        return name

    def members(self, group):
        return [keyframe_id for keyframe_id, held in self.live.items() if held.group == group]

    def groups(self):
        return sorted({held.group for held in self.live.values() if held.group})

    def put(self, keyframe_id, frame, group, stamp):
        self._used.add(group)
        with self._lock:
            self.live[keyframe_id] = Held(frame, frame.pose, group, stamp)
            self.gone.pop(keyframe_id, None)
        self.note(keyframe_id, f"came as {frame.number}" + (f" in {group}" if group else ""))

    def move(self, keyframe_id, pose, revision):
        self.live[keyframe_id].pose = pose
        self.note(keyframe_id, f"was moved by revision {revision}")

    def move_group(self, group, transform, revision):
        for keyframe_id in self.members(group):
            self.move(keyframe_id, carried(transform, self.live[keyframe_id].pose), f"{revision} of the group")

    def drop(self, ids):
        for keyframe_id in list(ids):
            with self._lock:
                self.gone[keyframe_id] = self.live.pop(keyframe_id).group
            self.note(keyframe_id, "was taken out")

    def note(self, keyframe_id, what):
        self.operations += 1
        self._history[keyframe_id].append(f"{time.strftime('%H:%M:%S')} {what}")

    def history(self, keyframe_id):
        return "; ".join(self._history[keyframe_id][-12:])

    def wanted(self):
        """Pose by id, as the service shows ids."""
        with self._lock:
            return {self.shown(keyframe_id): held.pose for keyframe_id, held in self.live.items()}

    def shown(self, keyframe_id):
        return f"{self.session}/{keyframe_id}" if self.session else keyframe_id
