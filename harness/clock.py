"""The only clock of the harness.

Judgments use `monotonic_ns` of this kernel alone: it is shared by all processes and containers on it, and no
wall-clock jump, NTP step or time zone can change a measured duration. `utc_now` is for labels that people read.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """What the engine needs of a clock; `harness.testing.FakeClock` is the other one."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary point, never going back."""
        ...

    def utc_now(self) -> datetime:
        """Wall-clock time, aware, in UTC. Never used in a judgment."""
        ...


class SystemClock:
    """CLOCK_MONOTONIC and CLOCK_REALTIME of this machine."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def utc_now(self) -> datetime:
        """Now, in UTC."""
        return datetime.now(UTC)


def seconds(ns: int) -> float:
    """Nanoseconds as seconds."""
    return ns / NS_PER_S
