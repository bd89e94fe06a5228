"""`supervise [options] -- COMMAND…`: the supervisor's command line, and what holds its parts together.

Imports no `mcp` (600 ms) and no asyncio (80 ms): a client waits for this process before it waits for its server.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from targets.durable import FolderInUse
from targets.mcp_tools.folder import Folder, claim, slots
from targets.mcp_tools.hang import Patience
from targets.mcp_tools.history import History
from targets.mcp_tools.journal import Journal
from targets.mcp_tools.lane import TICK_S, Lane, Options
from targets.mcp_tools.loop import READ, Loop
from targets.mcp_tools.processes import adopt_orphans
from targets.mcp_tools.spares import MODES
from targets.supervision import Policy, die_with_parent

EXIT_USAGE, EXIT_IN_USE, EXIT_CANNOT_RUN = 64, 73, 127


class Front(Protocol):
    """What clients talk to."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """What it keeps going."""

    def start(self) -> None:
        """Begin to serve. Raises `OSError` where that is impossible."""

    def close(self) -> None:
        """Send what can be sent without waiting, and close."""


Stores = tuple[Folder, Journal, History]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    policy, patience, options = Policy(grace_s=1.0), Patience(), Options()
    made = argparse.ArgumentParser(
        prog="bigfive-supervise",
        description="Keep an MCP server running, and its clients unaware of its deaths. Exit status: 0 the client has "
        "left or SIGTERM came, 64 wrong usage, 73 another supervisor owns the state folder, 127 COMMAND cannot be run.",
    )
    made.add_argument("--state-dir", type=Path, metavar="DIR", help="default: one below the user's state folder")
    made.add_argument("--standby", choices=MODES, default=options.standby, help="keep a warm spare (default off)")
    made.add_argument(
        "--http", metavar="[HOST:]PORT", help="serve streamable HTTP instead of standard input and output"
    )
    made.add_argument("--token-file", type=Path, metavar="FILE", help="with --http: clients must present this token")
    made.add_argument("--origin", action="append", default=[], help="with --http: allow this web origin (repeatable)")
    made.add_argument("--host-name", action="append", default=[], help="with --http: allow this Host (repeatable)")
    for name, default, what in (
        ("stable", policy.stable_s, "a server that served so long starts with a clean sheet"),
        ("backoff", policy.backoff_s, "first delay of a restart in a streak"),
        ("backoff-cap", policy.backoff_cap_s, "longest delay"),
        ("grace", policy.grace_s, "for the server's end"),
        ("cool-down", options.cool_down_s, "between attempts once the breaker is open"),
        ("stopped", patience.stopped_s, "in state T before it is replaced"),
        ("heartbeat", patience.heartbeat_s, "without a heartbeat, for servers that send them"),
        ("quiet", patience.quiet_s, "of silence under work before a server is asked for a sign of life"),
        ("confirm", patience.confirm_s, "for each of two answers to that"),
        ("busy", patience.busy_s, "that one call may block everything else; 0: for ever"),
    ):
        made.add_argument(f"--{name}", type=float, default=default, metavar="SECONDS", help=f"{what} ({default:g})")
    made.add_argument(
        "--breaker", type=int, default=policy.breaker, metavar="DEATHS", help="before readiness, in a row"
    )
    made.add_argument("--quarantine", type=int, default=options.deaths_allowed, metavar="DEATHS", help="of one call")
    made.add_argument("--with-parent", action="store_true", help="end when the thread that started this ends")
    made.add_argument("command", nargs="+", metavar="COMMAND")
    return made


def options_of(chosen: argparse.Namespace) -> Options:
    """Return the options that the parsed command line describes."""
    return Options(
        policy=Policy(
            notifies=False,
            stable_s=chosen.stable,
            backoff_s=chosen.backoff,
            backoff_cap_s=chosen.backoff_cap,
            breaker=chosen.breaker,
            grace_s=chosen.grace,
        ),
        patience=Patience(
            stopped_s=chosen.stopped,
            heartbeat_s=chosen.heartbeat,
            quiet_s=chosen.quiet,
            confirm_s=chosen.confirm,
            busy_s=chosen.busy,
        ),
        standby=chosen.standby,
        cool_down_s=chosen.cool_down,
        deaths_allowed=chosen.quarantine,
    )


class Supervisor:
    """Runs a front and its lanes until the client leaves or a signal comes."""

    def __init__(
        self, stores: Stores, make: Callable[[Loop, Callable[[], None]], Front], about: dict[str, object]
    ) -> None:
        self._loop = Loop()
        self._folder, self._journal, self._history = stores
        self._about = about
        self._began = time.time()
        self._ending = False
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._loop.watch(self._wake, READ, self._signalled)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._front = make(self._loop, self.stop)

    def run(self) -> None:
        """Serve. Raises `OSError` where the command cannot be run."""
        self._history.note("supervisor.started", pid=os.getpid(), killed=self._folder.killed, **self._about)
        for number, about in self._journal.interrupted.items():
            self._history.note("call.interrupted", number=number, maybe_executed=True, **about)
        self._front.start()
        self._tick()
        self._loop.run()
        self._front.close()
        self._journal.commit()
        self._journal.close()
        self._history.note("supervisor.ended", pid=os.getpid())
        self._tell()

    def stop(self) -> None:
        """End every server, then `run`."""
        if self._ending:
            return
        self._ending = True
        left = list(self._front.lanes)

        def ended(lane: Lane) -> None:
            left.remove(lane)
            if not left:
                self._loop.stop()

        for lane in list(left):
            lane.stop(lambda lane=lane: ended(lane))  # type: ignore[misc]
        if not self._front.lanes:
            self._loop.stop()

    def _signalled(self) -> None:
        os.read(self._wake, 64)
        self.stop()

    def _tick(self) -> None:
        for lane in self._front.lanes:
            lane.tick()
        self._tell()
        self._loop.after(TICK_S, self._tick)

    def _tell(self) -> None:
        lanes = [
            {
                "server": lane.serving,
                "ready": lane.ready,
                "spare": lane.spare,
                "deaths": lane.deaths,
                "breaker": "open" if lane.broken else "closed",
                "unanswered": len(lane.session.calls),
                "waiting_bytes": lane.session.waiting_bytes,
            }
            for lane in self._front.lanes
        ]
        state: dict[str, object] = {"journal": "failed" if self._journal.failed else "works", "lanes": lanes}
        self._history.status({"pid": os.getpid(), "began": self._began, "ended": self._ending, **self._about, **state})


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervise what the command line describes; return the exit status."""
    made = parser()
    try:
        chosen = made.parse_args(arguments)
    except SystemExit as error:
        return EXIT_USAGE if error.code else 0
    if chosen.with_parent:
        die_with_parent()
    adopt_orphans()
    try:
        folder = claim([chosen.state_dir] if chosen.state_dir else slots(chosen.command))
    except (FolderInUse, OSError) as error:
        sys.stderr.write(f"bigfive-supervise: {error}\n")
        return EXIT_IN_USE
    stores = folder, Journal(folder.path), History(folder.path)
    about: dict[str, object] = {"command": chosen.command, "front": chosen.http or "stdio"}
    try:
        Supervisor(stores, _front(chosen, stores), about).run()
    except ValueError as error:
        sys.stderr.write(f"bigfive-supervise: {error}\n")
        return EXIT_USAGE
    except OSError as error:
        sys.stderr.write(f"bigfive-supervise: {error}\n")
        return EXIT_CANNOT_RUN
    return 0


