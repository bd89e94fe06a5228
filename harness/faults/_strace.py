"""What faults at system calls share: one strace, attached to a running process, that tampers with chosen calls of it.

The tracer is started by `attach` and ended by the undo `strace.detach`, which finds it by its log: the log's name says
which process it is about, so that the undo can be journaled before there is a tracer, and nobody else's strace is ever
ended. It is ended by SIGKILL, since it cannot be asked to be quicker than that; the kernel then lets every thread go
on. A thread that is inside a call which was to fail sees ENOSYS instead of the chosen error: still a failure, and the
same happens when strace is told to detach by itself.

Threads are counted one by one, and so are calls of different names (`when` of strace(1)): "the third fsync" is the
third of any one thread since the attachment. Attaching may interrupt a waiting call with EINTR, as any signal does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MinLen

from harness.errors import FaultNotProven, TimedOut
from harness.faults._base import Site, Undo
from harness.processes import Process, command_line
from harness.undo import state_directory, undoer
from harness.waiting import until
from harness.wire import Json

# One a line would take a page.
# fmt: off
Syscall = Literal[
    "creat", "fallocate", "fdatasync", "fsync", "ftruncate", "link", "linkat", "mkdir", "mkdirat", "msync", "openat",
    "pread64", "pwrite64", "pwritev", "read", "rename", "renameat", "renameat2", "rmdir", "sync_file_range", "truncate",
    "unlink", "unlinkat", "write", "writev",
]
# fmt: on
Syscalls = Annotated[tuple[Syscall, ...], MinLen(1)]

MOST_CALLS = 65_535  # strace counts in 16 bits
_ATTACH_PATIENCE_S = 5.0
_DETACH_PATIENCE_S = 5.0


def plan_detachment(site: Site) -> Sequence[Undo]:
    """Return the undo of an attachment. Raises `FaultNotProven` for a process that is traced: one tracer a process."""
    process = site.process()
    if tracer := _tracer_of(Path("/proc", str(process.pid))):
        raise FaultNotProven(f"process {process.pid} is traced already, by {tracer} ({command_line(tracer)})")
    return [Undo("strace.detach", {"pid": process.pid, "started": process.started})]


def attach(site: Site, syscalls: Sequence[str], tampering: str, file: str | None = None) -> Json:
    """Let strace do `tampering` (`error=EIO:when=3`) at each of `syscalls`, or at those on `file` alone.

    Returns once every thread is traced, or the process has died, of this or of something else. Raises
    `FaultNotProven`, and leaves nothing behind, where it cannot be traced.
    """
    process = site.process()
    evidence = {"pid": process.pid, "started": process.started, "command": command_line(process.pid)}
    names = ",".join(f"?{name}" for name in syscalls)  # "?": some machines have `renameat` only, and no `rename`
    only = () if file is None else ("-P", _below(site.folder, file))
    expressions = ("-e", f"trace={names}", "-e", f"inject={names}:{tampering}", *only)
    try:
        tracer = _start(process, expressions)
    except FileExistsError as error:
        raise FaultNotProven(f"another fault traces process {process.pid} already") from error
    try:
        until(lambda: _attached(process, tracer), f"strace to attach to process {process.pid}", _ATTACH_PATIENCE_S)
    except (TimedOut, FaultNotProven) as error:
        detach(process.pid, process.started)
        raise FaultNotProven(str(error)) from error
    return {**evidence, "tracer": tracer.pid, "tampering": f"{','.join(syscalls)}:{tampering}", "file": file}


def await_call(evidence: Json, mark: Callable[[Sequence[str]], str | None], what: str, timeout_s: float) -> Json:
    """Wait until `mark` finds the line it looks for in what strace has logged. Raises `FaultNotProven`."""
    log = _log(evidence["pid"], evidence["started"])
    try:
        line = until(lambda: mark(log.read_text(errors="replace").splitlines()), what, timeout_s)
    except TimedOut as error:
        raise FaultNotProven(str(error)) from error
    return {"call": line}


def marked(mark: str) -> Callable[[Sequence[str]], str | None]:
    """Look for the first line with a remark of strace's: (INJECTED), (DELAYED)."""
    return lambda lines: next((line for line in lines if mark in line), None)


def prove_detached(evidence: Json) -> Json:
    """Wait until nobody traces the process, or it is gone. Raises `FaultNotProven`."""
    process = Process(evidence["pid"], evidence["started"])
    proc = Path("/proc", str(process.pid))
    try:
        what = f"process {process.pid} to be traced by nobody"
        until(lambda: not process.alive() or not _tracer_of(proc), what, _DETACH_PATIENCE_S)
    except TimedOut as error:
        raise FaultNotProven(str(error)) from error
    return {"pid": process.pid, "state": process.state() or "gone"}


@undoer("strace.detach")
def detach(pid: int, started: int) -> None:
    """End our tracer of that process, which runs on; its log goes too. Raises `TimedOut` where it does not end."""
    log = _log(pid, started)
    for tracer in _tracers(log):
        try:
            tracer.send(signal.SIGKILL)
        except ProcessLookupError:
            continue
        if not tracer.wait(_DETACH_PATIENCE_S):
            raise TimedOut(f"the end of strace {tracer.pid}", _DETACH_PATIENCE_S)
    log.unlink(missing_ok=True)


def _start(process: Process, expressions: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start strace. Raises `FileExistsError` where the process has a log, and so a tracer of ours, already."""
    log = _log(process.pid, process.started)
    log.parent.mkdir(parents=True, exist_ok=True)
    options = ("-f", "-y", "-qq", "-s", "0", "-o", str(log), "-p", str(process.pid))
    errors = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # A session of its own: Ctrl-C at the terminal is for the harness, which then undoes.
        tracer = subprocess.Popen(
            ["strace", *options, *expressions], stdin=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
    except FileNotFoundError as error:
        log.unlink()
        raise FaultNotProven("there is no strace on PATH") from error
    finally:
        os.close(errors)
    threading.Thread(target=tracer.wait, daemon=True).start()  # whoever ends it, it must not stay a zombie
    return tracer


def _attached(process: Process, tracer: subprocess.Popen[bytes]) -> bool:
    ended = tracer.poll() is not None  # asked first: a tracer ends when its process does
    if not process.alive():
        return True
    if ended:
        said = _log(process.pid, process.started).read_text(errors="replace").strip()
        raise FaultNotProven(f"strace could not attach to process {process.pid}: {said}")
    threads = Path("/proc", str(process.pid), "task")
    try:
        return all(_tracer_of(thread) in {tracer.pid, None} for thread in threads.iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return True  # it died at this very moment


def _tracer_of(proc: Path) -> int | None:
    """Return the pid of what traces a process or thread: 0 for nobody, None where the thread is gone."""
    try:
        status = (proc / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid:"))


def _tracers(log: Path) -> Iterator[Process]:
    """Return the processes that were started to write this log."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(log) in (entry / "cmdline").read_bytes().split(b"\0"):
                yield Process.of(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue


def _log(pid: int, started: int) -> Path:
    """Return where the tracer of a process writes: in our own folder, which no disk fault touches."""
    return state_directory() / "traces" / f"{pid}-{started}.log"


def _below(folder: Path | None, file: str) -> str:
    """Return the path as the kernel shows it. Raises `FaultNotProven` for one that is outside the run's folder."""
    root = (folder or Path("/")).resolve()
    path = Path(os.path.normpath(root / file))
    if not path.is_relative_to(root):
        raise FaultNotProven(f"{file} is outside the run's folder {root}: refused")
    return str(path)
