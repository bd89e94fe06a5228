"""Shell completion: the scripts, and what a shell is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import COMMANDS, exit_code
from harness.cli.completion import SHELLS, VARIABLE
from harness.registry import CHECKS, FAULTS, RUNNERS
from support.suites import bigfive


def completions(line: str, cwd: Path) -> list[str]:
    """What bash is told at the end of `line`."""
    words = line.split(" ")
    done = bigfive(
        cwd=cwd,
        environment={VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
    )
    assert done.returncode == 0
    assert not done.stderr
    return [shown.partition(",")[2] for shown in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_asks_this_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert f"{VARIABLE}={shell}_complete" in said
    assert "%(" not in said


def test_bash_understands_its_script(tmp_path: Path) -> None:
    script = bigfive("completion", "bash", cwd=tmp_path).stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_another_shell_is_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["completion", "cmd"]) == 4
    assert "bash" in capsys.readouterr().err


def test_commands_are_completed_without_importing_them(tmp_path: Path) -> None:
    assert completions("bigfive ", tmp_path) == list(COMMANDS)
    assert completions("bigfive re", tmp_path) == ["replay", "report"]
    code = (
        "import sys, click; from harness.cli import bigfive; "
        "bigfive.shell_complete(click.Context(bigfive), ''); print('pydantic' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"


def test_kinds_of_plugins_topics_and_paths_are_completed_for_explain(tmp_path: Path) -> None:
    known = completions("bigfive explain ", tmp_path)
    assert set(known) >= {*FAULTS.kinds(), *CHECKS.kinds(), *RUNNERS.kinds(), "phases", "configuration"}
    assert completions("bigfive explain process.k", tmp_path) == ["process.kill", "process.kill_at_syscall"]
    assert completions("bigfive explain reports/la", tmp_path) == ["reports/la"]  # a file: the shell takes over


def test_kinds_are_completed_for_new_and_models_for_judge(tmp_path: Path) -> None:
    assert completions("bigfive new scenario a --fault disk.f", tmp_path) == ["disk.full"]
    assert "state_corruption" in completions("bigfive new scenario a --runner st", tmp_path)
    assert "versioned_register" in completions("bigfive judge --model v", tmp_path)
