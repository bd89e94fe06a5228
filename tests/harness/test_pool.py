"""The pool itself, in this process: what can go wrong with the trials, and with those who watch."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from harness.engine import pool as pool_module
from harness.engine.pool import Pool, Run, Signals, run_one
from harness.engine.suite import Selection, SuiteFolder, Terms, collect
from harness.engine.watching import Heard, Silent
from harness.errors import Interrupted
from harness.record import FaultProven
from support.suites import LASTING, remains, write_scenario

pytestmark = pytest.mark.chaos


def runs(folder: Path, count: int = 1, timeout_s: float | None = None) -> list[Run]:
    path = write_scenario(folder, "held", [LASTING], until_="60s")
    suite = SuiteFolder.create(folder / "reports")
    candidates = collect(Selection(paths=[path], repeat=count))
    return [suite.prepare(candidate, Terms(root_seed=1, timeout_s=timeout_s)) for candidate in candidates]


def trial_process() -> psutil.Process:
    [child] = [each for each in psutil.Process().children() if "harness.engine.trial" in each.cmdline()]
    return child


class Reacting(Silent):
    """Does something once the fault is proven."""

    def heard(self, run: Run, event: Heard) -> None:
        if isinstance(event, FaultProven):
            self.react()

    def react(self) -> None:
        raise NotImplementedError


def test_a_watcher_that_raises_ends_the_suite_with_everything_undone(tmp_path: Path) -> None:
    class Raising(Reacting):
        def react(self) -> None:
            raise BrokenPipeError

    first, *rest = runs(tmp_path, 3)
    pool = Pool(watcher=Raising())
    with pytest.raises(BrokenPipeError):
        pool.run([first, *rest])
    assert [result.status for _, result in pool.results] == ["INTERRUPTED"]
    assert not remains(tmp_path)


def test_one_trial_alone_raises_when_a_signal_has_ended_it(tmp_path: Path) -> None:
    class Signalling(Reacting):
        def react(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="everything is undone"):
        run_one(runs(tmp_path)[0], Signalling())
    assert not remains(tmp_path)


def test_a_trial_that_hangs_is_asked_then_killed_and_its_guardian_undoes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_GRACE_S", 0.5)

    class Freezing(Reacting):
        tick_s = 0.1

        def react(self) -> None:
            trial_process().suspend()

    [run] = runs(tmp_path, timeout_s=5.0)
    result = run_one(run, Freezing())
    assert result.status == "ERROR"
    assert "SIGKILL" in result.reason
    assert not remains(tmp_path)


def test_signals_are_noted_and_the_handlers_given_back() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert list(signals.take()) == [signal.SIGHUP]
    assert signal.getsignal(signal.SIGHUP) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
