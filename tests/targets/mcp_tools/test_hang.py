"""Stopped, blocked and busy: what is concluded from what is seen."""

from __future__ import annotations

from dataclasses import replace

from targets.mcp_tools.hang import HEALTHY, Finding, Look, Patience, Watch

PATIENCE = Patience(stopped_s=0.5, heartbeat_s=2.0, quiet_s=5.0, confirm_s=5.0, busy_s=60.0)
LOOK = Look(at=0.0, state="S", cpu_s=0.0, heard=0.0, beat=None, working=True, unanswered=0)


class Seen:
    """A watch that looks every quarter of a second; a probe that it asks for is counted as unanswered."""

    def __init__(self) -> None:
        self.watch = Watch(PATIENCE)
        self.now = LOOK
        self.probes = 0

    def until(self, at: float, **seen: object) -> Finding:
        """Look until `at` or until there is a deadly finding."""
        finding = HEALTHY
        while self.now.at < at and not finding.deadly:
            self.now = replace(self.now, at=self.now.at + 0.25, **seen)  # type: ignore[arg-type]
            if self.now.cpu_s < 0:
                self.now = replace(self.now, cpu_s=self.now.at)
            finding = self.watch.look(self.now)
            if finding.kind == "probe":
                self.probes += 1
                self.now = replace(self.now, unanswered=self.now.unanswered + 1)
        return finding


def test_a_stopped_process_is_found_by_its_state() -> None:
    seen = Seen()
    assert seen.until(3.0) == HEALTHY
    finding = seen.until(10.0, state="T")
    assert (finding.kind, seen.now.at) == ("stopped", 3.75)


def test_a_short_stop_and_a_debugger_are_no_hang() -> None:
    seen = Seen()
    seen.until(1.0)
    assert not seen.until(1.5, state="T").deadly
    assert not seen.until(2.0, state="S").deadly
    assert not seen.until(2.5, state="T").deadly
    assert not seen.until(20.0, state="t", heard=20.0).deadly


def test_a_server_that_beats_is_blocked_when_it_does_not() -> None:
    seen = Seen()
    assert seen.until(2.0, beat=0.5) == HEALTHY
    finding = seen.until(10.0)
    assert (finding.kind, seen.now.at) == ("blocked", 2.5)


def test_one_unanswered_question_is_no_verdict() -> None:
    seen = Seen()
    assert not seen.until(14.75).deadly
    assert seen.probes == 2


def test_a_server_that_answered_while_it_worked_and_then_does_not_is_blocked() -> None:
    seen = Seen()
    seen.until(6.0)
    assert seen.probes == 1
    seen.until(7.0, unanswered=0, heard=6.0)
    finding = seen.until(100.0)
    assert (finding.kind, seen.probes) == ("blocked", 3)
    assert 16.0 <= seen.now.at <= 22.0


def test_one_that_uses_the_processor_is_busy() -> None:
    seen = Seen()
    seen.until(6.0)
    seen.until(7.0, unanswered=0, heard=6.0)
    assert seen.until(50.0, cpu_s=-1.0).kind == "busy"


def test_one_that_never_answered_while_it_worked_is_busy_until_its_time_is_up() -> None:
    seen = Seen()
    assert seen.until(59.0).kind == "busy"
    assert seen.until(61.0).kind == "blocked"


def test_nobody_is_asked_while_nobody_waits() -> None:
    seen = Seen()
    assert seen.until(1000.0, working=False) == HEALTHY
    assert seen.probes == 0


def test_after_a_pause_of_our_own_looking_begins_anew() -> None:
    watch = Watch(PATIENCE)
    watch.look(replace(LOOK, state="T"))
    watch.look(replace(LOOK, at=0.25, state="T"))
    assert watch.look(replace(LOOK, at=100.0, state="T")) == HEALTHY
    assert watch.look(replace(LOOK, at=100.25, state="T")) == HEALTHY
    assert watch.look(replace(LOOK, at=100.75, state="T")).kind == "stopped"
