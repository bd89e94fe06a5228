"""Keep one process running: `python -m targets.supervision [options] -- COMMAND…`.

Promised:

- A death is noticed by pidfd, at once, and a process that was ready is restarted at once. Deaths in quick succession
  are answered with exponential backoff and jitter; a process that served for `stable_s` starts with a clean sheet.
- A process that dies `breaker` times in a row before it was ready is given up: event `breaker.open`, exit status 69.
- The process leads a group of its own. What is left of the group is killed before the next start and at the end, so
  two incarnations never run side by side. The process itself dies with its supervisor, `kill -9` included.
- SIGTERM and SIGINT are passed on as SIGTERM; what has not ended `grace_s` later is killed. Exit status 0.
- Every event is one JSON line in one write of at most PIPE_BUF bytes on standard output, which the process inherits,
  so the events of both can share a pipe: `service.started`, `service.ready`, `service.exited`, `breaker.open`.

Not promised: descendants that left the process group are not found; after a `kill -9` of the supervisor nobody
restarts anything; a process that hangs is not noticed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from targets.readiness import READY_VARIABLE

EXIT_BREAKER_OPEN = os.EX_UNAVAILABLE
EVENTS = ("service.started", "service.ready", "service.exited", "breaker.open")

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

Emit = Callable[[str, dict[str, object]], None]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When to restart, and when to give up. Durations are in seconds.

    `notifies` says that the process reports its readiness (`targets.readiness`); one that does not counts as ready
    after `stable_s`.
    """

    notifies: bool = True
    stable_s: float = 1.0
    backoff_s: float = 0.1
    backoff_cap_s: float = 2.0
    breaker: int = 5
    grace_s: float = 5.0


