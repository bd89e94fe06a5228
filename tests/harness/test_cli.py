"""The command line without trials: help, lists, and every exit status that needs none."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from harness.cli import COMMANDS, exit_code
from harness.errors import EnvironmentLacks, HarnessBug, Interrupted, ScenarioError, UndoFailed
from harness.faults._base import Undo
from harness.registry import CHECKS, FAULTS, REPORTS, RUNNERS, Registry
from harness.reporting._base import write_all
from harness.statuses import TABLE
from harness.undo import Pointer, UndoLog
from support.suites import BIGFIVE, bigfive, result, suite, write_scenario


@dataclass
class Said:
    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Said:
        code = exit_code([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_teaches_and_agrees_with_the_table(name: str) -> None:
    command: click.Command = importlib.import_module(f"harness.cli.{COMMANDS[name][0]}").command
    assert command.name == name
    assert command.get_short_help_str(200) == COMMANDS[name][1]
    assert len(command.help or "") > 60


def test_help_imports_nothing_but_click() -> None:
    code = "import sys; from harness.cli import exit_code; exit_code(['--help']); print(sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "Commands:" in shown
    modules = shown.splitlines()[-1]
    assert not any(f"'{name}'" in modules for name in ("pydantic", "msgspec", "yaml", "rich", "harness.engine"))


def test_a_run_without_a_terminal_imports_no_rich() -> None:
    code = "import sys, harness.cli.run, harness.cli.replay; print('rich' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["run", "--no-such-option"],
        ["run", "no-such-file.yaml"],
        ["run", "-n", "0"],
        ["run", "-n", "many"],
        ["run", "--timeout", "5"],
        ["run", "-p", "nonsense"],
        ["run", "--seed", "-1"],
        ["run", "--allow", "everything"],
        ["run", "-k", "a and"],
        ["run"],
        ["replay", "no-such-folder"],
        ["replay", "."],
        ["explain", "process.kil"],
        ["list", "nouns"],
        ["validate", "no-such-file.yaml"],
        ["adapter"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_4_and_nothing_on_standard_output(
    arguments: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if "-k" in arguments:
        write_scenario(tmp_path / "scenarios", "a")
    assert exit_code(arguments) == 4
    said = capsys.readouterr()
    assert said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("u"), 4),
        (click.ClickException("c"), 4),
        (click.Abort(), 2),
        (KeyboardInterrupt(), 2),
        (EOFError(), 2),
        (Interrupted("i"), 2),
        (ScenarioError("s"), 4),
        (EnvironmentLacks("docker", "no engine", "start it"), 5),
        (UndoFailed("rule 7"), 3),
        (HarnessBug("b"), 3),
        (ValueError("nobody expected this"), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_a_command_raises_becomes_a_status(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("harness.cli.sweep"), "command", broken)
    assert exit_code(["sweep"]) == code
    assert capsys.readouterr().err


def test_a_bug_is_said_in_two_lines_with_the_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @click.command()
    def broken() -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr(importlib.import_module("harness.cli.sweep"), "command", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    exit_code(["sweep"])
    said = capsys.readouterr().err
    assert "bug in bigfive: RuntimeError: impossible" in said
    [report] = tmp_path.iterdir()
    assert str(report) in said
    assert "Traceback" in report.read_text()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["run", "--help"], ["adapter", "--help"]])
def test_help_and_version_are_0(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(arguments) == 0
    assert capsys.readouterr().out


def test_a_reader_that_goes_away_is_quiet_and_does_not_leak_clicks_1(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(
            [*BIGFIVE, "list", "faults"], cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == ""


def test_no_command_leaves_standard_output_or_the_status_to_click(tmp_path: Path) -> None:
    done = bigfive("run", "nowhere", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stdout == ""
    assert "nowhere" in done.stderr


def test_nothing_selected_is_nothing_proven(tmp_path: Path, call: Call) -> None:
    write_scenario(tmp_path / "scenarios", "a")
    for dry in ([], ["--dry-run"]):
        assert call("run", "-k", "b", *dry).code == 5


def test_a_dry_run_prints_every_timeline_and_makes_no_folder(tmp_path: Path, call: Call) -> None:
    faults = ["{at: 1s, fault: process.kill, on: service}", "{at: +500ms, fault: noop, for: 2s}"]
    write_scenario(tmp_path / "scenarios", "a", faults, more="repeat: 2")
    done = call("run", "--dry-run", "--seed", 5)
    assert done.code == 0
    assert done.out.startswith("2 trials, root seed 5\na  (seed ")
    assert done.out.count("1.000s process.kill on service") == 2
    assert "noop for 2s" in done.out
    assert not (tmp_path / "reports").exists()


def test_two_dry_runs_of_one_seed_are_equal_byte_for_byte(tmp_path: Path, call: Call) -> None:
    write_scenario(tmp_path / "scenarios", "a", ["{at: 1s..9s, fault: noop}"], more="repeat: 3")
    first, second = (call("run", "--dry-run", "--json", "--seed", 5).out for _ in range(2))
    assert first == second
    plans = [json.loads(line) for line in first.splitlines()]
    assert [plan["trial"] for plan in plans] == ["a", "a#1", "a#2"]
    assert len({plan["plan"]["steps"][0]["at_s"] for plan in plans}) == 3


def test_a_parameter_reaches_the_plan(tmp_path: Path, call: Call) -> None:
    write_scenario(tmp_path / "scenarios", "a", ["{at: '${when}', fault: noop}"], more="params: {when: 1s}")
    assert "3.000s noop" in call("run", "--dry-run", "-p", "when=3s").out


def test_validate_says_every_mistake_of_every_file_where_it_is(tmp_path: Path, call: Call) -> None:
    write_scenario(tmp_path / "scenarios", "good")
    for name in ("one", "two"):
        path = write_scenario(tmp_path / "scenarios", name)
        path.write_text(path.read_text().replace("fault: noop", "fault: nop") + "retries: 3\n")
    done = call("validate")
    assert done.code == 4
    lines = done.out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("scenarios/") and line.split(":")[1].isdigit() for line in lines)
    assert "1 of 3 scenario files are valid" in done.err


def test_validate_is_0_for_what_is_valid_and_5_for_nothing(tmp_path: Path, call: Call) -> None:
    (tmp_path / "scenarios").mkdir()
    assert call("validate").code == 5
    write_scenario(tmp_path / "scenarios", "good")
    assert call("validate").code == 0


@pytest.mark.parametrize("registry", [FAULTS, CHECKS, RUNNERS, REPORTS], ids=lambda registry: registry.noun)
def test_every_plugin_is_listed_and_explained(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["list", f"{registry.noun}s", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listed] == registry.kinds()
    assert all(row["summary"] for row in listed)
    for kind in registry.kinds():
        assert exit_code(["explain", kind]) == 0
        assert capsys.readouterr().out.startswith(f"{registry.noun} {kind}\n")


def test_explain_shows_parameters_with_what_they_accept_and_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(["explain", "state_corruption"])
    said = capsys.readouterr().out
    assert "writers: a whole number from 1 to 200 (default 10)" in said
    assert "number of client processes" in said
    assert "service (process)" in said


def test_explain_without_a_kind_is_an_index_and_has_the_topics(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(["explain"])
    index = capsys.readouterr().out
    assert all(kind in index for kind in (*FAULTS.kinds(), "exit-status", "phases"))


def test_explain_has_every_exit_status_and_every_phase(capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(["explain", "exit-status"])
    said = capsys.readouterr().out
    assert all(line.meaning in said for line in TABLE)
    exit_code(["explain", "phases"])
    assert "tear_down" in capsys.readouterr().out


def test_list_shows_scenarios_with_their_variants_once(tmp_path: Path, call: Call) -> None:
    write_scenario(tmp_path / "scenarios", "a", more="matrix: {speed: [1, 2]}\nrepeat: 3")
    write_scenario(tmp_path / "scenarios" / "negative", "b")
    assert call("list").out.split() == ["a[speed=1]", "A", "toy.", "a[speed=2]", "A", "toy."]
    assert call("list", "scenarios", "scenarios/negative").out.startswith("b ")


def test_doctor_has_a_fix_for_everything_that_is_missing(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "DOCKER_HOST": "unix:///no/such/socket"}
    done = bigfive("doctor", cwd=tmp_path, environment=environment)
    assert done.returncode == 0
    assert done.stdout.count("missing  ") == done.stdout.count("fix: ") >= 5
    assert "ok       linux" in done.stdout


def test_doctor_is_5_where_nothing_can_be_proven(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = bigfive(
        "doctor", "--json", cwd=tmp_path, environment={"BIGFIVE_STATE_DIR": str(tmp_path / "file" / "below")}
    )
    assert done.returncode == 5
    findings = {row["name"]: row for row in json.loads(done.stdout)}
    assert findings["state-folder"]["ok"] is False
    assert findings["state-folder"]["required"] is True


def leave_behind(folder: Path) -> Path:
    """What a run whose process, and whose guardian, were killed leaves: a log, and a pointer to it."""
    left = folder / "left"
    left.mkdir()
    log = UndoLog(folder / "undo.jsonl")
    log.push(Undo("folder.remove", {"path": str(left)}))
    log.close()
    Pointer("dead", str(log.path), (2**22 + 1, 1)).write()
    return left


def test_sweep_says_what_it_undid_and_then_that_nothing_is_left(tmp_path: Path, call: Call) -> None:
    left = leave_behind(tmp_path)
    done = call("sweep")
    assert done.code == 0
    assert f"undone: dead: folder.remove(path={left})" in done.out
    assert not left.exists()
    assert call("sweep").out == "nothing was left\n"


def test_every_run_sweeps_first(tmp_path: Path, call: Call) -> None:
    write_scenario(tmp_path / "scenarios", "a")
    left = leave_behind(tmp_path)
    assert "left by a killed run" in call("run", "-k", "nothing").err
    assert not left.exists()


def test_adapter_check_is_1_for_what_speaks_no_protocol(call: Call) -> None:
    done = call("adapter", "check", "true")
    assert done.code == 1
    assert done.out.startswith("FAIL hello is answered")


def test_replay_of_a_suite_without_failures_says_so(tmp_path: Path, call: Call) -> None:
    write_all(suite(result()), tmp_path)
    done = call("replay", tmp_path)
    assert done.code == 4
    assert "nothing failed" in done.err
