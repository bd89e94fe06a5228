"""The house rules of the design, held by tests."""

from __future__ import annotations

import ast
import re
import statistics

import pytest

from support.source import ROOT, Module, modules

CODE = modules("harness", "targets")
PLUGINS = [m for m in CODE if re.match(r"harness/(faults|checks|reporting)/[^_]\w*\.py", m.name)]
PURE = [
    m
    for m in CODE
    if m.name.startswith(("harness/checks/", "harness/histories/"))
    or m.name in {"harness/engine/schedule.py", "harness/engine/judging.py", "harness/engine/timeline.py"}
]
WORLD = {"os", "subprocess", "socket", "time", "threading", "random", "shutil", "psutil", "docker", "signal"}
FEATURES = ["state", "locking", "resources", "network", "mcp_tools"]


def top_levels(module: Module) -> set[str]:
    return {name.split(".")[0] for name in module.imports()}


@pytest.mark.parametrize("module", CODE, ids=lambda m: m.name)
def test_harness_and_targets_never_import_each_other(module: Module) -> None:
    other = {"harness": "targets", "targets": "harness"}[module.package]
    assert other not in top_levels(module)


@pytest.mark.parametrize("module", CODE, ids=lambda m: m.name)
def test_docker_has_one_importer_on_each_side(module: Module) -> None:
    allowed = module.name.startswith("harness/containers/") or module.name == "targets/engine.py"
    assert allowed or "docker" not in top_levels(module)


@pytest.mark.parametrize("module", [m for m in CODE if m.package == "targets"], ids=lambda m: m.name)
def test_features_import_only_what_comes_before_them(module: Module) -> None:
    parts = module.path.relative_to(ROOT).parts
    own = FEATURES.index(parts[1]) if parts[1] in FEATURES else -1
    used = {name.split(".")[1] for name in module.imports() if name.startswith("targets.")}
    assert all(FEATURES.index(name) <= own for name in used & set(FEATURES))


@pytest.mark.parametrize("module", PURE, ids=lambda m: m.name)
def test_pure_modules_touch_no_clock_and_no_world(module: Module) -> None:
    assert not top_levels(module) & WORLD


@pytest.mark.parametrize("module", CODE, ids=lambda m: m.name)
def test_no_file_is_longer_than_the_house_allows(module: Module) -> None:
    assert len(module.text.splitlines()) <= (150 if module in PLUGINS else 400)


@pytest.mark.parametrize("module", CODE, ids=lambda m: m.name)
def test_no_function_is_longer_or_takes_more_than_the_house_allows(module: Module) -> None:
    for function in module.functions():
        arguments = function.args
        count = len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])
        count -= bool(arguments.args) and arguments.args[0].arg in {"self", "cls"}
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= 70, f"{function.name} has {length} lines"
        assert count <= 6, f"{function.name} takes {count} parameters"


def test_the_median_function_has_at_most_ten_lines() -> None:
    lengths = [(f.end_lineno or 0) - f.lineno + 1 for m in CODE for f in m.functions()]
    assert statistics.median(lengths) <= 10


@pytest.mark.parametrize("module", modules("harness", "targets", "tests"), ids=lambda m: m.name)
def test_nobody_sleeps_but_the_one_place_that_waits(module: Module) -> None:
    calls = [ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    sleeping = [call for call in calls if call in {"time.sleep", "asyncio.sleep", "anyio.sleep", "sleep"}]
    assert module.name == "harness/waiting.py" or not sleeping


@pytest.mark.parametrize("module", modules("harness", "targets", "tests"), ids=lambda m: m.name)
def test_nothing_is_mocked_and_nothing_is_left_to_do(module: Module) -> None:
    assert not any(name.startswith("unittest.mock") for name in module.imports())
    assert not re.search(r"#.*\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", module.text)


@pytest.mark.parametrize("module", CODE, ids=lambda m: m.name)
def test_imports_are_absolute(module: Module) -> None:
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(module.tree))


def test_files_name_no_folder_of_the_machine_they_were_written_on() -> None:
    places = re.compile(r"/(w" + r"ork|r" + r"oot)/")
    files = [p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml", ".ini", ".yaml", ".yml", ".js"}]
    kept = [p for p in files if not {".venv", ".tox", "node_modules", ".git"} & set(p.relative_to(ROOT).parts)]
    guilty = [str(p) for p in kept if "reports" not in p.relative_to(ROOT).parts and places.search(p.read_text())]
    assert not guilty
