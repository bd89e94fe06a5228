"""The front for one client over standard input and output. Its connection stays, whatever happens to servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from targets.mcp_tools import messages
from targets.mcp_tools.folder import Folder
from targets.mcp_tools.history import History
from targets.mcp_tools.journal import Journal
from targets.mcp_tools.lane import Lane, Options
from targets.mcp_tools.loop import Loop
from targets.mcp_tools.messages import Lines, TooLong
from targets.mcp_tools.quarantine import Quarantine
from targets.mcp_tools.session import Session
from targets.mcp_tools.streams import Inlet, Outlet, unblocked


class StdioFront:
    """Serves the client at the other end of two descriptors; calls `gone` when it has left."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        options: Options,
        stores: tuple[Folder, Journal, History],
        gone: Callable[[], None],
        descriptors: tuple[int, int] = (0, 1),
    ) -> None:
        folder, journal, self._history = stores
        self._gone = gone
        self._limit = options.limit_bytes
        self._lines = Lines(options.limit_bytes)
        session = Session(
            Quarantine(), options.deaths_allowed, iter(journal.number, 0), lambda number: f"{folder.life}-{number}"
        )
        self._output = Outlet(loop, unblocked(descriptors[1]), self._left)
        self.lane = Lane(loop, command, options, stores, session, self._output.put)
        self._input = Inlet(loop, unblocked(descriptors[0]), self._read, self._ended)
        loop.at_end_of_turn(self._settle)

    @property
    def lanes(self) -> Sequence[Lane]:
        """The one lane."""
        return [self.lane]

    def start(self) -> None:
        """Start the server. Raises `OSError` where the command cannot be run."""
        self.lane.start()

    def close(self) -> None:
        """Send what can be sent without waiting, and close."""
        self._output.flush()
        self._input.close()
        self._output.close()

    def _read(self, chunk: bytes) -> None:
        for line in self._lines.feed(chunk):
            if isinstance(line, TooLong):
                why = f"a message may have {self._limit} bytes; this one has more, and was not forwarded"
                id_ = messages.id_within(line.head)
                data = {"maybe_executed": False}
                self._output.put(messages.failure(id_, messages.INVALID_REQUEST, why, data))
            else:
                self.lane.client(line)

    def _ended(self) -> None:
        if self._lines.rest:
            self._history.note("client.half_message", bytes=self._lines.rest)
        self._left()

    def _left(self) -> None:
        self._history.note("client.gone", unanswered=len(self.lane.session.calls))
        self._gone()

    def _settle(self) -> None:
        self._output.flush()
        self._input.pause(paused=self.lane.congested or self._output.size > self._limit)
        self.lane.pause(paused=self._output.size > self._limit)
