"""Those who send keyframes: each is a thread with a session of its own, and asks again whatever was not acknowledged."""

import os
import subprocess
import threading
import time

import msgpack

from support import scene, service
from torture.client import Client
from torture.keyframes import COUNT, another_pose, content, keyframe, motion, numbers
from torture.scan import Scan

ENOUGH_LIVE, LEAST_OPERATIONS = 30, 40


class Producer(threading.Thread):
    """Draws one operation after another, until the world has seen enough of it. `operations`: (weight, method) each; a method
    does nothing if there is nothing to do it to."""

    def __init__(self, world, session, rng):
        super().__init__(name=session, daemon=True)
        self.world, self.rng = world, rng
        self.scan = Scan(session)
        self.client = Client(world)

    def run(self):
        try:
            while not self.finished():
                self.step()
        except BaseException as error:  # noqa: B036 (told by the thread that waits)
            self.world.fail(error, self.name)

    def finished(self):
        return self.world.enough.is_set() and self.scan.operations >= LEAST_OPERATIONS

    def step(self):
        operations = self.operations()
        if len(self.scan.live) > ENOUGH_LIVE:
            operations = [(weight, do) for weight, do in operations if do != self.new]
        weights, methods = zip(*operations)
        self.rng.choices(methods, weights)[0]()
        time.sleep(self.rng.uniform(0, 0.08))

    def frame(self):
        return keyframe(self.rng.randrange(COUNT))

    def one(self):
        return self.rng.choice(sorted(self.scan.live)) if self.scan.live else None


class HttpProducer(Producer):
    """Over HTTP alone, all that can be done there, also what must change nothing."""

    def operations(self):
        return [(12, self.new), (1, self.again), (1, self.other_content), (1, self.bad), (3, self.move), (1, self.move_many),
                (1, self.move_group), (2, self.retract), (0.3, self.take_out_many)]

    def new(self):
        scan = self.scan
        again = sorted(scan.gone) if self.rng.random() < 0.3 else ()
        keyframe_id = self.rng.choice(again) if again else scan.new_id()
        frame, group, stamp = self.frame(), scan.label(self.rng), scan.new_stamp()
        status, answer, _ = self.client.post(scan, keyframe_id, content(frame, stamp), group)
        assert status == 200 and answer["outcome"] in ("accepted", "duplicate"), (keyframe_id, status, answer)
        scan.put(keyframe_id, frame, group, stamp)

    def again(self):
        if keyframe_id := self.one():
            held = self.scan.live[keyframe_id]
            status, answer, _ = self.client.post(self.scan, keyframe_id, content(held.frame, held.stamp), held.group)
            assert status == 200 and answer["outcome"] == "duplicate", self.lost(keyframe_id, status, answer)

    def other_content(self):
        if keyframe_id := self.one():
            held = self.scan.live[keyframe_id]
            other = content(keyframe((held.frame.number + 1) % COUNT), held.stamp)
            status, answer, _ = self.client.post(self.scan, keyframe_id, other, held.group)
            assert status == 409, self.lost(keyframe_id, status, answer)

    def bad(self):
        torn = bytearray(content(self.frame(), 1))
        torn[20:24] = b"\x00\x00\xc0\x7f"  # the pose's first number is none
        status, answer, _ = self.client.post(self.scan, "bad", bytes(torn))
        assert status in (400, 422), (status, answer)

    def move(self):
        if keyframe_id := self.one():
            pose, revision = another_pose(self.rng, self.scan.live[keyframe_id].frame), self.scan.new_revision()
            say = {"pose": numbers(pose), "revision": revision}
            status, answer, _ = self.client.say("PUT", self.client.one(self.scan, keyframe_id, "/pose"), say)
            assert status == 200, self.lost(keyframe_id, status, answer)
            self.scan.move(keyframe_id, pose, revision)

    def move_many(self):
        ids = self.rng.sample(sorted(self.scan.live), min(len(self.scan.live), self.rng.randrange(1, 9)))
        if not ids:
            return
        poses = {each: another_pose(self.rng, self.scan.live[each].frame) for each in ids}
        revision = self.scan.new_revision()
        self.correct({"session": self.scan.session, "revision": revision,
                      "revisions": [{"id": each, "pose": numbers(pose)} for each, pose in poses.items()]}, len(ids))
        for keyframe_id, pose in poses.items():
            self.scan.move(keyframe_id, pose, revision)

    def move_group(self):
        if groups := self.scan.groups():
            group, transform, revision = self.rng.choice(groups), motion(self.rng), self.scan.new_revision()
            say = {"group": group, "transform": numbers(transform), "revision": revision}
            self.correct(say, len(self.scan.members(group)))
            self.scan.move_group(group, transform, revision)

    def correct(self, say, count):
        if self.rng.random() < 0.5:
            body = msgpack.packb(say)
            status, answer, _ = self.client.ask("POST", "/v1/keyframes:revise", body, {"Content-Type": "application/msgpack"})
        else:
            status, answer, _ = self.client.say("POST", "/v1/keyframes:revise", say)
        assert status == 200 and answer["moved"] + answer["duplicate"] == count, (say, count, status, answer)

    def retract(self):
        if keyframe_id := self.one():
            status, answer, done_before = self.client.ask("DELETE", self.client.one(self.scan, keyframe_id))
            assert status == 200 or (status == 404 and done_before), self.lost(keyframe_id, status, answer)
            self.scan.drop([keyframe_id])

    def take_out_many(self):
        live = self.scan.live
        if not live:
            return
        bound = self.rng.choice([held.stamp for held in live.values()])
        older = [each for each, held in live.items() if held.stamp < bound]
        ways = {"": list(live), "&source=http": list(live), f"&before={bound}": older}
        for group in self.scan.groups():
            ways[f"&group={group}"] = self.scan.members(group)
        more = self.rng.choice(sorted(ways))
        ids = ways[more]
        status, answer, done_before = self.client.ask("DELETE", f"/v1/keyframes?session={self.scan.session}{more}")
        count = answer.get("keyframes")
        assert status == 200 and (count == len(ids) or (done_before and count <= len(ids))), (more, len(ids), status, answer)
        self.scan.drop(ids)

    def lost(self, keyframe_id, status, answer):
        return f"{self.name}/{keyframe_id} was acknowledged, and now: {status} {answer}; {self.scan.history(keyframe_id)}"


