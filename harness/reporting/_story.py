"""A record cut down to what a page shows of it: small, so that a page of thousands of trials fits into memory.

All moments are seconds from the start of the workload. Operations are counted in columns of equal width, by the moment
of their invocation, and drawn as densities: a picture of 20,000 operations is no bigger than one of 200.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.checks._recovery import recoveries
from harness.clock import seconds
from harness.record import (
    Described,
    FaultInjected,
    FaultInjecting,
    FaultProven,
    FaultUndone,
    Operation,
    PhaseBegan,
    Probed,
    Record,
    RunBegan,
    TargetEvent,
    WorkloadBegan,
)
from harness.result import Result
from harness.wire import CONTRACTS, Json

MAX_OPERATIONS = 50_000
"""Operations that are drawn; a page says how many it leaves out."""
MAX_ACCUSED = 8
_GOOD_PROBES = 3
_LONG = 160
_ERROR = 100
_FEWEST_COLUMNS, _PER_COLUMN = 40, 3
_BEFORE = {"preflight", "set_up", "steady_state", "workload"}
_OPERATION = re.compile(r"\boperation (\d+)")


@dataclass(frozen=True, kw_only=True)
class Window:
    """A fault. `end` is None for damage, which is there at once and never undone."""

    fault: int
    kind: str
    on: str | None
    begin: float
    end: float | None
    proven: bool


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """The way back from one fault; a moment that never came is None.

    It is counted from `began`: the injection or, of a fault that lasted, its undo. Such a fault can be noticed before
    `began`, but not before it was `injected`.
    """

    fault: int
    kind: str
    injected: float
    began: float
    noticed: float | None
    restarted: float | None
    restored: float | None
    recovered: float | None

    @property
    def took_s(self) -> float | None:
        """From the fault to the first good answer."""
        return None if self.recovered is None else self.recovered - self.began


@dataclass(frozen=True)
class Outage:
    """Bad probes in a row, until the next good one."""

    begin: float
    end: float
    probes: int
    error: str


@dataclass(frozen=True)
class Mark:
    """A moment with what happened at it."""

    at: float
    text: str
    n: int = 0


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a page shows of one trial."""

    begin: float
    end: float
    phases: tuple[Mark, ...]
    columns: tuple[tuple[int, int, int], ...]
    """Operations that came to ok, fail and info, by column from `begin` to `end`."""
    operations: int
    final: int
    """Reads of the end state, which are not drawn: the workload was over."""
    windows: tuple[Window, ...]
    recoveries: tuple[Recovered, ...]
    probes: int
    outages: tuple[Outage, ...]
    events: tuple[Mark, ...]
    accused: tuple[Mark, ...]
    """Operations that a failed check names."""
    first_error: float | None
    """The first accused operation, else the first operation of unknown outcome, else the first bad probe."""
    hits: Mapping[str, Mapping[str, int]]
    """By kind of fault: how many operations of each name were open between it and the recovery from it."""
    offered: frozenset[str]
    """Operations of the target's contracts, and those that were called."""
    target: str
    environment: Json

    @property
    def left_out(self) -> int:
        """Number of operations that the columns leave out."""
        return max(self.operations - MAX_OPERATIONS, 0)


def tell(record: Record, result: Result, columns: int) -> Story | None:
    """Return the story of a run whose workload began, in at most `columns` columns, and None of any other."""
    started = record.of(WorkloadBegan)
    if not started:
        return None
    zero = started[0].t
    begin, end = 0.0, _end(record, zero)
    windows = tuple(_windows(record, zero))
    back = _recoveries(record, result, zero, {each.fault: each.begin for each in windows})
    accused = tuple(_accused(record, result, zero))
    outages = tuple(_outages(record.probes, zero, end))
    described = [event.description for event in record.of(Described)]
    return Story(
        begin=begin,
        end=end,
        phases=tuple(Mark(seconds(each.t - zero), each.phase) for each in _phases(record)),
        columns=_columns(record.operations[:MAX_OPERATIONS], zero, end, columns),
        operations=len(record.operations),
        final=sum(each.final for each in record.operations),
        windows=windows,
        recoveries=back,
        probes=sum(0 <= seconds(probe.t - zero) <= end for probe in record.probes),
        outages=outages,
        events=tuple(_events(record, zero, end)),
        accused=accused,
        first_error=_first_error(record, accused, outages, zero),
        hits=_hits(record, windows, back, zero),
        offered=_offered(record, described),
        target=str(described[-1].get("name", "")) if described else "",
        environment=next((event.environment for event in record.of(RunBegan)), {}),
    )


def _phases(record: Record) -> list[PhaseBegan]:
    return [event for event in record.of(PhaseBegan) if event.phase not in _BEFORE]


def _end(record: Record, zero: int) -> float:
    """The picture ends when the target is stopped: what comes later is tear-down."""
    stops = [event.t for event in _phases(record) if event.phase in {"stop", "tear_down"}]
    last = stops[0] if stops else max(event.t for event in record.events)
    return max(seconds(last - zero), 0.001)


