from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import find, is_scenario


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.yaml", "a.yml", "state/c.yaml", "negative/d.yaml", "negative/deep/e.yaml", ".git/f.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# comment\nscenario: toy\n")
    (tmp_path / "compose.yaml").write_text("services:\n  scenario: no\n")
    (tmp_path / "notes.txt").write_text("scenario: toy\n")
    return tmp_path


def names(tree: Path, *paths: str) -> list[str]:
    return [str(path.relative_to(tree)) for path in find([tree / path for path in paths])]


def test_a_folder_means_its_scenarios_but_not_the_negative_and_the_hidden_ones(tree: Path) -> None:
    assert names(tree, "") == ["a.yml", "b.yaml", "state/c.yaml"]


def test_negative_scenarios_are_found_where_they_are_named(tree: Path) -> None:
    assert names(tree, "negative") == ["negative/d.yaml", "negative/deep/e.yaml"]
    assert names(tree, "negative/deep") == ["negative/deep/e.yaml"]
    assert names(tree, "negative/d.yaml") == ["negative/d.yaml"]


def test_a_folder_named_from_within_is_as_good(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "negative")
    assert find([Path()]) == [Path("d.yaml"), Path("deep/e.yaml")]


def test_every_scenario_is_found_once_and_in_order(tree: Path) -> None:
    assert names(tree, "state", "", "b.yaml", "state/c.yaml") == ["a.yml", "b.yaml", "state/c.yaml"]


def test_a_file_is_taken_as_it_is(tree: Path) -> None:
    assert names(tree, "notes.txt", "compose.yaml") == ["compose.yaml", "notes.txt"]


def test_what_does_not_exist_is_said_at_once_with_where_it_was_looked_for(tree: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nope, .*gone: no such file or folder") as caught:
        find([Path("nope"), tree, tree / "gone"])
    assert str(Path.cwd()) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"scenario: x", True),
        (b"scenario:\n", True),
        (b"'scenario' : x", True),
        (b'\xef\xbb\xbf"scenario": x', True),
        (b"\xff\xfe\nscenario: broken [", True),
        (b"scenarios: x", False),
        (b"  scenario: x", False),
        (b"scenario:x", False),
        (b"", False),
        (b" " * 2_000_000 + b"\nscenario: x", False),
    ],
)
def test_a_scenario_has_that_key_at_the_top_whatever_else_is_wrong_with_it(
    tmp_path: Path,
    content: bytes,
    expected: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    (path := tmp_path / "x.yaml").write_bytes(content)
    assert is_scenario(path) is expected


def test_asking_never_fails(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    strange = [tmp_path, tmp_path / "pipe", tmp_path / "loop", tmp_path / "gone", Path("\0"), Path("x" * 5000)]
    assert not any(map(is_scenario, strange))
