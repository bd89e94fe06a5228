"""The plan: a scenario and a seed become a timeline. Pure, so that two plans from one seed are equal byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from harness import seeds
from harness.scenario.model import FaultStep, Scenario
from harness.scenario.triggers import AtEvent, AtFailpoint, AtOperations, AtTime


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One occurrence of a fault. Exactly one of `at_s`, `operations`, `event`, `failpoint` says when it is due.

    `at_s` counts from the workload's start or, where `after` names another step, from the moment that one was proven.
    `nth` counts occurrences of the event or failpoint from 1. `hold_s` is None for damage, and for a fault that lasts
    until the workload ends. `fault` is the index in the scenario's list, `n` the index in the plan.
    """

    n: int
    fault: int
    kind: str
    on: str | None
    seed: int
    at_s: float | None = None
    after: int | None = None
    operations: int | None = None
    event: str | None = None
    failpoint: str | None = None
    nth: int = 1
    hold_s: float | None = None

    def __str__(self) -> str:
        """Return when and what, as people read it."""
        where = f" on {self.on}" if self.on else ""
        held = f" for {self.hold_s:g}s" if self.hold_s is not None else ""
        return f"{self.when} {self.kind}{where}{held}"

    @property
    def when(self) -> str:
        """When it is due, as people read it."""
        if self.at_s is not None:
            return f"{self.at_s:.3f}s" if self.after is None else f"step {self.after} +{self.at_s:.3f}s"
        if self.operations is not None:
            return f"after {self.operations} operations"
        what = f"event {self.event}" if self.event else f"failpoint {self.failpoint}"
        return f"at {what}" + (f" (number {self.nth})" if self.nth > 1 else "")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a trial that is decided before it begins."""

    seed: int
    workload_seed: int
    steps: tuple[Step, ...]


def plan(scenario: Scenario, seed: int) -> Plan:
    """Draw the timeline of one trial."""
    return Plan(seed=seed, workload_seed=seeds.derive(seed, "workload"), steps=tuple(_steps(scenario.faults, seed)))


def encode(plan: Plan) -> bytes:
    """Return the content of `plan.json`."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


def _steps(faults: tuple[FaultStep, ...], seed: int) -> Iterator[Step]:
    count = 0
    for index, fault in enumerate(faults):
        first = count
        for occurrence in range(fault.times):
            common = Step(
                n=count,
                fault=index,
                kind=fault.kind,
                on=fault.on,
                seed=seeds.derive(seed, "fault", index, occurrence),
                hold_s=fault.hold_s,
            )
            yield (
                _first(common, fault, seed)
                if occurrence == 0
                else _repeated(common, first, occurrence * (fault.every_s or 0.0))
            )
            count += 1


def _first(step: Step, fault: FaultStep, seed: int) -> Step:
    match fault.at:
        case AtTime(earliest_s=earliest, latest_s=latest, relative=relative):
            moment = seeds.stream(seed, "at", step.fault).uniform(earliest, latest)
            after = step.n - 1 if relative and step.n else None
            return msgspec.structs.replace(step, at_s=moment, after=after)
        case AtOperations(count=count):
            return msgspec.structs.replace(step, operations=count)
        case AtEvent(name=name, nth=nth):
            return msgspec.structs.replace(step, event=name, nth=nth)
        case AtFailpoint(name=name, hit=hit):
            return msgspec.structs.replace(step, failpoint=name, nth=hit)


def _repeated(step: Step, first: int, delay_s: float) -> Step:
    return msgspec.structs.replace(step, at_s=delay_s, after=first)
