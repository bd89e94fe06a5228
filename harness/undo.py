"""The write-ahead undo log: nothing of the environment changes before its undo is on disk.

An undo is data, a registered kind and JSON arguments, so that a process that never saw the act can execute it: the
trial itself, its guardian after a `kill -9`, or the next start of bigfive when the guardian was killed too. Faults
overlap freely, so entries are undone one by one, and what is left in reverse order. Executing an entry twice must
equal executing it once; `flock` on the log keeps two executors apart.

    {"n": 1, "kind": "folder.remove", "module": "harness.undo", "arguments": {"path": ".."}}
    {"done": 1}

A pointer in the state directory (`$BIGFIVE_STATE_DIR`, else `$XDG_STATE_HOME/bigfive`, else
`~/.local/state/bigfive`) leads `sweep` to the logs of runs whose owner is gone. Not promised: an undo after the
machine itself was reset, beyond what `sweep` finds then.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import TimedOut, UndoFailed
from harness.faults._base import Undo
from harness.processes import Process, labelled
from harness.waiting import until
from harness.wire import Json

Undoer = Callable[..., None]

_UNDOERS: dict[str, Undoer] = {}
_GUARDIAN_PATIENCE_S = 15.0


def undoer(kind: str) -> Callable[[Undoer], Undoer]:
    """Register a function as the undo of `kind`; it gets the entry's arguments by keyword and is idempotent."""

    def decorate(function: Undoer) -> Undoer:
        _UNDOERS[kind] = function
        return function

    return decorate


@undoer("folder.remove")
def remove_folder(path: str) -> None:
    """Remove a folder of the run with everything in it."""
    if Path(path).exists():
        shutil.rmtree(path)


@undoer("label.sweep")
def kill_labelled(label: str) -> None:
    """Kill every process that carries the label, until none is left; then they can make no more of themselves."""

    def none_left() -> bool:
        found = list(labelled(label))
        for process in found:
            try:
                process.send(signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not found

    def none_left_twice() -> bool:
        """Look again: while a process calls exec, its environment reads as empty for microseconds."""
        return none_left() and none_left()

    until(none_left_twice, f"the end of all processes labelled {label}", timeout_s=5)


class Entry(msgspec.Struct, frozen=True):
    """One undo that is due. `module` is what must be imported for its kind to be known."""

    n: int
    kind: str
    module: str
    arguments: Json

    def __str__(self) -> str:
        """Return the entry as people read it."""
        return f"{self.kind}({', '.join(f'{name}={value}' for name, value in self.arguments.items())})"


class _Done(msgspec.Struct, frozen=True):
    done: int


class Pointer(msgspec.Struct, frozen=True):
    """Where a run's undo log is, and who is responsible for it."""

    label: str
    log: str
    owner: tuple[int, int]
    guardian: tuple[int, int] | None = None

    def write(self) -> None:
        """Put it into the state directory, atomically."""
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(self))
        temporary.replace(path)

    def remove(self) -> None:
        """Take it away: nothing is left to undo."""
        self.path.unlink(missing_ok=True)

    @property
    def path(self) -> Path:
        """Its place in the state directory."""
        return state_directory() / "runs" / f"{self.label}.json"


class UndoLog:
    """The undo log of one run. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._lock = threading.RLock()
        with self._locked():
            self._cut_torn_line()
        self._count = max((entry.n for entry in self._entries()), default=0)

    def push(self, undo: Undo) -> Entry:
        """Journal what undoes an act that is about to happen; it is on disk on return."""
        module = _UNDOERS[undo.kind].__module__
        with self._locked():
            self._count += 1
            entry = Entry(self._count, undo.kind, module, undo.arguments)
            self._append(entry)
        return entry

    def execute(self, entry: Entry) -> None:
        """Undo one entry, unless somebody has done it. Raises `UndoFailed`; then it stays pending."""
        with self._locked():
            if entry not in self.pending():
                return
            try:
                importlib.import_module(entry.module)
                _UNDOERS[entry.kind](**entry.arguments)
            except Exception as error:
                raise UndoFailed(f"{entry} failed: {error}. Undo it by hand, then `bigfive sweep`.") from error
            self._append(_Done(entry.n))

    def execute_all(self) -> list[str]:
        """Undo all that is pending, newest first; return what failed (empty: everything is undone)."""
        failed = []
        for entry in reversed(self.pending()):
            try:
                self.execute(entry)
            except UndoFailed as error:
                failed.append(str(error))
        return failed

    def pending(self) -> list[Entry]:
        """Return the entries that nobody has undone, oldest first."""
        lines = self._lines()
        done = {line["done"] for line in lines if "done" in line}
        return [entry for entry in self._entries() if entry.n not in done]

    def close(self) -> None:
        """Close the file; the log stays."""
        os.close(self._file)

    def _entries(self) -> list[Entry]:
        return [msgspec.convert(line, Entry) for line in self._lines() if "kind" in line]

    def _lines(self) -> list[Mapping[str, Any]]:
        """Read by our own descriptor: the log may lie in a folder that its oldest entry removes."""
        whole, _, _torn = os.pread(self._file, os.fstat(self._file).st_size, 0).rpartition(b"\n")
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    def _append(self, record: msgspec.Struct) -> None:
        line = msgspec.json.encode(record) + b"\n"
        if os.write(self._file, line) != len(line):
            self._cut_torn_line()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fdatasync(self._file)

    def _cut_torn_line(self) -> None:
        """Remove what a crash or a full disk left of a line, so that the next one begins a line of its own."""
        data = os.pread(self._file, os.fstat(self._file).st_size, 0)
        os.ftruncate(self._file, data.rfind(b"\n") + 1)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)


def state_directory() -> Path:
    """Return the folder of the user's machine where bigfive remembers what is running."""
    if explicit := os.environ.get("BIGFIVE_STATE_DIR"):
        return Path(explicit)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "bigfive"


def sweep() -> list[str]:
    """Undo what runs whose owner is gone have left behind, and return what was undone, as text.

    Runs that are still owned are left alone; a guardian at work is waited for. Raises `UndoFailed` naming everything
    that is still left; the pointers to it stay, so that the next sweep tries again.
    """
    undone: list[str] = []
    failed: list[str] = []
    for path in sorted((state_directory() / "runs").glob("*.json")):
        pointer = _read_pointer(path)
        if pointer is not None and not Process(*pointer.owner).alive():
            _sweep_one(pointer, undone, failed)
    if failed:
        raise UndoFailed("; ".join(failed))
    return undone


def _sweep_one(pointer: Pointer, undone: list[str], failed: list[str]) -> None:
    if pointer.guardian and not Process(*pointer.guardian).wait(_GUARDIAN_PATIENCE_S):
        failed.append(str(TimedOut(f"the guardian of {pointer.label}", _GUARDIAN_PATIENCE_S)))
        return
    if Path(pointer.log).exists():
        log = UndoLog(Path(pointer.log))
        pending = log.pending()
        left = log.execute_all()
        still = {entry.n for entry in log.pending()}
        undone.extend(f"{pointer.label}: {entry}" for entry in pending if entry.n not in still)
        log.close()
    else:  # the reports folder is gone, and the log with it: the label still finds the processes
        kill_labelled(pointer.label)
        left = []
    failed.extend(left)
    if not left:
        pointer.remove()


def _read_pointer(path: Path) -> Pointer | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pointer)
    except FileNotFoundError:  # its run ended between our listing and our look
        return None
    except msgspec.MsgspecError as error:
        raise UndoFailed(f"{path} is damaged ({error}); look at it, then remove it") from error
