"""The fixture `chaos`: any registered fault inside somebody's own test."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.chaos import Chaos
from harness.errors import FaultNotProven, ScenarioError
from harness.processes import Process
from harness.undo import state_directory
from harness.waiting import until

pytest_plugins = ["pytester"]


@pytest.fixture
def sleeper() -> Iterator[Process]:
    process = subprocess.Popen(["sleep", "600"])
    yield Process.of(process.pid)
    process.kill()
    process.wait()


def test_a_lasting_fault_holds_as_long_as_its_block(chaos: Chaos, sleeper: Process) -> None:
    with chaos("process.pause", pid=sleeper.pid) as paused:
        assert sleeper.state() == "T"
        assert paused.proof["pid"] == sleeper.pid
    assert sleeper.state() == "S"


def test_a_lasting_fault_without_a_block_ends_with_the_test(tmp_path: Path, sleeper: Process) -> None:
    with Chaos(tmp_path, 1, "test") as chaos:
        chaos("process.pause", pid=sleeper.pid)
        assert sleeper.state() == "T"
    assert sleeper.state() == "S"
    assert not list((state_directory() / "runs").glob("*"))


def test_damage_is_done_once_proven_and_never_undone(chaos: Chaos, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(100))
    with chaos("file.bit_flip", path=file, bits=3) as flipped:
        assert flipped.evidence
    assert sum(byte.bit_count() for byte in file.read_bytes()) == 3


def test_the_same_seed_and_name_damage_the_same_bytes(tmp_path: Path) -> None:
    damaged = []
    for seed in (1, 1, 2):
        file = tmp_path / "data"
        file.write_bytes(bytes(1000))
        with Chaos(tmp_path, seed, "test") as chaos:
            chaos("file.bit_flip", path=file, bits=3)
        damaged.append(file.read_bytes())
    assert damaged[0] == damaged[1] != damaged[2]


def test_a_fault_without_effect_raises(chaos: Chaos, tmp_path: Path) -> None:
    with pytest.raises(FaultNotProven):
        chaos("file.bit_flip", path=tmp_path / "missing")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("process.pauze", {"pid": 1}),
        ("process.pause", {}),
        ("process.pause", {"path": "x"}),
        ("process.pause", {"pid": 1, "bits": 3}),
        ("noop", {"pid": 1}),
        ("file.bit_flip", {"path": "x", "bits": "many"}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(chaos: Chaos, kind: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ScenarioError):
        chaos(kind, **arguments)


def test_the_fixture_is_there_without_any_import(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(chaos):\n    with chaos('noop') as held: assert held.proof")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.mark.chaos
def test_kill_9_of_pytest_leaves_nothing_paused(pytester: pytest.Pytester, sleeper: Process) -> None:
    pytester.makepyfile(
        f"""
        import threading
        def test_it(chaos):
            chaos("process.pause", pid={sleeper.pid})
            threading.Event().wait()
        """
    )
    process = subprocess.Popen([sys.executable, "-m", "pytest", "-p", "no:cacheprovider"], cwd=pytester.path)
    until(lambda: sleeper.state() == "T", "the pause", 20)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: sleeper.state() == "S", "the end of the pause", 5)
