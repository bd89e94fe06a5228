"""The supervisor: restarts, gives up, stops, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.state_kit import gone, python
from targets.readiness import READY_VARIABLE, notify_ready
from targets.supervision import EXIT_BREAKER_OPEN, Policy, Restarts

READY = "from targets.readiness import notify_ready; import signal; notify_ready(); "
SLEEPER = READY + "signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "\nwhile True: signal.pause()"
PARENT = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']); "
    'print(\'{"event": "grandchild", "data": {"pid": %d}}\' % child.pid, flush=True); ' + SLEEPER
)


class Supervised:
    """A supervisor process and its events."""

    def __init__(self, *arguments: str) -> None:
        self.process = python("-m", "targets.supervision", *arguments)

    def event(self, name: str) -> dict[str, int]:
        """Read events up to the next one of this name."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == name:
                return event["data"]
        raise AssertionError(f"the supervisor ended without {name}")

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture
def supervise() -> Iterator[type[Supervised]]:
    started: list[Supervised] = []

    class Noted(Supervised):
        def __init__(self, *arguments: str) -> None:
            super().__init__(*arguments)
            started.append(self)

    yield Noted
    for supervised in started:
        supervised.process.terminate()
        supervised.process.communicate()


def command(code: str) -> list[str]:
    return ["--", sys.executable, "-c", code]


def test_a_killed_process_is_restarted_at_once(supervise: type[Supervised]) -> None:
    supervised = supervise(*command(SLEEPER))
    pid = supervised.event("service.ready")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert supervised.event("service.exited") == {"pid": pid, "signal": signal.SIGKILL}
    assert supervised.event("service.ready")["pid"] != pid


def test_sigterm_is_passed_on_and_everything_ends(supervise: type[Supervised]) -> None:
    supervised = supervise(*command(SLEEPER))
    pid = supervised.event("service.ready")["pid"]
    assert supervised.stop() == 0
    assert supervised.event("service.exited") == {"pid": pid, "signal": signal.SIGTERM}
    assert gone(pid, 0)


def test_a_process_that_ignores_sigterm_is_killed_at_the_deadline(supervise: type[Supervised]) -> None:
    supervised = supervise("--grace", "0.1", *command(STUBBORN))
    supervised.event("service.ready")
    assert supervised.stop() == 0
    assert supervised.event("service.exited")["signal"] == signal.SIGKILL


def test_deaths_before_readiness_open_the_breaker(supervise: type[Supervised]) -> None:
    supervised = supervise("--breaker", "3", "--backoff", "0.01", *command("raise SystemExit(7)"))
    assert [supervised.event("service.exited")["status"] for _ in range(3)] == [7, 7, 7]
    assert supervised.event("breaker.open")["deaths"] == 3
    assert supervised.process.wait(20) == EXIT_BREAKER_OPEN


def test_closing_the_readiness_pipe_is_not_readiness(supervise: type[Supervised]) -> None:
    closing = f"import os, signal; os.close(int(os.environ['{READY_VARIABLE}'])); raise SystemExit(1)"
    supervised = supervise("--breaker", "2", *command(closing))
    supervised.event("breaker.open")


def test_without_notification_a_process_that_stays_counts_as_ready(supervise: type[Supervised]) -> None:
    supervised = supervise("--no-readiness", "--stable", "0.05", *command("import signal; signal.pause()"))
    pid = supervised.event("service.started")["pid"]
    assert supervised.event("service.ready")["pid"] == pid


def test_a_stop_during_backoff_is_obeyed_at_once(supervise: type[Supervised]) -> None:
    supervised = supervise("--backoff", "1000", "--backoff-cap", "1000", *command("raise SystemExit(1)"))
    supervised.event("service.exited")
    supervised.event("service.exited")
    assert supervised.stop() == 0


def test_a_process_dies_with_its_supervisor(supervise: type[Supervised]) -> None:
    supervised = supervise(*command(SLEEPER))
    pid = supervised.event("service.ready")["pid"]
    supervised.process.kill()
    assert gone(pid)


def test_a_supervisor_can_end_with_whoever_started_it() -> None:
    starting = "import subprocess, sys, signal; subprocess.Popen([sys.executable, '-m', 'targets.supervision', "
    starter = python("-c", f"{starting}'--with-parent', '--', sys.executable, '-c', {SLEEPER!r}]); signal.pause()")
    assert starter.stdout is not None
    events = (json.loads(line) for line in starter.stdout)
    pid = next(event["data"]["pid"] for event in events if event["event"] == "service.ready")
    starter.kill()
    assert gone(pid)
    starter.communicate()


def test_what_a_dead_process_left_in_its_group_is_killed_before_the_next_start(supervise: type[Supervised]) -> None:
    supervised = supervise(*command(PARENT))
    grandchild = supervised.event("grandchild")["pid"]
    os.kill(supervised.event("service.ready")["pid"], signal.SIGKILL)
    supervised.event("service.started")
    assert gone(grandchild)


def test_a_command_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    supervised = subprocess.run(
        ["python3", "-m", "targets.supervision", "--", str(tmp_path / "none")],
        capture_output=True,
        check=False,
    )
    assert supervised.returncode in {1, 127}


class TestRestarts:
    def test_a_first_death_is_answered_at_once_and_a_streak_with_growing_delays(self) -> None:
        restarts = Restarts(Policy(backoff_s=1, backoff_cap_s=4), jitter=lambda: 1.0)
        assert [restarts.died(ready=True, served_s=0) for _ in range(5)] == [0, 1, 2, 4, 4]

    def test_jitter_shortens_a_delay_by_up_to_a_half(self) -> None:
        restarts = Restarts(Policy(backoff_s=1), jitter=lambda: 0.0)
        restarts.died(ready=True, served_s=0)
        assert restarts.died(ready=True, served_s=0) == 0.5

    def test_stability_ends_the_streak(self) -> None:
        restarts = Restarts(Policy(stable_s=1))
        restarts.died(ready=True, served_s=0)
        assert restarts.died(ready=True, served_s=1.5) == 0

    def test_only_deaths_before_readiness_in_a_row_open_the_breaker(self) -> None:
        restarts = Restarts(Policy(breaker=2), jitter=lambda: 0.0)
        for _ in range(5):
            assert restarts.died(ready=True, served_s=0) is not None
            assert restarts.died(ready=False, served_s=0) is not None
        assert restarts.died(ready=False, served_s=0) is None


class TestReadiness:
    def test_it_is_told_once_over_the_inherited_descriptor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read, write = os.pipe()
        monkeypatch.setenv(READY_VARIABLE, str(write))
        notify_ready()
        notify_ready()
        assert os.read(read, 10) == b"\n"
        assert os.read(read, 10) == b""
        os.close(read)

    def test_a_descriptor_that_is_gone_is_nobodys_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(READY_VARIABLE, "987654")
        notify_ready()
