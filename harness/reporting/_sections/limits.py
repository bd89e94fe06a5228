"""What this page does not show: everything that was not tested, and how far the rest carries."""

from __future__ import annotations

from collections.abc import Iterator

from harness.reporting._blocks import Items, Section
from harness.reporting._material import MAX_STORIES, Material
from harness.reporting._story import MAX_OPERATIONS
from harness.reporting._words import count, listed
from harness.reporting.console import plural

STANDING = (
    "Inputs and schedules can be replayed from the seed; how threads and processes interleave cannot.",
    "All times are of one kernel's monotonic clock on the machine above; other machines are faster or slower.",
    "Recovery is seen by a probe every 20 ms: shorter times cannot be told apart.",
    "Code coverage and fault coverage say what was exercised, not that nothing else can go wrong.",
)
_CONFIDENCE = 0.95
_LOOSE = 0.06  # 50 trials exclude rates above it


def build(material: Material) -> Section | None:
    """Return the gaps of this page, then what holds for any."""
    gaps = [*_skips(material), *_gaps(material), *_trust(material)]
    return Section(
        id="limits",
        title="Known limits",
        lead="A verdict is about what was tried, on this machine.",
        blocks=(Items((*gaps, *((text, "") for text in STANDING))),),
    )


def _skips(material: Material) -> Iterator[tuple[str, str]]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for told in material.trials:
        if told.result.status == "SKIPPED":
            reasons.setdefault((told.result.reason, told.result.fix), []).append(told.name)
    for (reason, fix), names in reasons.items():
        yield f"Skipped: {listed(list(dict.fromkeys(names)))}. {reason}.", fix


def _gaps(material: Material) -> Iterator[tuple[str, str]]:
    if missing := material.planned - len(material.trials):
        yield f"{plural(missing, 'planned trial')} never began.", ""
    faults = [(told, fault) for told in material.trials for fault in told.result.faults if not fault.proven]
    kinds = dict.fromkeys(fault.kind for told, fault in faults if told.result.status != "SKIPPED")
    if kinds:
        yield f"Planned, but not proven to have taken effect at least once: {listed(list(kinds))}.", ""
    if len(material.trials) > MAX_STORIES:
        yield f"The records of {MAX_STORIES} trials are drawn and measured; there are {len(material.trials)}.", ""
    unread = [told for told in material.trials if told.story is None and told.result.status != "SKIPPED"]
    if unread and len(material.trials) <= MAX_STORIES:
        yield f"{plural(len(unread), 'trial')} left no record that could be drawn.", ""
    if cut := [told for told, story in material.stories if story.left_out]:
        yield f"Of {plural(len(cut), 'trial')} only the first {count(MAX_OPERATIONS)} operations are drawn.", ""


def _trust(material: Material) -> Iterator[tuple[str, str]]:
    """By the rule of three, exactly: n passes in a row still allow a failure rate of 1 - 0.05^(1/n)."""
    passed = {name: len(t) for name, t in material.cases.items() if all(told.status == "PASS" for told in t)}
    if not passed:
        return
    name = max(passed, key=lambda each: passed[each])
    rate = 1 - (1 - _CONFIDENCE) ** (1 / passed[name])
    said = f"{name} passed {passed[name]} of {passed[name]}, more than any other scenario"
    excluded = f"at {_CONFIDENCE:.0%} confidence that excludes only failure rates above {rate:.0%}"
    yield f"{said}: {excluded}.", "--repeat 50" if rate > _LOOSE else ""
