"""The supervisor over streamable HTTP, spoken to with raw requests; servers are foreign and really die."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.waiting import until
from support.mcp_kit import HANDSHAKE, INITIALIZE, MODERN_META, STATELESS, TIMEOUT_S, supervise, wait_for_event
from support.state_kit import gone
from targets.mcp_tools import messages
from targets.mcp_tools.status import describe

Json = dict[str, Any]
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


class Answer:
    """A response that may be a stream: `events` are the messages in it, the answer the last."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.session = response.getheader("mcp-session-id", "")
        self.streamed = response.getheader("content-type") == "text/event-stream"
        self.body = response.read()
        data = [line[6:] for line in self.body.splitlines() if line.startswith(b"data: ")]
        self.events: list[Json] = [
            json.loads(each) for each in (data if self.streamed else [self.body]) if each[:1] == b"{"
        ]

    @property
    def message(self) -> Json:
        return self.events[-1]


class Http:
    """A supervisor with an HTTP front, and a client with one connection that it keeps."""

    def __init__(self, folder: Path, *arguments: str, command: list[str]) -> None:
        self.folder = folder
        self.process = supervise(
            folder, "--http", "0", *arguments, command=command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        url = urlsplit(wait_for_event(folder, "http.listening", len(self.events("http.listening")) or 1)["url"])
        self.port = url.port or 0
        self.connection = self.connect()
        self.session = ""

    def events(self, name: str) -> list[Json]:
        from targets.mcp_tools.history import events  # noqa: PLC0415  only here

        return [event for event in events(self.folder) if event["event"] == name]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)

    def post(self, body: bytes, headers: Json, connection: http.client.HTTPConnection | None = None) -> Answer:
        used = connection or self.connection
        used.request("POST", "/mcp", body, {**ACCEPT, **headers})
        return Answer(used.getresponse())

    def modern(self, method: str, params: Json | None = None, **options: Any) -> Answer:  # noqa: ANN401
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**(params or {}), "_meta": MODERN_META}}
        body["params"]["_meta"] = {**MODERN_META, **options.pop("meta", {})}
        headers = {
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": method,
            "mcp-name": (params or {}).get("name", ""),
        }
        return self.post(json.dumps(body).encode(), {**headers, **options.pop("headers", {})}, **options)

    def tool(self, name: str, meta: Json | None = None, **arguments: object) -> Answer:
        connection = self.connect()
        try:
            return self.modern(
                "tools/call", {"name": name, "arguments": arguments}, meta=meta or {}, connection=connection
            )
        finally:
            connection.close()

    def pid(self) -> str:
        text: str = self.modern("tools/call", {"name": "pid"}).message["result"]["content"][0]["text"]
        return text

    def greet(self) -> Answer:
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}
        answer = self.post(json.dumps(body).encode(), {})
        self.session = answer.session
        self.legacy(method="notifications/initialized")
        return answer

    def legacy(self, session: str | None = None, **message: object) -> Answer:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        return self.post(body, {"mcp-session-id": session or self.session, "mcp-protocol-version": "2025-06-18"})

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def stateless(tmp_path: Path) -> Iterator[Http]:
    front = Http(tmp_path / "supervisor", "--backoff", "0.01", command=STATELESS)
    yield front
    front.stop()


@pytest.fixture
def handshake(tmp_path: Path) -> Iterator[Http]:
    front = Http(tmp_path / "supervisor", "--backoff", "0.01", command=HANDSHAKE)
    yield front
    front.stop()


def test_a_connection_outlives_its_servers(stateless: Http) -> None:
    pids = [stateless.pid()]
    for _ in range(5):
        os.kill(int(pids[-1]), signal.SIGKILL)
        pids.append(stateless.pid())
    assert len(set(pids)) == 6


def test_the_call_that_a_server_died_of_is_answered_by_the_next(stateless: Http, tmp_path: Path) -> None:
    assert "result" in stateless.tool("die_once", file=str(tmp_path / "died")).message


def test_progress_is_streamed_and_never_goes_back(stateless: Http, tmp_path: Path) -> None:
    answer = stateless.tool("steps", {"progressToken": "mine"}, count=5, die_at=2, file=str(tmp_path / "died"))
    assert answer.streamed
    told = [event["params"] for event in answer.events[:-1]]
    assert [params["progress"] for params in told] == [1, 2, 3, 4, 5]
    assert {params["progressToken"] for params in told} == {"mine"}
    assert answer.message["id"] == 1


