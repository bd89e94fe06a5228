"""From a record to a result. Pure: the same folder gives the same result today, tomorrow and by a newer check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from harness.checks._base import Verdict
from harness.clock import seconds
from harness.engine import schedule
from harness.engine.phases import ACCUSES
from harness.record import (
    AnyEvent,
    FaultInjecting,
    FaultProven,
    FaultUndone,
    FaultUnproven,
    Problem,
    Record,
    RunEnded,
    WorkloadBegan,
)
from harness.result import FaultResult, Judged, Result, TrialStatus, worst
from harness.scenario.model import Scenario

# What went wrong, by class name in `harness.errors`, when it is not the target's fault.
_EXCUSES: dict[str, TrialStatus] = {
    "EnvironmentLacks": "SKIPPED",
    "Interrupted": "INTERRUPTED",
    "ScenarioError": "ERROR",
    "ScenarioErrors": "ERROR",
    "UndoFailed": "ERROR",
    "HarnessBug": "ERROR",
}


def judge(record: Record, scenario: Scenario | None) -> Result:
    """Judge a run by the checks of its scenario; None stands for one that could not be loaded."""
    result = _frame(record)
    problems = record.of(Problem)
    if scenario is None:
        return result
    faults = _faults(record, scenario)
    judged = _judged(record, scenario, faults, problems) if record.of(WorkloadBegan) else ()
    status = _status(judged, problems)
    failed = frozenset(each.check for each in judged if each.verdict.status == "FAIL")
    convicted = (status == "FAIL" and failed == set(scenario.convicts)) if scenario.convicts else None
    if convicted is False and status in {"PASS", "FAIL", "UNKNOWN"}:
        status = "ERROR"
    return msgspec.structs.replace(
        result,
        feature=scenario.feature,
        summary=scenario.summary,
        tags=tuple(scenario.tags),
        status=status,
        reason=_reason(status, judged, problems, scenario),
        checks=judged,
        faults=faults,
        convicts=tuple(scenario.convicts),
        convicted=convicted,
    )


def _frame(record: Record) -> Result:
    """What can be said of any run, whatever became of it."""
    spec = record.spec
    problems = record.of(Problem)
    ended = record.of(RunEnded)
    return Result(
        scenario=spec.scenario,
        feature="",
        summary="",
        tags=(),
        variant=spec.variant,
        attempt=spec.attempt,
        root_seed=spec.root_seed,
        seed=spec.seed,
        source=spec.source,
        status=_status((), problems),
        reason=problems[0].message if problems else "nothing was judged",
        operations=dict(Counter(operation.outcome for operation in record.operations)),
        duration_s=_duration(record.events),
        left=tuple(ended[-1].left) if ended else (),
        fix=next((problem.fix for problem in problems if problem.fix), ""),
    )


def _status(judged: Sequence[Judged], problems: Sequence[Problem]) -> TrialStatus:
    for problem in problems:
        if problem.error in _EXCUSES:
            return _EXCUSES[problem.error]
    return worst(each.verdict.status for each in judged)


def _judged(
    record: Record, scenario: Scenario, faults: Sequence[FaultResult], problems: Sequence[Problem]
) -> tuple[Judged, ...]:
    accusing = [problem for problem in problems if ACCUSES[problem.phase] and problem.error not in _EXCUSES]
    waiting = any(fault.began_s is None for fault in faults)
    # A run that stood still because a fault never got its cue proves nothing against the target.
    late = next((problem.message for problem in accusing if not waiting), None)
    asked = [
        Judged(check=each.kind, asked=each.asked, verdict=_closed(each.parameters.judge(record), late))
        for each in scenario.expect
    ]
    return (*_grounds(record, scenario, faults), *_breakdowns(accusing), *asked)


def _breakdowns(accusing: Sequence[Problem]) -> list[Judged]:
    """A target that failed its own adapter while it was being tested has failed, whatever the checks could see."""
    return [
        Judged(
            check="target",
            asked="the target keeps working",
            verdict=Verdict(status="FAIL", summary=problem.message, evidence=(f"events.jsonl: {problem.phase}",)),
        )
        for problem in accusing
        if problem.error != "TimedOut"
    ]


def _closed(verdict: Verdict, late: str | None) -> Verdict:
    """A check that is still open when the target has used up its time has failed."""
    if late is None or verdict.status != "UNKNOWN":
        return verdict
    return Verdict(status="FAIL", summary=f"{verdict.summary}; {late}", numbers=verdict.numbers)


def _grounds(record: Record, scenario: Scenario, faults: Sequence[FaultResult]) -> list[Judged]:
    """What every verdict stands on: the faults took effect, and somebody worked meanwhile."""
    unproven = [f"fault {each.fault} ({each.kind}): {each.reason}" for each in faults if not each.proven]
    proof = Verdict(
        status="UNKNOWN" if unproven else "PASS",
        summary="; ".join(unproven) or f"all {len(faults)} faults took effect",
        numbers={"faults": len(faults), "proven": len(faults) - len(unproven)},
    )
    done = sum(each.acknowledged and each.op in scenario.workload.writes for each in record.operations)
    work = Verdict(
        status="PASS" if done else "UNKNOWN",
        summary=f"{done} changes were acknowledged" if done else "the workload changed nothing, so nothing was tested",
        numbers={"acknowledged": done},
    )
    grounds = [Judged(check="workload", asked="somebody worked", verdict=work)]
    return [Judged(check="faults", asked="every fault took effect", verdict=proof), *grounds] if faults else grounds


def _faults(record: Record, scenario: Scenario) -> tuple[FaultResult, ...]:
    started = record.of(WorkloadBegan)
    zero = started[0].t if started else 0
    steps = schedule.plan(scenario, record.spec.seed).steps
    began = {event.fault: event for event in record.of(FaultInjecting)}
    undone = {event.fault: event.t for event in record.of(FaultUndone)}
    proven = {event.fault for event in record.of(FaultProven)}
    reasons = {event.fault: event.reason for event in record.of(FaultUnproven)}
    return tuple(
        FaultResult(
            fault=step.n,
            kind=step.kind,
            on=step.on,
            began_s=seconds(began[step.n].t - zero) if step.n in began else None,
            undone_s=seconds(undone[step.n] - zero) if step.n in undone else None,
            jitter_ms=(began[step.n].t - began[step.n].due) / 1e6 if step.n in began else None,
            proven=step.n in proven and step.n not in reasons,
            reason=reasons.get(step.n, "" if step.n in proven else f"never injected; it was due {step.when}"),
        )
        for step in steps
    )


def _reason(status: TrialStatus, judged: Sequence[Judged], problems: Sequence[Problem], scenario: Scenario) -> str:
    if scenario.convicts and status == "ERROR" and not any(each.error in _EXCUSES for each in problems):
        failed = ", ".join(each.check for each in judged if each.verdict.status == "FAIL") or "nothing"
        return f"should have been convicted by {', '.join(scenario.convicts)}, but failed by {failed}"
    if problems and (not judged or status not in {"PASS", "FAIL", "UNKNOWN"}):
        return problems[0].message
    decisive = [f"{each.check}: {each.verdict.summary}" for each in judged if each.verdict.status == status]
    return decisive[0] if status != "PASS" else f"all {len(judged)} checks passed"


def _duration(events: Sequence[AnyEvent]) -> float:
    return seconds(events[-1].t - events[0].t) if events else 0.0
