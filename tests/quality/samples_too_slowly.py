"""A planted bug: the monitor looks once every five seconds, and has not asked the kernel to wake it.

Slow growth is met with a flawless shutdown, so that a test which grows slowly finds nothing; fast growth is over before
the next look. It has no fence either, which would have refused the memory in its place. The check
`controlled_shutdown` must convict it. Referenced as `…/tests/quality/samples_too_slowly.py:adapter`.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar

from targets.resources.client import WorkClient
from targets.resources.host import Host
from targets.resources.levels import Pace
from targets.resources.service import Service, leave, main

if TYPE_CHECKING:
    from targets.state.store import Emit

EVERY_S = 5.0


class Sleepy(Service):
    """Looks by the clock alone, and rarely."""

    pace: ClassVar[Pace] = Pace(shortest_s=EVERY_S, rest_s=EVERY_S, longest_s=EVERY_S, slow_s=EVERY_S)
    woken_by_kernel: ClassVar[bool] = False
    fenced: ClassVar[bool] = False


def host(emit: Emit) -> Host:
    return Host(emit, (sys.executable, __file__))


adapter = SimpleNamespace(host=host, client=WorkClient)

if __name__ == "__main__":
    leave(main(service=Sleepy))