def test_an_effect_that_may_have_happened_is_not_repeated(stateless: Http, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    error = stateless.tool("append", file=str(ledger), die=True).message["error"]
    assert (error["code"], error["data"]["maybe_executed"]) == (messages.INTERRUPTED, True)
    assert ledger.read_text() == "x"


def test_many_clients_with_equal_ids_get_their_own_answers(stateless: Http) -> None:
    sizes = list(range(1, 21))
    answers: dict[int, int] = {}

    def ask(size: int) -> None:
        answers[size] = len(stateless.tool("big", bytes=size).message["result"]["content"][0]["text"])

    threads = [threading.Thread(target=ask, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert answers == {size: size for size in sizes}


def test_a_client_that_hangs_up_cancels_its_request(stateless: Http, tmp_path: Path) -> None:
    stateless.modern("tools/list")
    body = {"name": "wait", "arguments": {"started": str(tmp_path / "started")}, "_meta": MODERN_META}
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body}).encode()
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "wait"}
    leaving = stateless.connect()
    leaving.request("POST", "/mcp", line, {**ACCEPT, **headers})
    until((tmp_path / "started").exists, "the call runs", TIMEOUT_S)
    until(lambda: describe(stateless.folder)["lanes"][0]["unanswered"] == 1, "the call is counted", TIMEOUT_S)
    leaving.close()
    until(lambda: describe(stateless.folder)["lanes"][0]["unanswered"] == 0, "the call is cancelled", TIMEOUT_S)
    os.kill(int((tmp_path / "started").read_text()), signal.SIGKILL)
    stateless.pid()
    assert len((tmp_path / "started").read_text().split()) == 1


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"mcp-method": "tools/list"}, 400, -32020),
        ({"mcp-name": "other"}, 400, -32020),
        ({"host": "evil.example"}, 421, None),
        ({"origin": "https://evil.example"}, 403, None),
        ({"accept": "text/html"}, 406, None),
    ],
)
def test_what_the_headers_forbid_reaches_no_server(
    stateless: Http, headers: dict[str, str], status: int, code: int | None
) -> None:
    answer = stateless.modern("tools/call", {"name": "pid"}, headers=headers)
    assert answer.status == status
    assert (answer.message["error"]["code"] if answer.events else None) == code


def test_errors_of_the_protocol_have_the_status_that_belongs_to_them(stateless: Http) -> None:
    assert stateless.modern("no/such").status == 404
    modern = {"mcp-protocol-version": "2026-07-28"}
    for body, status in ((b"nonsense", 400), (b"[]", 400), (b'{"id":1,"result":{}}', 400), (b'{"method":"x"}', 202)):
        assert stateless.post(body, modern).status == status


def test_methods_and_paths_that_are_not_served_are_refused(stateless: Http) -> None:
    for method, path, headers, status in (
        ("GET", "/mcp", {"mcp-protocol-version": "2026-07-28"}, 405),
        ("PUT", "/mcp", {}, 405),
        ("POST", "/", {}, 404),
        ("GET", "/mcp", {}, 400),
        ("GET", "/mcp", {"mcp-session-id": "unknown"}, 404),
    ):
        stateless.connection.request(method, path, headers=headers)
        response = stateless.connection.getresponse()
        response.read()
        assert response.status == status


def test_what_is_no_http_is_refused(stateless: Http) -> None:
    with socket.create_connection(("127.0.0.1", stateless.port), TIMEOUT_S) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400")
        sock.sendall(b"more")
    assert stateless.pid()


def test_a_body_that_is_announced_is_waited_for(stateless: Http) -> None:
    stateless.connection.request("POST", "/mcp", b"{}", {**ACCEPT, "expect": "100-continue"})
    assert stateless.connection.getresponse().status == 400


@pytest.mark.chaos
def test_a_body_that_is_too_long_is_refused_without_a_reset(stateless: Http) -> None:
    answer = stateless.post(b" " * (65 << 20), {"mcp-protocol-version": "2026-07-28"})
    assert answer.status == 413


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    front = Http(tmp_path / "supervisor", "--token-file", str(token), command=STATELESS)
    try:
        assert front.modern("tools/list").status == 401
        assert front.modern("tools/list", headers={"authorization": "Bearer secret"}).status == 200
    finally:
        front.stop()


