"""Records written by hand, so that a check's verdict can be known beforehand. Times in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.record import (
    AnyEvent,
    Described,
    FaultInjected,
    FaultInjecting,
    FaultProven,
    FaultUndone,
    Invoked,
    Probed,
    Record,
    Returned,
    TargetEvent,
    TrialSpec,
)
from harness.wire import Json

MS = 1_000_000


def record(
    events: Iterable[AnyEvent] = (), history: Iterable[Invoked | Returned] = (), probes: Iterable[Probed] = ()
) -> Record:
    spec = TrialSpec(scenario="s", source="s.yaml", root_seed=1, seed=1, label="bf-test")
    return Record(spec, tuple(events), tuple(history), tuple(probes))


def damage(at: int, kind: str = "process.kill", on: str | None = "service", fault: int = 0) -> list[AnyEvent]:
    return [
        FaultInjecting(t=at * MS, fault=fault, kind=kind, on=on, due=at * MS),
        FaultInjected(t=at * MS, fault=fault, began=at * MS, evidence={}),
        FaultProven(t=at * MS, fault=fault, proof={}),
    ]


def held(start: int, end: int, kind: str = "process.pause", fault: int = 0) -> list[AnyEvent]:
    return [*damage(start, kind, fault=fault), FaultUndone(t=end * MS, fault=fault, proof={})]


def told(at: int, name: str, **data: object) -> TargetEvent:
    return TargetEvent(t=at * MS, name=name, data=data)


def speaks_of_damage() -> Described:
    return Described(t=0, description={"events": ["damage.detected"]})


def probes(until: int, bad: Iterable[tuple[int, int]] = (), every: int = 20) -> Iterator[Probed]:
    """Probes every 20 ms, bad where they start within one of the given windows."""
    windows = list(bad)
    for start in range(0, until, every):
        good = not any(begin <= start < end for begin, end in windows)
        yield Probed(t=start * MS, end=(start + 1) * MS, good=good)


class History:
    """Operations in order of invocation."""

    def __init__(self) -> None:
        self.entries: list[Invoked | Returned] = []
        self._count = 0
        self._now = 0

    def call(self, op: str, args: Json, *, final: bool = False) -> int:
        self._count += 1
        self._now += 1
        self.entries.append(Invoked(n=self._count, client=0, t=self._now, op=op, args=args, final=final))
        return self._count

    def back(self, n: int, outcome: str = "ok", **result: object) -> None:
        self._now += 1
        self.entries.append(Returned(n=n, t=self._now, outcome=outcome, result=result))  # type: ignore[arg-type]

    def write(self, key: str, value: str, version: int) -> None:
        self.back(self.call("write", {"key": key, "value": value}), version=version)

    def read(self, key: str, value: str | None, version: int, *, final: bool = False) -> None:
        self.back(self.call("read", {"key": key}, final=final), value=value, version=version)

    def unknown(self, key: str, value: str) -> None:
        self.back(self.call("write", {"key": key, "value": value}), "info", error="lost")
