"""The wheel holds both packages, and nothing else."""

from __future__ import annotations

import zipfile
from importlib import metadata
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from support.source import ROOT


def test_the_wheel_holds_every_module_of_both_packages(tmp_path: Path) -> None:
    artifact = next(iter(WheelBuilder(str(ROOT)).build(directory=str(tmp_path))))
    names = set(zipfile.ZipFile(artifact).namelist())
    modules = {str(p.relative_to(ROOT)) for package in ("harness", "targets") for p in (ROOT / package).rglob("*.py")}
    assert modules <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"harness", "targets"}


def test_the_distribution_offers_its_commands_and_its_pytest_plugin() -> None:
    entries = {(entry.group, entry.name) for entry in metadata.distribution("bigfive").entry_points}
    assert {("console_scripts", "bigfive"), ("pytest11", "bigfive")} <= entries
