"""The suite as data: what every other report, and `bigfive replay`, start from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.registry import report
from harness.reporting._base import Suite


@report("json")
class JsonReport:
    """Write `suite.json`: the results of all trials and where their run folders are."""

    def write(self, suite: Suite, folder: Path) -> Path:
        """Write it."""
        path = folder / "suite.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(suite), indent=2) + b"\n")
        return path