class WatchProducer(HttpProducer):
    """Through watched shared memory, where a segment that is gone is acknowledged; the rest over HTTP."""

    def operations(self):
        return [(8, self.new), (1, self.again), (3, self.move), (1, self.move_many), (2, self.retract)]

    def new(self):
        keyframe_id, frame, stamp = self.scan.new_id(), self.frame(), self.scan.new_stamp()
        self.give(keyframe_id, frame, stamp)
        self.scan.put(keyframe_id, frame, "", stamp)

    def again(self):
        if keyframe_id := self.one():
            held = self.scan.live[keyframe_id]
            self.give(keyframe_id, held.frame, held.stamp)

    def give(self, keyframe_id, frame, stamp):
        name = f"{self.world.watched}~{self.scan.session}~{keyframe_id}"
        write(self.world, self.rng, name, content(frame, stamp))
        until = time.monotonic() + service.PATIENCE_S
        while os.path.exists("/dev/shm" + name):
            self.world.go_on()
            assert time.monotonic() < until, f"{name} was not taken within {service.PATIENCE_S} s"
            time.sleep(0.01)


def write(world, rng, name, whole):
    """Writes a segment under a hidden name and renames it; before, at times, a producer dies over it and leaves what it had."""
    death = rng.choices(("", "hidden", "bare"), (8, 1, 1))[0]
    hidden = f"/dev/shm/.tessera-writing-{os.getpid()}-{name[1:]}"
    while True:
        try:
            if death:
                left = hidden + "-died" if death == "hidden" else "/dev/shm" + name
                with open(left, "wb") as file:
                    file.write(whole[: rng.randrange(len(whole))])
                world.tally["producer dies while it writes"] += 1
                death = ""
            with open(hidden, "wb") as file:
                file.write(whole)
            os.rename(hidden, "/dev/shm" + name)
            return
        except OSError:  # no room: a producer that may not lose anything waits for it
            if os.path.exists(hidden):
                os.unlink(hidden)
            world.go_on()
            time.sleep(0.05)


class Publisher(Producer):
    """`tessera publish` of a folder, killed again and again while it sends, and run again until it ends well."""

    def __init__(self, world, session, rng, destination):
        super().__init__(world, session, rng)
        self._command = [world.program, "publish", f"rgbd:{world.recording}", "--to", destination, "--session", session,
                         "--rate", "30", *world.names]
        self._done = False
        self._kills = 3

    def finished(self):
        return self._done

    def step(self):
        self.world.go_on()
        running = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=service.clean_environment())
        until = time.monotonic() + (self.rng.uniform(0.05, 0.5) if self._kills > 0 else service.PATIENCE_S)
        try:
            while running.poll() is None and time.monotonic() < until:
                self.world.go_on()
                time.sleep(0.02)
        finally:
            killed = running.poll() is None
            running.kill()
            running.wait()
        if killed:
            assert self._kills > 0, f"{self._command} did not end within {service.PATIENCE_S} s"
            self._kills -= 1
            self.world.tally["producer killed -9 while it sends"] += 1
        elif running.returncode == 0:
            for frame in scene.frames(self.world.recorded):
                self.scan.put(frame.id, frame, "", 0)
            self._done = True
