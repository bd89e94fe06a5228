"""A recorded trial judged again by the checks of today. Reads a run folder, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.engine.judging import judge
from harness.errors import ScenarioError
from harness.record import Folder, Record
from harness.result import Judged, Result
from harness.scenario.load import load
from harness.scenario.model import Variant


def recorded_variant(recorded: Folder) -> Variant:
    """Return the variant that was tried, from the scenario file in the run folder. Raises `ScenarioError`."""
    spec = recorded.spec()
    variants = load(recorded.scenario, spec.params)
    found = next((variant for variant in variants if variant.name == spec.variant), None)
    if found is None:
        raise ScenarioError(f"{recorded.scenario} has no variant {spec.variant!r}")
    return found


def judge_again(recorded: Folder) -> Result:
    """Return what the record comes to today.

    Raises `ScenarioError` where this is no run folder, where the trial ended before it had a record (it was skipped, or
    its process died), and where its scenario is none any more, as by a check that no longer exists.
    """
    recorded.spec()
    if not recorded.events.exists():
        raise ScenarioError(f"{recorded.path} has no events: its trial never began, so there is nothing to judge")
    return judge(Record.load(recorded.path), recorded_variant(recorded).scenario)


def differences(before: Result, now: Result) -> list[str]:
    """Say in which verdicts two results of one record differ, and why; nothing where they agree."""
    return [*_changed("status", before, now), *_checks(_by_check(before), _by_check(now)), *_faults(before, now)]


def _changed(name: str, before: Result, now: Result) -> Iterator[str]:
    if before.status != now.status:
        yield f"{name}: {before.status} -> {now.status} ({now.reason})"


def _by_check(result: Result) -> Mapping[tuple[str, int], Judged]:
    """Name every check; one that is asked for several times is counted."""
    found: dict[tuple[str, int], Judged] = {}
    for judged in result.checks:
        number = sum(check == judged.check for check, _ in found)
        found[judged.check, number] = judged
    return found


def _checks(before: Mapping[tuple[str, int], Judged], now: Mapping[tuple[str, int], Judged]) -> Iterator[str]:
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        name = (new or old or before[key]).asked
        if old is None and new is not None:
            yield f"{name}: was not judged, now {new.verdict.status} ({new.verdict.summary})"
        elif new is None and old is not None:
            yield f"{name}: was {old.verdict.status}, is not judged any more"
        elif old and new and (text := _verdict(old, new)):
            yield f"{name}: {text}"


def _verdict(old: Judged, new: Judged) -> str:
    before, now = old.verdict, new.verdict
    if before.status != now.status:
        return f"{before.status} -> {now.status} ({now.summary})"
    if before.summary != now.summary:
        return f"{now.status} as before, but was {before.summary!r}, is {now.summary!r}"
    names = dict.fromkeys([*before.numbers, *now.numbers])
    pairs = [(name, before.numbers.get(name), now.numbers.get(name)) for name in names]
    return ", ".join(f"{name} was {was}, is {now_is}" for name, was, now_is in pairs if was != now_is)


def _faults(before: Result, now: Result) -> Iterator[str]:
    proven = {fault.fault: fault.proven for fault in before.faults}
    for fault in now.faults:
        if proven.get(fault.fault, fault.proven) != fault.proven:
            words = ("not proven", "proven")
            yield f"fault {fault.fault} ({fault.kind}): was {words[not fault.proven]}, is {words[fault.proven]}"
