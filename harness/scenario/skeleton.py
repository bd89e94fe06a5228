"""A scenario to begin with: it validates as it is, and what else there is stands beside it as a comment.

Written from the registries, so a new fault, check or runner is in it without anybody's doing.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import ScenarioError
from harness.registry import CHECKS, FAULTS, RUNNERS
from harness.scenario._shapes import Shape, members, shape

EXAMPLES = {"versioned_store": "targets.state:adapter", "locks": "targets.locking:adapter"}
"""By the first contract of a runner, the target that comes with bigfive and offers it."""
_BY_HAND = "./adapter.py:adapter"
_PLAIN = re.compile(r"[A-Za-z_][\w .+-]*|\d+(\.\d+)?|\d+(\.\d+)?[a-zA-Z/]+", re.ASCII)
_NO_TEXT = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_COLUMN = 36


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the scenario is to be about. `target` is a Python object or a program with its arguments; "" takes ours."""

    name: str
    runner: str
    faults: Sequence[str]
    target: str | tuple[str, ...] = ""

    def written_target(self) -> str:
        """Return the member that names the target."""
        target = self.target or EXAMPLES.get(RUNNERS.get(self.runner).contracts[0], _BY_HAND)
        return f"target: {target}" if isinstance(target, str) else f"command: {json.dumps(list(target))}"

    def feature(self) -> str:
        """Return the feature: the last word of the target's module, as far as that can be one."""
        module = self.written_target().partition(": ")[2].partition(":")[0] if isinstance(self.target, str) else ""
        words = re.findall(r"[a-z0-9]+", re.split(r"[./]", module.removesuffix(".py"))[-1].lower())
        return "_".join(words)[:80] or self.name


def skeleton(wanted: Wanted) -> str:
    """Return the text of the file. Raises `ScenarioError` for unknown kinds, and faults that find nothing to act on."""
    runner = RUNNERS.get(wanted.runner)
    faults = [FAULTS.get(kind) for kind in wanted.faults]
    what = " and ".join(dict.fromkeys(wanted.faults))
    lines = [
        *_HEAD,
        f"scenario: {wanted.name}",
        _remark(f"feature: {wanted.feature()}", "what the reports group it by"),
        f"summary: {what} while clients work, and nothing that was acknowledged is lost.",
        _remark("tags: [nightly]", "bigfive run -t nightly"),
        "",
        _remark(wanted.written_target(), "the system under test: an adapter"),
        _remark("# with: {option: value}", "options that it is started with"),
        "",
        _remark(f"runner: {wanted.runner}", _first_line(runner)),
        "workload:",
        *_parameters(runner, "  "),
        "",
        "faults:",
        *(line for number, fault in enumerate(faults) for line in _fault(fault, runner, first=number == 0)),
        "",
        *_expectations(runner, faults),
        "timeout: 60s",
    ]
    return "\n".join(lines) + "\n"


_HEAD = (
    "# bigfive validate FILE        every mistake, at its line and column",
    "# bigfive run FILE --dry-run   what would happen, and when",
    "# bigfive run FILE -v          break it",
    "# bigfive explain KIND         what a fault, a check or a runner does",
    "",
)
_WHEN = (
    ("    # at: 1s..5s", "drawn from the seed; +500ms is later than the fault before"),
    ("    # at: {operations: 200}", "or {event: restore.begin}, or {failpoint: journal.before_fsync}"),
)
_AGAIN = (("    # every: 5s", "again and again"), ("    # times: 3", "so often"))


def _fault(fault: type[Any], runner: type[Any], *, first: bool) -> Iterator[str]:
    yield _remark(f"  - at: {'1s' if first else '+1s'}", "after the start of the workload" if first else "later")
    if first:
        yield from (_remark(*line) for line in _WHEN)
    yield _remark(f"    fault: {fault.kind}", _first_line(fault))
    if fault.on is not None:
        fitting = [name for name, kind in runner.handles.items() if kind == fault.on]
        if not fitting:
            raise ScenarioError(f"{fault.kind} acts on a {fault.on}, and {runner.kind} has no such handle")
        yield _remark(f"    on: {fitting[0]}", f"or {', '.join(fitting[1:])}" if fitting[1:] else f"the {fault.on}")
    if fault.lasts:
        yield _remark("    for: 1s", "then it is undone; without this, at the end of the workload")
    if first:
        yield from (_remark(*line) for line in _AGAIN)
    yield from _parameters(fault, "    # ")


def _parameters(kind: type[Any], indent: str) -> Iterator[str]:
    """Yield every parameter with its default, or an example where it has none, and what it means."""
    described = shape(kind)
    for name in members(kind):
        part = described.at([name])
        value = _value(part)
        begin = indent.replace("# ", "") if name in described.schema.get("required", ()) else indent
        written = f"{begin}{name}: {value}" if value else f"{begin.rstrip(' #')} # {name}:"
        accepts = part.describe()
        yield _remark(written, part.purpose if accepts.startswith("a value") else f"{part.purpose}: {accepts}")


def _value(part: Shape) -> str:
    default = part.schema.get("default")
    if default is None:
        branches = [branch.schema for branch in part.branches] or [part.schema]
        default = next((found for schema in branches for found in schema.get("examples", ())), None)
    if default is None:
        return ""
    plain = isinstance(default, str) and _PLAIN.fullmatch(default) and default.lower() not in _NO_TEXT
    return str(default) if plain else json.dumps(default)


def _expectations(runner: type[Any], faults: Sequence[type[Any]]) -> Iterator[str]:
    """Yield what must hold: what fits is asked for, everything else that there is can be."""
    chosen = {"no_orphans"}
    if any(fault.on is not None for fault in faults):  # nothing recovers from a fault that breaks nothing
        chosen.add("recovered_within")
    chosen.add("no_acknowledged_write_lost" if runner.contracts[0] == "versioned_store" else "no_lost_updates")
    yield "expect:"
    for check in CHECKS.all():
        needed = check.shorthand in shape(check).schema.get("required", ())
        value = f": {_value(shape(check).at([check.shorthand]))}" if needed else ""
        yield _remark(f"  {'' if check.kind in chosen else '# '}- {check.kind}{value}", _first_line(check))


def _first_line(kind: type[Any]) -> str:
    first = (inspect.getdoc(kind) or "").partition("\n")[0].removesuffix(".")
    return first[:1].lower() + first[1:]


def _remark(line: str, remark: str) -> str:
    return f"{line:<{_COLUMN}}  # {remark}" if remark else line
