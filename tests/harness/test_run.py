"""`bigfive run` and `bigfive replay` over real trials: every exit status, signals, and what is left behind."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from harness.reporting._base import Suite, read
from harness.waiting import until
from support.suites import BIGFIVE, FORGETFUL, LASTING, Started, bigfive, remains, write_scenario

pytestmark = pytest.mark.chaos

KILL = ["{at: 100ms, fault: process.kill, on: service}"]
NO_LOSS = "no_acknowledged_write_lost"


def latest(folder: Path) -> Suite:
    return read(folder / "reports" / "latest" / "suite.json")


def write_losing(folder: Path, name: str, more: str = "") -> Path:
    return write_scenario(folder, name, KILL, until_="faults_done + 300ms", expect=NO_LOSS, more=FORGETFUL + more)


def write_foreign(folder: Path, name: str) -> Path:
    """A scenario whose adapter's program no machine has."""
    path = write_scenario(folder, name)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("target")]
    path.write_text("\n".join([*lines, "command: [no-such-program-anywhere]"]))
    return path


def test_what_heals_is_0_with_every_report(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "heals", KILL, until_="faults_done + 300ms", expect=NO_LOSS)
    done = bigfive("run", "--seed", 7, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "PASS        heals" in done.stdout
    assert "\x1b" not in done.stdout
    folder = tmp_path / "reports" / "latest"
    assert {path.name for path in folder.iterdir()} >= {"runs", "suite.json", "index.html", "junit.xml", "summary.txt"}
    assert latest(tmp_path).results[0].root_seed == 7
    assert not remains(tmp_path)


def test_a_failed_check_is_1_and_the_printed_command_replays_it(tmp_path: Path) -> None:
    write_losing(tmp_path / "scenarios", "loses")
    done = bigfive("run", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    [command] = [line for line in done.stdout.splitlines() if "replay: " in line]
    again = bigfive(*command.split()[2:], "--times", 2, "-n", 2, "-q", cwd=tmp_path)
    assert again.returncode == 1
    assert "loses: reproduced 2 of 2 (FAIL)" in again.stdout
    assert {result.seed for result in latest(tmp_path).results} == {read_first_seed(tmp_path)}


def read_first_seed(folder: Path) -> int:
    first = min(path for path in (folder / "reports").iterdir() if path.name != "latest")
    return read(first / "suite.json").results[0].seed


def test_the_right_conviction_is_1_and_any_other_is_3(tmp_path: Path) -> None:
    write_losing(tmp_path / "right", "loses", f"convicts: [{NO_LOSS}]\n")
    write_scenario(tmp_path / "wrong", "keeps", KILL, until_="300ms", expect=NO_LOSS, more=f"convicts: [{NO_LOSS}]\n")
    assert bigfive("run", "right", cwd=tmp_path).returncode == 1
    assert latest(tmp_path).results[0].convicted is True
    assert bigfive("run", "wrong", cwd=tmp_path).returncode == 3
    assert latest(tmp_path).results[0].convicted is False


def test_what_proves_nothing_is_5(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "unnoticed", expect="recovered_within: 5s")
    assert bigfive("run", cwd=tmp_path).returncode == 5
    assert latest(tmp_path).results[0].status == "UNKNOWN"


def test_a_missing_capability_skips_and_only_skips_prove_nothing(tmp_path: Path) -> None:
    write_foreign(tmp_path / "scenarios", "foreign")
    done = bigfive("run", cwd=tmp_path)
    assert done.returncode == 5
    assert "fix: install no-such-program-anywhere" in done.stdout
    write_scenario(tmp_path / "scenarios", "heals")
    assert bigfive("run", cwd=tmp_path).returncode == 0


def test_a_trial_that_dies_is_3_says_how_and_leaves_nothing(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "dies", [LASTING], until_="60s")
    suite = Started("run", "-v", cwd=tmp_path)
    suite.wait_for("fault 0 proven")
    [trial] = psutil.Process(suite.process.pid).children()
    trial.kill()
    assert suite.end() == 3
    [result] = latest(tmp_path).results
    assert result.status == "ERROR"
    assert "SIGKILL" in result.reason
    assert not remains(tmp_path)


def test_an_interrupt_unwinds_all_trials_reports_and_is_2(tmp_path: Path) -> None:
    for name in ("one", "two", "waiting"):
        write_scenario(tmp_path / "scenarios", name, [LASTING], until_="60s")
    suite = Started("run", "-v", "-n", 2, cwd=tmp_path)
    for _ in range(2):
        suite.wait_for("fault 0 proven")
    suite.process.send_signal(signal.SIGINT)
    assert suite.end() == 2, suite.said
    assert "2 running trials to undo" in suite.said
    assert "3 trials: 2 INTERRUPTED, 1 not run" in suite.said
    assert [result.status for result in latest(tmp_path).results] == ["INTERRUPTED", "INTERRUPTED"]
    assert not remains(tmp_path)


def test_a_signal_before_a_trial_can_handle_it_is_2_as_well(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "early", until_="60s")
    suite = Started("run", cwd=tmp_path)
    suite.wait_for("root seed")
    until(lambda: psutil.Process(suite.process.pid).children(), "the trial's process", 10)
    suite.process.send_signal(signal.SIGTERM)
    assert suite.end() == 2, suite.said
    assert not remains(tmp_path)


def test_a_second_signal_says_what_is_still_being_undone(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "slow", [LASTING], until_="60s")
    suite = Started("run", "-v", cwd=tmp_path)
    suite.wait_for("fault 0 proven")
    [trial] = psutil.Process(suite.process.pid).children()
    trial.suspend()  # so that it cannot be done before the second signal
    suite.process.send_signal(signal.SIGINT)
    suite.wait_for("interrupted")
    suite.process.send_signal(signal.SIGTERM)
    until(lambda: pending_signal(trial.pid, signal.SIGTERM), "the forwarded signal", 10)
    trial.send_signal(signal.SIGHUP)  # SIGTERM does not queue: another kind stands for the second
    trial.resume()
    suite.wait_for("still undoing")
    assert suite.end() == 2
    assert not remains(tmp_path)


def pending_signal(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("ShdPnd", "SigPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_kill_9_of_the_suite_leaves_nothing(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "killed", [LASTING], until_="60s")
    suite = Started("run", "-v", cwd=tmp_path)
    suite.wait_for("fault 0 proven")
    suite.process.kill()
    suite.end()
    until(lambda: not remains(tmp_path), "nothing left", 15)


def test_what_cannot_be_undone_is_3_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_plugin(tmp_path / "site", monkeypatch)
    write_scenario(tmp_path / "scenarios", "sticks", ["{at: 0s, fault: third.party}"])
    done = bigfive("run", cwd=tmp_path)
    assert done.returncode == 3, done.stdout
    assert "it sticks" in " ".join(latest(tmp_path).results[0].left)
    assert "not undone: " in done.stdout
    again = bigfive("sweep", cwd=tmp_path)
    assert again.returncode == 3
    assert "it sticks" in again.stderr


def install_plugin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a fault that cannot be undone, as a third party would make it."""
    information = folder / "sticky-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: sticky\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[bigfive.faults]\nthird.party = sticky:Sticky\n")
    (folder / "sticky.py").write_text(
        """
from dataclasses import dataclass
from harness.faults._base import Undo
from harness.undo import undoer

@dataclass(frozen=True, kw_only=True)
class Sticky:
    'Sticks.'
    on = None
    lasts = True
    def undo_plan(self, site): return [Undo("third.party", {})]
    def inject(self, site): return {}
    def prove(self, site, evidence): return {}
    def prove_undone(self, site, evidence): return {}

@undoer("third.party")
def unstick(): raise OSError("it sticks")
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_fail_fast_starts_nothing_after_the_first_that_did_not_pass(tmp_path: Path) -> None:
    write_losing(tmp_path / "scenarios", "a")
    write_scenario(tmp_path / "scenarios", "b")
    done = bigfive("run", "--fail-fast", cwd=tmp_path)
    assert done.returncode == 1
    assert "2 trials: 1 FAIL, 1 not run" in done.stdout


def test_a_timeout_on_the_command_line_wins_over_the_scenarios(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "endless", until_="60s", expect="recovered_within: 5s")
    done = bigfive("run", "--timeout", "2s", cwd=tmp_path)
    assert done.returncode in {1, 5}  # it depends on how far a slow machine comes
    assert "waited" in done.stdout
    assert latest(tmp_path).duration_s < 30


def test_json_on_standard_output_and_the_rest_on_standard_error(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_scenario(tmp_path / "scenarios", name)
    done = bigfive("run", "--json", "-n", 2, cwd=tmp_path)
    assert [trial["result"]["scenario"] for trial in json.loads(done.stdout)["trials"]] == ["a", "b"]
    assert "root seed" in done.stderr


def test_a_terminal_gets_a_picture_that_changes_and_a_summary_that_stays(tmp_path: Path) -> None:
    paused = "{at: 200ms, fault: process.pause, on: service, for: 100ms}"
    write_scenario(tmp_path / "scenarios", "shown", [paused], until_="faults_done + 300ms", expect=NO_LOSS)
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR"}}
    process = subprocess.Popen(
        [*BIGFIVE, "run"], cwd=tmp_path, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}
    )
    os.close(theirs)
    said = read_all(ours)
    assert process.wait() == 0
    assert "\x1b[2K" in said  # lines are redrawn
    assert "process.pause" in said
    assert "1 trial: 1 PASS" in said


def test_a_suite_whose_reader_or_terminal_goes_away_still_ends_and_reports(tmp_path: Path) -> None:
    write_scenario(tmp_path / "scenarios", "unwatched")
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"TERM": "xterm"}
    for ours, theirs in (os.pipe(), pty.openpty()):
        process = subprocess.Popen([*BIGFIVE, "run"], cwd=tmp_path, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        assert os.read(ours, 1)
        os.close(ours)
        assert process.wait() == 0
        assert [result.status for result in latest(tmp_path).results] == ["PASS"]
        shutil.rmtree(tmp_path / "reports")


def read_all(descriptor: int) -> str:
    """Read a terminal until nobody writes to it any more, which Linux reports as an error."""
    said = b""
    try:
        while data := os.read(descriptor, 65536):
            said += data
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return said.decode()
