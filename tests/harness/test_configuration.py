"""`[tool.bigfive]` in pyproject.toml: defaults that the command line wins over, and mistakes that are said."""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from harness.cli import COMMANDS, CONFIGURED, exit_code
from harness.cli._configuration import KEYS, configured, defaults
from support.suites import write_scenario

Configure = Callable[[str], None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Writes the table of the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(table: str) -> None:
        (tmp_path / "pyproject.toml").write_text(f"[project]\nname = 'x'\n\n[tool.bigfive]\n{table}\n")

    return write


def dry_run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert exit_code(["run", "--dry-run", "--json", *arguments]) == 0
    return [json.loads(line)["trial"] for line in capsys.readouterr().out.splitlines()]


def parameters(command: str) -> dict[str, click.Parameter]:
    module = importlib.import_module(f"harness.cli.{COMMANDS[command][0]}")
    return {str(parameter.name): parameter for parameter in module.command.params}


def test_every_key_is_an_option_of_its_commands_and_its_example_is_valid(configure: Configure) -> None:
    for name, key in KEYS.items():
        example = tomllib.loads(f"x = {key.example}")["x"]
        configure(f"{name} = {key.example}")
        for command in key.commands:
            option = parameters(command)[name]
            assert isinstance(option, click.Option)
            assert defaults(command) == {name: example}
            context = click.Context(click.Command(command))
            values = example if option.multiple else [example]
            assert all(option.type(value, option, context) is not None for value in values)


def test_the_table_of_commands_agrees_with_the_keys() -> None:
    assert configured() == CONFIGURED


def test_defaults_reach_the_run_and_the_command_line_wins(
    tmp_path: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scenario(tmp_path / "scenarios", "a", more="tags: [smoke]")
    write_scenario(tmp_path / "scenarios", "b")
    configure('tags = ["smoke", "other"]\nrepeat = 2\nfail-fast = true')
    assert dry_run(capsys=capsys) == ["a", "a#1"]
    assert dry_run("--repeat", "1", capsys=capsys) == ["a"]
    configure("seed = 5")
    exit_code(["run", "--dry-run"])
    assert "root seed 5" in capsys.readouterr().out


def test_the_help_shows_the_default_of_this_folder(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    configure('out = "build/reports"')
    assert exit_code(["prune", "--help"]) == 0
    assert "[default: build/reports]" in capsys.readouterr().out


def test_every_mistake_is_said_at_once_with_the_near_miss(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure('worker = 3\ntags = "smoke"\nseed = true\nzzz = 1\nfail-fast = true\nfail_fast = true\nparams = [1]')
    assert exit_code(["run"]) == 4
    said = capsys.readouterr().err
    assert "pyproject.toml: [tool.bigfive]: unknown key 'worker', did you mean 'workers'?" in said
    assert "tags: expected a list of texts such as [\"smoke\"], got 'smoke'" in said
    assert "seed: expected a whole number such as 7, got True" in said
    assert "unknown key 'zzz'; known: out, " in said
    assert "'fail_fast' is given twice" in said
    assert "params: expected a list of texts" in said


def test_a_value_that_the_option_refuses_says_where_it_is_from(
    tmp_path: Path, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scenario(tmp_path / "scenarios", "a")
    configure("workers = 0")
    assert exit_code(["run"]) == 4
    assert "(from [tool.bigfive] in pyproject.toml)" in capsys.readouterr().err
    assert exit_code(["run", "-n", "0"]) == 4
    assert "tool.bigfive" not in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"[tool.bigfive", b"\xff", b"[tool]\nbigfive = 3"])
def test_a_broken_file_is_4_for_a_run_and_nothing_to_a_sweep(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_bytes(content)
    assert exit_code(["run"]) == 4
    assert "pyproject.toml: " in capsys.readouterr().err
    assert exit_code(["sweep"]) == 0
    assert exit_code(["--help"]) == 0


@pytest.mark.parametrize("content", ["", "tool = 3", "[tool.ruff]\nline-length = 3"])
def test_a_file_that_says_nothing_of_bigfive_is_fine(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(content)
    assert defaults("run") == {}


def test_explain_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["explain", "configuration"]) == 0
    said = capsys.readouterr().out
    assert all(f"{name} = {key.example}" in said and key.purpose in said for name, key in KEYS.items())
