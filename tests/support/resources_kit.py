"""What the tests of the resources feature share: cgroups of their own, a running service, and a protected dummy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from targets.resources.levels import Sample
from targets.resources.units import MIB

TREES = Path(__file__).parents[1] / "targets" / "resources" / "trees"
LIMITS = {"memory": "256MiB", "swap": "0B", "pids": 200}
"""Of the groups and containers that tests break. Small and safe: the host has gigabytes."""


def no_own_cgroup() -> str:
    """Say why no cgroup of our own can be made here, "" if it can."""
    memory = Path("/sys/fs/cgroup/memory")
    if os.geteuid() != 0:
        return "needs root, to make a cgroup"
    return "" if os.access(memory / "cgroup.event_control", os.W_OK) else "needs the v1 memory controller, writable"


class Dummy:
    """Protected by actions: notes what they ask of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []

    def notify(self, event: str, details: Mapping[str, object]) -> None:
        self.asked.append((event, details["level"]))

    def checkpoint(self) -> None:
        self.asked.append(("checkpoint", None))

    def shed(self, why: str) -> None:
        self.asked.append(("shed", bool(why)))

    def pause(self, why: str) -> None:
        self.asked.append(("pause", bool(why)))

    def shut_down(self, why: str, details: Mapping[str, object], *, at_once: bool) -> None:
        self.asked.append(("shut_down", at_once))


class Fixed:
    """A source of samples that a test sets."""

    resource, fast = "memory", True

    def __init__(self, used: float = 0, limit: float | None = 100 * MIB) -> None:
        self.used = used
        self.limit = limit

    def read(self, at: float) -> Sample | None:
        return Sample(at, self.used, self.limit)
