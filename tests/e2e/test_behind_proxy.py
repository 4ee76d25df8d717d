"""Behind nginx, in a folder of somebody else's site: pages, their files, the stream, keyframes; and who is believed of it."""

import base64
import contextlib
import re
import subprocess
import urllib.request
from urllib.parse import urljoin

import numpy as np
import pytest

import tessera_client
from conftest import ROOT
from support import browser, nginx
from support.certificates import make_authority, make_certificate
from support.left_out import need_program
from support.ports import free_port
from support.service import PATIENCE_S
from support.viewer import Viewer, WebSocket

TOKEN = "our-word"
QUERY = "?token=our-word"

def recipe(port, service, certificates, passwords=None):
    """nginx's configuration in docs/proxies.md, on this machine's ports, with our certificate; or without one. With a file of
    passwords also what the docs add for them."""
    text, asks = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "proxies.md").read_text(), re.DOTALL)
    if passwords:
        for said, is_ours in (("/etc/nginx/maps.htpasswd", str(passwords)), ("Bearer SECRET", f"Bearer {TOKEN}")):
            assert said in asks
            asks = asks.replace(said, is_ours)
        text, ends = text.rstrip().removesuffix("}\n}"), "}\n}"
        assert text.rstrip().endswith(";"), "the second location is not the last"
        text += asks + ends
    ours = {
        "listen [::]:443 ssl http2;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} {'ssl http2' if certificates else ''};",
        "/etc/ssl/maps.example.org": f"{certificates}/proxy",
        "http://127.0.0.1:8080/": service + "/",
    }
    for said, is_ours in ours.items():
        assert said in text, f"{said!r} is not in docs/proxies.md"
        text = text.replace(said, is_ours)
    return text if certificates else re.sub(r"ssl_certificate.*;", "", text)


@contextlib.contextmanager
def nginx_before(service, folder, certificates=None, passwords=None):
    """The address at which nginx shows a service. With a folder of certificates it speaks TLS and HTTP/2, else plain HTTP."""
    port = free_port()
    with nginx.running(folder, port, recipe(port, service, certificates, passwords)):
        yield f"{'https' if certificates else 'http'}://127.0.0.1:{port}/maps/lab/"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make_authority(folder)
    make_certificate(folder, "proxy")
    return folder


@pytest.fixture
def believed(certificates, monkeypatch):
    """The certificates, whose authority this process and its children believe."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(certificates / "ca.pem"))
    return certificates


@pytest.fixture(params=["http", "https"])
def proxied(request, serve, recording, tmp_path, believed):
    """A service with a map, and where nginx shows it."""
    running = serve(options=("--token", TOKEN))
    with nginx_before(running.url, tmp_path, believed if request.param == "https" else None) as url:
        with tessera_client.connect(running.url, token=TOKEN) as publisher:
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        yield running, url


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
        many = 100_000  # 1.5 MB: more than nginx takes unless it is told
        points, colours = np.resize(recording[1].points, (many, 3)), np.resize(recording[1].colours, (many, 3))
        publisher.publish_keyframe("a large one", recording[1].pose, points, colours)
    assert fetch(url + "v1/mesh.glb" + QUERY)[1].startswith(b"glTF")


def test_a_password_at_the_proxy_keeps_the_token_between_proxy_and_service(serve, tmp_path, believed):
    running = serve(options=("--token", TOKEN))
    passwords = tmp_path / "maps.htpasswd"
    passwords.write_text("me:{PLAIN}s3cret\n")
    with nginx_before(running.url, tmp_path, believed, passwords) as url:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            fetch(url + QUERY)
        asked = urllib.request.Request(url + "v1/map")
        asked.add_header("Authorization", "Basic " + base64.b64encode(b"me:s3cret").decode())
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            assert answer.status == 200
        asked.add_header("Authorization", f"Bearer {TOKEN}")  # the service's own word is none of the proxy's
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(asked, timeout=PATIENCE_S)


def test_a_browser_shows_the_whole_map(proxied, tmp_path):
    _, url = proxied
    browser.need()
    done = subprocess.run(["node", "dev/check.mjs", url + QUERY, "", "120"], cwd=browser.WEB, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=5 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout.decode()
    asked = re.findall(r'"GET /maps/lab/assets/\S+ (HTTP/\S+)" 200', (tmp_path / "access.log").read_text())
    assert len(asked) > 2 and set(asked) == {"HTTP/2.0" if url.startswith("https") else "HTTP/1.1"}, asked


def test_the_console_shows_its_actors(proxied, tmp_path):
    _, url = proxied
    seen = browser.drive(url + "console" + QUERY, tmp_path, "until:document.querySelectorAll('.actors tbody tr').length > 4",
                         "eval:document.querySelector('.actors tbody').textContent")
    assert "ingest" in seen["values"][-1]


def test_http_2_in_front(serve, tmp_path, believed):
    running = serve(options=("--token", TOKEN))
    with nginx_before(running.url, tmp_path, believed) as url:
        done = subprocess.run(
            [need_program("curl"), "-sS", "--http2", "--cacert", believed / "ca.pem", "-w", " %{http_version}", url + "healthz"],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.stdout == "ok\n 2", done.stdout + done.stderr


def stream_of(url, source, **headers):
    return WebSocket(url.replace("http", "ws", 1) + "v1/stream", token=TOKEN, source=source, headers=headers)


def test_each_client_behind_a_trusted_proxy_has_a_share_of_its_own(serve, tmp_path, believed):
    # Three connections of one client, since it has half of them.
    running = serve(options=("--token", TOKEN, "--connections", "6", "--trusted-proxy", "127.0.0.1"))
    with nginx_before(running.url, tmp_path, believed) as url, contextlib.ExitStack() as streams:
        for _ in range(3):
            streams.callback(stream_of(url, "127.0.0.2").close)
        with pytest.raises(ConnectionError, match="503"):
            stream_of(url, "127.0.0.2")
        with pytest.raises(ConnectionError, match="503"):
            stream_of(url, "127.0.0.2", **{"X-Forwarded-For": "10.9.9.9"})  # what a client says of itself does not count
        streams.callback(stream_of(url, "127.0.0.3").close)
        assert running.metrics()["tessera_stream_connections"] == 4


def test_without_trust_all_who_come_through_a_proxy_are_one_client(serve, tmp_path, believed):
    running = serve(options=("--token", TOKEN, "--connections", "6"))
    with nginx_before(running.url, tmp_path, believed) as url, contextlib.ExitStack() as streams:
        for last in (2, 3, 4):
            streams.callback(stream_of(url, f"127.0.0.{last}").close)
        with pytest.raises(ConnectionError, match="50[23]"):  # nginx's own, if the connection was gone before it was asked
            stream_of(url, "127.0.0.5")
