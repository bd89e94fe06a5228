"""The front for many clients over streamable HTTP. It ends their connections itself and speaks with servers over pipes.

So no death of a server can refuse, reset or break a connection. One server process for each era in use, since a server
speaks one era on one pipe: the stateless one from the start, the handshake one from the first handshake.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from msgspec import UNSET, Raw

from targets.mcp_tools import messages
from targets.mcp_tools.folder import Folder
from targets.mcp_tools.history import History
from targets.mcp_tools.http_rules import JSON, PATH, SESSION, STATUS_OF, Door, is_modern, mismatch
from targets.mcp_tools.http_sessions import HttpSession, Sessions
from targets.mcp_tools.http_wire import BUDGET, Budget, Connection, Request
from targets.mcp_tools.journal import Journal
from targets.mcp_tools.lane import Lane, Options
from targets.mcp_tools.loop import READ, Loop, Timer
from targets.mcp_tools.messages import Id, Malformed, Message
from targets.mcp_tools.mux import Mux
from targets.mcp_tools.quarantine import Quarantine
from targets.mcp_tools.session import Session
from targets.mcp_tools.standing import CONFIRMATION, INITIALIZE, INITIALIZED

COMMIT_S = 5.0
PING_S = 15.0
MOST_CONNECTIONS = 512
CANCELLED = -32800
_SUBSCRIBE, _UNSUBSCRIBE, _UPDATED = "resources/subscribe", "resources/unsubscribe", "notifications/resources/updated"


@dataclass(eq=False)
class Exchange:
    """A client's request until its answer: as JSON, or, once there is something to tell before it, as a stream."""

    connection: Connection
    track: Track
    number: int = 0
    asked: Id | None = None
    session: HttpSession | None = None
    streaming: bool = False
    timer: Timer | None = None

    def tell(self, line: bytes) -> None:
        """Send something that is not the answer."""
        if not self.streaming:
            self.streaming = True
            self.connection.stream()
        self.connection.event(line)

    def answer(self, line: bytes) -> None:
        """Send the answer."""
        if self.timer is not None:
            self.timer.cancel()
        if self.streaming:
            self.connection.event(line)
            self.connection.end()
            return
        opened = {SESSION: self.session.id} if self.session is not None else {}
        status = 200 if self.track.shares_sessions else _status(line)
        self.connection.respond(status, line.rstrip(b"\n"), {**JSON, **opened})


def _status(line: bytes) -> int:
    error = messages.fields(messages.decode(line).error)
    return STATUS_OF.get(int(bytes(error["code"])), 200) if "code" in error else 200


class Track:
    """The clients of one era, and the lane that serves them."""

    def __init__(self, *, shares_sessions: bool) -> None:
        self.shares_sessions = shares_sessions
        self.mux: Mux[Exchange] = Mux()
        self.lane: Lane | None = None
        self.greeting: Raw | None = None
        self.greeted_by = 0
        self.waiting: list[tuple[Exchange, Message]] = []


