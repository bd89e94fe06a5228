"""When a target noticed a fault, and when it was well again: shared by every check of recovery.

A recovery counts from the injection of an instantaneous fault and from the undo of one that lasted. It ends at the
first of `good_probes` good probes in a row that began after the damage was *noticed*, with no restore under way.
Noticed means a failed probe, or the target's own `damage.detected`; bytes that nobody has read again were never
recovered from, however good the probes look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.record import Described, FaultInjected, FaultInjecting, FaultUndone, Probed, Record, TargetEvent

DETECTED = "damage.detected"
_NEVER = 1 << 62
_BYTES = ("file", "record")  # groups of faults that damage bytes


@dataclass(frozen=True)
class Recovery:
    """One fault's way back. Moments are monotonic ns, None for what never came."""

    fault: int
    kind: str
    injected: int
    began: int
    noticed: int | None
    restarted: int | None
    restored: int | None
    recovered: int | None

    @property
    def took_ms(self) -> float | None:
        """From the fault to the first of the good probes."""
        return None if self.recovered is None else (self.recovered - self.began) / 1e6

    def stages(self) -> dict[str, float]:
        """Milliseconds to each stage that was seen: detection from the injection, all else from the fault's end."""
        moments = {
            "detect_ms": (self.injected, self.noticed),
            "restart_ms": (self.began, self.restarted),
            "restore_ms": (self.began, self.restored),
            "first_success_ms": (self.began, self.recovered),
        }
        return {name: (end - start) / 1e6 for name, (start, end) in moments.items() if end is not None}


def recoveries(record: Record, good_probes: int) -> list[Recovery]:
    """Return the recovery from every fault that was injected, in order."""
    return [_recovery(record, fault, began, good_probes) for fault, began in _starts(record)]


def _starts(record: Record) -> Iterator[tuple[FaultInjecting, int]]:
    undone = {event.fault: event.t for event in record.of(FaultUndone)}
    injected = {event.fault: event.began for event in record.of(FaultInjected)}
    for event in record.of(FaultInjecting):
        if event.fault in injected:
            yield event, undone.get(event.fault, injected[event.fault])


def _recovery(record: Record, fault: FaultInjecting, began: int, good_probes: int) -> Recovery:
    noticed = _noticed(record, fault)
    recovered = _well_again(record, max(began, noticed), good_probes) if noticed else None
    return Recovery(
        fault=fault.fault,
        kind=fault.kind,
        injected=fault.t,
        began=began,
        noticed=noticed,
        restarted=_first(record.reported("service.started"), began, recovered or _NEVER),
        restored=_first(record.reported("restore.end"), began, recovered or _NEVER),
        recovered=recovered,
    )


def _noticed(record: Record, fault: FaultInjecting) -> int | None:
    """A held fault is noticed while it lasts, too; damaged bytes only by the target's own word, if it gives it."""
    since = fault.t
    detected = [
        event.t
        for event in record.reported(DETECTED)
        if event.t >= since and event.data.get("handle", fault.on) == fault.on
    ]
    failed = [probe.end for probe in record.probes if not probe.good and probe.end >= since]
    speaks = any(DETECTED in event.description.get("events", ()) for event in record.of(Described))
    damaged_bytes = fault.kind.partition(".")[0] in _BYTES
    seen = detected if damaged_bytes and speaks else [*detected, *failed]
    return min(seen, default=None)


def _well_again(record: Record, since: int, good_probes: int) -> int | None:
    """End of the first of the good probes that no restore disturbs."""
    restores = _restores(record)
    while streak := _streak(record.probes, since, good_probes):
        first, last = streak[0], streak[-1]
        disturbing = [end for begin, end in restores if begin <= last.end and end > first.t]
        if not disturbing:
            return first.end
        since = max(disturbing)
    return None


def _streak(probes: Sequence[Probed], since: int, length: int) -> list[Probed]:
    """Return the first `length` good probes in a row that were sent after `since`; none where there are none."""
    streak: list[Probed] = []
    for probe in probes:
        streak = [*streak, probe] if probe.good and probe.t >= since else []
        if len(streak) == length:
            return streak
    return []


def _restores(record: Record) -> list[tuple[int, int]]:
    """Return when each restore began and ended; one that was killed ends where the next begins, the last one never."""
    ended = [event.t for event in record.reported("restore.end")]
    begun = [event.t for event in record.reported("restore.begin")]
    return [(begin, min((t for t in [*ended, *begun] if t > begin), default=_NEVER)) for begin in begun]


def _first(events: Sequence[TargetEvent], since: int, until: int) -> int | None:
    return next((event.t for event in events if since <= event.t <= until), None)
