"""Behind nginx, in a folder of somebody else's site: pages, their files, the stream, keyframes; and who is believed of it."""

import base64
import contextlib
import copy
import os
import re
import subprocess
import urllib.error
import urllib.request
from urllib.parse import urljoin

import pytest

import tessera_client
from conftest import ROOT
from support import browser, nginx
from support.certificates import make_authority, make_certificate, openssl
from support.left_out import need_program
from support.ports import free_port
from support.service import PATIENCE_S
from support.viewer import Viewer, WebSocket
from test_bad_input import post_body

TOKEN = "our-word"
QUERY = "?token=our-word"


def recipe(port, service, certificates, passwords=None):
    """nginx's configuration in docs/proxies.md, on this machine's ports, with our certificate, or without one; and with a file of
    passwords what asks for them."""
    text, asking = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "proxies.md").read_text(), re.DOTALL)
    ours = {
        "listen [::]:443 ssl http2;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} {'ssl http2' if certificates else ''};",
        "/etc/ssl/maps.example.org": f"{certificates}/proxy",
        "http://127.0.0.1:8080/": service + "/",
    }
    if passwords:
        ours["    proxy_buffering off;\n"] = "    proxy_buffering off;\n" + asking  # at the end of the second location
        ours |= {"/etc/nginx/maps.htpasswd": str(passwords), "Bearer SECRET": f"Bearer {TOKEN}"}
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


@pytest.fixture(scope="module")
def home(certificates, tmp_path_factory):
    """Of a user whose browser believes the certificates."""
    return browser.home_that_believes(tmp_path_factory.mktemp("home"), certificates / "ca.pem")


def large(frame):
    """A keyframe of the same points several times, whose body is larger than the 1 MB that nginx takes by itself."""
    times = 1 + (1 << 20) // frame.points.nbytes
    more = copy.copy(frame)
    more.points, more.colours = frame.points.repeat(times, axis=0), frame.colours.repeat(times, axis=0)
    return more


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


def test_keyframes_and_the_stream_pass_through(proxied, recording, tmp_path):
    running, url = proxied
    with Viewer(url.rstrip("/"), token=TOKEN) as viewer:
        running.wait(lambda: len(viewer.cameras) == len(recording), f"all cameras ({viewer.error})")
    with tessera_client.connect(url.rstrip("/"), token=TOKEN) as publisher:
        frame = large(recording[0])
        publisher.publish_keyframe("through the proxy", frame.pose, frame.points, frame.colours)
    nginx.answered(tmp_path, lambda all_of: any(size > 1 << 20 for *_, size in all_of))
    assert fetch(url + "v1/mesh.glb" + QUERY)[1].startswith(b"glTF")


def test_a_browser_shows_the_whole_map(proxied, home, tmp_path):
    _, url = proxied
    browser.need()
    done = subprocess.run(["node", "dev/check.mjs", url + QUERY, "", "120"], cwd=browser.WEB,
                          env={**os.environ, "HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=5 * PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout.decode()
    if url.startswith("https"):
        by = {}
        streamed = nginx.answered(tmp_path, lambda all_of: any(path.endswith("/v1/stream") for _, _, path, _, _ in all_of))
        for protocol, _, path, _, _ in streamed:
            by.setdefault(path.removeprefix("/maps/lab/"), set()).add(protocol)
        assert by.pop("v1/stream") == {"HTTP/1.1"}
        by.pop("v1/map")  # check.mjs asks itself, and node speaks HTTP/1.1
        assert {"", "console"} < by.keys() and any(path.startswith("assets/") for path in by)
        assert all(protocols == {"HTTP/2.0"} for protocols in by.values()), by


def test_the_console_shows_its_actors(proxied, home, tmp_path):
    _, url = proxied
    seen = browser.drive(url + "console" + QUERY, tmp_path, "until:document.querySelectorAll('.actors tbody tr').length > 4",
                         "eval:document.querySelector('.actors tbody').textContent", home=home)
    assert "ingest" in seen["values"][-1]


def test_http_2_in_front(serve, recording, tmp_path, believed):
    running = serve(options=("--token", TOKEN))
    body = tmp_path / "body"
    body.write_bytes(post_body(large(recording[0])))
    with nginx_before(running.url, tmp_path, believed) as url:

        def asked(path, *options):
            command = [need_program("curl"), "-sS", "--http2", "--cacert", believed / "ca.pem",
                       "-H", f"Authorization: Bearer {TOKEN}", "-w", " %{http_version} %{http_code}", *options, url + path]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
            return done.stdout + done.stderr

        assert asked("healthz") == "ok\n 2 200"
        assert asked("").endswith("</html>\n 2 200")
        sent = asked("v1/keyframes", "-H", "Content-Type: application/vnd.tessera.keyframe", "-H", "X-Keyframe-Id: by HTTP 2",
                     "--data-binary", f"@{body}")
        assert '"accepted"' in sent and sent.endswith(" 2 200"), sent


def test_a_proxy_that_asks_for_a_password_keeps_the_token(serve, recording, home, tmp_path, believed):
    running = serve(options=("--token", TOKEN))
    with tessera_client.connect(running.url, token=TOKEN) as publisher:
        publisher.publish_keyframe(0, recording[0].pose, recording[0].points, recording[0].colours)
    passwords = tmp_path / "passwords"
    passwords.write_text("ours:" + openssl(tmp_path, "passwd", "-apr1", "our-password"))
    login, other = ({"Authorization": "Basic " + base64.b64encode(word).decode()} for word in (b"ours:our-password", b"ours:no"))

    def status(address, headers):
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=PATIENCE_S) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with nginx_before(running.url, tmp_path, believed, passwords) as url:
        for path in ("", "v1/map", "healthz"):
            assert status(url + path, login) == 200, path
            for wrong in ({}, other, {"Authorization": f"Bearer {TOKEN}"}):
                assert status(url + path, wrong) == 401, (path, wrong)
        assert status(running.url + "/v1/map", login) == 401, "the service itself wants the token"
        seen = browser.drive(url, tmp_path, "whole", "eval:location.href", home=home,
                             login={"username": "ours", "password": "our-password"})
        assert seen["values"] == [url]


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