def _windows(record: Record, zero: int) -> Iterator[Window]:
    proven = {event.fault for event in record.of(FaultProven)}
    undone = {event.fault: event.t for event in record.of(FaultUndone)}
    injected = {event.fault: event.began for event in record.of(FaultInjected)}
    for event in record.of(FaultInjecting):
        yield Window(
            fault=event.fault,
            kind=event.kind,
            on=event.on,
            begin=seconds(injected.get(event.fault, event.t) - zero),
            end=seconds(undone[event.fault] - zero) if event.fault in undone else None,
            proven=event.fault in proven,
        )


def _recoveries(record: Record, result: Result, zero: int, injected: Mapping[int, float]) -> tuple[Recovered, ...]:
    """Measure as the check did: with as many good probes in a row as the scenario asked for."""
    asked = next((judged.asked for judged in result.checks if judged.check == "recovered_within"), "")
    written = re.search(r"\bgood_probes\W+(\d+)", asked)
    return tuple(
        Recovered(
            fault=each.fault,
            kind=each.kind,
            injected=injected[each.fault],
            began=seconds(each.began - zero),
            noticed=_since(each.noticed, zero),
            restarted=_since(each.restarted, zero),
            restored=_since(each.restored, zero),
            recovered=_since(each.recovered, zero),
        )
        for each in recoveries(record, int(written[1]) if written else _GOOD_PROBES)
    )


def _since(moment: int | None, zero: int) -> float | None:
    return None if moment is None else seconds(moment - zero)


def _columns(operations: Sequence[Operation], zero: int, end: float, columns: int) -> tuple[tuple[int, int, int], ...]:
    columns = min(columns, max(len(operations) // _PER_COLUMN, _FEWEST_COLUMNS))
    counted = Counter(
        (min(int(seconds(each.called - zero) / end * columns), columns - 1), each.outcome)
        for each in operations
        if each.called >= zero and not each.final
    )
    return tuple((counted[n, "ok"], counted[n, "fail"], counted[n, "info"]) for n in range(columns))


def _outages(probes: Sequence[Probed], zero: int, end: float) -> Iterator[Outage]:
    bad: list[Probed] = []
    for probe in [probe for probe in probes if 0 <= seconds(probe.t - zero) <= end]:
        if not probe.good:
            bad.append(probe)
        elif bad:
            yield _outage(bad, seconds(probe.t - zero), zero)
            bad = []
    if bad:
        yield _outage(bad, end, zero)


def _outage(bad: Sequence[Probed], end: float, zero: int) -> Outage:
    return Outage(seconds(bad[0].t - zero), end, len(bad), shorten(bad[0].error, _ERROR))


def _events(record: Record, zero: int, end: float) -> Iterator[Mark]:
    for event in record.of(TargetEvent):
        at = seconds(event.t - zero)
        if 0 <= at <= end:
            data = ", ".join(f"{name} {value}" for name, value in event.data.items())
            yield Mark(at, shorten(f"{event.name} {data}".rstrip()))


def _accused(record: Record, result: Result, zero: int) -> Iterator[Mark]:
    failed = [judged.verdict for judged in result.checks if judged.verdict.status == "FAIL"]
    said = " ".join(text for verdict in failed for text in (verdict.summary, *verdict.evidence))
    numbers = list(dict.fromkeys(map(int, _OPERATION.findall(said))))[:MAX_ACCUSED]
    operations = {each.n: each for each in record.operations}
    for operation in sorted((operations[n] for n in numbers if n in operations), key=lambda each: each.called):
        yield Mark(seconds(operation.called - zero), _told(operation), operation.n)


def _told(operation: Operation) -> str:
    took = "" if operation.returned is None else f" after {(operation.returned - operation.called) / 1e6:.1f} ms"
    asked = ", ".join(f"{name} {value}" for name, value in operation.args.items())
    got = ", ".join(f"{name} {value}" for name, value in operation.result.items())
    text = f"operation {operation.n} by client {operation.client}: {operation.op} {asked}: {operation.outcome}{took}"
    return shorten(f"{text}: {got}" if got else text)


def _first_error(record: Record, accused: Sequence[Mark], outages: Sequence[Outage], zero: int) -> float | None:
    unknown = (seconds(each.called - zero) for each in record.operations if each.outcome == "info")
    candidates = ((mark.at for mark in accused), unknown, (outage.begin for outage in outages))
    return next((first for first in (min(each, default=None) for each in candidates) if first is not None), None)


def _hits(
    record: Record, windows: Sequence[Window], back: Sequence[Recovered], zero: int
) -> Mapping[str, Mapping[str, int]]:
    """An operation met a fault if it was open between it and the recovery or, without one, at any later time."""
    recovered = {each.fault: each.recovered for each in back}
    hits: dict[str, Counter[str]] = {}
    for window in (each for each in windows if each.proven):
        over = recovered.get(window.fault)
        begin = zero + round(window.begin * 1e9)
        end = zero + round(over * 1e9) if over is not None else 1 << 62
        met = [each.op for each in record.operations if each.called <= end and (each.returned or end) >= begin]
        hits.setdefault(window.kind, Counter()).update(met)
    return hits


def _offered(record: Record, described: Sequence[Json]) -> frozenset[str]:
    contracts = [name for each in described for name in each.get("contracts", ()) if name in CONTRACTS]
    return frozenset({*(each.op for each in record.operations), *(op for name in contracts for op in CONTRACTS[name])})


def shorten(text: str, most: int = _LONG) -> str:
    """Return `text`, cut where it is too long for a label."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
