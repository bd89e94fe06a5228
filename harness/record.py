"""The run folder: what one trial did, append-only, as frozen event types in JSON lines.

    scenario.yaml    the scenario file, byte for byte
    trial.json       `TrialSpec`: which variant, attempt and seed, and where it came from
    plan.json        the timeline, a pure function of the two above
    events.jsonl     `Event`s: phases, faults, what the target reported, observations
    history.jsonl    `Invoked` and `Returned`: every operation of every client
    probes.jsonl     `Probed`: the prober's view of whether the target serves
    undo.jsonl       the write-ahead undo log (`harness.undo`)
    result.json      the verdicts, a pure function of everything above
    logs/            standard error of every process

All times are nanoseconds of this kernel's monotonic clock. A reader cuts one torn last line, which a crash may
leave; any other line that does not parse is an error. `FORMAT` is part of `trial.json`; older formats stay readable
(`tests/golden/`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from harness.errors import HarnessBug, ScenarioError
from harness.wire import Json, Outcome

FORMAT = 1
Phase = Literal["preflight", "set_up", "steady_state", "workload", "heal", "quiet", "stop", "judge", "tear_down"]


class TrialSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which trial this is. `source` is the scenario file; relative adapters are resolved beside it."""

    scenario: str
    source: str
    variant: str = ""
    params: Json = {}
    attempt: int = 0
    root_seed: int
    seed: int
    label: str
    allow: tuple[str, ...] = ()
    require_all: bool = False
    timeout_s: float | None = None
    keep: bool = False
    format: int = FORMAT


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened at `t`."""

    t: int


class RunBegan(Event, frozen=True, kw_only=True, tag="run_began"):
    """First line: the environment of the run."""

    environment: Json


class PhaseBegan(Event, frozen=True, kw_only=True, tag="phase_began"):
    """A phase began; the one before it has ended."""

    phase: Phase


class Described(Event, frozen=True, kw_only=True, tag="described"):
    """What the target said of itself in preflight."""

    description: Json


class WorkloadBegan(Event, frozen=True, kw_only=True, tag="workload_began"):
    """Time zero of the timeline (after the warm-up).

    A workload of `clients` clients numbers them from 0; who replaces a dead one has a number that is a multiple of
    `clients` higher. 0 stands for unknown, in records of before that was so.
    """

    clients: int = 0


class FaultInjecting(Event, frozen=True, kw_only=True, tag="fault_injecting"):
    """The undo is journaled and the act begins; `t - due` is the injection jitter."""

    fault: int
    kind: str
    on: str | None
    due: int


class FaultInjected(Event, frozen=True, kw_only=True, tag="fault_injected"):
    """The act is over; `began` is when it started to have an effect at the earliest."""

    fault: int
    began: int
    evidence: Json


class FaultProven(Event, frozen=True, kw_only=True, tag="fault_proven"):
    """The fault took effect, and this shows it."""

    fault: int
    proof: Json


class FaultUnproven(Event, frozen=True, kw_only=True, tag="fault_unproven"):
    """The fault could not be injected, did not take effect, or its end could not be shown."""

    fault: int
    reason: str


class FaultUndone(Event, frozen=True, kw_only=True, tag="fault_undone"):
    """A held fault was undone, and this shows it."""

    fault: int
    proof: Json


class TargetEvent(Event, frozen=True, kw_only=True, tag="target_event"):
    """The target reported `name` by itself; `t` is when it reached the harness."""

    name: str
    data: Json


class Observed(Event, frozen=True, kw_only=True, tag="observed"):
    """A sample of the world that a check asked for."""

    name: str
    data: Json


class Problem(Event, frozen=True, kw_only=True, tag="problem"):
    """The trial could not go on as planned. `error` is the class name in `harness.errors`."""

    phase: Phase
    error: str
    message: str
    fix: str = ""


class RunEnded(Event, frozen=True, kw_only=True, tag="run_ended"):
    """Last line: tear-down is over; `left` lists what could not be undone."""

    left: list[str]


AnyEvent = (
    RunBegan
    | PhaseBegan
    | Described
    | WorkloadBegan
    | FaultInjecting
    | FaultInjected
    | FaultProven
    | FaultUnproven
    | FaultUndone
    | TargetEvent
    | Observed
    | Problem
    | RunEnded
)


class Invoked(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="invoke"):
    """Client `client` is about to send operation number `n`. `final` marks the reads after the quiet period."""

    n: int
    client: int
    t: int
    op: str
    args: Json
    final: bool = False


class Returned(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="return"):
    """Operation `n` was answered: done, certainly not done, or unknown."""

    n: int
    t: int
    outcome: Outcome
    result: Json


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """One probe, sent at `t` and decided at `end`; a bad one says why."""

    t: int
    end: int
    good: bool
    error: str = ""


@dataclass(frozen=True)
class Operation:
    """An invocation with its return. An open one (`returned` is None) may take effect at any later time."""

    n: int
    client: int
    op: str
    args: Json
    called: int
    final: bool
    returned: int | None
    outcome: Outcome
    result: Json

    @property
    def acknowledged(self) -> bool:
        """Return whether the target said that it is done."""
        return self.outcome == "ok"


class Folder:
    """Paths of a run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scenario = path / "scenario.yaml"
        self.trial = path / "trial.json"
        self.plan = path / "plan.json"
        self.events = path / "events.jsonl"
        self.history = path / "history.jsonl"
        self.probes = path / "probes.jsonl"
        self.undo = path / "undo.jsonl"
        self.result = path / "result.json"
        self.logs = path / "logs"

    def spec(self) -> TrialSpec:
        """Read `trial.json`. Raises `ScenarioError` where this is no run folder or of a newer format."""
        try:
            spec = msgspec.json.decode(self.trial.read_bytes(), type=TrialSpec)
        except (OSError, msgspec.MsgspecError) as error:
            raise ScenarioError(f"{self.path} is not a run folder: {error}") from error
        if spec.format > FORMAT:
            raise ScenarioError(
                f"{self.path} has record format {spec.format}; this bigfive reads up to {FORMAT}: upgrade it"
            )
        return spec


