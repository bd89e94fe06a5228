"""HTTP connections without a server behind them: bounds, order, and clients that leave."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.mcp_tools.http_wire import Budget, Connection, Request
from targets.mcp_tools.loop import Loop

HEAD = b"POST /mcp HTTP/1.1\r\nhost: x\r\n"


class Pair:
    """A connection and the client at its other end; requests are noted, and answered by hand."""

    def __init__(self, limit: int = 400) -> None:
        self.loop = Loop()
        self.budget = Budget(limit)
        self.taken: list[Request] = []
        self.left: list[Connection] = []
        self.client, ours = self._connected()
        self.client.setblocking(False)
        self.connection = Connection(self.loop, ours, self.budget, self._take, self.left.append)

    def _connected(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            return client, listening.accept()[0]

    def _take(self, _: Connection, request: Request) -> None:
        self.taken.append(request)

    def send(self, data: bytes) -> None:
        self.client.sendall(data)
        self.turn()

    def turn(self) -> bytes:
        """Let everything happen that can; return what the client got."""
        got = b""
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            self.loop.after(0.005, lambda: None)
            self.loop.turn()
            try:
                got += self.client.recv(1 << 16)
            except (BlockingIOError, ConnectionError):
                continue
        return got

    def close(self) -> None:
        self.connection.close()
        self.client.close()
        self.turn_timers()
        self.loop.close()

    def turn_timers(self) -> None:
        self.loop.after(0, lambda: None)
        self.loop.turn()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def post(body: bytes) -> bytes:
    return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body


def test_a_request_is_taken_once_it_is_whole(pair: Pair) -> None:
    pair.send(post(b"12345")[:-1])
    assert pair.taken == []
    pair.send(b"5")
    assert [(request.method, request.target, request.body) for request in pair.taken] == [("POST", "/mcp", b"12345")]
    assert pair.taken[0].headers["host"] == "x"


def test_the_next_request_waits_for_the_answer_to_the_last(pair: Pair) -> None:
    pair.send(post(b"1") + post(b"2"))
    assert [request.body for request in pair.taken] == [b"1"]
    pair.connection.respond(200, b"one")
    assert pair.turn().endswith(b"one")
    assert [request.body for request in pair.taken] == [b"1", b"2"]


def test_a_stream_is_events_and_an_end_and_the_connection_stays(pair: Pair) -> None:
    pair.send(post(b"1"))
    pair.connection.stream()
    pair.connection.ping()
    pair.connection.event(b"{}\r\n")
    pair.connection.end()
    said = pair.turn()
    assert b"content-type: text/event-stream" in said.lower()
    assert b": ping\r\n\r\n" in said
    assert b"event: message\r\ndata: {}\r\n\r\n" in said
    assert said.endswith(b"0\r\n\r\n")
    pair.send(post(b"2"))
    assert len(pair.taken) == 2


def test_a_body_above_the_limit_is_refused_while_its_rest_is_still_read(pair: Pair) -> None:
    pair.client.sendall(HEAD + b"content-length: 1000\r\n\r\n" + b"x" * 500)
    assert b"413" in pair.turn()
    pair.client.sendall(b"x" * 500)
    pair.turn()
    assert pair.taken == []
    assert pair.budget.used == 0


def test_many_bodies_together_are_bounded(pair: Pair) -> None:
    pair.budget.used = 380
    pair.client.sendall(post(b"x" * 50))
    assert b"503" in pair.turn()
    assert pair.budget.used == 380


def test_a_header_that_comes_twice_is_told(pair: Pair) -> None:
    pair.send(HEAD + b"mcp-name: a\r\nmcp-name: b\r\ncontent-length: 0\r\n\r\n")
    assert pair.taken[0].repeated == {"mcp-name"}


def test_a_client_that_leaves_is_noticed_once_and_answers_go_nowhere(pair: Pair) -> None:
    pair.send(post(b"1"))
    pair.client.close()
    for _ in range(20):
        pair.turn_timers()
    assert pair.left == [pair.connection]
    assert not pair.connection.is_open
    pair.connection.respond(200, b"late")
    assert pair.left == [pair.connection]


def test_a_client_that_does_not_read_its_stream_is_given_up(pair: Pair) -> None:
    pair.send(post(b"1"))
    pair.connection.stream()
    for _ in range(200):
        if pair.connection.is_open:
            pair.connection.event(b"x" * 100_000)
    assert pair.left == [pair.connection]


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_whatever_is_sent_is_taken_or_refused(pieces: list[bytes]) -> None:
    made = Pair()
    try:
        for piece in pieces:
            try:
                made.client.sendall(piece)
            except OSError:
                break
            made.turn_timers()
        assert all(request.method for request in made.taken)
    finally:
        made.close()
