"""The loop: descriptors, timers, signals and acts, all called back in one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from harness.clock import NS_PER_S, SystemClock
from harness.engine.loop import Loop
from harness.errors import TimedOut

CLOCK = SystemClock()


@pytest.fixture
def loop() -> Loop:
    return Loop(CLOCK)


def soon() -> int:
    return CLOCK.monotonic_ns() + 5 * NS_PER_S


def test_a_condition_that_holds_needs_no_turn(loop: Loop) -> None:
    loop.run_until(lambda: True, "nothing", deadline=0)


def test_timers_fire_in_order_and_never_early(loop: Loop) -> None:
    fired: list[tuple[str, int]] = []
    now = CLOCK.monotonic_ns()
    moments = {"late": now + 20_000_000, "early": now + 10_000_000, "past": 1}
    for name, moment in moments.items():
        loop.at(moment, lambda name=name: fired.append((name, CLOCK.monotonic_ns())))  # type: ignore[misc]
    loop.run_until(lambda: len(fired) == 3, "three timers", soon())
    assert [name for name, _ in fired] == ["past", "early", "late"]
    assert all(at >= moments[name] for name, at in fired)


def test_timers_of_one_moment_fire_in_the_order_they_were_set(loop: Loop) -> None:
    fired: list[int] = []
    for n in range(5):
        loop.at(7, lambda n=n: fired.append(n))  # type: ignore[misc]
    loop.run_until(lambda: len(fired) == 5, "five timers", soon())
    assert fired == list(range(5))


def test_a_descriptor_is_called_back_when_it_is_readable_until_it_is_unwatched(loop: Loop) -> None:
    read, write = os.pipe()
    got: list[bytes] = []
    loop.watch(read, lambda: got.append(os.read(read, 1)))
    os.write(write, b"ab")
    loop.run_until(lambda: len(got) == 2, "two bytes", soon())
    loop.unwatch(read)
    os.write(write, b"c")
    with pytest.raises(TimedOut):
        loop.run_until(lambda: len(got) == 3, "a byte that nobody reads", CLOCK.monotonic_ns() + 10_000_000)
    os.close(read)
    os.close(write)


def test_running_out_of_time_says_what_was_waited_for(loop: Loop) -> None:
    with pytest.raises(TimedOut, match=r"waited 0\.01\d* s for godot") as raised:
        loop.run_until(lambda: False, "godot", CLOCK.monotonic_ns() + 10_000_000)
    assert raised.value.waited_s >= 0.01


def test_an_act_runs_in_a_thread_of_its_own_and_reports_back_in_ours(loop: Loop) -> None:
    acted: list[int] = []
    told: list[tuple[int, int]] = []

    def then(future: Future[int]) -> None:
        told.append((future.result(), threading.get_ident()))

    loop.act(lambda: acted.append(threading.get_ident()) or 42, then)
    loop.run_until(lambda: told, "the act", soon())
    assert told == [(42, threading.get_ident())]
    assert acted != [threading.get_ident()]


def test_what_an_act_raises_is_in_its_future(loop: Loop) -> None:
    future = loop.act(lambda: 1 // 0)
    loop.run_until(future.done, "the act", soon())
    assert isinstance(future.exception(), ZeroDivisionError)


def test_a_flood_of_posts_is_neither_lost_nor_refused(loop: Loop) -> None:
    count = 100_000  # more than a pipe holds
    called: list[int] = []
    for n in range(count):
        loop.post(lambda n=n: called.append(n))  # type: ignore[misc]
    loop.run_until(lambda: len(called) == count, "all posts", soon())
    assert called == list(range(count))


INTERRUPTED = """
import os, signal, sys
from harness.clock import SystemClock
from harness.engine.loop import Loop
from harness.errors import Interrupted

loop = Loop(SystemClock())
loop.handle_signals()
again = []
loop.on_again = lambda: again.append(1)
loop.post(lambda: os.kill(os.getpid(), signal.SIGTERM))
try:
    loop.run_until(lambda: False, "the end of days")
except Interrupted as interruption:
    print(interruption)
try:
    loop.run_until(lambda: False, "anything else")
except Interrupted as interruption:
    print(interruption)
os.kill(os.getpid(), signal.SIGINT)
loop.run_until(lambda: again, "a shielded wait", shielded=True)
print("shielded")
"""


def test_a_signal_interrupts_every_wait_but_a_shielded_one_and_a_second_one_is_told() -> None:
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False, timeout=20)
    assert run.stdout.splitlines() == [
        "SIGTERM while waiting for the end of days",
        "SIGTERM while waiting for anything else",
        "shielded",
    ], run.stderr
