import json
import os
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgpack
import numpy as np
import pytest

import tessera_client
from tessera_client import HttpPublisher, RefusedError, ShmPublisher, UnreachableError

POINTS = np.arange(30, dtype=np.float32).reshape(10, 3)
COLORS = np.full((10, 3), 200, np.uint8)
POSE = np.eye(4)
PREFIX = f"/tessera_test_connect_{os.getpid()}_"


@pytest.fixture
def service():
    """Answers as it is told to, and remembers what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.server.verbs.append(self.command)
            self.server.asked.append((self.path, self.headers, body, self.client_address[1]))
            status, answer, headers = self.server.answers.pop(0) if self.server.answers else (200, b'{"outcome":"accepted"}', {})
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_PUT = do_DELETE = do_POST

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers, server.verbs = [], [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_posts_the_long_form_over_one_connection(service):
    with tessera_client.connect(service.url, token="secret") as publisher:
        assert isinstance(publisher, HttpPublisher)
        assert publisher.publish_keyframe("kä/1", POSE, POINTS, COLORS, timestamp_ns=77) == {"outcome": "accepted"}
        publisher.publish_keyframe(2, POSE, POINTS, COLORS, np.ones(10))
    (path, headers, body, port), (_, _, second, second_port) = service.asked
    assert path == "/v1/keyframes"
    assert headers["Content-Type"] == "application/vnd.tessera.keyframe"
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Tessera-Session"] == publisher.session and "Tessera-Group" not in headers
    assert headers["X-Keyframe-Id"] == "k%C3%A4%2F1" and headers["X-Timestamp-Ns"] == "77"
    assert len(body) == 108 + 150 and struct.unpack_from("<QIII", body) == (77, 10, 3, 0)
    assert body[108:228] == POINTS.tobytes() and body[228:] == COLORS.tobytes()
    assert len(second) == 108 + 190 and port == second_port


def test_revises_and_retracts(service):
    pose = np.eye(4)
    pose[:3, 3] = 1, 2, 3
    with HttpPublisher(service.url, "secret", session="") as publisher:
        publisher.revise_keyframe("a/b", pose)
        publisher.retract_keyframe("a/b")
    assert service.verbs == ["PUT", "DELETE"]
    (path, headers, body, _), (second, _, nothing, _) = service.asked
    assert path == "/v1/keyframes/a%2Fb/pose" and headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"pose": [1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1]}
    assert second == "/v1/keyframes/a%2Fb" and nothing == b""


def test_moves_many_keyframes_and_groups(service):
    moved = np.eye(4)
    moved[0, 3] = 7
    with HttpPublisher(service.url, "secret", session="run") as publisher:
        assert publisher.revise_keyframes({"a/b": POSE, 2: moved}, revision=5)["outcome"] == "accepted"
        publisher.revise_keyframes(((str(i), moved) for i in range(3)))
        publisher.move_group("upstairs", moved, revision=6)
        publisher.move_group("upstairs", moved)
    assert service.verbs == ["POST"] * 4
    assert {path for path, _, _, _ in service.asked} == {"/v1/keyframes:revise"}
    assert {headers["Content-Type"] for _, headers, _, _ in service.asked} == {"application/msgpack"}
    numbered, pairs, group, timed = (msgpack.unpackb(body) for _, _, body, _ in service.asked)
    assert numbered == {
        "revisions": [{"id": "a/b", "pose": POSE.ravel().tolist()}, {"id": "2", "pose": moved.ravel().tolist()}],
        "session": "run",
        "revision": 5,
    }
    assert [one["id"] for one in pairs["revisions"]] == ["0", "1", "2"] and "revision" not in pairs
    assert group == {"group": "upstairs", "transform": moved.ravel().tolist(), "revision": 6}
    assert timed["revision"] > 10**18


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda p: p.revise_keyframes({}), "there must be 1 to 65536 poses, not 0"),
        (lambda p: p.revise_keyframes({"a": POSE, "b": np.zeros((4, 4))}), r"poses\[1\]: pose"),
        (lambda p: p.revise_keyframes([("a", POSE), ("", POSE)]), r"poses\[1\]: "),
        (lambda p: p.revise_keyframes({"a": POSE}, revision=-1), "revision must be an integer of 0 to"),
        (lambda p: p.move_group("", POSE), "group is empty"),
        (lambda p: p.move_group("g", 2 * np.eye(4)), "pose"),
    ],
)
def test_corrections_that_will_not_do(service, call, message):
    with HttpPublisher(service.url) as publisher:
        with pytest.raises(ValueError, match=message):
            call(publisher)
    assert service.asked == []


def test_names_its_session_wherever_it_names_an_id(service):
    with tessera_client.connect(service.url, session="küche 1", group="robot/2") as publisher:
        publisher.publish_keyframe(1, POSE, POINTS, COLORS)
        publisher.revise_keyframe(1, POSE)
        publisher.retract_keyframe(1)
    (_, headers, _, _), (pose, _, _, _), (gone, _, _, _) = service.asked
    assert headers["Tessera-Session"] == "k%C3%BCche%201" and headers["Tessera-Group"] == "robot%2F2"
    assert pose == "/v1/keyframes/1/pose?session=k%C3%BCche%201" and gone == "/v1/keyframes/1?session=k%C3%BCche%201"


def test_every_connection_is_a_session_of_its_own(service):
    sessions = [tessera_client.connect(url).session for url in (service.url, service.url, "shm:", "shm:")]
    assert len(set(sessions)) == 4
    for session in sessions:
        assert 1 <= len(session.encode()) <= 64 and session.isascii() and session.isprintable()
        assert not set(session) & set("/~ ")
    assert tessera_client.connect(service.url, session="").session == ""
    with tessera_client.connect(service.url, session="") as publisher:
        publisher.publish_keyframe(1, POSE, POINTS, COLORS)
    assert "Tessera-Session" not in service.asked[0][1]


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(session="x" * 65), "session must have at most 64 bytes, not 65"),
        (dict(session="ü" * 33), "session must have at most 64 bytes, not 66"),
        (dict(session="a\n"), "session must not hold control characters"),
        (dict(group="x" * 65), "group must have at most 64 bytes, not 65"),
        (dict(session=7), "session must be a str, not int"),
    ],
)
def test_sessions_and_groups_that_will_not_do(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tessera_client.connect("http://127.0.0.1:1", **options)


def test_a_segments_name_has_no_room_for_every_session():
    for bad in ("a/b", "a~b", "a..b"):
        with pytest.raises(ValueError, match="in a segment's name it holds neither"):
            tessera_client.connect("shm:", session=bad)
    with pytest.raises(ValueError, match="group is for http and amqp URLs"):
        tessera_client.connect("shm:", group="a")


def test_takes_the_token_from_where_it_is(service, monkeypatch):
    def sent(url, **options):
        with tessera_client.connect(url, **options) as publisher:
            publisher.retract_keyframe(1)
        path, headers, _, _ = service.asked.pop()
        assert "token" not in path
        return headers["Authorization"]

    assert sent(service.url) is None
    assert sent(service.url + "/?token=in%2Burl") == "Bearer in+url"
    monkeypatch.setenv("TESSERA_TOKEN", "environment")
    assert sent(service.url) == "Bearer environment"
    assert sent(service.url + "?token=url") == "Bearer url"
    assert sent(service.url, token="argument") == "Bearer argument"
    tessera_client.connect("shm:")  # which has no use for it
    monkeypatch.setenv("TESSERA_TOKEN", "")
    assert sent(service.url) is None
    monkeypatch.setenv("TESSERA_TOKEN", "two words")
    with pytest.raises(ValueError, match="TESSERA_TOKEN must be printable ASCII"):
        tessera_client.connect(service.url)


def test_passes_the_services_reason_on(service):
    service.answers = [(422, json.dumps({"reason": "pose_matrix[0] is nan"}).encode(), {})]
    with HttpPublisher(service.url) as publisher, pytest.raises(RefusedError, match=r"422 .*: pose_matrix\[0\] is nan") as caught:
        publisher.publish_keyframe(1, POSE, POINTS, COLORS)
    assert caught.value.status == 422


def test_asks_again_when_the_service_is_busy_or_hangs_up(service):
    service.answers = [(503, b"", {"Retry-After": "0"}), (None, b"", {})]
    with HttpPublisher(service.url) as publisher:
        assert publisher.publish_keyframe(1, POSE, POINTS, COLORS) == {"outcome": "accepted"}
    assert len(service.asked) == 3
    assert len({body for _, _, body, _ in service.asked}) == 1


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_asks_again_after_what_may_pass(service, status):
    """A proxy answers 502 and 504 while the service behind it starts again."""
    service.answers = [(status, b"<html>from the proxy</html>", {})]
    with HttpPublisher(service.url) as publisher:
        assert publisher.publish_keyframe(1, POSE, POINTS, COLORS) == {"outcome": "accepted"}
    assert len(service.asked) == 2


def test_gives_up_in_the_end():
    with HttpPublisher("http://127.0.0.1:1", timeout_s=0.05) as publisher:
        with pytest.raises(UnreachableError, match="http://127.0.0.1:1 does not answer: .*refused"):
            publisher.publish_keyframe(1, POSE, POINTS, COLORS)


def test_bad_arguments_send_nothing(service):
    with HttpPublisher(service.url) as publisher, pytest.raises(ValueError, match="pose"):
        publisher.publish_keyframe(1, np.zeros((4, 4)), POINTS, COLORS)
    assert service.asked == []


@pytest.mark.parametrize(
    "url, message",
    [
        ("http://host:99999", "whose port is no number from 1 to 65535, and must be like http://HOST:PORT"),
        ("http://host:0", "whose port is no number from 1 to 65535"),
        ("http://host:x/?token=SECRET", "whose port is no number from 1 to 65535"),
        ("https://me:SECRET@host", "has a user, where a token is wanted"),
        ("https://me:SECRET@host:x", "must be like http://HOST:PORT"),
        ("http://[::1", "must be like http://HOST:PORT"),
        ("http://host/#map", "must be like http://HOST:PORT"),
        ("amqp://", "must be like amqp://USER:PASSWORD@HOST:PORT/VHOST"),
        ("amqp://me:SECRET@host:x/", "whose port is no number from 1 to 65535, and must be like amqp://USER:PASSWORD@HOST"),
        ("ampq://me:SECRET@host/", "must begin with http://, https://, amqp://, amqps:// or shm:"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_secrets(url, message):
    with pytest.raises(ValueError) as error:
        tessera_client.connect(url)
    assert message in str(error.value) and "SECRET" not in str(error.value)


def test_a_url_is_text_and_a_mode_is_permission_bits():
    with pytest.raises(TypeError, match="url must be a str, not int"):
        tessera_client.connect(5)
    with pytest.raises(ValueError, match="mode is 99999, and must be permission bits"):
        tessera_client.connect(f"shm:{PREFIX}", mode=99999)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://host", "http://", "http://host/?tokn=x"])
def test_urls_that_will_not_do(url):
    with pytest.raises(ValueError, match="url is"):
        tessera_client.connect(url)


def test_a_token_that_would_break_a_header():
    with pytest.raises(ValueError, match="token must be"):
        HttpPublisher("http://h", "a\r\nb")
    with pytest.raises(ValueError, match="token is for http URLs"):
        tessera_client.connect("shm:", token="x")


def test_shared_memory_says_that_it_cannot_move_or_take_back():
    with tessera_client.connect(f"shm:{PREFIX}") as publisher:
        with pytest.raises(NotImplementedError, match="http:// or amqp://"):
            publisher.revise_keyframe("a", np.eye(4))
        with pytest.raises(NotImplementedError, match="http:// or amqp://"):
            publisher.retract_keyframe("a")


def test_connects_to_shared_memory():
    with tessera_client.connect(f"shm:{PREFIX}") as publisher:
        assert isinstance(publisher, ShmPublisher)
        assert publisher.publish_keyframe(1, POSE, POINTS, COLORS) == f"{PREFIX}~{publisher.session}~1"
        publisher.shm_manager.cleanup()
    with tessera_client.connect(f"shm:{PREFIX}", session="", mode=0o644) as publisher:
        assert publisher.publish_keyframe(1, POSE, POINTS, COLORS) == PREFIX + "1"
        assert os.stat("/dev/shm" + PREFIX + "1").st_mode & 0o777 == 0o644
        publisher.shm_manager.cleanup()
