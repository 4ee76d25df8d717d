"""Behind nginx, in a folder of somebody else's site: pages, their files, the stream, keyframes."""

import re
import subprocess
import time
import urllib.error
import urllib.request
from urllib.parse import urljoin

import pytest

import tessera_client
from support import browser
from support.left_out import need_program
from support.ports import free_port
from support.service import PATIENCE_S
from support.viewer import Viewer

TOKEN = "our-word"
QUERY = "?token=our-word"

# The location is that of docs/proxies.md, on one port.
CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location /maps/one/ {{
      proxy_pass {service}/;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $http_connection;
      proxy_read_timeout 1h;
      client_max_body_size 64m;
    }}
  }}
}}
"""


@pytest.fixture
def proxied(serve, recording, tmp_path):
    """A service with a map, and where nginx shows it."""
    nginx = need_program("nginx", "nginx-light")
    running = serve(options=("--token", TOKEN))
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, service=running.url))
    proxy = subprocess.Popen([nginx, "-p", tmp_path, "-c", config], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}/maps/one/"
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            assert proxy.poll() is None and time.monotonic() < until, proxy.stderr.read().decode()
            try:
                urllib.request.urlopen(url, timeout=PATIENCE_S).close()
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        with tessera_client.connect(running.url, token=TOKEN) as publisher:
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        yield running, url
    finally:
        proxy.terminate()
        proxy.wait(30)
        proxy.stderr.close()


def fetch(url):
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.geturl(), answer.read()


def test_pages_find_their_files_below_the_prefix(proxied):
    _, url = proxied
    for page in ("", "console", "console/", "index.html"):
        at, text = fetch(url + page + QUERY)
        assert at == url + page.rstrip("/") + QUERY
        for link in re.findall(r'(?:src|href)="([^"#][^"]*)"', text.decode()):
            if not link.startswith("data:"):
                assert not link.startswith("/"), link
                whole = urljoin(at, link)
                assert whole.startswith(url), whole
                assert fetch(whole)[1]
    assert fetch(url.rstrip("/"))[0] == url


def test_keyframes_and_the_stream_pass_through(proxied, recording):
    running, url = proxied
    with Viewer(url.rstrip("/"), token=TOKEN) as viewer:
        running.wait(lambda: len(viewer.cameras) == len(recording), f"all cameras ({viewer.error})")
    with tessera_client.connect(url.rstrip("/"), token=TOKEN) as publisher:
        publisher.publish_keyframe("through the proxy", recording[0].pose, recording[0].points, recording[0].colours)
    assert fetch(url + "v1/mesh.glb" + QUERY)[1].startswith(b"glTF")


def test_a_browser_shows_the_whole_map(proxied):
    _, url = proxied
    browser.need()
    done = subprocess.run(["node", "dev/check.mjs", url + QUERY, "", "120"], cwd=browser.WEB, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=5 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout.decode()
