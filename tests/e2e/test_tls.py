"""TLS of the service's own: pages, keyframes and the stream go over it, and certificates are exchanged while it runs."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
from urllib.parse import urlsplit

import pytest

import tessera_client
from support import browser, service
from support.certificates import make_authority, make_certificate, make_intermediate, openssl
from support.viewer import Viewer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of an authority, and of certificates: first and second of it, for 127.0.0.1; below, of an authority between, and
    chain, which has that one with it; elsewhere, for others than 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    make_authority(folder)
    make_certificate(folder, "first")
    make_certificate(folder, "second")
    make_intermediate(folder, "between")
    make_certificate(folder, "below", by="between")
    make_certificate(folder, "elsewhere", "subjectAltName=DNS:maps.example.org,IP:127.0.0.2")
    (folder / "chain.pem").write_bytes((folder / "below.pem").read_bytes() + (folder / "between.pem").read_bytes())
    shutil.copy(folder / "below.key", folder / "chain.key")
    return folder


@pytest.fixture
def files(made, tmp_path, monkeypatch):
    """The service's files, with the first certificate; this process believes the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(made / "ca.pem"))
    put(made, "first", tmp_path)
    return tmp_path


def put(made, name, folder):
    for kind in ("pem", "key"):
        shutil.copy(made / f"{name}.{kind}", folder / f"service.{kind}")


def tls(files):
    return ("--tls-cert", files / "service.pem", "--tls-key", files / "service.key")


def serial_of(made, name):
    return openssl(made, "x509", "-in", f"{name}.pem", "-noout", "-serial").strip()


def shown_serial(made, running):
    """Of the certificate that a new connection is shown."""
    there = urlsplit(running.url)
    with socket.create_connection((there.hostname, there.port), service.PATIENCE_S) as plain:
        with ssl.create_default_context().wrap_socket(plain, server_hostname=there.hostname) as secured:
            (made / "shown.der").write_bytes(secured.getpeercert(binary_form=True))
    return openssl(made, "x509", "-inform", "DER", "-in", "shown.der", "-noout", "-serial").strip()


