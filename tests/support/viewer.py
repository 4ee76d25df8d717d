"""A viewer without a picture: speaks docs/protocol.md over a WebSocket made of the standard library."""

import base64
import hashlib
import json
import os
import socket
import ssl
import struct
import threading
import time
from urllib.parse import urlsplit

from support.service import PATIENCE_S

PATCH = struct.Struct("<IBBBBiiiIQQQII")
MAGIC = 0x31505354
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Patch:
    """A binary frame, taken apart."""

    def __init__(self, frame, received_ns):
        (magic, self.kind, self.codec, self.level, self.flags, x, y, z, self.vertices, self.version, self.keyframe_ns,
         self.service_received_ns, self.triangles, payload_bytes) = PATCH.unpack_from(frame)
        assert magic == MAGIC, f"magic {magic:#x}"
        self.region = (x, y, z)
        self.payload = frame[PATCH.size :]
        assert len(self.payload) == payload_bytes, (len(self.payload), payload_bytes)
        self.received_ns = received_ns
        self.bytes = len(frame)


class WebSocket:
    """One connection; blocking. send_text and receive may be used by different threads, but not over wss://. `source`: the
    address of this machine that it comes from; `headers`: further ones."""

    def __init__(self, url, protocol="tessera.v1", token=None, receive_buffer=None, source=None, headers=None):
        parts = urlsplit(url)
        self._socket = socket.socket()
        if source:
            self._socket.bind((source, 0))
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "wss":
            self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=parts.hostname)
        key = base64.b64encode(os.urandom(16))
        lines = [
            f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: {protocol}",
        ]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self._file = self._socket.makefile("rb", buffering=1 << 16)
        status = self._file.readline().decode()
        headers = {}
        while (line := self._file.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        self.status = int(status.split()[1])
        if self.status != 101:
            self.close()
            raise ConnectionError(f"no WebSocket: {status.strip()}")
        assert headers["sec-websocket-accept"] == base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        self.protocol = headers.get("sec-websocket-protocol")
        self.received_bytes = 0

    def fileno(self):
        return self._socket.fileno()

    def send_text(self, text):
        self.send_frame(1, text.encode())

    def send_frame(self, opcode, data, fin=True):
        mask = os.urandom(4)
        size = len(data)
        head = bytes(((0x80 if fin else 0) | opcode,))
        if size < 126:
            head += bytes((0x80 | size,))
        elif size < 1 << 16:
            head += struct.pack(">BH", 0x80 | 126, size)
        else:
            head += struct.pack(">BQ", 0x80 | 127, size)
        padded = int.from_bytes(data, "little") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "little")
        self._socket.sendall(head + mask + padded.to_bytes(size, "little"))

    def receive(self):
        """Returns (opcode, bytes) of the next whole message; answers pings. Throws EOFError when the other side hung up."""
        message, kind = b"", None
        while True:
            first, second = self._exactly(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", self._exactly(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._exactly(8))[0]
            data = self._exactly(size)
            self.received_bytes += size
            opcode = first & 15
            if opcode == 9:
                self.send_frame(10, data)
            elif opcode == 8:
                code = struct.unpack(">H", data[:2])[0] if len(data) >= 2 else None
                raise EOFError(f"closed with code {code}: {data[2:].decode(errors='replace')}")
            elif opcode in (0, 1, 2):
                kind = opcode or kind
                message += data
                if first & 0x80:
                    return kind, message

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _exactly(self, size):
        data = self._file.read(size)
        if len(data) != size:
            raise EOFError("the connection ended")
        return data


class Viewer:
    """Subscribes, keeps the newest patch of each region, and acknowledges each, in a thread of its own."""

    def __init__(self, url, *, have=(), epoch="", token=None, max_bits_per_s=0, protocol="tessera.v1"):
        self.socket = WebSocket(url.replace("http", "ws", 1) + "/v1/stream", token=token, protocol=protocol)
        self.patches = {}  # by region, empty ones included
        self.log = []  # (kind, received_ns, keyframe_ns, bytes, triangles) of every patch
        self.talk = []
        self.cameras = {}
        self.stats = None
        self.error = None
        kind, text = self.socket.receive()
        self.hello = json.loads(text)
        assert self.hello["type"] == "hello"
        self.say("subscribe", epoch=epoch, have=list(have), max_bits_per_s=max_bits_per_s)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def say(self, kind, **fields):
        self.socket.send_text(json.dumps({"type": kind, **fields}))

    def versions(self):
        """Of each region that has a surface."""
        return {region: patch.version for region, patch in list(self.patches.items()) if patch.kind == 0}

    def triangles(self):
        return sum(patch.triangles for patch in list(self.patches.values()) if patch.kind == 0)

    def close(self):
        self.socket.close()
        self._thread.join(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self):
        try:
            while True:
                kind, data = self.socket.receive()
                if kind == 2:
                    patch = Patch(data, time.time_ns())
                    old = self.patches.get(patch.region)
                    assert old is None or patch.version > old.version, "a version went back"
                    self.patches[patch.region] = patch
                    self.log.append((patch.kind, patch.received_ns, patch.keyframe_ns, patch.bytes, patch.triangles))
                    self.say("ack", patches=[[*patch.region, str(patch.version)]])
                    continue
                said = json.loads(data)
                if said["type"] == "cameras":
                    for camera in said["cameras"]:
                        if camera.get("gone"):
                            self.cameras.pop(camera["id"], None)
                        else:
                            self.cameras[camera["id"]] = camera
                elif said["type"] == "stats":
                    self.stats = said
                else:
                    self.talk.append(said)
        except (EOFError, OSError, AssertionError) as error:
            self.error = error
