"""Producers that speak through the broker: what it confirmed is safe. Their messages come twice, late, out of order, again."""

import time

import msgpack

from torture.keyframes import CONTENT_TYPE, another_pose, content, motion, numbers
from torture.links import Bus
from torture.producers import Producer, write

PACKED = "application/msgpack"


class Messenger(Producer):
    """What both kinds have in common: new poses, groups, retractions. A revision's number makes any order of two of them good."""

    replays = False

    def __init__(self, world, session, rng):
        super().__init__(world, session, rng)
        self.bus = Bus(world, world.exchange)
        self.said = []  # every message, in order
        self.replay = False  # set by a fault, if it `replays`: say all of it again
        self._late = {}  # by keyframe, revisions that may come once more, as long as it is live

    def operations(self):
        return [(10, self.new), (3, self.move), (1, self.move_two), (1, self.move_many), (1, self.move_group), (2, self.retract),
                (1, self.come_late)]

    def step(self):
        if self.replay:
            self.replay = False
            for routing_key, body, properties in list(self.said):
                self.bus.publish(routing_key, body, **properties)
            self.world.tally["a queue's whole history delivered again"] += 1
        super().step()

    def say(self, routing_key, body, **properties):
        """Publishes a message, at times twice."""
        if isinstance(body, dict):
            body, properties = msgpack.packb({"type": routing_key, **body}), {"content_type": PACKED}
        self.said.append((routing_key, body, properties))
        for copy in range(self.rng.choice((1, 1, 1, 2))):
            self.bus.publish(routing_key, body, **properties)
            self.world.tally["notification sent twice"] += min(copy, 1)

    def revision_of(self, keyframe_id):
        """A new pose, its number, and the message that says so."""
        pose, revision = another_pose(self.rng, self.scan.live[keyframe_id].frame), self.scan.new_revision()
        message = {"keyframe_id": keyframe_id, "session": self.scan.session, "revision": revision,
                   "pose_matrix": [row.tolist() for row in pose.astype(float)]}
        self._late.setdefault(keyframe_id, []).append(message)
        return pose, revision, message

    def move(self):
        if keyframe_id := self.one():
            pose, revision, message = self.revision_of(keyframe_id)
            self.say("keyframe.revise", message)
            self.scan.move(keyframe_id, pose, revision)

    def move_two(self):
        """Two revisions of one keyframe that come the wrong way round: the newer counts."""
        if keyframe_id := self.one():
            _, _, older = self.revision_of(keyframe_id)
            pose, revision, newer = self.revision_of(keyframe_id)
            self.say("keyframe.revise", newer)
            self.say("keyframe.revise", older)
            self.scan.move(keyframe_id, pose, revision)
            self.world.tally["notifications out of order"] += 1

    def come_late(self):
        """A revision of long ago comes again: it changes nothing."""
        if late := [message for keyframe_id in sorted(self._late) for message in self._late[keyframe_id]]:
            self.say("keyframe.revise", self.rng.choice(late))
            self.world.tally["notification that comes late"] += 1

    def move_many(self):
        ids = self.rng.sample(sorted(self.scan.live), min(len(self.scan.live), self.rng.randrange(1, 9)))
        if not ids:
            return
        poses = {each: another_pose(self.rng, self.scan.live[each].frame) for each in ids}
        revision = self.scan.new_revision()
        self.say("keyframe.revise", {"session": self.scan.session, "revision": revision,
                                     "revisions": [{"id": each, "pose": numbers(pose)} for each, pose in poses.items()]})
        for keyframe_id, pose in poses.items():
            self.scan.move(keyframe_id, pose, revision)

    def move_group(self):
        if groups := self.scan.groups():
            group, transform, revision = self.rng.choice(groups), motion(self.rng), self.scan.new_revision()
            self.say("keyframe.revise", {"group": group, "transform": numbers(transform), "revision": revision})
            self.scan.move_group(group, transform, revision)

    def retract(self):
        if keyframe_id := self.one():
            self.say("keyframe.retract", {"keyframe_id": keyframe_id, "session": self.scan.session})
            self._late.pop(keyframe_id, None)
            self.scan.drop([keyframe_id])


class EmbeddedProducer(Messenger):
    """Keyframes inside messages. All that it ever said may come again, in order. So no id of a group is used twice: a keyframe
    that comes to a group has its number from the start, and an old move of the group would not be done again."""

    replays = True

    def new(self):
        scan = self.scan
        free = sorted(each for each, group in scan.gone.items() if not group)
        again = free and self.rng.random() < 0.3
        keyframe_id = self.rng.choice(free) if again else scan.new_id()
        frame, group, stamp = self.frame(), "" if again else scan.label(self.rng), scan.new_stamp()
        headers = {"session": scan.session, **({"group": group} if group else {})}
        self.say("keyframe.new", content(frame, stamp), content_type=CONTENT_TYPE, message_id=keyframe_id, headers=headers)
        scan.put(keyframe_id, frame, group, stamp)


class SegmentProducer(Messenger):
    """Keyframes in shared memory, notifications through the broker; at times the notification is there first. No id is used
    twice: its segment would have the name of one that may not have been read yet."""

    def new(self):
        scan = self.scan
        keyframe_id, frame, group, stamp = scan.new_id(), self.frame(), scan.label(self.rng), scan.new_stamp()
        name = f"{self.world.prefix}~{scan.session}~{keyframe_id}"
        note = {"keyframe_id": keyframe_id, "session": scan.session, "timestamp_ns": stamp, "shm_key": name,
                "pose_matrix": [row.tolist() for row in frame.pose.astype(float)], **({"group": group} if group else {})}
        early = self.rng.random() < 0.15
        if not early:
            write(self.world, self.rng, name, content(frame, stamp))
        self.say("keyframe.new", note)
        if early:  # it is told again: the service waits for a segment, but not for ever
            time.sleep(self.rng.uniform(0, 0.2))
            write(self.world, self.rng, name, content(frame, stamp))
            self.say("keyframe.new", note)
            self.world.tally["segment later than its notification"] += 1
        scan.put(keyframe_id, frame, group, stamp)
