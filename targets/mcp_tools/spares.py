"""Standby: a second process, which serves nobody until the first is dead.

`off`: it is forked, and has not become the server yet; that alone saves most of the time to its exec. The others are
warm: their imports are done. `gated`: for servers that wait at a gate when told to (`standby.wait_for_turn`).
`started`: for foreign ones; the spare is simply started and given no input, so its command must have no effect before
it is asked something.
"""

from __future__ import annotations

from collections.abc import Callable

from targets.mcp_tools.history import History
from targets.mcp_tools.loop import READ, Loop, Timer
from targets.mcp_tools.processes import Server
from targets.mcp_tools.standard_error import StandardError
from targets.supervision import Policy, Restarts

MODES = ("off", "gated", "started")


class Spares:
    """Keeps one spare."""

    def __init__(self, loop: Loop, mode: str, start: Callable[[bool], Server], history: History) -> None:
        self._loop = loop
        self._mode = mode
        self._start = start
        self._history = history
        self._restarts = Restarts(Policy())
        self.warm = mode != "off"
        self._stopped = False
        self._spare: tuple[Server, StandardError] | None = None
        self._timer: Timer | None = None

    @property
    def server(self) -> Server | None:
        """The spare, if there is one that is warm or will be."""
        return self._spare[0] if self._spare and self.warm else None

    def refill(self) -> None:
        """Start a spare unless there is one."""
        self._timer = None
        if self._stopped or self._spare is not None:
            return
        server = self._start(self._mode == "gated")
        try:
            if self.warm:
                server.launch()
        except OSError as error:
            self._history.note("spare.failed", why=str(error))
            return
        self._spare = server, StandardError(self._loop, server.stderr)
        self._loop.watch(server.pidfd, READ, self._died)
        if self.warm:
            self._history.note("spare.started", pid=server.pid)

    def take(self) -> tuple[Server, StandardError] | None:
        """Hand the spare over, launched and its gate open; None if there is none. Raises `OSError`."""
        taken, self._spare = self._spare, None
        if taken is None:
            return None
        self._loop.watch(taken[0].pidfd, 0, self._died)
        if not self.warm:
            taken[0].launch()
        taken[0].open_gate()
        return taken

    def stop(self) -> None:
        """End the spare, and start no other."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._bury()

    def _died(self) -> None:
        status = self._bury()
        delay = self._restarts.died(ready=False, served_s=0.0)
        self._history.note("spare.died", status=status, given_up=delay is None)
        if delay is not None:
            self._timer = self._loop.after(max(delay, 0.1), self.refill)

    def _bury(self) -> int:
        if self._spare is None:
            return 0
        (server, errors), self._spare = self._spare, None
        self._loop.watch(server.pidfd, 0, self._died)
        status = server.bury()
        errors.drain()
        server.close()
        return status
