"""The live view: one line a running trial, redrawn in place, below the verdicts that have scrolled by."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.clock import SystemClock, seconds
from harness.engine.suite import SuiteFolder
from harness.reporting._hush import hush
from harness.reporting._terminal import Active, Lines, coloured, name, paint

_clock = SystemClock()


class LiveView(Lines):
    """A watcher that draws. It has no thread: the pool's ticks redraw it."""

    tick_s = 0.1

    def __init__(self, folder: SuiteFolder, total: int, live: Live, verbosity: int) -> None:
        super().__init__(folder, total, self._print, verbosity)
        self._live = live
        self._drawn = 0

    def tick(self) -> None:
        """Redraw, unless that has only just been done: a tick comes with every event, too."""
        now = _clock.monotonic_ns()
        if seconds(now - self._drawn) >= self.tick_s:
            self._drawn = now
            self._show(lambda: self._live.update(self._table(), refresh=True))

    def _print(self, line: str) -> None:
        # Unwrapped, so that a command that was printed can be copied.
        self._show(lambda: self._live.console.print(Text.from_ansi(paint(line)), soft_wrap=True))

    @staticmethod
    def _show(write: Callable[[], None]) -> None:
        try:
            write()
        except OSError:
            hush(sys.stdout)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(f"{self.done} of {self.total}", "trial", "phase", "elapsed", "operations", "faults", style="dim")
        for active in self.running.values():
            table.add_row("", *_cells(active))
        return table


def _cells(active: Active) -> tuple[str, ...]:
    return (
        name(active.run),
        active.phase.replace("_", " "),
        f"{active.elapsed_s:.1f} s",
        str(active.operations),
        ", ".join(active.faults.values()),
    )


@contextmanager
def live_view(folder: SuiteFolder, total: int, verbosity: int) -> Iterator[LiveView]:
    """Draw while the context lasts; nothing of the view is left on the screen afterwards."""
    console = Console(highlight=False, no_color=not coloured())
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveView(folder, total, live, verbosity)
