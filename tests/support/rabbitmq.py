"""A private RabbitMQ for tests: its own node, folder and ports, on 127.0.0.1, gone afterwards."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .certificates import make_authority, make_certificate
from .ports import free_port

BOOT_LIMIT_S = 900  # on a machine that does ten other things it took three minutes


def why_not():
    """Returns why no broker can be started here, or an empty string."""
    if find() is None:
        return "rabbitmq-server is not installed"
    if os.getuid() == 0 and shutil.which("runuser") is None:
        return "as root, runuser is needed to run RabbitMQ as its own user"
    return ""


def find():
    return shutil.which("rabbitmq-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def make_certificates(folder):
    """An authority, and certificates of its own for the broker (127.0.0.1, and no name) and for a client; another authority."""

    make_authority(folder)
    make_authority(folder, "other")
    make_certificate(folder, "server")
    make_certificate(folder, "client", "extendedKeyUsage=clientAuth")
    for path in (*folder.glob("*.pem"), *folder.glob("*.key")):
        path.chmod(0o644)


def definitions(users):
    """What a broker imports at its start: guest, who may do everything, and further users, each with its name as the password."""

    def user(name, tags=""):
        salt = b"salt"
        digest = base64.b64encode(salt + hashlib.sha256(salt + name.encode()).digest()).decode()
        return {"name": name, "password_hash": digest, "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": tags}

    def permission(name, *may):
        return {"user": name, "vhost": "/", **dict(zip(("configure", "write", "read"), may))}

    return {
        "vhosts": [{"name": "/"}],
        "users": [user("guest", "administrator"), *map(user, users)],
        "permissions": [permission("guest", ".*", ".*", ".*"), *(permission(name, *may) for name, may in users.items())],
    }


class Broker:
    """Starts on start(), and again after stop() with the same port and what it stored on disk. `settings`: further lines of its
    configuration. With `tls` it also listens for TLS, with certificates that lie in `folder`; "required": and wants a client's.
    `users`: further ones, with the names that they may configure, write and read, each as a regular expression."""

    def __init__(self, settings="", tls="", users=None):
        self.folder = Path(tempfile.mkdtemp(prefix="tessera-rabbitmq-"))
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self._process = None
        self._epmd_port = free_port()
        for name in ("db", "log"):
            (self.folder / name).mkdir()
        if tls:
            self.tls_port = free_port()
            make_certificates(self.folder)
            settings += (
                f"listeners.ssl.local = 127.0.0.1:{self.tls_port}\n"
                f"ssl_options.cacertfile = {self.folder}/ca.pem\n"
                f"ssl_options.certfile = {self.folder}/server.pem\n"
                f"ssl_options.keyfile = {self.folder}/server.key\n"
                "ssl_options.verify = verify_peer\n"
                f"ssl_options.fail_if_no_peer_cert = {'true' if tls == 'required' else 'false'}\n"
            )
        if users:
            (self.folder / "definitions.json").write_text(json.dumps(definitions(users)))
            settings += f"load_definitions = {self.folder}/definitions.json\n"
        # Loopback alone, one small machine, and no stop at a nearly full disk.
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            "disk_free_limit.absolute = 10MB\n"
            "max_message_size = 134217728\n"  # from 4.0 on it would be 16 MiB
            "log.console = false\n" + settings
        )
        (self.folder / "plugins").write_text("[].\n")
        if os.getuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                shutil.chown(path, "rabbitmq", "rabbitmq")

    def url_of(self, user):
        """Its address for another user than guest."""
        return self.url.replace("guest:guest", f"{user}:{user}")

    def start(self):
        assert self._process is None, "the broker runs already"
        pid_file = self.folder / "pid"
        pid_file.unlink(missing_ok=True)
        with open(self.folder / "output", "ab") as output:
            self._process = subprocess.Popen(
                [find()], env=self._environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        until = time.monotonic() + BOOT_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                text = (self.folder / "output").read_text(errors="replace")[-2000:]
                self.stop()
                raise RuntimeError(f"RabbitMQ did not start within {BOOT_LIMIT_S} s:\n{text}")
            time.sleep(0.05)
        return self

    def run(self):
        """Starts it unless it runs."""
        return self if self._process else self.start()

    def stop(self, how=signal.SIGTERM):
        """Ends the node: SIGTERM as an operator would, SIGKILL as a crash would."""
        if self._process is None:
            return
        self.thaw()
        if not self._signal(how):  # it is only just starting, and has nothing to lose
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(BOOT_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def freeze(self):
        """Its sockets stay, and nobody is behind them."""
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def _signal(self, what):
        """False if there is nobody to tell."""
        try:
            os.kill(int((self.folder / "pid").read_text()), what)
            return True
        except (OSError, ValueError):  # it has no pid yet, or is gone
            return False

    def close(self):
        """Ends everything, and removes the folder."""
        self.stop()
        epmd = shutil.which("epmd")
        if epmd:  # the port mapper stays behind its node; this one is on our own port
            subprocess.run(
                [epmd, "-port", str(self._epmd_port), "-kill"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self):
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "HOME", "USER", "LOGNAME", "TMPDIR") if key in os.environ}
        kept["PATH"] = kept.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return {
            **kept,
            "RABBITMQ_NODENAME": f"tessera{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "db"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(self.folder / "db" / "features"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def _answers(self):
        """Whether it greets: a broker that is not ready closes or says nothing."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"
        except OSError:
            return False