class Restarts:
    """The memory of past deaths: how long to wait before the next start, or that there will be none."""

    def __init__(self, policy: Policy, jitter: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._jitter = jitter
        self._streak = 0
        self._unready = 0

    def died(self, *, ready: bool, served_s: float) -> float | None:
        """Take note of a death; return the seconds to wait, or None once the breaker is open.

        A restart in a streak waits between half of the exponential delay and all of it.
        """
        self._unready = 0 if ready else self._unready + 1
        if self._unready >= self._policy.breaker:
            return None
        if ready and served_s >= self._policy.stable_s:
            self._streak = 0
        self._streak += 1
        if self._streak == 1:
            return 0.0
        delay = self._policy.backoff_s * 2.0 ** (self._streak - 2)
        return min(delay, self._policy.backoff_cap_s) * (0.5 + self._jitter() / 2)


class _Child:
    """One incarnation of the process."""

    def __init__(self, command: Sequence[str]) -> None:
        self._readiness, told = os.pipe()
        self.ready_at: float | None = None
        try:
            self._process = subprocess.Popen(
                command,
                process_group=0,
                pass_fds=(told,),
                env={**os.environ, READY_VARIABLE: str(told)},
                preexec_fn=dying_with(os.getpid()),  # noqa: PLW1509  one system call, no locks, no imports
            )
        except OSError:
            os.close(self._readiness)
            raise
        finally:
            os.close(told)
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def descriptors(self) -> list[int]:
        """What to poll: the end of the process and, until it has come, the news of its readiness."""
        return [self.pidfd] if self._readiness < 0 else [self.pidfd, self._readiness]

    def heard(self) -> bool:
        """Read the readiness pipe; return whether the process said that it is ready (and not merely closed it)."""
        said = os.read(self._readiness, 1) != b""
        self._close_readiness()
        return said

    def served_s(self) -> float:
        """Seconds since it was ready."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at

    def kill_group(self, number: int) -> None:
        """Signal the whole group. Safe until `reap`: until then nobody else can get this group's number."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask the process, and not what it started, to end."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def reap(self) -> int:
        """Collect its status: an exit status, or minus the number of the signal that killed it."""
        status = self._process.wait()
        os.close(self.pidfd)
        self._close_readiness()
        return status

    def _close_readiness(self) -> None:
        if self._readiness >= 0:
            os.close(self._readiness)
        self._readiness = -1


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Let the kernel send this process a signal when the *thread* that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def dying_with(parent: int) -> Callable[[], None]:
    """Return what lets a new child of the process `parent` die with it; to be called in the child, before `exec`."""

    def arm() -> None:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:  # it died before the signal was armed
            os.kill(os.getpid(), signal.SIGKILL)

    return arm


def write_event(event: str, data: dict[str, object]) -> None:
    """Write one event as one line in one write on standard output."""
    line = json.dumps({"event": event, "data": data}) + "\n"
    os.write(1, line.encode())


class Supervisor:
    """Keeps `command` running until `stop`, or until the breaker opens.

    `run` must be called in a thread that lives as long as the process is to live, since the kernel ties the process's
    death to that of the thread which started it.
    """

    def __init__(self, command: Sequence[str], policy: Policy | None = None, emit: Emit = write_event) -> None:
        self._command = command
        self._policy = policy or Policy()
        self._emit = emit
        self._restarts = Restarts(self._policy)
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()

    def stop(self) -> None:
        """Ask `run` to end the process and return. For signal handlers and other threads."""
        self._stopping = True
        os.write(self._wake_write, b"\n")

    def run(self) -> int:
        """Supervise; return 0 after `stop`, `EXIT_BREAKER_OPEN` after giving up. Raises `OSError` without a command."""
        delay: float | None = 0.0
        while not self._stopping:
            if delay is None:
                self._emit("breaker.open", {"deaths": self._policy.breaker, "command": self._command[0]})
                return EXIT_BREAKER_OPEN
            self._poll([], time.monotonic() + delay)
            if not self._stopping:
                delay = self._live()
        return 0

    def _live(self) -> float | None:
        """One life of the process, from its start to its burial."""
        child = _Child(self._command)
        self._emit("service.started", {"pid": child.pid})
        try:
            self._attend(child)
            served_s = child.served_s()
        finally:
            child.kill_group(signal.SIGKILL)
            status = child.reap()
        how: dict[str, object] = {"status": status} if status >= 0 else {"signal": -status}
        self._emit("service.exited", {"pid": child.pid, **how})
        return self._restarts.died(ready=child.ready_at is not None, served_s=served_s)

    def _attend(self, child: _Child) -> None:
        """Return when the process is dead, or when it was asked to end and had its time."""
        settled_at = None if self._policy.notifies else time.monotonic() + self._policy.stable_s
        while not self._stopping:
            happened = self._poll(child.descriptors(), settled_at)
            if child.pidfd in happened:
                return
            if self._wake_read not in happened and (not happened or child.heard()):
                child.ready_at, settled_at = time.monotonic(), None
                self._emit("service.ready", {"pid": child.pid})
        child.terminate()
        self._poll([child.pidfd], time.monotonic() + self._policy.grace_s)

    def _poll(self, descriptors: Iterable[int], deadline: float | None) -> set[int]:
        """Wait for `descriptors`, for `stop`, or for `deadline`; return those that are ready."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        if not self._stopping:
            poll.register(self._wake_read, select.POLLIN)
        timeout_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        return {descriptor for descriptor, _ in poll.poll(timeout_ms)}


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m targets.supervision", description="Keep a process running.")
    defaults = Policy()
    for name in ("stable", "backoff", "backoff-cap", "grace"):
        default = getattr(defaults, f"{name.replace('-', '_')}_s")
        parser.add_argument(f"--{name}", type=float, default=default, metavar="SECONDS")
    parser.add_argument("--breaker", type=int, default=defaults.breaker, metavar="DEATHS")
    parser.add_argument("--no-readiness", action="store_true", help="the command does not report its readiness")
    parser.add_argument("--with-parent", action="store_true", help="end when whoever started this ends")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervise the command named on the command line; return the exit status."""
    chosen = _arguments(sys.argv[1:] if arguments is None else arguments)
    policy = Policy(
        notifies=not chosen.no_readiness,
        stable_s=chosen.stable,
        backoff_s=chosen.backoff,
        backoff_cap_s=chosen.backoff_cap,
        breaker=chosen.breaker,
        grace_s=chosen.grace,
    )
    supervisor = Supervisor(chosen.command, policy)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    if chosen.with_parent:
        die_with_parent()
    try:
        return supervisor.run()
    except OSError as error:
        sys.stderr.write(f"cannot run {chosen.command[0]}: {error}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main())
