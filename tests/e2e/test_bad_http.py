"""HTTP gets garbage and crowds: each request is answered or cut off, the map is untouched, and the next good keyframe counts."""

import resource
import socket
import time
from urllib.parse import urlsplit

import pytest

import tessera_client
from support import service
from test_bad_input import bad_segments, post_body


def test_http_requests(serve, recording, wanted):
    running = serve(options=("--body-limit", "4MiB"))
    frame = recording[0]
    good = {"Content-Type": "application/vnd.tessera.keyframe", "X-Keyframe-Id": "bad"}
    cases = [(name, content, good) for name, content in bad_segments(frame)]
    cases += [
        ("no body", b"", good),
        ("json by type", post_body(frame), {**good, "Content-Type": "application/json"}),
        ("form by type", post_body(frame), {"X-Keyframe-Id": "bad", "Content-Type": "application/x-www-form-urlencoded"}),
        ("no id", post_body(frame), {"Content-Type": good["Content-Type"]}),
        ("an empty id", post_body(frame), {**good, "X-Keyframe-Id": ""}),
        ("a long id", post_body(frame), {**good, "X-Keyframe-Id": "x" * 257}),
        ("an id with a control character", post_body(frame), {**good, "X-Keyframe-Id": "a%0Ab"}),
        ("an id that is no text", post_body(frame), {**good, "X-Keyframe-Id": "%ff%fe"}),
        ("a broken escape", post_body(frame), {**good, "X-Keyframe-Id": "a%zz"}),
        ("a body over the limit", bytes(5 << 20), good),
    ]
    for name, body, headers in cases:
        try:
            status, answer = running.fetch("/v1/keyframes", data=body, headers=headers, method="POST")
        except (ConnectionError, OSError) as error:  # a body over the limit may be cut off
            assert "limit" in name, f"{name}: {error}"
            status, answer = 413, b""
        assert 400 <= status < 500, f"{name}: {status} {answer[:200]}"
        assert running.alive(), name
        assert running.map()["keyframes"] == 0, f"{name} counts as a keyframe"
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_http_garbage_on_the_wire(serve, recording, wanted):
    running = serve()
    address = urlsplit(running.url)
    head = b"POST /v1/keyframes HTTP/1.1\r\nHost: x\r\nContent-Type: application/vnd.tessera.keyframe\r\nX-Keyframe-Id: a\r\n"
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 10_000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
        b"GET /../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        head + b"Content-Length: 18446744073709551615\r\n\r\n",
        head + b"Content-Length: -1\r\n\r\n",
        head + b"Content-Length: 1000000\r\n\r\n" + b"half of it",
        head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"BREW /v1/keyframes HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with socket.create_connection((address.hostname, address.port), timeout=service.PATIENCE_S) as connection:
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(1 << 16)
                assert b"root:" not in answer
                assert not answer or not answer.startswith(b"HTTP/1.1 5"), answer[:100]
            except TimeoutError:
                pytest.fail(f"no answer to {raw[:60]}")
            except OSError:
                pass  # cut off is an answer too
        assert running.alive()
    with tessera_client.connect(running.url) as publisher:
        for frame in recording:
            publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
    assert running.wait_for_keyframes(len(recording)) == wanted


def test_ten_thousand_idle_connections(serve, recording, wanted):
    """Half of them never say a word, the others half a request: producers and pages do not notice, and memory stays bounded."""
    many = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < many + 500:
        pytest.skip(f"only {hard} files may be open at once")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many + 500), hard))
    running = serve(options=("--connections", str(3 * many)))  # one address has half of them
    address = urlsplit(running.url)
    before = running.resident_bytes()
    crowd = []
    begin = time.monotonic()
    try:
        for number in range(many):
            if time.monotonic() > begin + 20:  # one that says nothing is dropped after 60 s: a slow machine makes do with fewer
                many = number
                break
            one = socket.create_connection((address.hostname, address.port), timeout=service.PATIENCE_S)
            crowd.append(one)
            if number % 2:
                one.sendall(b"GET /v1/map HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with tessera_client.connect(running.url) as publisher:
            for frame in recording:
                publisher.publish_keyframe(frame.id, frame.pose, frame.points, frame.colours)
        assert running.wait_for_keyframes(len(recording)) == wanted
        assert running.metrics()["tessera_http_connections"] >= many
        assert running.resident_bytes() - before < max(many, 1000) * (24 << 10)
    finally:
        for one in crowd:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    running.wait(lambda: running.metrics()["tessera_http_connections"] < 100, "the end of the crowd")
