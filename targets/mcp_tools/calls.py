"""A request on its way, the deaths that it saw, and when it is to blame for them."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

from targets.mcp_tools.messages import Id

# Signals that come from outside. The kernel's OOM killer sends one of them as well, which is why they count at all.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_OWN_WEIGHT, _OUTSIDE_WEIGHT = 3, 1


@dataclass(frozen=True, kw_only=True)
class Death:
    """How a server ended: `status` is its exit status, or minus the number of the signal that killed it.

    `why` is set where we killed it ourselves, `stderr` is the last of what it said.
    """

    pid: int
    status: int
    why: str = ""
    stderr: str = ""

    @property
    def weight(self) -> int:
        """How much of it is held against the calls that were running: one from outside counts a third."""
        return _OUTSIDE_WEIGHT if not self.why and -self.status in _FROM_OUTSIDE else _OWN_WEIGHT

    def told(self) -> dict[str, object]:
        """Return it for an error's data."""
        how: dict[str, object] = {"status": self.status} if self.status >= 0 else {"signal": -self.status}
        said = {"why": self.why} if self.why else {}
        return {"pid": self.pid, **how, **said} | ({"stderr": self.stderr} if self.stderr else {})


def limit(deaths: int) -> int:
    """Return the blame that `deaths` deaths of a call's own making add up to."""
    return deaths * _OWN_WEIGHT


@dataclass(kw_only=True, eq=False)
class Call:
    """A request that its client has no answer to.

    `end` is where its last byte lies in what the current server was sent; 0 where it was not sent to it.
    """

    id: Id
    method: str
    tool: str
    keyed: bool
    token: Id | UnsetType
    line: bytes
    number: int
    journaled: bool = False
    end: int = 0
    blame: int = 0
    progress: float | None = None
    floor: float | None = None
    deaths: list[Death] = field(default_factory=list)

    def died(self, death: Death) -> None:
        """Take note that the server died with this call in its hands."""
        self.deaths.append(death)
        self.blame += death.weight
        self.floor = self.progress

    def progressed(self, progress: float | UnsetType) -> bool:
        """Take note of progress; return whether the client should hear of it.

        A replayed call begins again, and progress must not go back. One that gets further than before is no poison.
        """
        if progress is UNSET:
            return True
        if self.floor is not None and progress <= self.floor:
            return False
        if self.progress is None or progress > self.progress:
            self.progress, self.blame = progress, 0
            self.floor = progress if self.floor is not None else None
        return True