class Writer:
    """Appends records to one file, a line each, whole lines only."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._encoder = msgspec.json.Encoder()

    def write(self, *records: msgspec.Struct) -> None:
        """Append the records; they are in the page cache on return (kill -9 of this process loses none)."""
        data = b"".join(self._encoder.encode(record) + b"\n" for record in records)
        if os.write(self._file, data) != len(data):
            raise HarnessBug("a record was cut short: is the disk of the reports folder full?")

    def sync(self) -> None:
        """Make what was written survive a power cut as well."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


T = TypeVar("T")


class _Reader(Generic[T]):
    def __init__(self, kind: Any) -> None:  # noqa: ANN401  a union of structs has no common type
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, path: Path) -> list[T]:
        *lines, torn = path.read_bytes().split(b"\n") if path.exists() else [b""]
        del torn  # empty, or what a crash left of the last line
        return [self._line(path, number, line) for number, line in enumerate(lines, 1)]

    def _line(self, path: Path, number: int, line: bytes) -> T:
        try:
            return self._decode(line)  # type: ignore[no-any-return]
        except msgspec.MsgspecError as error:
            raise ScenarioError(f"{path}:{number}: not a record: {error}") from error


_events: _Reader[AnyEvent] = _Reader(AnyEvent)
_history: _Reader[Invoked | Returned] = _Reader(Invoked | Returned)
_probes: _Reader[Probed] = _Reader(Probed)

EventType = TypeVar("EventType", bound=Event)


@dataclass(frozen=True)
class Record:
    """A run as the judges see it: pure data, the same for a run of today and one of last year."""

    spec: TrialSpec
    events: Sequence[AnyEvent]
    history: Sequence[Invoked | Returned]
    probes: Sequence[Probed]

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a run folder. Raises `ScenarioError` with file and line for what is not a record."""
        folder = Folder(path)
        return cls(
            spec=folder.spec(),
            events=_events.read(folder.events),
            history=_history.read(folder.history),
            probes=_probes.read(folder.probes),
        )

    def of(self, kind: type[EventType]) -> list[EventType]:
        """Return all events of one type, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def reported(self, name: str) -> list[TargetEvent]:
        """Return the target's own events called `name`, in order."""
        return [event for event in self.of(TargetEvent) if event.name == name]

    @cached_property
    def operations(self) -> list[Operation]:
        """Every operation, paired with its return, in order of invocation."""
        returns = {entry.n: entry for entry in self.history if isinstance(entry, Returned)}
        return [pair(entry, returns.get(entry.n)) for entry in self.history if isinstance(entry, Invoked)]


def pair(call: Invoked, back: Returned | None) -> Operation:
    """Return the operation that an invocation and its return are; without a return it stays open."""
    return Operation(
        n=call.n,
        client=call.client,
        op=call.op,
        args=call.args,
        called=call.t,
        final=call.final,
        returned=back.t if back and back.outcome != "info" else None,
        outcome=back.outcome if back else "info",
        result=back.result if back else {},
    )
