"""How everything that we make in an engine is marked, so that anybody can find it, and tell whether it is still owned.

    bigfive.label    the run; targets mark what they make with it too (they find it in BIGFIVE_LABEL)
    bigfive.owner    the process that answers for it: pid, start time, boot and pid namespace

An owner of another boot, machine or pid namespace is nobody whom we could ask, so what it owns is left alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.processes import Process

LABEL = "bigfive.label"
OWNER = "bigfive.owner"
_FIELDS = 4


@dataclass(frozen=True)
class Owner:
    """A process, named so that no other one on any machine has the name."""

    process: Process
    boot: str
    namespace: str

    @classmethod
    def current(cls) -> Owner:
        """Return this process."""
        return cls(Process.of(os.getpid()), *_place())

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Read what `str` wrote; None for what is no owner."""
        fields = text.split("/")
        if len(fields) != _FIELDS or not (fields[0].isdigit() and fields[1].isdigit()):
            return None
        return cls(Process(int(fields[0]), int(fields[1])), fields[2], fields[3])

    def gone(self) -> bool:
        """Return whether it certainly does not live any more."""
        boot, namespace = _place()
        return (self.boot, self.namespace) == (boot, namespace) and not self.process.alive()

    def __str__(self) -> str:
        """Return it as one label's value."""
        return f"{self.process.pid}/{self.process.started}/{self.boot}/{self.namespace}"


def marks(label: str) -> dict[str, str]:
    """Return the labels of what a run makes."""
    return {LABEL: label, OWNER: str(Owner.current())}


def _place() -> tuple[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot, str(Path("/proc/self/ns/pid").stat().st_ino)
