"""Processes by identity: a signal never reaches somebody who got the pid since."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness import seeds
from harness.processes import Process, carries, command_line, labelled
from harness.waiting import until
from harness.wire import LABEL_VARIABLE

PATIENCE_S = 5.0


@pytest.fixture
def label() -> str:
    return f"bf-test-{seeds.fresh_root():08x}"


@pytest.fixture
def child(label: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={**os.environ, LABEL_VARIABLE: label}) as process:
        until(lambda: command_line(process.pid) == "cat", "the exec", PATIENCE_S)
        yield process
        process.kill()


def test_a_process_is_its_pid_and_its_start(child: subprocess.Popen[bytes]) -> None:
    process = Process.of(child.pid)
    assert process == Process.of(child.pid)
    assert process.alive()
    assert process.state() in {"R", "S", "D"}


def test_a_successor_with_the_same_pid_is_somebody_else(child: subprocess.Popen[bytes]) -> None:
    predecessor = replace(Process.of(child.pid), started=1)
    assert predecessor.state() is None
    assert not predecessor.alive()
    assert predecessor.wait(0)
    with pytest.raises(ProcessLookupError):
        predecessor.send(signal.SIGKILL)
    assert Process.of(child.pid).alive()


def test_a_zombie_is_not_alive_and_needs_no_waiting(child: subprocess.Popen[bytes]) -> None:
    process = Process.of(child.pid)
    process.send(signal.SIGKILL)
    assert process.wait(PATIENCE_S)
    until(lambda: process.state() == "Z", "the zombie", PATIENCE_S)
    assert not process.alive()
    child.wait()
    assert process.state() is None


def test_waiting_for_a_process_that_lives_on_ends_in_time(child: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    assert not Process.of(child.pid).wait(0.05)
    assert 0.05 <= time.monotonic() - began < PATIENCE_S


def test_a_pid_that_nobody_has_is_a_lookup_error(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    with pytest.raises(ProcessLookupError, match=f"there is no process {child.pid}"):
        Process.of(child.pid)
    assert not carries(child.pid, "any")
    assert command_line(child.pid) == ""


def test_a_label_finds_the_processes_that_carry_it_and_their_children(label: str) -> None:
    code = "import subprocess, sys; subprocess.run(['cat']); print(sys.argv)"
    environment = {**os.environ, LABEL_VARIABLE: label}
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment, stdout=-3) as parent:
        until(lambda: len(list(labelled(label))) == 2, "parent and child", PATIENCE_S)
        assert parent.pid in {process.pid for process in labelled(label)}
        parent.communicate()
    assert not list(labelled(label))


def test_a_longer_label_is_another_label(child: subprocess.Popen[bytes], label: str) -> None:
    assert carries(child.pid, label)
    assert not carries(child.pid, label[:-1])
    assert not carries(child.pid, f"{label}x")


NAMES = [b"a) S 1 (b", b"line\nbreak", "fünfzehn Bytes".encode()[:3], b"\xff\xfe", b""]


@pytest.mark.parametrize("name", NAMES)
def test_a_process_may_be_called_anything(name: bytes) -> None:
    """The kernel keeps 15 bytes of a name, and cuts within a character."""
    rename = f"import ctypes, sys; ctypes.CDLL(None).prctl(15, {name!r}); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        assert Process.of(process.pid).alive()
        process.communicate()
