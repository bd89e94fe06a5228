"""HTTP/1.1 connections: whole requests in, whole answers or event streams out. The protocol is h11's, the rest is ours.

Why not uvicorn and starlette, which `mcp` brings along: they take 400 ms to import and want asyncio (80 ms more), for
three methods of one path. h11 (45 ms) is what uvicorn itself speaks HTTP with; it does no input and no output, like the
rest of the supervisor.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import h11

from targets.mcp_tools.loop import Loop
from targets.mcp_tools.streams import Inlet, Outlet

HEADERS_BYTES = 1 << 16
HEADERS_S = 30.0
LINGER_S = 5.0
BUDGET = 4  # messages of the longest kind that may be in memory at a time
_EVENT_STREAM = (("content-type", "text/event-stream"), ("cache-control", "no-cache, no-transform"))


@dataclass
class Budget:
    """How many bytes of requests all connections together may hold, and do hold."""

    limit: int
    used: int = 0


@dataclass(frozen=True)
class Request:
    """A whole request; header names are in lower case, `repeated` names those that came more than once."""

    method: str
    target: str
    headers: Mapping[str, str]
    repeated: frozenset[str]
    body: bytes


class Connection:
    """One client's connection. `take` gets each request once it is whole; the next is read after its answer.

    `gone` is called once, when the connection ends or is given up: nothing can be answered any more.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        budget: Budget,
        take: Callable[[Connection, Request], None],
        gone: Callable[[Connection], None],
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADERS_BYTES)
        self._loop = loop
        self._limit = budget.limit // BUDGET
        self._budget = budget
        self._take = take
        self._gone = gone
        self._open = True
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._lingering = False
        self._output = Outlet(loop, sock.dup().detach(), self.close)
        self._input = Inlet(loop, sock.detach(), self._read, self.close)
        self._deadline = loop.after(HEADERS_S, self.close)

    @property
    def is_open(self) -> bool:
        """Whether an answer still has somebody to go to."""
        return self._open

    def respond(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer the request as a whole."""
        head = [("content-length", str(len(body))), *(headers or {}).items()]
        self._send(h11.Response(status_code=status, headers=head))
        self._send(h11.Data(data=body))
        self._finish()

    def stream(self) -> None:
        """Answer the request with events; they follow."""
        self._send(h11.Response(status_code=200, headers=list(_EVENT_STREAM)))

    def event(self, data: bytes) -> None:
        """Send one event of a stream; a client that does not read is given up."""
        if self._output.size > self._limit:
            self.close()
        self._send(h11.Data(data=b"event: message\r\ndata: " + data.rstrip(b"\r\n") + b"\r\n\r\n"))

    def ping(self) -> None:
        """Keep those between us from thinking that a silent stream is dead."""
        self._send(h11.Data(data=b": ping\r\n\r\n"))

    def end(self) -> None:
        """End the stream."""
        self._finish()

    def close(self) -> None:
        """Hang up, once what was sent before has gone out, or a few seconds later."""
        if self._open:
            self._open = False
            self._forget()
            self._deadline.cancel()
            self._input.close()
            self._output.end()
            self._loop.after(LINGER_S, self._output.close)
            self._gone(self)

    def _send(self, event: h11.Event) -> None:
        if self._open:
            self._output.put(self._h11.send(event) or b"")
            self._output.flush()

    def _finish(self) -> None:
        self._send(h11.EndOfMessage())
        if not self._open:
            return
        if h11.MUST_CLOSE in {self._h11.our_state, self._h11.their_state} or self._h11.their_state is not h11.DONE:
            self.close()
            return
        self._h11.start_next_cycle()
        self._forget()
        self._input.pause(paused=False)
        self._deadline = self._loop.after(HEADERS_S, self.close)
        self._advance()

    def _read(self, chunk: bytes) -> None:
        if self._lingering:
            return
        if self._h11.their_state in {h11.DONE, h11.ERROR}:
            self._input.pause(paused=True)  # a request before the last one's answer can wait
        try:
            self._h11.receive_data(chunk)
        except h11.RemoteProtocolError:
            self.close()
            return
        self._advance()

    def _advance(self) -> None:
        """Take what has come, up to a whole request."""
        try:
            while self._open and not self._lingering:
                event = self._h11.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                self._event(event)
                if isinstance(event, h11.EndOfMessage):
                    return
            if self._open and not self._lingering and self._h11.they_are_waiting_for_100_continue:
                self._send(h11.InformationalResponse(status_code=100, headers=[]))
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))

    def _event(self, event: type[h11.NEED_DATA | h11.PAUSED] | h11.Event) -> None:
        if isinstance(event, h11.Request):
            self._request = event
        elif isinstance(event, h11.Data):
            self._size += len(event.data)
            self._budget.used += len(event.data)
            if self._size > self._limit:
                self._refuse(413, f"a message may have {self._limit} bytes")
            elif self._budget.used > self._budget.limit:
                self._refuse(503, "too many long messages at a time; try again later")
            else:
                self._body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and self._request is not None:
            self._deadline.cancel()
            body, self._body = b"".join(self._body), []
            self._take(self, _whole(self._request, body))
        elif isinstance(event, h11.ConnectionClosed):
            self.close()

    def _forget(self) -> None:
        """Let go of the request."""
        self._budget.used -= self._size
        self._request, self._body, self._size = None, [], 0

    def _refuse(self, status: int, why: str) -> None:
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = why.encode()
            head = [("content-length", str(len(body))), ("connection", "close"), ("content-type", "text/plain")]
            self._send(h11.Response(status_code=status, headers=head))
            self._send(h11.Data(data=body))
            self._send(h11.EndOfMessage())
        self._forget()
        self._lingering = True  # hanging up on a client that still sends would reset its connection
        self._deadline.cancel()
        self._deadline = self._loop.after(LINGER_S, self.close)


def _whole(request: h11.Request, body: bytes) -> Request:
    headers: dict[str, str] = {}
    repeated: set[str] = set()
    for raw_name, raw_value in request.headers:
        name = raw_name.decode("latin-1")
        if name in headers:
            repeated.add(name)
        headers[name] = raw_value.decode("latin-1")
    return Request(request.method.decode(), request.target.decode("latin-1"), headers, frozenset(repeated), body)