def _front(chosen: argparse.Namespace, stores: Stores) -> Callable[[Loop, Callable[[], None]], Front]:
    """Return what makes the front. Raises `ValueError` where it would be open to the world, or has no port."""
    if chosen.http is not None:
        return _http_front(chosen, stores)
    from targets.mcp_tools.stdio_front import StdioFront  # noqa: PLC0415  each front imports what it needs

    return lambda loop, gone: StdioFront(loop, chosen.command, options_of(chosen), stores, gone)


def _http_front(chosen: argparse.Namespace, stores: Stores) -> Callable[[Loop, Callable[[], None]], Front]:
    from targets.mcp_tools.http_front import HttpFront  # noqa: PLC0415  see above
    from targets.mcp_tools.http_rules import LOOPBACK, Door  # noqa: PLC0415  see above

    host, _, port = chosen.http.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    token = chosen.token_file.read_text().strip() if chosen.token_file else ""
    if not port.isdigit():
        raise ValueError(f"--http takes [HOST:]PORT, got {chosen.http!r}")
    if host not in LOOPBACK and not token:
        raise ValueError(f"{host} can be reached from elsewhere: give a --token-file")
    door = Door(token=token, hosts=frozenset(chosen.host_name), origins=frozenset(chosen.origin))
    return lambda loop, _: HttpFront(loop, chosen.command, options_of(chosen), stores, (host, int(port)), door)


if __name__ == "__main__":
    sys.exit(main())
