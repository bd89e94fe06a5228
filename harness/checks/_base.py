"""What a check is.

A check is a frozen, keyword-only dataclass registered with `@check("name")`. Its fields are the YAML members below
its name in `expect`; where a scenario writes a bare value (`recovered_within: 5s`) it is the field named by
`shorthand`. `judge` is a pure function of the record: no clock, no world, no randomness, so that an old run can be
judged again.

A check that cannot know says UNKNOWN. "Nothing bad was seen" is a PASS only where something could have been seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

import msgspec

from harness.record import Record

Status = Literal["PASS", "FAIL", "UNKNOWN"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check says. `summary` is one plain English sentence; `evidence` points at lines of the record.

    `numbers` are measurements in the unit that their name ends with (`recovery_ms`, `lost`, …).
    """

    status: Status
    summary: str
    numbers: Mapping[str, float] = {}
    evidence: tuple[str, ...] = ()


class Check(Protocol):
    """The contract of every check."""

    kind: ClassVar[str]
    shorthand: ClassVar[str | None]
    """The field that a bare value in the scenario sets, or None if the check takes no bare value."""
    observes: ClassVar[tuple[str, ...]]
    """Samples of the world that the engine must take for it (`harness.engine.observers`)."""

    def judge(self, record: Record) -> Verdict:
        """Judge a run."""
        ...
