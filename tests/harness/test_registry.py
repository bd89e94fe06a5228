"""The registry: `ls` is the catalogue, and a wrong name is answered with the right one."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import harness
from harness.errors import ScenarioError
from harness.registry import CHECKS, FAULTS, REPORTS, RUNNERS, Registry

REGISTRIES = [FAULTS, CHECKS, RUNNERS, REPORTS]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.noun)
def test_the_kinds_are_the_plain_files_of_the_folder(registry: Registry) -> None:
    folder = Path(harness.__file__).parent / ("reporting" if registry is REPORTS else f"{registry.noun}s")
    stems = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert {kind.replace(".", "_") for kind in registry.kinds()} == stems


def test_naming_the_kinds_imports_none_of_them() -> None:
    code = "import sys, harness.registry as r; r.FAULTS.kinds(); sys.exit('harness.faults.noop' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ("process.kil", "did you mean 'process.kill'"),
        ("process_kill", "did you mean 'process.kill'"),
        ("zzz", "known: "),
    ],
)
def test_a_wrong_name_is_answered_with_what_may_be_meant(wrong: str, answer: str) -> None:
    with pytest.raises(ScenarioError, match=answer):
        FAULTS.get(wrong)


def test_a_kind_knows_the_module_that_the_guardian_must_import() -> None:
    assert FAULTS.module("process.pause") == "harness.faults.process_pause"


def test_a_class_that_is_registered_is_found_under_its_name() -> None:
    registry = Registry("check")

    @registry.register("mine")
    class Mine:
        kind = ""

    assert registry.get("mine") is Mine
    assert Mine.kind == "mine"
    assert "mine" in registry.kinds()


def test_a_plugin_of_another_distribution_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreign.py").write_text("class Foreign: pass\n")
    (tmp_path / "foreign-1.dist-info").mkdir()
    (tmp_path / "foreign-1.dist-info" / "METADATA").write_text("Name: foreign\nVersion: 1\n")
    (tmp_path / "foreign-1.dist-info" / "entry_points.txt").write_text(
        "[bigfive.faults]\nforeign.one = foreign:Foreign\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.version("foreign") == "1"
    registry = Registry("fault")
    assert "foreign.one" in registry.kinds()
    assert registry.get("foreign.one").kind == "foreign.one"
    assert registry.module("foreign.one") == "foreign"
