"""`tessera serve` for a while: what it answers, counts and logs."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

START_S, ANSWER_S, END_S = 60, 30, 30
ADDRESSES = (re.compile(r"listening on (http://[^\s/]+)"), re.compile(r"metrics on (http://[^\s/]+)"))


class Failed(Exception):
    """What was asked of the service did not come."""


@contextlib.contextmanager
def serve(runner, tessera, *words):
    """A service on free ports of 127.0.0.1, answering; ended when the block is left. Raises Failed if it does not start."""
    command = [tessera, "serve", *words, "--port", 0, "--metrics-port", 0]
    with contextlib.ExitStack() as stack:
        try:
            child, output = stack.enter_context(runner.running(command))
        except OSError as e:
            raise Failed(f"the service cannot be started: {e}") from e
        yield Service(runner, child, output)


class Service:
    def __init__(self, runner, child, output):
        self._runner, self._child, self.log = runner, child, output
        self.url, self.metrics_url = self.wait(self._addresses, "the service does not say where it listens", START_S)

    def _addresses(self):
        found = [pattern.search(self.log()) for pattern in ADDRESSES]
        return [one[1] for one in found] if all(found) else None

    def wait(self, condition, what, limit_s):
        """Waits until condition() is neither None nor False, and returns that. Raises Failed, with `what`, when the time is over
        or the service has ended."""
        until = time.monotonic() + min(limit_s, self._runner.left_s())
        while True:
            found = condition()
            if found is not None and found is not False:
                return found
            if self._child.poll() is not None:
                raise Failed(f"the service ended with {self._child.returncode}: {self._last_words()}")
            if time.monotonic() > until:
                raise Failed(f"{what} (waited {limit_s:g} s): {self._last_words()}")
            time.sleep(0.02)

    def _last_words(self):
        return " / ".join(line.strip() for line in self.log().splitlines()[-3:])[-400:]

    def fetch(self, path, base=None, body=None, headers=None, method=None):
        """Status and body, whatever the status. Raises Failed if there is no answer."""
        request = urllib.request.Request((base or self.url) + path, data=body, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read().decode()
        except (OSError, http.client.HTTPException) as e:
            raise Failed(f"no answer to {method or 'GET'} {path}: {e}") from e

    def map(self):
        """/v1/map; None while it cannot be told, since a part of the map is being made again."""
        status, body = self.fetch("/v1/map")
        return json.loads(body) if status == 200 else None

    def wait_for_map(self, keyframes, limit_s):
        """Waits until so many keyframes are live; returns the map."""
        def there():
            now = self.map()
            return now if now and now["keyframes"] == keyframes else None

        # The first such answer may count a keyframe that came while its hash was being summed.
        self.wait(there, f"there are not {keyframes} live keyframes", limit_s)
        return self.wait(there, f"there are not {keyframes} live keyframes any more", limit_s)

    def metrics(self):
        """Samples by name and labels, as they stand in the text."""
        text = self.fetch("/metrics", self.metrics_url)[1]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines()
                                                          if line[:1] not in ("", "#"))}

    def healthy(self):
        return self.fetch("/healthz")[0] == 200

    def post(self, keyframe_id, body):
        """The answer's status, and its JSON."""
        headers = {"Content-Type": "application/vnd.tessera.keyframe", "X-Keyframe-Id": urllib.parse.quote(keyframe_id, safe="")}
        status, answer = self.fetch("/v1/keyframes", body=body, headers=headers)
        return status, json.loads(answer)

    def retract(self, keyframe_id):
        return self.fetch("/v1/keyframes/" + urllib.parse.quote(keyframe_id, safe=""), method="DELETE")[0]

    def end(self):
        """As an operator ends it; raises Failed unless it ends with 0, in time."""
        self._child.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        try:
            status = self._child.wait(max(1, min(END_S, self._runner.left_s())))
        except subprocess.TimeoutExpired:
            raise Failed(f"the service does not end within {END_S} s of SIGTERM: {self._last_words()}") from None
        if status != 0:
            raise Failed(f"the service ended with {status} at SIGTERM: {self._last_words()}")
        return time.monotonic() - begin


def total(metrics, name, **labels):
    """The sum of a family's samples that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(value for sample, value in metrics.items()
               if sample.partition("{")[0] == name and all(label in sample for label in wanted))
