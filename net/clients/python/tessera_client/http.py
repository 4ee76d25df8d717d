"""Posts keyframes over HTTP: no broker, no shared memory, any machine."""

import http.client
import json
import os
import ssl
import threading
import time
from typing import Any, Dict, Optional
from urllib.parse import parse_qs, quote

from . import notification
from .address import checked_address
from .errors import RefusedError, UnreachableError
from .keyframe import CONTENT_TYPE, KeyframeId, Scratch, checked_id, checked_label, checked_pose, chosen_session, lay_out
from .notification import Poses
from .publisher import Publisher

# The service is busy, or a proxy before it does not reach it: the same request may be taken later.
_RETRY_STATUS = (408, 429, 502, 503, 504)


class HttpPublisher(Publisher):
    """Posts each keyframe to a service, over one connection that is kept; publish_keyframe returns the service's answer, when the
    keyframe is safe there. Throws RefusedError with the service's reason, and UnreachableError.

    `url` is the service's address, such as http://127.0.0.1:8080. `token` is the one that the service asks for; if it is not
    given, that of the URL (?token=...), else that of the environment (TESSERA_TOKEN). `session` and `group`: see connect. A
    service that is busy is asked again until `timeout_s` is over; so is one that closed the connection: a keyframe that arrives
    twice counts once, by its id.

    Threads: any; one keyframe is posted at a time.
    """

    def __init__(
        self, url: str, token: Optional[str] = None, *, timeout_s: float = 10, session: Optional[str] = None, group: str = ""
    ) -> None:
        like = "http://HOST:PORT, perhaps with ?token=..."
        parts = checked_address(url, like)
        query = parse_qs(parts.query, keep_blank_values=True)
        if parts.scheme not in ("http", "https") or parts.fragment or query.keys() - {"token"}:
            raise ValueError(f"url is {url.partition('?')[0]!r}, and must be like {like}")
        if parts.username is not None:
            raise ValueError(f"url has a user, where a token is wanted: it must be like {like}")
        name = "token"
        if token is None and query:
            token = query["token"][0]
        elif token is None and os.environ.get("TESSERA_TOKEN"):
            name, token = "TESSERA_TOKEN", os.environ["TESSERA_TOKEN"]
        if token is not None and (not token or any(not 33 <= ord(c) <= 126 for c in token)):
            raise ValueError(f"{name} must be printable ASCII without blanks")
        self.session = chosen_session(session)
        self._group = checked_label("group", group)
        self._where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._path = parts.path.rstrip("/") + "/v1/keyframes"
        self._timeout_s = timeout_s
        self._headers: Dict[str, str] = {"Content-Type": CONTENT_TYPE, "Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            self._connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=timeout_s, context=ssl.create_default_context()
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        self._lock = threading.Lock()
        self._scratch = Scratch()

    def _publish(self, keyframe_id: KeyframeId, points: Any, colors: Any, pose: Any, **options: Any) -> Dict[str, Any]:
        name = checked_id(keyframe_id)
        with self._lock:
            layout = lay_out(points, colors, pose, scratch=self._scratch, long_form=True, **options)
            headers = dict(self._headers)
            headers["Content-Length"] = str(layout.nbytes)
            headers["X-Keyframe-Id"] = quote(name, safe="")
            headers["X-Timestamp-Ns"] = str(layout.timestamp_ns)
            for key, value in (("Tessera-Session", self.session), ("Tessera-Group", self._group)):
                if value:
                    headers[key] = quote(value, safe="")
            return self._ask("POST", self._path, layout.buffers, headers)

    def revise_keyframe(self, keyframe_id: KeyframeId, pose: Any) -> None:
        """Gives a keyframe another pose, as if it had come with it. RefusedError with status 404 if it is not in the map."""
        body = json.dumps({"pose": checked_pose(pose).ravel().tolist()}).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        with self._lock:
            self._ask("PUT", self._path_of(keyframe_id, "/pose"), body, headers)

    def revise_keyframes(self, poses: Poses, *, revision: Optional[int] = None) -> Dict[str, Any]:
        """Gives many keyframes other poses at once. Returns how many were `moved`, came again (`duplicate`), were `unknown`, and
        `refused`; if one entry is bad, RefusedError names it, and none is moved."""
        return self._correct(notification.revisions_of(poses, self.session, revision))

    def move_group(self, group: str, transform: Any, *, revision: Optional[int] = None) -> Dict[str, Any]:
        """Moves all keyframes of a group by one similarity, and returns the same."""
        return self._correct(notification.group_moved(group, transform, revision))

    def _correct(self, body: Dict[str, Any]) -> Dict[str, Any]:
        headers = {**self._headers, "Content-Type": notification.CONTENT_TYPE}
        with self._lock:
            return self._ask("POST", self._path + ":revise", notification.pack(body), headers)

    def retract_keyframe(self, keyframe_id: KeyframeId) -> None:
        """Takes a keyframe out of the map, as if it had never come. RefusedError with status 404 if it is not in the map."""
        headers = {key: value for key, value in self._headers.items() if key != "Content-Type"}
        with self._lock:
            self._ask("DELETE", self._path_of(keyframe_id), None, headers)

    def close(self) -> None:
        """Closes the connection; the next call opens it again."""
        with self._lock:
            self._connection.close()

    def _path_of(self, keyframe_id: KeyframeId, below: str = "") -> str:
        query = f"?session={quote(self.session, safe='')}" if self.session else ""
        return f"{self._path}/{quote(checked_id(keyframe_id), safe='')}{below}{query}"

    def _ask(self, method: str, path: str, body: Any, headers: Dict[str, str]) -> Dict[str, Any]:
        deadline = time.monotonic() + self._timeout_s
        pause_s = 0.01
        while True:
            try:
                self._connection.request(method, path, body=body, headers=headers)
                response = self._connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                problem = f"{self._where} does not answer: {error or type(error).__name__}"
                wait_s = 0.0
            else:
                if response.will_close:
                    self._connection.close()
                if 200 <= response.status < 300:
                    return _parsed(text)
                if response.status not in _RETRY_STATUS:
                    raise RefusedError(_reason(response.status, response.reason, text), response.status)
                problem = f"{self._where} is busy: {_reason(response.status, response.reason, text)}"
                wait_s = _seconds(response.getheader("Retry-After"))
            wait_s = max(wait_s, pause_s)
            pause_s = min(2 * pause_s, 0.5)
            if time.monotonic() + wait_s > deadline:
                raise UnreachableError(problem)
            time.sleep(wait_s)


def _parsed(text: bytes) -> Dict[str, Any]:
    try:
        answer = json.loads(text) if text else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _reason(status: int, phrase: str, text: bytes) -> str:
    answer = _parsed(text)
    for key in ("reason", "error", "message"):
        if isinstance(answer.get(key), str):
            return f"{status} {phrase}: {answer[key]}"
    tail = text[:500].decode("utf-8", "replace").strip()
    return f"{status} {phrase}: {tail}" if tail and not answer else f"{status} {phrase}"


def _seconds(value: Optional[str]) -> float:
    try:
        return min(max(float(value or 0), 0.0), 60.0)
    except ValueError:
        return 0.0
