"""The way out: its order, its deadlines, and what happens when it is asked for twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from targets.resources.errors import Refused
from targets.resources.shutdown import Bell, Deadlines, GracefulShutdown, Steps

ROOT = Path(__file__).parents[3]


class Journal:
    """Notes the steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.records: list[tuple[dict[str, object], bool]] = []

    def does(self, name: str) -> None:
        self.steps.append(name)

    def all(self, **others: object) -> Steps:
        steps = {
            "stop_accepting": lambda: self.does("stop accepting"),
            "checkpoint": lambda: self.does("checkpoint"),
            "note": self.note,
            "close": lambda: self.does("close"),
            "report": lambda name, _: self.does(name),
        }
        return Steps(**{**steps, **others})

    def note(self, record: Mapping[str, object], finished: bool) -> None:  # noqa: FBT001
        self.does("note")
        self.records.append((dict(record), finished))


@pytest.fixture(autouse=True)
def _no_alarm() -> Iterator[None]:
    interval = sys.getswitchinterval()
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.setswitchinterval(interval)


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_the_order_and_the_reason(journal: Journal) -> None:
    shutdown = GracefulShutdown()
    shutdown.request("pressure", {"share": 0.9})
    assert shutdown.perform(journal.all()) == 0
    steps = ["shutdown.began", "stop accepting", "checkpoint", "note", "close", "note", "shutdown.finished"]
    assert journal.steps == steps
    (before, began), (after, finished) = journal.records
    assert (before, began) == ({"why": "pressure", "share": 0.9}, False)
    assert finished
    assert after["drained"] is True
    assert after["failed"] == []


def test_only_the_first_request_is_the_reason() -> None:
    shutdown = GracefulShutdown()
    assert not shutdown.requested
    shutdown.request("signal")
    shutdown.request("pressure")
    assert shutdown.wait().why == "signal"
    assert shutdown.requested


def test_a_request_from_another_thread_ends_the_waiting() -> None:
    shutdown = GracefulShutdown()
    threading.Thread(target=lambda: shutdown.request("pressure")).start()
    assert shutdown.wait().why == "pressure"


def test_work_under_way_is_waited_for_and_new_work_refused(journal: Journal) -> None:
    shutdown, refused = GracefulShutdown(), list[bool]()
    closed, begun = threading.Event(), threading.Event()

    def work() -> None:
        with shutdown.work.unit():
            begun.set()
            assert closed.wait(10)
            try:
                with shutdown.work.unit():
                    refused.append(False)
            except Refused as error:
                refused.append(error.details == {"error": "draining"})
        journal.does("worked")

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(10)
    shutdown.request("signal")
    shutdown.perform(journal.all(stop_accepting=closed.set))
    thread.join()
    assert refused == [True]
    assert journal.records[1][0]["drained"] is True


@pytest.mark.parametrize("hurry", ["deadline", "second signal", "emergency", "other"])
def test_who_does_not_end_is_left_behind_at_the_deadline_or_when_asked_twice(hurry: str, journal: Journal) -> None:
    shutdown = GracefulShutdown(Deadlines(drain_s=0.05 if hurry in {"deadline", "other"} else 60, deadline_s=120))
    with shutdown.work.unit():
        shutdown.request("signal")
        again = {"second signal": ("signal", False), "emergency": ("pressure", True), "other": ("pressure", False)}
        if hurry in again:
            why, at_once = again[hurry]
            shutdown.request(why, at_once=at_once)
        assert shutdown.perform(journal.all()) == 0
    record, _ = journal.records[1]
    assert (record["drained"], record["abandoned"]) == (False, 1)
    assert record["hurried"] is (hurry in {"second signal", "emergency"})
    assert journal.steps[-1] == "shutdown.finished"


def test_a_step_that_fails_does_not_stop_the_next(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise MemoryError

    shutdown = GracefulShutdown()
    shutdown.request("pressure")
    assert shutdown.perform(journal.all(checkpoint=fail, stop_accepting=fail)) == 0
    assert journal.records[1][0]["failed"] == ["stop accepting: MemoryError: ", "checkpoint: MemoryError: "]
    assert "could not checkpoint" in capsys.readouterr().err
    assert journal.steps[-2:] == ["note", "shutdown.finished"]


def test_a_bell_rung_before_the_wait_is_heard_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.wait(10)
    began = time.monotonic()
    bell.wait(0.01)
    assert time.monotonic() - began < 5


STUCK = """
import ctypes, os, signal, sys
from targets.resources.shutdown import Deadlines, GracefulShutdown, Steps
shutdown = GracefulShutdown(Deadlines(drain_s=0.01, deadline_s=0.3))
shutdown.on_signals(signal.SIGTERM)
print("ready", flush=True)
shutdown.wait()
hold = lambda: ctypes.PyDLL(None).pause()  # in C, with the interpreter held: nothing in Python will ever run again
nothing = lambda *_: None
sys.exit(shutdown.perform(Steps(nothing, hold, nothing, nothing, nothing)))
"""


def test_what_is_stuck_in_c_is_ended_by_the_kernel() -> None:
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGALRM


def test_a_signal_is_a_request_with_its_name() -> None:
    shutdown, before = GracefulShutdown(), signal.getsignal(signal.SIGUSR1)
    shutdown.on_signals(signal.SIGUSR1)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        request = shutdown.wait()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (request.why, request.details) == ("signal", {"signal": "SIGUSR1"})
