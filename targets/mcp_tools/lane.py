"""One conversation, the server that serves it now, and those who care for that: restarts, spare, journal, watch."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from targets.mcp_tools.actions import Action, Begun, Ended, Forward, Note, Replace, Reply
from targets.mcp_tools.calls import Death
from targets.mcp_tools.folder import Folder
from targets.mcp_tools.hang import Look, Patience, Watch
from targets.mcp_tools.history import RECOVERED, History
from targets.mcp_tools.journal import Journal
from targets.mcp_tools.loop import READ, Loop, Timer
from targets.mcp_tools.messages import LIMIT_BYTES, Lines, TooLong
from targets.mcp_tools.processes import Server, vitals
from targets.mcp_tools.session import Session
from targets.mcp_tools.spares import Spares
from targets.mcp_tools.standard_error import StandardError
from targets.mcp_tools.streams import Inlet, Outlet
from targets.supervision import Policy, Restarts

TICK_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be chosen about a supervisor. Durations are in seconds.

    `told_stderr` is how much of a dead server's last words its clients are told.
    """

    policy: Policy = field(default_factory=lambda: Policy(grace_s=1.0))
    patience: Patience = field(default_factory=Patience)
    standby: str = "off"
    cool_down_s: float = 30.0
    deaths_allowed: int = 3
    limit_bytes: int = LIMIT_BYTES
    told_stderr: int = 500


@dataclass
class _Recovery:
    """How long the replacement took so far, in milliseconds since the death was noticed.

    The first answer counts from when a client began to wait: nobody waits for a server that nobody asks.
    """

    began: float
    asked: float | None = None
    how: str = "cold"
    exec_ms: float = 0.0
    ready_ms: float = 0.0

    def since_ms(self) -> float:
        return round((time.monotonic() - self.began) * 1000, 3)


class _Serving:
    """The server that serves now, and its pipes."""

    def __init__(self, lane: Lane, loop: Loop, server: Server, errors: StandardError, limit: int) -> None:
        self.server = server
        self.errors = errors
        self.lines = Lines(limit)
        self.input = Outlet(loop, server.stdin, lambda: None)
        self.output = Inlet(loop, server.stdout, lane.heard, lambda: None)
        self.heard_at = time.monotonic()
        self.beat_at: float | None = None
        self.ready_at: float | None = None
        self.why = ""

    def beats(self) -> None:
        """Read the heartbeats that have come."""
        with contextlib.suppress(OSError):
            if os.read(self.server.heartbeat, 1 << 16):
                self.beat_at = time.monotonic()

    def kill(self, why: str) -> None:
        """Kill it, and say why; its death is handled like any other."""
        self.why = self.why or why
        self.server.signal(signal.SIGKILL)


