"""When a target noticed a fault, and when it was well again: shared by every check of recovery.

A recovery counts from the injection of an instantaneous fault and from the undo of one that lasted. It ends at the
first of `good_probes` good probes in a row that began after the damage was *noticed*, and after the last restore
that was under way is over. Noticed means a failed probe, or the target's own `damage.detected`; bytes that nobody
has read again were never recovered from, however good the probes look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.record import Described, FaultInjected, FaultInjecting, FaultUndone, Probed, Record, TargetEvent

DETECTED = "damage.detected"
_BYTES = ("file", "record")  # groups of faults that damage bytes


@dataclass(frozen=True)
class Recovery:
    """One fault's way back. Moments are monotonic ns, None for what never came."""

    fault: int
    kind: str
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
        """Milliseconds from the fault to each stage that was seen: detect, restart, restore, first success."""
        moments = {
            "detect_ms": self.noticed,
            "restart_ms": self.restarted,
            "restore_ms": self.restored,
            "first_success_ms": self.recovered,
        }
        return {name: (moment - self.began) / 1e6 for name, moment in moments.items() if moment is not None}


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
    restored = _first(record.reported("restore.end"), began)
    calm = max(began, noticed or began, _last_restore_end(record, began))
    return Recovery(
        fault=fault.fault,
        kind=fault.kind,
        began=began,
        noticed=noticed,
        restarted=_first(record.reported("service.started"), began),
        restored=restored,
        recovered=_well_again(record.probes, calm, good_probes) if noticed else None,
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


def _well_again(probes: Sequence[Probed], since: int, good_probes: int) -> int | None:
    streak: list[Probed] = []
    for probe in probes:
        if probe.t < since:
            continue
        streak = [*streak, probe] if probe.good else []
        if len(streak) == good_probes:
            return streak[0].end
    return None


def _last_restore_end(record: Record, since: int) -> int:
    """End of the last restore since the fault; a restore without an end never ended."""
    begun = [event.t for event in record.reported("restore.begin") if event.t >= since]
    ended = [event.t for event in record.reported("restore.end") if event.t >= since]
    if not begun:
        return 0
    never = 1 << 62
    return ended[-1] if ended and ended[-1] >= begun[-1] else never


def _first(events: Sequence[TargetEvent], since: int) -> int | None:
    return next((event.t for event in events if event.t >= since), None)
