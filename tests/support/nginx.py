"""nginx in front of a service: Debian's, with a folder of its own for all that it writes."""

import contextlib
import socket
import subprocess
import time

from support.left_out import need_program
from support.service import PATIENCE_S

# What nginx's package would have in /etc; and a folder for what it writes.
AROUND = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  log_format told '$server_protocol $request_method $uri $status $request_length';
  access_log {folder}/access.log told;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {inside}
}}
"""


def answered(folder, enough):
    """What was answered, in order, as soon as it is enough, since nginx writes a line after the answer: of each request protocol,
    method, path, status, and how many bytes it had."""
    until = time.monotonic() + PATIENCE_S
    while True:
        lines = (line.split() for line in (folder / "access.log").read_text().splitlines(keepends=True) if line.endswith("\n"))
        found = [(protocol, method, path, int(status), int(size)) for protocol, method, path, status, size in lines]
        if enough(found):
            return found
        assert time.monotonic() < until, found
        time.sleep(0.05)


@contextlib.contextmanager
def running(folder, port, inside):
    """nginx, from the moment on when it listens on the port. `inside` is what its configuration has within http."""
    config = folder / "nginx.conf"
    config.write_text(AROUND.format(folder=folder, inside=inside))
    command = [need_program("nginx", "nginx-light"), "-p", folder, "-c", config]
    proxy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            assert proxy.poll() is None and time.monotonic() < until, proxy.stderr.read().decode()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE_S):
                break
            time.sleep(0.05)
        yield
    finally:
        proxy.terminate()
        proxy.wait(PATIENCE_S)
        proxy.stderr.close()
