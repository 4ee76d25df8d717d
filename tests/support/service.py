"""The real service as a child process, and what it answers."""

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

# How long a test waits before it calls something failed. Whatever comes ends the wait, so that this costs nothing where all is
# well; it is long, since a machine may do ten other things at the same time.
PATIENCE_S = 180


def clean_environment():
    """This process's environment without any setting of the service; and without a journal, which would outlive the test."""
    foreign = ("TESSERA_", "MESH_", "SLAM3R_", "RABBITMQ_")
    ours = {key: value for key, value in os.environ.items() if not key.startswith(foreign) and key != "LOG_LEVEL"}
    return {**ours, "TESSERA_JOURNAL": "off"}


def run(binary, *arguments, limit_s=PATIENCE_S, env=None):
    """Runs a command to its end; returns exit status, standard output, standard error."""
    done = subprocess.run(
        [binary, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**clean_environment(), **(env or {})},
        timeout=limit_s,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def hash_of(binary, source, *options):
    """`tessera hash`: the 32 digits, and the counts after them."""
    status, out, err = run(binary, "hash", source, *options, limit_s=5 * PATIENCE_S)
    assert status == 0, f"tessera hash {source} ended with {status}:\n{err}"
    last = out.strip().splitlines()[-1]
    found = re.fullmatch(r"([0-9a-f]{32}) keyframes=(\d+) regions=(\d+) blocks=(\d+) voxels=(\d+)", last)
    assert found, f"the last line of tessera hash is {last!r}"
    return found[1], dict(zip(("keyframes", "regions", "blocks", "voxels"), map(int, found.groups()[1:])))


class Service:
    """`tessera serve`, on free ports of 127.0.0.1, until stop()."""

    def __init__(self, binary, *sources, options=(), env=None):
        self.log = []
        self.url = self.metrics_url = None
        self.ended = False  # by its test, on purpose
        self._process = subprocess.Popen(
            [binary, "serve", *sources, "--port", "0", "--metrics-port", "0", *map(str, options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**clean_environment(), **(env or {})},
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(PATIENCE_S) or self.url is None:
            self.stop()
            raise RuntimeError("the service did not say where it listens:\n" + "".join(self.log))

    @property
    def pid(self):
        return self._process.pid

    def alive(self):
        return self._process.poll() is None

    def signal(self, number):
        self._process.send_signal(number)

    def stop(self):
        """Ends it as an operator would; returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise RuntimeError(f"the service did not end within {PATIENCE_S} s of SIGTERM:\n" + "".join(self.log[-50:])) from None
        finally:
            self._reader.join(PATIENCE_S)
        return self._process.returncode

    def end(self):
        """Ends it in the middle of its test; returns its exit status."""
        self.ended = True
        return self.stop()

    def crash(self):
        """Ends it in the middle of its test, as a crash would."""
        self._process.kill()
        self.end()

    def get(self, path):
        """What it answers as JSON. A 503 means "not now", after a fault or on a busy machine: it is asked again."""
        until = time.monotonic() + PATIENCE_S
        while True:
            status, body = self.fetch(path)
            if status != 503 or time.monotonic() > until:
                assert status == 200, f"{path} is answered {status}: {body[:500]}"
                return json.loads(body)
            time.sleep(0.02)

    def fetch(self, path, base=None, data=None, headers=None, method=None):
        """Returns status and body, whatever the status."""
        request = urllib.request.Request((base or self.url).rstrip("/") + path, data=data, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def map(self):
        return self.get("/v1/map")

    def metrics(self):
        """All samples of /metrics: name with labels, value."""
        samples = {}
        for line in self.fetch("/metrics", self.metrics_url)[1].decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def bad_inputs(self):
        """Everything that was set aside or refused so far."""
        return sum(value for name, value in self.metrics().items() if re.match(BAD_INPUT_METRICS, name))

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def wait(self, condition, what, limit_s=PATIENCE_S):
        """Waits until condition() holds, and returns what it returned."""
        until = time.monotonic() + limit_s
        while True:
            assert self.alive(), f"the service ended with {self._process.returncode}:\n" + "".join(self.log[-50:])
            result = condition()
            if result:
                return result
            if time.monotonic() > until:
                raise AssertionError(f"not within {limit_s} s: {what}; the map is {self.fetch('/v1/map')}\n"
                                     + "".join(self.log[-30:]))
            time.sleep(0.02)

    def wait_for_line(self, part):
        """Waits until a line of the log has it. Asks the service nothing, which may not be able to answer."""
        until = time.monotonic() + PATIENCE_S
        while not any(part in line for line in self.log):
            assert self.alive() and time.monotonic() < until, f"no line with {part!r}:\n" + "".join(self.log[-30:])
            time.sleep(0.02)

    def wait_for_keyframes(self, count, limit_s=PATIENCE_S):
        """Waits until so many keyframes are live, and returns the hash of that map: of a later one it may be another."""
        return self.wait(lambda: (now := self.map())["keyframes"] == count and now["hash"], f"{count} live keyframes", limit_s)

    def quiet(self):
        """Whether nothing is under way: all actors idle at two looks, none with changes that it put off, and none of those that
        make the map had a message in between."""

        def look():
            actors = [actor for actor in self.get("/v1/actors") if actor["role"] != "inspector"]
            counts = {(a["role"], a["id"]): sum(h["handled"] for h in a["handlers"]) for a in actors if a["role"] in MAP_MAKERS}
            idle = all(a["mailbox"] == 0 and a["state"] == "idle" and not a["detail"].endswith("changed since") for a in actors)
            return idle, counts

        first, second = look(), look()
        return first[0] and first == second

    def _read(self):
        for raw in self._process.stdout:
            line = raw.decode(errors="replace")
            self.log.append(line)
            found = re.search(r"listening on (https?://\S+)", line)
            if found:
                self.url = found[1].rstrip("/")
            found = re.search(r"metrics on (http://[^/\s]+)", line)
            if found:
                self.metrics_url = found[1]
            if self.url and self.metrics_url:
                self._ready.set()
        self._ready.set()


BAD_INPUT_METRICS = r"tessera_inputs_set_aside_total"
MAP_MAKERS = ("ingest", "partitioner", "mesher", "device", "encoder pool")
