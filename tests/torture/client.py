"""Asks the service over HTTP until it answers: what a real producer does, since only what was answered is safe."""

import http.client
import json
import time
from urllib.parse import quote

from support.service import PATIENCE_S
from torture.keyframes import CONTENT_TYPE

NOT_NOW = (408, 503)


class Client:
    """One connection, opened again whenever it breaks. For one thread."""

    def __init__(self, world):
        self._world = world
        self._connection = http.client.HTTPConnection("127.0.0.1", world.victim.port, timeout=PATIENCE_S)

    def once(self, method, path, body=None, headers=None):
        """One attempt: status and body. Throws OSError or HTTPException if there is no answer."""
        try:
            self._connection.request(method, path, body=body, headers=headers or {})
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def ask(self, method, path, body=None, headers=None):
        """Returns status, answer, and whether it may have been done before: by an attempt that was not answered, or by an actor
        that died over it and whose successor was asked again."""
        successors, attempts, until = self._world.victim.successors(), 0, time.monotonic() + PATIENCE_S
        said = "nothing"
        while time.monotonic() < until:
            self._world.go_on()
            attempts += 1
            try:
                status, text = self.once(method, path, body, headers)
            except (OSError, http.client.HTTPException) as error:
                said = repr(error)
            else:
                if status not in NOT_NOW:
                    done_before = attempts > 1 or self._world.victim.successors() != successors
                    return status, json.loads(text) if text else {}, done_before
                said = text.decode(errors="replace")
            time.sleep(0.03)
        raise AssertionError(f"{method} {path} was not answered within {PATIENCE_S} s, only: {said}")

    def post(self, scan, keyframe_id, content, group=""):
        headers = {"Content-Type": CONTENT_TYPE, "X-Keyframe-Id": keyframe_id,
                   "Tessera-Session": quote(scan.session), "Tessera-Group": quote(group)}
        return self.ask("POST", "/v1/keyframes", content, headers)

    def say(self, method, path, value):
        """The same with a body of JSON."""
        return self.ask(method, path, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def one(self, scan, keyframe_id, below=""):
        """The path of a keyframe."""
        return f"/v1/keyframes/{quote(keyframe_id)}{below}?session={quote(scan.session)}"
