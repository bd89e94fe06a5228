"""bigfive breaks an agent platform on purpose, in CI and on a laptop, and proves that it heals itself.

These names are the public door; each is imported when it is first used, so that `import harness` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.checks._base import Verdict
    from harness.engine.suite import Selection, collect
    from harness.errors import BigfiveError
    from harness.faults._base import Site, Undo
    from harness.record import Record
    from harness.registry import check, fault, report, runner
    from harness.result import Result
    from harness.scenario.load import load
    from harness.undo import undoer

__all__ = [
    "BigfiveError",
    "Record",
    "Result",
    "Selection",
    "Site",
    "Undo",
    "Verdict",
    "check",
    "collect",
    "fault",
    "load",
    "report",
    "runner",
    "undoer",
]

_HOMES = {
    "BigfiveError": "harness.errors",
    "Record": "harness.record",
    "Result": "harness.result",
    "Selection": "harness.engine.suite",
    "Site": "harness.faults._base",
    "Undo": "harness.faults._base",
    "Verdict": "harness.checks._base",
    "check": "harness.registry",
    "collect": "harness.engine.suite",
    "fault": "harness.registry",
    "load": "harness.scenario.load",
    "report": "harness.registry",
    "runner": "harness.registry",
    "undoer": "harness.undo",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return list(__all__)
