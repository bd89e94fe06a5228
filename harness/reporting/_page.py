"""The page model: what any report for people shows, as frozen data. Pure: the same folders give the same page.

A section is a module in `_sections` with a function `build(material) -> Section | None`, named in `SECTIONS`. It
returns None where it has nothing to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from harness.reporting._blocks import Section
from harness.reporting._material import Material
from harness.reporting._sections import (
    coverage,
    environment,
    features,
    findings,
    limits,
    recovery,
    scenarios,
    timeline,
)
from harness.reporting._words import SHOWN_STATUSES, duration
from harness.reporting.console import plural
from harness.statuses import ExitStatus

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    features.build,
    findings.build,
    scenarios.build,
    recovery.build,
    coverage.build,
    timeline.build,
    environment.build,
    limits.build,
)

_WORDS = {0: "PASS", 1: "FAIL"}  # every other exit status means that nothing is proven


@dataclass(frozen=True, kw_only=True)
class Banner:
    """The verdict, and what a reader must know of where it comes from.

    `verdict` is PASS, FAIL or UNKNOWN. A planted bug that was found is no failure here, though it is one for the exit
    status.
    """

    verdict: str
    sentence: str
    counts: tuple[tuple[str, int], ...]
    facts: tuple[tuple[str, str], ...]
    exit: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole page."""

    title: str
    banner: Banner
    sections: tuple[Section, ...]
    first_error: str
    """Link to where the first thing went wrong that should not have; "" where nothing has."""


def build(material: Material) -> Page:
    """Build the page."""
    return Page(
        title=", ".join(suite.name for suite in material.suites),
        banner=_banner(material),
        sections=tuple(filter(None, (build(material) for build in SECTIONS))),
        first_error=_first_error(material),
    )


def _first_error(material: Material) -> str:
    wrong = [told for told in material.trials if told.status not in {"PASS", "SKIPPED", "CONVICTED"}]
    if not wrong:
        return ""
    first = min(wrong, key=lambda told: (SHOWN_STATUSES.index(told.status), told.number))
    marked = first.story is not None and first.story.first_error is not None
    return f"#{first.anchor}e" if marked else f"#{first.anchor}"


def _banner(material: Material) -> Banner:
    counts = Counter(told.status for told in material.trials)
    status = material.exit_status
    verdict = _WORDS.get(status.code, "UNKNOWN")
    if status.code == 1 and not counts["FAIL"]:
        verdict = _without_planted_bugs(counts)
    return Banner(
        verdict=verdict,
        sentence=" ".join(_sentences(material, counts, verdict)),
        counts=tuple((name, counts[name]) for name in SHOWN_STATUSES if counts[name]),
        facts=tuple(_facts(material).items()),
        exit=_exit(status, counts),
    )


def _exit(status: ExitStatus, counts: Counter[str]) -> str:
    why = "" if status.code != 1 or counts["FAIL"] else ": planted bugs were found"
    return f"{status.code} ({status.name}{why})"


def _without_planted_bugs(counts: Counter[str]) -> str:
    """The exit status looks no further than a FAIL; where all of those had to be, the rest of the trials decides."""
    return "UNKNOWN" if counts["ERROR"] or counts["INTERRUPTED"] or counts["UNKNOWN"] else "PASS"


def _sentences(material: Material, counts: Counter[str], verdict: str) -> list[str]:
    total = len(material.trials)
    found = counts["CONVICTED"]
    asked = total - found - counts["SKIPPED"]
    said = [f"{counts['PASS']} of {plural(asked, 'trial')} passed."] if asked or not found else []
    if counts["FAIL"]:
        said.insert(0, f"{counts['FAIL']} of {plural(asked, 'trial')} failed a check.")
    if found:
        said.append(f"{plural(found, 'trial')} of targets that are broken on purpose: convicted, as they should be.")
    if verdict == "UNKNOWN":
        said.append(material.exit_status.meaning if material.exit_status.code != 1 else "Not everything was proven.")
    if counts["SKIPPED"]:
        said.append(f"{plural(counts['SKIPPED'], 'trial')} skipped.")
    if missing := material.planned - total:
        said.append(f"{plural(missing, 'trial')} never began.")
    return said


def _facts(material: Material) -> dict[str, str]:
    began = sorted(suite.began for suite in material.suites)
    seeds = dict.fromkeys(str(suite.root_seed) for suite in material.suites)
    versions = dict.fromkeys(str(story.environment.get("bigfive", "")) for _, story in material.stories)
    facts = {
        "trials": str(len(material.trials)),
        "root seed": ", ".join(seeds),
        "took": duration(sum(suite.duration_s for suite in material.suites)),
        "began": f"{began[0]:%Y-%m-%d %H:%M} UTC" if began else "",
        "bigfive": ", ".join(filter(None, versions)),
    }
    return {name: value for name, value in facts.items() if value}