class TestSessions:
    def test_a_session_outlives_its_servers(self, handshake: Http) -> None:
        answer = handshake.greet()
        assert answer.message["result"]["serverInfo"]["name"] == "foreign"
        pids = []
        for id_ in range(3):
            said = handshake.legacy(id=id_, method="tools/call", params={"name": "pid"})
            pids.append(int(said.message["result"]["content"][0]["text"]))
            os.kill(pids[-1], signal.SIGKILL)
        assert len(set(pids)) == 3

    def test_a_session_outlives_the_supervisor(self, handshake: Http) -> None:
        handshake.greet()
        handshake.process.kill()
        handshake.process.wait()
        later = Http(handshake.folder, command=HANDSHAKE)
        try:
            until(lambda: len(later.events("http.listening")) == 2, "it listens", TIMEOUT_S)
            later.port = urlsplit(later.events("http.listening")[-1]["data"]["url"]).port or 0
            later.connection = later.connect()
            said = later.legacy(handshake.session, id=1, method="tools/call", params={"name": "pid"})
            assert "result" in said.message
        finally:
            later.stop()

    def test_sessions_share_a_server_and_are_told_apart(self, handshake: Http) -> None:
        handshake.greet()
        first = handshake.session
        handshake.greet()
        assert handshake.session != first
        pids = {
            handshake.legacy(session, id=1, method="tools/call", params={"name": "pid"}).body
            for session in (first, handshake.session)
        }
        assert len(pids) == 1

    def test_a_session_that_was_ended_is_gone(self, handshake: Http) -> None:
        handshake.greet()
        handshake.connection.request("DELETE", "/mcp", headers={"mcp-session-id": handshake.session})
        assert Answer(handshake.connection.getresponse()).status == 200
        assert handshake.legacy(id=1, method="ping").status == 404

    def test_without_a_session_nothing_is_served(self, handshake: Http) -> None:
        assert handshake.post(b'{"id":1,"method":"ping"}', {}).status == 400

    def test_a_cancelled_request_is_cancelled_and_ends(self, handshake: Http, tmp_path: Path) -> None:
        handshake.greet()
        handshake.legacy(id=7, method="tools/list")
        answers: list[Answer] = []
        params = {"name": "wait", "arguments": {"started": str(tmp_path / "started")}}
        body = json.dumps({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}).encode()
        other = handshake.connect()
        session = {"mcp-session-id": handshake.session}
        asking = threading.Thread(target=lambda: answers.append(handshake.post(body, session, other)))
        asking.start()
        until((tmp_path / "started").exists, "the call runs", TIMEOUT_S)
        told = handshake.legacy(method="notifications/cancelled", params={"requestId": 5})
        assert told.status == 202
        asking.join(TIMEOUT_S)
        other.close()
        assert "cancelled" in answers[0].message["error"]["message"]

    def test_a_session_has_one_stream_which_stays_open(self, handshake: Http) -> None:
        handshake.greet()
        stream = handshake.connect()
        stream.request("GET", "/mcp", headers={"mcp-session-id": handshake.session, "accept": "text/event-stream"})
        assert stream.getresponse().getheader("content-type") == "text/event-stream"
        handshake.connection.request("GET", "/mcp", headers={"mcp-session-id": handshake.session})
        assert Answer(handshake.connection.getresponse()).status == 409
        stream.close()

    def test_news_reach_the_sessions_that_they_concern(self, handshake: Http) -> None:
        streams = []
        for uri in ("a", "b"):
            handshake.greet()
            handshake.legacy(id=1, method="resources/subscribe", params={"uri": uri})
            stream = handshake.connect()
            stream.request("GET", "/mcp", headers={"mcp-session-id": handshake.session})
            streams.append((stream, stream.getresponse(), handshake.session))
        params = {"name": "announce", "arguments": {"uri": "a"}}
        assert "result" in handshake.legacy(id=2, method="tools/call", params=params).message
        for stream, response, session in streams:
            handshake.connection.request("DELETE", "/mcp", headers={"mcp-session-id": session})
            Answer(handshake.connection.getresponse())
            heard = [json.loads(each[6:])["method"] for each in response.read().splitlines() if each[:5] == b"data:"]
            updated = ["notifications/resources/updated"] if session == streams[0][2] else []
            assert heard == [*updated, "notifications/tools/list_changed"]
            stream.close()

    def test_an_unsubscription_is_forwarded_once_nobody_is_left(self, handshake: Http) -> None:
        sessions = []
        for _ in range(2):
            handshake.greet()
            sessions.append(handshake.session)
            handshake.legacy(id=1, method="resources/subscribe", params={"uri": "a"})
        first, last = (
            handshake.legacy(session, id=2, method="resources/unsubscribe", params={"uri": "a"}) for session in sessions
        )
        assert first.message["result"] == {}
        assert last.message["error"]["message"] == "unknown"

    def test_notifications_reach_the_server_and_answers_to_nothing_go_nowhere(self, handshake: Http) -> None:
        handshake.greet()
        assert handshake.legacy(method="notifications/roots/list_changed").status == 202
        assert handshake.legacy(id=9, result={}).status == 202
        assert handshake.legacy(id=1, method="tools/list").status == 200

    def test_subscriptions_are_kept_for_each_session(self, handshake: Http) -> None:
        handshake.greet()
        handshake.greet()
        for method in ("resources/subscribe", "resources/unsubscribe"):
            assert handshake.legacy(id=1, method=method, params={"uri": "a"}).events


def test_without_a_server_every_client_is_told_so_at_once(tmp_path: Path) -> None:
    front = Http(tmp_path / "supervisor", "--breaker", "1", "--cool-down", "1000", command=["false"])
    try:
        assert front.modern("tools/list").message["error"]["code"] == messages.UNAVAILABLE
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}
        for _ in range(2):
            answer = front.post(json.dumps(body).encode(), {})
            assert answer.message["error"]["code"] == messages.UNAVAILABLE
            assert "stderr" not in answer.message["error"]["data"]
            assert answer.session == ""
    finally:
        front.stop()


@pytest.mark.chaos
def test_a_silent_call_becomes_a_stream_that_is_kept_alive(stateless: Http) -> None:
    answer = stateless.tool("nap", seconds=5.5)
    assert answer.streamed
    assert answer.body.startswith(b": ping")
    assert "result" in answer.message


def test_everything_ends_with_the_supervisor(stateless: Http) -> None:
    pid = int(stateless.pid())
    stateless.process.kill()
    assert gone(pid)
