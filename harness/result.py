"""What a trial came to: the verdicts of its checks, and the one status that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from harness.checks._base import Status, Verdict
from harness.errors import ScenarioError
from harness.record import FORMAT

TrialStatus = Literal["PASS", "FAIL", "UNKNOWN", "SKIPPED", "ERROR", "INTERRUPTED"]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A check with what it was asked (as in the scenario, for reading) and what it said."""

    check: str
    asked: str
    verdict: Verdict


class FaultResult(msgspec.Struct, frozen=True, kw_only=True):
    """One occurrence of a fault. `jitter_ms` is how late it began, None if it never did; times from workload start."""

    fault: int
    kind: str
    on: str | None
    began_s: float | None
    undone_s: float | None
    jitter_ms: float | None
    proven: bool
    reason: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `result.json`.

    `reason` is one sentence for people. `operations` counts outcomes ("ok", "fail", "info"). `left` lists what
    could not be undone. `fix` says what to do about a SKIPPED or ERROR. `convicted` is None unless the scenario is
    a negative one.
    """

    scenario: str
    feature: str
    summary: str
    tags: tuple[str, ...]
    variant: str
    attempt: int
    root_seed: int
    seed: int
    source: str
    status: TrialStatus
    reason: str
    checks: tuple[Judged, ...] = ()
    faults: tuple[FaultResult, ...] = ()
    operations: Mapping[str, int] = {}
    duration_s: float = 0.0
    left: tuple[str, ...] = ()
    fix: str = ""
    convicts: tuple[str, ...] = ()
    convicted: bool | None = None
    format: int = FORMAT

    @property
    def id(self) -> str:
        """`scenario[variant]#attempt`, leaving out what is not there."""
        variant = f"[{self.variant}]" if self.variant else ""
        attempt = f"#{self.attempt}" if self.attempt else ""
        return f"{self.scenario}{variant}{attempt}"


def worst(statuses: Iterable[Status]) -> Status:
    """Any FAIL, else any UNKNOWN, else PASS; of nothing at all: UNKNOWN."""
    found = set(statuses)
    if "FAIL" in found:
        return "FAIL"
    return "PASS" if found == {"PASS"} else "UNKNOWN"


def read(path: Path) -> Result:
    """Read a `result.json`. Raises `ScenarioError` where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError) as error:
        raise ScenarioError(f"{path} is not a result: {error}") from error
