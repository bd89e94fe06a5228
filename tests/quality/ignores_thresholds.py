"""A planted bug: the service is told of every threshold that it passes, and does nothing about it.

The monitor watches, the events come, and the kernel kills it in the end; its restart is flawless and loses nothing. It
has no fence either, which would have refused the memory in its place. The check `controlled_shutdown` must convict it.
Referenced as `…/tests/quality/ignores_thresholds.py:adapter`.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar

from targets.resources.client import WorkClient
from targets.resources.host import Host
from targets.resources.service import Service, leave, main
from targets.state.service import write_event

if TYPE_CHECKING:
    from targets.resources.levels import Change
    from targets.state.store import Emit


class Careless(Service):
    """Says what happens, and leaves it at that."""

    fenced: ClassVar[bool] = False

    def react(self, change: Change) -> None:
        write_event(f"pressure.{change.new.word}", **change.details())


def host(emit: Emit) -> Host:
    return Host(emit, (sys.executable, __file__))


adapter = SimpleNamespace(host=host, client=WorkClient)

if __name__ == "__main__":
    leave(main(service=Careless))
