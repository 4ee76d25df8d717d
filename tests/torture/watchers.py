"""Viewers that are there all the time: one that behaves, and others that are slow, silent or hostile."""

import json
import os
import random
import socket
import threading
import time

from support.viewer import Viewer, WebSocket


class Watcher(threading.Thread):
    """Comes back whenever it was sent away, until finish()."""

    def __init__(self, world, seed):
        super().__init__(name=type(self).__name__.lower(), daemon=True)
        self.world, self.rng = world, random.Random(seed)
        self.times = 0
        self._over = threading.Event()

    def run(self):
        while not self._over.is_set():
            try:
                self.visit()
                self.times += 1
            except (OSError, EOFError, AssertionError, IndexError, ValueError):  # the service is away, or hung up on us
                pass
            self._over.wait(0.1)

    def stays(self, seconds=0.05):
        """Waits; false when it is to leave."""
        return not self._over.wait(seconds)

    def finish(self):
        self._over.set()
        self.join(20)

    def open(self, receive_buffer=None):
        one = WebSocket(self.world.victim.url.replace("http", "ws", 1) + "/v1/stream", receive_buffer=receive_buffer)
        one._socket.settimeout(5)
        return one


class Honest(Watcher):
    """Goes on where it was, when it comes back to the same epoch; a version that goes back is a failure."""

    patches, epoch = {}, ""

    def visit(self):
        have = [[*region, str(patch.version)] for region, patch in self.patches.items()]
        with Viewer(self.world.victim.url, have=have, epoch=self.epoch) as viewer:
            if viewer.hello["epoch"] != self.epoch:
                self.patches, self.epoch = {}, viewer.hello["epoch"]
            held = dict(self.patches)
            while viewer.error is None and self.stays():
                self.patches = {**held, **viewer.patches}
            self.patches = {**held, **viewer.patches}
            if isinstance(viewer.error, AssertionError):
                self.world.fail(viewer.error, self.name)


class Slow(Watcher):
    """Reads some KB a second."""

    def visit(self):
        one = self.open(receive_buffer=4096)
        try:
            one.send_text(json.dumps({"type": "subscribe", "epoch": "", "have": []}))
            while self.stays() and one._socket.recv(512):
                pass
        finally:
            one.close()


class Silent(Watcher):
    """Subscribes, and never reads nor says anything."""

    def visit(self):
        one = self.open(receive_buffer=4096)
        try:
            one.send_text(json.dumps({"type": "subscribe", "epoch": "", "have": []}))
            until = time.monotonic() + self.rng.uniform(2, 10)
            while time.monotonic() < until and self.stays():
                pass
        finally:
            one.close()


class Hostile(Watcher):
    """Sends what no viewer sends."""

    def visit(self):
        self.rng.choice((self.noise, self.half_request, self.bad_frames, self.bad_talk, self.crowd, self.lying_length))()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.world.victim.port), timeout=5)

    def noise(self):
        with self.connect() as one:
            one.sendall(os.urandom(self.rng.randrange(1, 100_000)))

    def half_request(self):
        with self.connect() as one:
            one.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: webso")
            self.stays(0.5)

    def lying_length(self):
        with self.connect() as one:
            one.sendall(b"POST /v1/keyframes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/vnd.tessera.keyframe\r\n"
                        b"X-Keyframe-Id: hostile\r\nContent-Length: 1000000\r\n\r\n" + os.urandom(5000))
            self.stays(0.2)

    def bad_frames(self):
        one = self.open()
        try:
            kind, whole = self.rng.choice((1, 2, 3, 7, 9, 11)), self.rng.random() < 0.5
            one.send_frame(kind, os.urandom(self.rng.randrange(200_000)), fin=whole)
            one._socket.sendall(os.urandom(200))
            one.receive()
        finally:
            one.close()

    def bad_talk(self):
        one = self.open()
        try:
            for text in ("{", "[" * 10_000, '{"type": "subscribe", "epoch": 7}', '{"type": "view", "position": [1e300, null, 1]}',
                         '{"type": "subscribe", "epoch": "x", "have": [[1, 2, 3, "18446744073709551616"]]}', "x" * (2 << 20)):
                one.send_text(text)
            while self.stays(0):
                one.receive()
        finally:
            one.close()

    def crowd(self):
        crowd = []
        try:
            for _ in range(30):
                crowd.append(self.connect())
            self.stays(0.3)
        finally:
            for one in crowd:
                one.close()


ALL = (Honest, Slow, Silent, Hostile)
