"""`bigfive new`: what it writes is valid, runs, and never replaces anything."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import exit_code
from harness.registry import CHECKS, FAULTS, RUNNERS
from harness.scenario.load import load
from harness.scenario.skeleton import Wanted, skeleton
from support.suites import bigfive

FITTING = [
    (runner.kind, fault.kind)
    for runner in RUNNERS.all()
    for fault in FAULTS.all()
    if fault.on in {None, *runner.handles.values()}
]
PARAMETER = re.compile(r"^( +)# (?=(- )?\w+(: \S| +#))", re.MULTILINE)
ALTERNATIVE = re.compile(r"^ +# at: .*\n", re.MULTILINE)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("runner", "fault"), FITTING)
def test_a_skeleton_validates_for_every_runner_and_fault_that_fit(runner: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(skeleton(Wanted(name="a", runner=runner, faults=[fault])))
    [variant] = load(path)
    assert [step.kind for step in variant.scenario.faults] == [fault]
    assert variant.scenario.expect


@pytest.mark.parametrize(("runner", "fault"), FITTING)
def test_every_suggestion_in_a_comment_is_valid_too(runner: str, fault: str, tmp_path: Path) -> None:
    text = skeleton(Wanted(name="a", runner=runner, faults=[fault]))
    path = tmp_path / "a.yaml"
    path.write_text(PARAMETER.sub(r"\1", ALTERNATIVE.sub("", text)))
    [variant] = load(path)
    assert {check.kind for check in variant.scenario.expect} == set(CHECKS.kinds())
    assert variant.scenario.faults[0].times == 3


def test_a_scenario_is_written_to_scenarios_and_names_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["new", "scenario", "shop-killed", "--fault", "record.torn_tail", "--fault", "process.kill"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "bigfive run scenarios/shop-killed.yaml"
    [variant] = load(tmp_path / "scenarios" / "shop-killed.yaml")
    assert variant.scenario.feature == "state"
    assert [step.kind for step in variant.scenario.faults] == ["record.torn_tail", "process.kill"]
    assert exit_code(["validate"]) == 0


@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("./shop.py:adapter", "target: ../shop.py:adapter"),
        ("my.shop:adapter", "target: my.shop:adapter"),
        ("node shop.js -v", 'command: ["node", "../shop.js", "-v"]'),
        ("/opt/shop.py:adapter", "target: /opt/shop.py:adapter"),
    ],
)
def test_a_target_is_seen_from_here_and_written_as_the_scenario_sees_it(
    target: str, written: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.js").touch()
    assert exit_code(["new", "scenario", "first", "--target", target, "--fault", "noop"]) == 0
    text = (tmp_path / "scenarios" / "first.yaml").read_text()
    assert f"\n{written} " in text
    assert exit_code(["validate"]) == 0


@pytest.mark.parametrize("kind", ["scenario", "adapter"])
def test_nothing_is_overwritten(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["new", kind, "shop", "-o", str(tmp_path)]) == 0
    [path] = tmp_path.iterdir()
    path.write_text("mine")
    capsys.readouterr()
    assert exit_code(["new", kind, "shop", "-o", str(tmp_path)]) == 4
    assert "nothing is overwritten" in capsys.readouterr().err
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["scenario", "Not a name"], "lower-case words"),
        (["scenario", "a", "--fault", "process.kil"], "did you mean 'process.kill'"),
        (["scenario", "a", "--runner", "state"], "no runner"),
        (["adapter", "json"], "take json_adapter"),
        (["adapter", "a", "--language", "cobol"], "cobol"),
    ],
)
def test_what_cannot_be_written_is_4_and_leaves_no_file(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["new", *arguments]) == 4
    assert told in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.*"))


def check(*adapter: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return bigfive("adapter", "check", *adapter, cwd=cwd)


@pytest.mark.chaos
def test_a_new_python_adapter_does_what_the_protocol_demands(tmp_path: Path) -> None:
    assert exit_code(["new", "adapter", "shop"]) == 0
    done = check("./shop.py:adapter", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "PASS clients see each other's writes" in done.stdout
    assert done.stdout.count("SKIP") == 3  # what needs a process that can be killed


@pytest.mark.chaos
def test_a_new_node_adapter_does_what_the_protocol_demands(tmp_path: Path, lacking: Callable[[str], None]) -> None:
    if shutil.which("node") is None:
        lacking("there is no node here")
    assert exit_code(["new", "adapter", "shop", "--language", "node"]) == 0
    done = check("node", "shop.js", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("SKIP") == 3


@pytest.mark.chaos
def test_a_new_scenario_around_a_new_adapter_passes(tmp_path: Path) -> None:
    assert exit_code(["new", "adapter", "shop"]) == 0
    assert exit_code(["new", "scenario", "first", "--target", "./shop.py:adapter", "--fault", "noop"]) == 0
    done = bigfive("run", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
