"""Processes by identity: a pid alone names whoever has it now, a pid with its start time names one process for ever."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.wire import LABEL_VARIABLE

_PROC = Path("/proc")
_STATE, _START_TICKS = 0, 19  # fields 3 and 22 of proc_pid_stat(5), counted from behind the command's name


@dataclass(frozen=True)
class Process:
    """One process, by pid and start time (clock ticks since boot)."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """Identify the process that has `pid` now. Raises `ProcessLookupError` where there is none."""
        return cls(pid, int(_stat(pid)[_START_TICKS]))

    def state(self) -> str | None:
        """State letter of proc_pid_stat(5) (R, S, D, T, Z, …), or None once this very process is gone."""
        try:
            fields = _stat(self.pid)
        except ProcessLookupError:
            return None
        return fields[_STATE] if int(fields[_START_TICKS]) == self.started else None

    def alive(self) -> bool:
        """Return whether it still runs (a zombie does not)."""
        return self.state() not in {None, "Z", "X"}

    def open(self) -> int:
        """Return a pidfd of exactly this process. Raises `ProcessLookupError` if it is gone or replaced."""
        pidfd = os.pidfd_open(self.pid)
        if self.state() is None:  # the pid was reused between our note of it and the opening
            os.close(pidfd)
            raise ProcessLookupError(f"process {self.pid} (started {self.started}) is gone")
        return pidfd

    def send(self, number: int) -> None:
        """Send a signal to exactly this process. Raises `ProcessLookupError` if it is gone or replaced."""
        pidfd = self.open()
        try:
            signal.pidfd_send_signal(pidfd, number)
        finally:
            os.close(pidfd)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is gone; return whether that happened within `timeout_s`."""
        try:
            pidfd = self.open()
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([pidfd], [], [], timeout_s)[0])
        finally:
            os.close(pidfd)


def labelled(label: str) -> Iterator[Process]:
    """Return the living processes that carry `label` in their environment: everything that a run has started.

    Not promised: a process that cleared its environment, or belongs to another user, is not found.
    """
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and carries(int(entry.name), label):
            try:
                process = Process.of(int(entry.name))
            except ProcessLookupError:
                continue
            if process.alive():
                yield process


def carries(pid: int, label: str) -> bool:
    """Return whether a process has `label` in its environment."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{LABEL_VARIABLE}={label}".encode() in environment.split(b"\0")


def command_line(pid: int) -> str:
    """Return the command line of `pid` for people to read, or "" once it is gone."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")  # names are cut within a character
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessLookupError(f"there is no process {pid}") from error
    # The name in parentheses may hold spaces and parentheses itself: cut behind the last one.
    return text[text.rindex(")") + 2 :].split()