class HttpFront:
    """Serves `address`. Raises `OSError` where that is impossible."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        options: Options,
        stores: tuple[Folder, Journal, History],
        address: tuple[str, int],
        door: Door,
    ) -> None:
        self._loop = loop
        self._command = command
        self._options = replace(options, told_stderr=0)  # its last words are not for everybody
        self._budget = Budget(BUDGET * options.limit_bytes)
        self._stores = stores
        self._folder, self._journal, self._history = stores
        self._door = door
        self._quarantine = Quarantine()
        self._sessions = Sessions(self._folder.path)
        self._modern, self._handshake = Track(shares_sessions=False), Track(shares_sessions=True)
        self._exchanges: dict[Connection, Exchange] = {}
        self._connections: set[Connection] = set()
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.create_server(address, family=family, backlog=1024, reuse_port=False)
        self._socket.setblocking(False)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}"

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes in use."""
        return [track.lane for track in (self._modern, self._handshake) if track.lane is not None]

    def start(self) -> None:
        """Listen, and start the first server. Raises `OSError` where the command cannot be run."""
        self._open(self._modern).start()
        self._loop.watch(self._socket.fileno(), READ, self._accept)
        self._history.note("http.listening", url=self.url)
        sys.stderr.write(f"bigfive-supervise: {self.url}\n")

    def close(self) -> None:
        """Accept no more, and hang up."""
        self._loop.watch(self._socket.fileno(), 0, self._accept)
        self._socket.close()
        for connection in list(self._connections):
            connection.close()

    def _open(self, track: Track) -> Lane:
        """Make the lane of a track."""
        name = f"{self._folder.life}-{len(self.lanes)}"
        session = Session(
            self._quarantine, self._options.deaths_allowed, iter(self._journal.number, 0), lambda n: f"{name}-{n}"
        )
        track.lane = Lane(
            self._loop, self._command, self._options, self._stores, session, lambda line: self._hear(track, line)
        )
        return track.lane

    # --- connections

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # a client that left before its turn; too many open files
            sock, _ = self._socket.accept()
            self._connections.add(Connection(self._loop, sock, self._budget, self._take, self._left))
        if len(self._connections) >= MOST_CONNECTIONS:  # the next one waits in the kernel's queue
            self._loop.watch(self._socket.fileno(), 0, self._accept)

    def _left(self, connection: Connection) -> None:
        """A client hung up. In the stateless era that cancels its request; in the other it means nothing."""
        self._connections.discard(connection)
        if self._socket.fileno() >= 0:
            self._loop.watch(self._socket.fileno(), READ, self._accept)
        for session in self._sessions:
            if session.stream is connection:
                session.stream = None
        exchange = self._exchanges.get(connection)
        if exchange is not None and not exchange.track.shares_sessions:
            self._forget(exchange, "the client closed the connection")
        elif exchange is not None:
            self._drop(exchange)

    def _drop(self, exchange: Exchange) -> None:
        """Nobody waits for this any more."""
        self._exchanges.pop(exchange.connection, None)
        if exchange.timer is not None:
            exchange.timer.cancel()
        exchange.track.mux.forget(exchange.number)

    def _forget(self, exchange: Exchange, reason: str) -> None:
        """Cancel a request."""
        self._drop(exchange)
        if exchange.track.lane is not None:
            why = {"requestId": exchange.number, "reason": reason}
            exchange.track.lane.client(messages.request("notifications/cancelled", why)[:-1])

    def _take(self, connection: Connection, request: Request) -> None:
        refusal = self._door.refuses(request)
        if refusal is not None:
            connection.respond(refusal.status, refusal.body, dict(refusal.headers))
        elif request.method == "POST":
            self._post(connection, request)
        elif is_modern(request) or request.method not in {"GET", "DELETE"}:
            connection.respond(405, headers={"allow": "POST"})
        else:
            self._session_request(connection, request)

    def _session_request(self, connection: Connection, request: Request) -> None:
        session = self._sessions.get(request.headers.get(SESSION, ""))
        if session is None:
            connection.respond(404 if SESSION in request.headers else 400, b"no such session")
        elif request.method == "DELETE":
            self._sessions.close(session.id)
            connection.respond(200)
        elif session.stream is not None:
            connection.respond(409, b"this session has a stream already")
        else:
            session.stream = connection
            connection.stream()

    def _post(self, connection: Connection, request: Request) -> None:
        try:
            message = messages.decode(request.body)
        except Malformed as error:
            connection.respond(400, messages.failure(None, error.code, str(error)), JSON)
            return
        accept = request.headers.get("accept", "*/*")
        if "*/*" not in accept and not ("application/json" in accept and "text/event-stream" in accept):
            connection.respond(406)
        elif is_modern(request):
            self._post_modern(connection, request, message)
        else:
            self._post_handshake(connection, request, message)

    # --- the stateless era

    def _post_modern(self, connection: Connection, request: Request, message: Message) -> None:
        if message.request_id is None:
            if message.method is UNSET:
                why = "a stateless client has nothing to answer"
                connection.respond(400, messages.failure(None, messages.INVALID_REQUEST, why), JSON)
            else:
                connection.respond(202)
            return
        wrong = mismatch(request, message)
        if wrong is not None:
            code, why, data = wrong
            line = messages.failure(message.request_id, code, why, data)
            connection.respond(STATUS_OF.get(code, 400), line, JSON)
            return
        self._ask(Exchange(connection, self._modern), message)

    # --- the handshake era

    def _post_handshake(self, connection: Connection, request: Request, message: Message) -> None:
        if message.name == INITIALIZE:
            self._greet(Exchange(connection, self._handshake), message)
            return
        session = self._sessions.get(request.headers.get(SESSION, ""))
        if session is None:
            connection.respond(404 if SESSION in request.headers else 400, b"no such session")
        elif message.request_id is None:
            if message.name not in {"", INITIALIZED} and self._handshake.lane is not None:
                self._notify(session, message)
            connection.respond(202)
        else:
            self._within(session, Exchange(connection, self._handshake, session=session), message)

    def _notify(self, session: HttpSession, message: Message) -> None:
        """Pass a notification on; a cancellation names an id of the client's own numbering."""
        if self._handshake.lane is None:
            return
        if message.name != "notifications/cancelled":
            self._handshake.lane.client(messages.request(message.name, message.params)[:-1])
            return
        cancelled = messages.parameters(message).request_id
        for exchange in list(self._exchanges.values()):
            if exchange.session is session and exchange.asked == cancelled:
                self._forget(exchange, "the client cancelled it")
                exchange.answer(messages.failure(exchange.asked, CANCELLED, "cancelled by the client"))

    def _within(self, session: HttpSession, exchange: Exchange, message: Message) -> None:
        """Ask in a session, whose shared server may still have to be greeted (by a supervisor that began anew)."""
        uri = messages.parameters(message).uri
        if message.name == _SUBSCRIBE:
            session.resources.add(uri)
        elif message.name == _UNSUBSCRIBE:
            session.resources.discard(uri)
            if any(uri in other.resources for other in self._sessions) and message.request_id is not None:
                exchange.answer(messages.response(message.request_id, {}))
                return
        if self._handshake.greeting is None:
            self._handshake.waiting.append((exchange, message))
            self._begin_greeting("2025-11-25")
        else:
            self._ask(exchange, message)

    def _greet(self, exchange: Exchange, message: Message) -> None:
        """Open a session; the first one, or the first after a refusal, greets the server for all."""
        track = self._handshake
        if track.greeting is not None and message.request_id is not None:
            exchange.session = self._sessions.open()
            exchange.answer(messages.response(message.request_id, track.greeting))
            return
        track.waiting.append((exchange, message))
        wanted = messages.fields(message.params).get("protocolVersion", Raw(b'"2025-11-25"'))
        self._begin_greeting(wanted)

    def _begin_greeting(self, version: object) -> None:
        track = self._handshake
        if track.greeted_by:
            return
        track.greeted_by = -1
        lane = track.lane
        if lane is None:
            lane = self._open(track)
            try:
                lane.start()
            except OSError as error:
                lane.perform(lane.session.outage(str(error)))
        about = {"name": "bigfive-supervise", "version": "1"}
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": about}
        lane.client(messages.request(INITIALIZE, params, INITIALIZE)[:-1])

    def _greeted(self, answer: Message) -> None:
        """The server answered the handshake: open the sessions that wait for it, or pass its refusal on."""
        track = self._handshake
        track.greeted_by = 0
        waiting, track.waiting = track.waiting, []
        if answer.result:
            track.greeting = Raw(bytes(answer.result))
            if track.lane is not None:
                track.lane.client(CONFIRMATION[:-1])
        for exchange, message in waiting:
            if not answer.result and message.request_id is not None:
                body = {"jsonrpc": "2.0", "id": message.request_id, "error": answer.error}
                exchange.answer(messages.encode(body) + b"\n")
            elif message.name == INITIALIZE:
                self._greet(exchange, message)
            else:
                self._ask(exchange, message)

    # --- between clients and servers

    def _ask(self, exchange: Exchange, message: Message) -> None:
        track = exchange.track
        if track.lane is None or not exchange.connection.is_open:
            return
        exchange.number, line = track.mux.ask(exchange, message)
        exchange.asked = message.request_id
        self._exchanges[exchange.connection] = exchange
        exchange.timer = self._loop.after(COMMIT_S, lambda: self._keep_alive(exchange))
        track.lane.client(line[:-1])

    def _keep_alive(self, exchange: Exchange) -> None:
        if not exchange.streaming:
            exchange.streaming = True
            exchange.connection.stream()
        exchange.connection.ping()
        exchange.timer = self._loop.after(PING_S, lambda: self._keep_alive(exchange))

    def _hear(self, track: Track, line: bytes) -> None:
        """Give a line of a server's to whom it concerns."""
        message = messages.decode(line)
        if track.shares_sessions and message.answered_id == INITIALIZE:
            self._greeted(message)
            return
        routed = track.mux.route(line)
        if routed is None:
            return
        if routed.who is None:
            self._broadcast(message, line)
        elif routed.final:
            self._exchanges.pop(routed.who.connection, None)
            routed.who.answer(routed.line)
        else:
            routed.who.tell(routed.line)

    def _broadcast(self, message: Message, line: bytes) -> None:
        uri = messages.parameters(message).uri
        for session in self._sessions:
            if session.stream is not None and (message.name != _UPDATED or uri in session.resources):
                session.stream.event(line)
