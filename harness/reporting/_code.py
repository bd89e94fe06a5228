"""Line and branch coverage by feature, from the JSON of coverage.py (`coverage json`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from harness.errors import ScenarioError

SHARED = "shared"
"""Modules of `targets` that belong to no feature."""


class _Summary(msgspec.Struct):
    covered_lines: int
    num_statements: int
    covered_branches: int = 0
    num_branches: int = 0


class _File(msgspec.Struct):
    summary: _Summary


class _Report(msgspec.Struct):
    files: dict[str, _File]


@dataclass(frozen=True, kw_only=True)
class Covered:
    """What was covered of a feature's code. Without branch measurement `branches` is 0."""

    files: int
    lines: int
    covered_lines: int
    branches: int
    covered_branches: int


CodeCoverage = dict[str, Covered]


def read(path: Path) -> CodeCoverage:
    """Read the coverage of `targets/<feature>/`, whatever folder precedes it. Raises `ScenarioError`."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=_Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise ScenarioError(f"{path} is no report of `coverage json`: {error}") from error
    by_feature: dict[str, list[_Summary]] = {}
    for name, file in report.files.items():
        if feature := _feature(name):
            by_feature.setdefault(feature, []).append(file.summary)
    if not by_feature:
        raise ScenarioError(f"{path} has no file below targets/: was it measured with `source = [..., 'targets']`?")
    return {feature: _total(summaries) for feature, summaries in sorted(by_feature.items())}


def _feature(name: str) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if "targets" not in parts[:-1] or "tests" in parts:
        return ""
    inside = parts[len(parts) - parts[::-1].index("targets") :]
    return inside[0] if len(inside) > 1 else SHARED


def _total(summaries: Iterable[_Summary]) -> Covered:
    every = list(summaries)
    return Covered(
        files=len(every),
        lines=sum(each.num_statements for each in every),
        covered_lines=sum(each.covered_lines for each in every),
        branches=sum(each.num_branches for each in every),
        covered_branches=sum(each.covered_branches for each in every),
    )
