"""JUnit XML as GitLab, GitHub actions and Jenkins read it.

One test case per scenario, variant and attempt, its name free of the seed so that histories of a case stay together (a
second case of the same name would be dropped by GitLab). Seed and measurements are properties. A FAIL is a
`<failure>`; UNKNOWN, ERROR and INTERRUPTED are `<error>`s, since nothing is known to be wrong with the target.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from harness.registry import report
from harness.reporting._base import Suite, Trial
from harness.reporting.console import verdict
from harness.result import Result

MAX_OUTPUT_BYTES = 64_000
"""Very large outputs break GitLab's parser; the whole text is in the run folder."""

_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_ELEMENTS = {"FAIL": "failure", "SKIPPED": "skipped", "UNKNOWN": "error", "ERROR": "error", "INTERRUPTED": "error"}


@report("junit")
class JunitReport:
    """Write `junit.xml`, below 64 kB of output per case and without characters that XML forbids."""

    def write(self, suite: Suite, folder: Path) -> Path:
        """Write it."""
        path = folder / "junit.xml"
        root = ET.Element("testsuites", name="bigfive")
        root.append(_suite(suite, folder))
        ET.indent(root)
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
        return path


def _suite(suite: Suite, folder: Path) -> ET.Element:
    kinds = [_ELEMENTS.get(result.status) for result in suite.results]
    element = ET.Element(
        "testsuite",
        name=suite.name,
        timestamp=suite.began.isoformat(timespec="seconds"),
        time=f"{suite.duration_s:.3f}",
        tests=str(len(kinds)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped=str(kinds.count("skipped")),
    )
    _properties(element, {"root_seed": str(suite.root_seed), "exit_status": str(suite.exit_status.code)})
    seen: Counter[str] = Counter()
    for trial in suite.trials:
        seen[trial.result.id] += 1
        element.append(_case(trial, folder, seen[trial.result.id]))
    return element


def _case(trial: Trial, folder: Path, time: int) -> ET.Element:
    """Return the case of a trial; a replay that runs for the second `time` may not bear the first one's name."""
    result = trial.result
    case = ET.Element(
        "testcase",
        classname=f"chaos.{result.feature}.{result.scenario}",
        name=_clean(result.id if time == 1 else f"{result.id} ({time})"),
        file=_clean(result.source),
        time=f"{result.duration_s:.3f}",
    )
    _properties(case, {"seed": str(result.seed), "run": trial.run, **dict(_numbers(result))})
    if kind := _ELEMENTS.get(result.status):
        element = ET.SubElement(case, kind, type=_type(result), message=_clean(result.reason))
        element.text = _clean("\n".join(verdict(trial, folder)))
    if output := _output(folder / trial.run):
        ET.SubElement(case, "system-err").text = _clean(output)
    return case


def _numbers(result: Result) -> Iterator[tuple[str, str]]:
    for judged in result.checks:
        for name, number in judged.verdict.numbers.items():
            yield f"{judged.check}.{name}", f"{number:g}"


def _type(result: Result) -> str:
    failed = [judged.check for judged in result.checks if judged.verdict.status == "FAIL"]
    return ",".join(failed) if result.status == "FAIL" and failed else result.status


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))


def _output(run: Path) -> str:
    """Return the ends of all logs of a run, within `MAX_OUTPUT_BYTES` together."""
    logs = [path for path in sorted((run / "logs").glob("*")) if path.is_file() and path.stat().st_size]
    share = MAX_OUTPUT_BYTES // max(len(logs), 1)
    return "\n".join(f"{path.name}:\n{_tail(path, share - len(path.name) - 80)}" for path in logs)


def _tail(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        cut = max(path.stat().st_size - limit, 0)
        file.seek(cut)
        text = file.read(limit).decode(errors="ignore")
    return f"… {cut} bytes cut, see {path.name} in the run folder\n{text}" if cut else text


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)
