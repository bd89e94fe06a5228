"""Server processes: started with pipes, found again by pid and start time, killed with all they started."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import termios
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, NoReturn

from targets.mcp_tools.standby import HEARTBEAT_VARIABLE, TURN_VARIABLE
from targets.supervision import dying_with

MARK_VARIABLE = "BIGFIVE_SUPERVISED"


_PR_SET_CHILD_SUBREAPER = 36
_PIPE_BYTES = 1 << 20
_PASSES = 64
LAUNCH_S = 1.0  # one that somebody has stopped must not stop us
# Where a server finds what we pass, besides its standard streams. A portable shell knows one digit only.
_BEATS, _TURN, _GO, _ABOUT = 3, 4, 8, 9
_STUB = ("/bin/sh", "-c", 'read -r _ <&8 || exit 0; exec 8<&-; exec "$@" 9>&-', "sh")
_TICKS = os.sysconf("SC_CLK_TCK")

_adopting: list[bool] = []
_living: dict[int, str] = {}  # our servers, buried ones no more, and their marks


class Identity(NamedTuple):
    """A process beyond doubt: a pid comes back, a pid with its start time (clock ticks since boot) does not."""

    pid: int
    started: int


class Vitals(NamedTuple):
    """What the kernel says of a process: its state letter, CPU seconds used so far, and start time."""

    state: str
    cpu_s: float
    started: int


def vitals(pid: int) -> Vitals | None:
    """Return what is known of a process, or None of one that does not exist."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return Vitals(fields[0], (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[19]))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent dies, so that none can hide: `Server.bury` kills them.

    For a process that has no other children than its servers.
    """
    _adopting.append(True)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    with contextlib.suppress(OSError):  # more than an unprivileged user may have
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read, write


class Server:
    """One server process. `stdin` and `stdout` do not block on our side.

    It is forked at once, becomes a shell that waits, and at `launch` the command. A child that asks for its death with
    us cannot be made by vfork, and a fork of an interpreter takes milliseconds, as does its exec, which has all of that
    memory to give back; so this is done ahead, and a replacement is one small exec away. A gated one waits again, after
    its imports, for `open_gate` (`standby`). To be made in a process with one thread.
    """

    def __init__(self, command: Sequence[str], mark: str, *, gated: bool = False) -> None:
        self.mark = mark
        self._name, self._exists = command[0], _can_be_run(command[0])
        self._input, self.stdin = _pipe()
        self.stdout, output = _pipe()
        self.stderr, errors = os.pipe()
        self.heartbeat, beats = os.pipe()
        turn, self._gate = os.pipe()
        go, self._go = os.pipe()
        self._about, about_to = os.pipe()
        environment = {**os.environ, MARK_VARIABLE: mark, HEARTBEAT_VARIABLE: str(_BEATS)}
        if gated:
            environment[TURN_VARIABLE] = str(_TURN)
        ends = {0: self._input, 1: output, 2: errors, _BEATS: beats, _GO: go, _ABOUT: about_to}
        arm = dying_with(os.getpid())
        self.pid = os.fork()
        if not self.pid:
            _become([*_STUB, *command], environment, ends | ({_TURN: turn} if gated else {}), arm)
        for descriptor in (output, errors, beats, turn, go, about_to):
            os.close(descriptor)
        for descriptor in (self.stdin, self.stdout, self.stderr, self.heartbeat):
            os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):  # it does so itself; whoever comes first
            os.setpgid(self.pid, self.pid)
        _living[self.pid] = mark
        self.pidfd = os.pidfd_open(self.pid)
        self.began = time.monotonic()
        seen = vitals(self.pid)
        self.identity = Identity(self.pid, seen.started if seen else 0)

    def launch(self) -> None:
        """Let it become the command. Raises `OSError` where there is none to run; the server is buried then."""
        self.began = time.monotonic()
        if not self._exists:
            self.bury()
            self.close()
            os.close(self.stderr)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._name)
        with contextlib.suppress(OSError):
            os.write(self._go, b"\n")
        _wait_for(self._about, LAUNCH_S)  # its end: the shell closes it with its last step

    def open_gate(self) -> None:
        """Let a gated server serve."""
        with contextlib.suppress(OSError):
            os.write(self._gate, b"\n")

    def unread(self) -> int:
        """Return how many bytes of its input it has not read. This is why we keep a reading end of it."""
        count = array.array("i", [0])
        fcntl.ioctl(self._input, termios.FIONREAD, count)
        return count[0]

    def signal(self, number: int) -> None:
        """Signal the whole group. After `bury` nothing happens: its number may be somebody else's by then."""
        if self.pid in _living:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def bury(self) -> int:
        """Kill what is left of it and its descendants; return its status, or minus the signal that killed it.

        The pipes stay: what it said last is still in them.
        """
        self.signal(signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        for descriptor in (self.pidfd, self._gate, self._go, self._about):
            os.close(descriptor)
        _living.pop(self.pid, None)
        if _adopting:
            kill_orphans()
        return os.waitstatus_to_exitcode(status)

    def forget(self) -> None:
        """Close the pipe ends that nobody else closes."""
        os.close(self._input)
        os.close(self.heartbeat)

    def close(self) -> None:
        """Close all ends of a server whose standard input and output nobody used."""
        self.forget()
        os.close(self.stdin)
        os.close(self.stdout)


def _wait_for(descriptor: int, timeout_s: float) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(timeout_s * 1000)


def _can_be_run(name: str) -> bool:
    """Return whether there is such a command, as a shell would find it."""
    folders = [""] if "/" in name else os.get_exec_path()
    return any(os.access(path, os.X_OK) and Path(path).is_file() for path in (Path(f, name) for f in folders))


def _become(
    command: Sequence[str], environment: dict[str, str], ends: dict[int, int], arm: Callable[[], None]
) -> NoReturn:
    """Be the child: become `command`, with nothing open but `ends` (target to source)."""
    try:
        os.setpgid(0, 0)
        arm()
        for number in (
            signal.SIGPIPE,
            signal.SIGXFSZ,
        ):  # Python ignores them, and what is ignored stays so over an exec
            signal.signal(number, signal.SIG_DFL)
        above = {target: fcntl.fcntl(source, fcntl.F_DUPFD, max(ends) + 1) for target, source in ends.items()}
        for target, source in above.items():
            os.dup2(source, target)
        _close_all_but(set(ends))
        os.execve(command[0], list(command), environment)  # noqa: S606  this is the shell
    finally:
        os._exit(127)


def _close_all_but(kept: set[int]) -> None:
    for below, above in pairwise([*sorted(kept), os.sysconf("SC_OPEN_MAX")]):
        if above > below + 1:  # os.closerange(0, 0) closes everything: its -1 becomes the largest descriptor there is
            os.closerange(below + 1, above)


def _children() -> list[int]:
    pid = os.getpid()
    try:
        descriptor = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a kernel without it
        return []
    try:
        return [int(child) for child in os.read(descriptor, 1 << 16).split()]
    finally:
        os.close(descriptor)


def _mark_of(pid: int) -> str | None:
    """Return the mark in a process's environment, "" without one, None if it cannot be read (it may be a zombie)."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    prefix = f"{MARK_VARIABLE}=".encode()
    return next((v[len(prefix) :].decode() for v in environment.split(b"\0") if v.startswith(prefix)), "")


def kill_orphans() -> None:
    """Kill the descendants that dead servers left to us, wherever they hid from their group.

    One that wiped its environment is killed as well: it is nobody's.
    """
    for _ in range(_PASSES):
        found = [pid for pid in _children() if pid not in _living and _mark_of(pid) not in _living.values()]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def kill_identity(identity: Identity, timeout_s: float = 5.0) -> bool:
    """Kill exactly this process, with its group; return whether it was there."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except OSError:
        return False
    try:
        seen = vitals(
            identity.pid
        )  # after the pidfd: from here on the pid cannot be given to another process unnoticed
        if seen is None or seen.started != identity.started:
            return False
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(identity.pid) == identity.pid:
                os.killpg(identity.pid, signal.SIGKILL)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _wait_for(pidfd, timeout_s)
    finally:
        os.close(pidfd)
    return True


def kill_marked(prefix: str) -> int:
    """Kill every process whose mark begins with `prefix`; return how many there were."""
    killed = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (_mark_of(int(entry.name)) or "").startswith(prefix):
            seen = vitals(int(entry.name))
            killed += seen is not None and kill_identity(Identity(int(entry.name), seen.started))
    return killed