def s_client(made, running, *options):
    where = urlsplit(running.url).netloc
    return subprocess.run(
        ["openssl", "s_client", "-connect", where, "-CAfile", made / "ca.pem", "-verify_return_error", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=service.PATIENCE_S, check=False)


def test_pages_keyframes_and_the_stream_go_over_tls(serve, files, recording):
    running = serve(options=tls(files))
    assert running.url.startswith("https://") and running.metrics_url.startswith("http://")
    assert b"<html" in running.fetch("/")[1]
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    with Viewer(running.url) as viewer:
        running.wait(lambda: len(viewer.cameras) == len(recording), f"all cameras ({viewer.error})")
        running.wait(viewer.triangles, "a surface")
    status, mesh = running.fetch("/v1/mesh.glb")
    assert status == 200 and mesh.startswith(b"glTF")
    assert running.fetch("/v1/map", headers={"Origin": running.url})[0] == 200
    assert running.fetch("/v1/map", headers={"Origin": running.url.replace("https", "http")})[0] == 403


@pytest.fixture(scope="module")
def home(made, tmp_path_factory):
    """Of a user whose browser believes the authority."""
    return browser.home_that_believes(tmp_path_factory.mktemp("home"), made / "ca.pem")


def test_a_browser_shows_the_map_over_tls(serve, made, files, home, recording, tmp_path):
    put(made, "chain", files)
    running = serve(options=tls(files))
    with tessera_client.connect(running.url) as publisher:
        publisher.publish_keyframe(0, recording[0].pose, recording[0].points, recording[0].colours)
    seen = browser.drive(running.url, tmp_path / "seen", "whole", "eval:location.protocol", home=home)
    assert seen["values"] == ["https:"]


@pytest.mark.parametrize("name, said", [("below", "ERR_CERT_AUTHORITY_INVALID"), ("elsewhere", "ERR_CERT_COMMON_NAME_INVALID")])
def test_a_browser_refuses_what_leads_nowhere_or_is_anothers(serve, made, files, home, tmp_path, name, said):
    """So that the test above can fail: the browser looks at chain and name."""
    put(made, name, files)
    running = serve(options=tls(files))
    with pytest.raises(AssertionError, match=said):
        browser.drive(running.url, tmp_path / "seen", "eval:location.protocol", home=home)


def test_what_the_handshake_offers(serve, made, files):
    running = serve(options=tls(files))
    for version in ("-tls1_2", "-tls1_3"):
        done = s_client(made, running, version, "-alpn", "h2,http/1.1")
        assert done.returncode == 0 and "ALPN protocol: http/1.1" in done.stdout, done.stdout + done.stderr
    old = s_client(made, running, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert old.returncode == 1 and "alert protocol version" in old.stderr, old.stdout + old.stderr
    other = s_client(made, running, "-alpn", "h2")
    assert other.returncode == 1 and "SSL alert number 120" in other.stderr, other.stdout + other.stderr


def test_another_certificate_is_shown_after_sighup(serve, made, files):
    running = serve(options=tls(files))
    assert shown_serial(made, running) == serial_of(made, "first")
    with Viewer(running.url) as viewer:
        put(made, "second", files)
        running.signal(signal.SIGHUP)
        running.wait_for_line("SIGHUP: new connections get certificate")
        assert shown_serial(made, running) == serial_of(made, "second")
        before = viewer.stats
        running.wait(lambda: viewer.stats is not before, f"numbers over the connection from before ({viewer.error})")
    # A file that will not do changes nothing.
    (files / "service.pem").write_text("no certificate\n")
    running.signal(signal.SIGHUP)
    running.wait_for_line("SIGHUP: the certificate stays as it was: tls-cert")
    assert shown_serial(made, running) == serial_of(made, "second")
    put(made, "first", files)
    shutil.copy(made / "second.key", files / "service.key")
    running.signal(signal.SIGHUP)
    running.wait_for_line("it is the key of another certificate")
    assert shown_serial(made, running) == serial_of(made, "second")


def test_a_chain_is_shown_whole_after_sighup(serve, made, files):
    running = serve(options=tls(files))
    whole = "Verify return code: 0 (ok)"
    for times, (name, verified, said) in enumerate((
            ("chain", 0, whole), ("below", 1, "unable to get local issuer certificate"), ("elsewhere", 1, "IP address mismatch"),
            ("first", 0, whole)), 1):
        put(made, name, files)
        running.signal(signal.SIGHUP)
        running.wait(lambda: sum("SIGHUP: new connections get" in line for line in running.log) == times, "another certificate")
        done = s_client(made, running, "-showcerts", "-verify_ip", "127.0.0.1")
        assert done.returncode == verified and said in done.stdout + done.stderr, done.stdout + done.stderr
        assert done.stdout.count("-----BEGIN CERTIFICATE-----") == (2 if name == "chain" else 1)


def test_sighup_before_it_is_listened_to_ends_nothing(tessera, tmp_path):
    settings = tmp_path / "slow.toml"
    os.mkfifo(settings)  # the service is at its settings as long as nobody writes them
    command = [tessera, "serve", "--config", settings, "--no-journal", "--port", "0", "--metrics-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        try:
            with settings.open("w") as words:  # it opened them
                running.send_signal(signal.SIGHUP)
                words.write("threads = 1\n")
            assert any(line.startswith("metrics on") for line in running.stdout)
            running.terminate()
            assert running.wait(service.PATIENCE_S) == 0
        finally:
            running.kill()


def test_sighup_without_tls_ends_nothing(serve):
    running = serve()
    running.signal(signal.SIGHUP)
    running.wait_for_line("without TLS (tls-cert) there is nothing to read again")
    assert running.fetch("/healthz")[0] == 200


@pytest.mark.parametrize(
    "certificate, key, status, told",
    [
        ("first.pem", None, 2, ("tls-cert: it is set", "tls-key")),
        (None, "first.key", 2, ("tls-key: it is set", "tls-cert")),
        ("nowhere.pem", "first.key", 1, ("tls-cert", "nowhere.pem", "No such file")),
        ("first.pem", "nowhere.key", 1, ("tls-key", "nowhere.key", "No such file")),
        ("first.key", "first.key", 1, ("tls-cert", "first.key", "PEM")),
        ("first.pem", "first.csr", 1, ("tls-key", "first.csr", "PEM")),
        ("first.pem", "second.key", 1, ("tls-key", "second.key", "another certificate")),
        ("first.pem", "curve.key", 1, ("tls-key", "curve.key", "another certificate")),
        ("first.pem", "pipe.key", 1, ("tls-key", "pipe.key", "no regular file")),
        ("first.pem", "locked.key", 1, ("tls-key", "locked.key", "without a password")),
    ],
)
def test_files_that_will_not_do_are_named(tessera, made, certificate, key, status, told):
    openssl(made, "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", "curve.key")
    openssl(made, "rsa", "-in", "first.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
    if key == "pipe.key":
        os.mkfifo(made / key)
    options = (*(("--tls-cert", made / certificate) if certificate else ()), *(("--tls-key", made / key) if key else ()))
    ended, out, err = service.run(tessera, "serve", "--port", "0", "--metrics-port", "0", *options)
    assert ended == status and out == "", out + err
    assert all(part in err for part in told), err


def test_a_certificate_of_the_past_is_warned_of(serve, made, files):
    (made / "ca.cnf").write_text("[ca]\ndefault_ca = own\n[own]\ndatabase = index\nnew_certs_dir = .\nserial = number\n"
                                 "default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n")
    (made / "index").touch()
    (made / "number").write_text("1000\n")
    openssl(made, "ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "first.csr",
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext", "-out", files / "service.pem")
    running = serve(options=tls(files))
    running.wait_for_line("is valid no more")
    put(made, "second", files)
    running.signal(signal.SIGHUP)
    running.wait_for_line("new connections get")
    assert shown_serial(made, running) == serial_of(made, "second")


def test_who_speaks_plain_http_is_told(serve, files):
    running = serve(options=tls(files))
    status, text = running.fetch("/", base=running.url.replace("https", "http"))
    assert status == 400 and b"https://" in text


def test_a_handshake_that_stalls_is_cut_off(serve, made, files):
    running = serve(options=tls(files))
    there = urlsplit(running.url)
    stalled = [socket.create_connection((there.hostname, there.port), service.PATIENCE_S) for _ in range(2)]
    try:
        stalled[1].sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a handshake
        assert shown_serial(made, running) == serial_of(made, "first"), "others are served meanwhile"
        for one in stalled:
            assert one.recv(1) == b""
    finally:
        for one in stalled:
            one.close()
    errors = "tessera_http_tls_handshake_errors_total"
    running.wait(lambda: running.metrics()[errors] == 2, "both are counted")


def test_health_asks_by_tls(tessera, serve, files):
    running = serve(options=tls(files))
    there = urlsplit(running.url)
    same = {
        "TESSERA_PORT": str(there.port),
        "TESSERA_TLS_CERT": str(files / "service.pem"),
        "TESSERA_TLS_KEY": str(files / "service.key"),
    }
    for command, env in ((("health",), same), (("health", running.url), {})):
        status, out, err = service.run(tessera, *command, env=env)
        assert status == 0 and out.startswith(f"{running.url}"), out + err
        assert ": 200 ok" in out
    status, out, err = service.run(tessera, "health", running.url.replace("https", "http"))
    assert status == 1 and ": 400" in out