class Lane:
    """Keeps `command` serving `session`, until `stop`.

    `reply` takes what goes to the client. Nothing is forwarded before the end of the loop's turn, where the journal is
    committed first.
    """

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        options: Options,
        stores: tuple[Folder, Journal, History],
        session: Session,
        reply: Callable[[bytes], None],
    ) -> None:
        self.session = session
        self.deaths = 0
        self.broken = False
        self.outages = 0
        self._loop = loop
        self._command = command
        self._options = options
        self._folder, self._journal, self._history = stores
        self._reply = reply
        self._restarts = Restarts(options.policy)
        self._spares = Spares(loop, options.standby, self._spawn, self._history)
        self._watch = Watch(options.patience)
        self._serving: _Serving | None = None
        self._recovery: _Recovery | None = None
        self._outgoing: list[bytes] = []
        self._stopped: Callable[[], None] | None = None
        self._timers: list[Timer] = []
        loop.at_end_of_turn(self.settle)

    @property
    def serving(self) -> int | None:
        """The pid of the server that serves now."""
        return self._serving.server.pid if self._serving else None

    @property
    def spare(self) -> int | None:
        """The pid of the spare."""
        return self._spares.server.pid if self._spares.server else None

    @property
    def ready(self) -> bool:
        """Whether the present server has shown that it works."""
        return self._serving is not None and self._serving.ready_at is not None

    @property
    def congested(self) -> bool:
        """Whether the client should be read no further for now."""
        queued = self._serving.input.size if self._serving else 0
        return queued + self.session.waiting_bytes > 2 * self._options.limit_bytes

    def start(self) -> None:
        """Start the first server, or the next. Raises `OSError` where the command cannot be run."""
        self._begin(*self._launch())

    def client(self, line: bytes) -> None:
        """Take a line from the client."""
        self.perform(self.session.client(line))
        if self._recovery is not None and self._recovery.asked is None and self.session.calls:
            self._recovery.asked = time.monotonic()

    def stop(self, done: Callable[[], None]) -> None:
        """Close the server's input; ask it to end after half of the grace, kill it after all; then call `done`."""
        if self._stopped is not None:
            return
        self._stopped = done
        for timer in self._timers:
            timer.cancel()
        self._spares.stop()
        if self._serving is None:
            self._next(None)
            return
        self.settle()
        self._serving.input.end()
        grace_s = self._options.policy.grace_s
        self._loop.after(grace_s / 2, lambda: self._signal(signal.SIGTERM))
        self._loop.after(grace_s, lambda: self._signal(signal.SIGKILL))

    def pause(self, *, paused: bool) -> None:
        """Read the server no further, or go on."""
        if self._serving is not None:
            self._serving.output.pause(paused=paused)

    def tick(self) -> None:
        """Look after the server."""
        serving = self._serving
        if serving is None or self._stopped is not None:
            return
        seen = vitals(serving.server.pid)
        if seen is None or seen.state == "Z":
            return
        serving.beats()
        look = Look(
            at=time.monotonic(),
            state=seen.state,
            cpu_s=seen.cpu_s,
            heard=serving.heard_at,
            beat=serving.beat_at,
            working=bool(self.session.running),
            unanswered=self.session.unanswered_probes,
        )
        finding = self._watch.look(look)
        if finding.kind == "probe":
            self.perform(self.session.probe())
        elif finding.deadly and not serving.why:
            self._history.note(f"server.{finding.kind}", pid=serving.server.pid, why=finding.why)
            serving.kill(finding.why)
        if serving.ready_at is None and look.at - serving.server.began >= self._options.policy.stable_s:
            self._became_ready(serving)

    def heard(self, chunk: bytes) -> None:
        """Take what the server said."""
        serving = self._serving
        if serving is None:
            return
        serving.heard_at = time.monotonic()
        for line in serving.lines.feed(chunk):
            before = len(self.session.calls)
            actions = self.session.too_long(line.head) if isinstance(line, TooLong) else self.session.server(line)
            if serving.ready_at is None and not any(isinstance(action, Note) for action in actions):
                self._became_ready(serving)
            self.perform(actions)
            if self._recovery is not None and len(self.session.calls) < before:
                self._recovered(self._recovery)

    def perform(self, actions: Sequence[Action]) -> None:
        """Do what the session says."""
        for action in actions:
            match action:
                case Forward(line):
                    self._outgoing.append(line)
                case Reply(line):
                    self._reply(line)
                case Begun(number, about):
                    self._journal.began(number, about)
                case Ended(number, outcome):
                    self._journal.ended(number, outcome)
                case Note(event, data):
                    self._history.note(event, **data)
                case Replace(why):
                    if self._serving is not None:
                        self._serving.kill(why)

    def settle(self) -> None:
        """Make durable what has to be, then let go what waited for it."""
        was = self._journal.failed
        if self._journal.commit() is was:
            self._history.note("journal.failed" if not was else "journal.works_again")
        outgoing, self._outgoing = self._outgoing, []
        if self._serving is not None and outgoing:
            for line in outgoing:
                self._serving.input.put(line)
            self._serving.input.flush()

    def _spawn(self, gated: bool) -> Server:  # noqa: FBT001  the shape that Spares calls
        return Server(self._command, self._folder.mark(), gated=gated)

    def _launch(self) -> tuple[Server, StandardError]:
        """Return the next server, running. Raises `OSError`."""
        taken = self._spares.take()
        how = "warm" if taken is not None and self._spares.warm else "cold"
        if taken is None:
            server = self._spawn(gated=False)
            server.launch()
            taken = server, StandardError(self._loop, server.stderr)
        self._history.note("server.started", pid=taken[0].pid, how=how)
        if self._recovery is not None:
            self._recovery.how, self._recovery.exec_ms = how, self._recovery.since_ms()
        return taken

    def _begin(self, server: Server, errors: StandardError) -> None:
        self._watch = Watch(self._options.patience)
        self._serving = _Serving(self, self._loop, server, errors, self._options.limit_bytes)
        self._loop.watch(server.pidfd, READ, self._died)
        self._outgoing.clear()
        self.perform(self.session.server_up())
        self.settle()
        self._folder.record([s.identity for s in (server, self._spares.server) if s is not None])

    def _became_ready(self, serving: _Serving) -> None:
        serving.ready_at = time.monotonic()
        if self.outages:
            self.outages, self._restarts = 0, Restarts(self._options.policy)
        if self._recovery is not None:
            self._recovery.ready_ms = self._recovery.since_ms()
        self._history.note("server.ready", pid=serving.server.pid)
        self._later(0.0, self._refill)

    def _refill(self) -> None:
        if self._serving is not None and self._stopped is None:
            self._spares.refill()
            running = (self._serving.server, self._spares.server)
            self._folder.record([server.identity for server in running if server is not None])

    def _recovered(self, recovery: _Recovery) -> None:
        self._recovery = None
        waited_s = time.monotonic() - (recovery.asked if recovery.asked is not None else recovery.began)
        answer_ms = round(waited_s * 1000, 3)
        times = {"exec_ms": recovery.exec_ms, "ready_ms": recovery.ready_ms, "answer_ms": answer_ms}
        self._history.note(RECOVERED, how=recovery.how, **times)

    def _signal(self, number: int) -> None:
        if self._serving is not None:
            self._serving.server.signal(number)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers = [timer for timer in self._timers if timer.at > time.monotonic()]
        self._timers.append(self._loop.after(seconds, call))

    def _died(self) -> None:
        """Bury the server and launch the next before anything else; then hear the last words, and hand over."""
        dead = self._serving
        if dead is None:
            return
        self._recovery = _Recovery(time.monotonic())
        self._loop.watch(dead.server.pidfd, 0, self._died)
        status = dead.server.bury()
        self.deaths += 1
        served_s = time.monotonic() - dead.ready_at if dead.ready_at is not None else 0.0
        delay = self._restarts.died(ready=dead.ready_at is not None, served_s=served_s)
        following: tuple[Server, StandardError] | None = None
        if delay == 0.0 and self._stopped is None:
            with contextlib.suppress(OSError):  # the attempt after this one tells
                following = self._launch()
        self._mourn(dead, status, served_s)
        if following is not None:
            self._begin(*following)
        else:
            self._next(delay)

    def _mourn(self, dead: _Serving, status: int, served_s: float) -> None:
        """Hear what the dead server said last, and tell the session how it ended and how far it had read."""
        dead.output.drain()
        dead.errors.drain()
        self._serving = None
        tail = dead.errors.tail
        told = tail[-self._options.told_stderr :] if self._options.told_stderr else ""
        death = Death(pid=dead.server.pid, status=status, why=dead.why, stderr=told)
        consumed = dead.input.taken - dead.server.unread()
        dead.input.close()
        dead.server.forget()
        self.perform(self.session.server_down(death, consumed))
        if self._recovery is not None:
            self._recovery.asked = time.monotonic() if self.session.calls else None
        self._history.note("server.died", served_s=round(served_s, 3), **{**death.told(), "stderr": tail})

    def _next(self, delay: float | None) -> None:
        if self._stopped is not None:
            self.perform(self.session.outage("the supervisor is ending"))
            self._stopped()
        elif delay is None:
            self._give_up("it dies again and again before it is ready")
        elif delay:
            self._later(delay, self._restart)
        else:
            self._restart()

    def _restart(self) -> None:
        self.broken = False
        try:
            self.start()
        except OSError as error:
            self._give_up(f"{self._command[0]} cannot be run: {error}")

    def _give_up(self, why: str) -> None:
        """Open the breaker: answer at once that there is no server, and try again after the cool-down."""
        self.broken = True
        self.outages += 1
        self._restarts = Restarts(replace(self._options.policy, breaker=1))  # one attempt after each cool-down
        self._history.note("breaker.open", why=why, again_in_s=self._options.cool_down_s)
        self.perform(self.session.outage(why))
        self._later(self._options.cool_down_s, self._restart)
