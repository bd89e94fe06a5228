"""What a running suite says, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine.pool import Run
from harness.engine.suite import Selection, SuiteFolder, Terms, collect
from harness.engine.watching import Progress, Undoing
from harness.record import FaultInjected, FaultInjecting, FaultProven, FaultUndone, FaultUnproven, PhaseBegan
from harness.reporting import _terminal
from harness.reporting._terminal import Lines, coloured, interactive
from support.suites import write_scenario

INJECTING = FaultInjecting(t=0, fault=0, kind="process.kill", on="service", due=0)


class Watched:
    """A watcher, the run that it watches, and what it has said."""

    def __init__(self, folder: Path, verbosity: int) -> None:
        suite = SuiteFolder.create(folder / "reports")
        [candidate] = collect(Selection(paths=[write_scenario(folder, "a")]))
        self.run: Run = suite.prepare(candidate, Terms(root_seed=1))
        self.said: list[str] = []
        self.lines = Lines(suite, 3, self.said.append, verbosity)
        self.lines.began(self.run)


@pytest.fixture
def normal(tmp_path: Path) -> Watched:
    return Watched(tmp_path, 0)


def test_nothing_is_said_of_events_unless_asked(normal: Watched) -> None:
    normal.lines.heard(normal.run, PhaseBegan(t=0, phase="workload"))
    normal.lines.heard(normal.run, INJECTING)
    normal.lines.tick()
    assert normal.said == []


def test_every_phase_and_fault_is_said_if_asked(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 1)
    for event in (
        PhaseBegan(t=0, phase="set_up"),
        INJECTING,
        FaultInjected(t=0, fault=0, began=0, evidence={}),
        FaultProven(t=0, fault=0, proof={}),
        FaultUndone(t=0, fault=0, proof={}),
        FaultUnproven(t=0, fault=0, reason="it had ended"),
        Progress(3),
    ):
        watched.lines.heard(watched.run, event)
    assert watched.said == [
        "  a: set up",
        "  a: injecting process.kill on service",
        "  a: fault 0 injected",
        "  a: fault 0 proven",
        "  a: fault 0 undone",
        "  a: fault 0 not proven: it had ended",
    ]


def test_after_a_silence_one_line_says_what_is_going_on(normal: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_terminal, "_SILENCE_S", 0.0)
    normal.lines.heard(normal.run, PhaseBegan(t=0, phase="steady_state"))
    normal.lines.heard(normal.run, Progress(120))
    normal.lines.heard(normal.run, INJECTING)
    normal.lines.tick()
    assert normal.said == ["… 0 of 3 done; a (steady state, 0 s, 120 operations, process.kill)"]


def test_a_verdict_is_said_at_once_and_a_pass_not_to_the_quiet(tmp_path: Path) -> None:
    for verbosity, status, said in ((0, "PASS", True), (-1, "PASS", False), (-1, "UNKNOWN", True)):
        watched = Watched(tmp_path / f"{verbosity}{status}", verbosity)
        watched.lines.finished(watched.run, watched.run.result(status=status, reason="so"))
        assert any(line.startswith(status) for line in watched.said) is said
        assert watched.lines.done == 1


def test_an_interrupt_is_said_once_and_what_is_pending_whenever_it_comes(normal: Watched) -> None:
    normal.lines.interrupted(1, again=False)
    normal.lines.interrupted(1, again=True)
    normal.lines.heard(normal.run, Undoing(["rule 7", "folder x"]))
    assert normal.said == [
        "interrupted: 1 running trial to undo what was changed; interrupt again to see what is left",
        "a is still undoing: rule 7, folder x",
    ]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_obey_the_environment(
    environment: dict[str, str],
    expected: bool,  # noqa: FBT001  what pytest passes
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert coloured() is expected
    assert not interactive()  # colours in a log of CI are welcome, a picture that changes is not
