"""Files that survive a power cut, folders with one owner, and failpoints: shared by all features.

Promised: after `replace` returns, a crash at any later time shows the new content, and a crash at any earlier time
shows the old content or the new one, never a mixture and never nothing.

Not promised: anything on a disk that acknowledges a flush it has not done, or on a file system without POSIX rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
from pathlib import Path

SOCKET_VARIABLE = "BIGFIVE_FAILPOINTS"
NAMES_VARIABLE = "BIGFIVE_FAILPOINT_NAMES"
LOCK_NAME = "lock"
_TEMPORARY = ".tmp"


class FolderInUse(Exception):
    """Another living process owns the folder; `owner` is its pid as far as known, else 0."""

    certainly_not_done = True

    def __init__(self, folder: Path, owner: int) -> None:
        super().__init__(f"{folder} is in use by process {owner or 'unknown'}; stop it first")
        self.folder = folder
        self.owner = owner


def _enabled() -> frozenset[str] | None:
    """Names of the failpoints that the environment switched on, or None."""
    names = os.environ.get(NAMES_VARIABLE, "")
    return frozenset(names.split(",")) if names and SOCKET_VARIABLE in os.environ else None


_active = _enabled()


def failpoint(name: str) -> None:
    """Stop at a named place until the harness says "go", or die there when it says "die".

    Does nothing unless the environment named this place when the process started. A controller that cannot be
    reached, or hangs up, means "go".
    """
    if _active is not None and name in _active:
        _ask(name)


def _ask(name: str) -> None:
    line = json.dumps({"failpoint": name, "pid": os.getpid()}) + "\n"
    answer = b""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as controller:
        controller.connect(os.environ[SOCKET_VARIABLE])
        controller.sendall(line.encode())
        answer = controller.makefile("rb").readline()
    if answer.strip() == b"die":
        os.kill(os.getpid(), signal.SIGKILL)


def write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; the kernel may take it in several pieces, and does when a disk fills up."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def sync_folder(folder: Path) -> None:
    """Make creations, renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes, step: str) -> None:
    """Give `path` the content `data`, atomically and durably, creating it where it is missing.

    The directory is synced as well: without it 99 of 150 simulated power cuts lost a replacement that had already been
    acknowledged. `step` names the failpoints `<step>.before_rename` and `<step>.after_rename`. One writer at a time:
    the temporary name is fixed, so that what a crash leaves behind is overwritten and not collected.
    """
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        write_at(descriptor, data, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    failpoint(f"{step}.before_rename")
    temporary.rename(path)
    failpoint(f"{step}.after_rename")
    sync_folder(path.parent)


def is_temporary(name: str) -> bool:
    """Return whether `name` is what an interrupted `replace` leaves behind."""
    return name.startswith(".") and name.endswith(_TEMPORARY)


def create_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, durably."""
    if folder.is_dir():
        return
    create_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


class FolderLock:
    """Ownership of a folder, until `release` or the end of the process, however it ends.

    Raises `FolderInUse`. The lock belongs to this process alone: children do not inherit it.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 20).strip()
            self.release()
            raise FolderInUse(folder, int(owner) if owner.isdigit() else 0) from None
        os.ftruncate(self._descriptor, 0)
        write_at(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Give the folder up. The lock file stays: removing it would let two owners lock two files of one name."""
        os.close(self._descriptor)


def owner_of(folder: Path) -> int | None:
    """Return the pid of the process that owns `folder`, or None, without disturbing anybody.

    Not by trying the lock: for that moment a service that is just starting would be refused. Not promised: an owner in
    another pid namespace, or one whose open files we may not see.
    """
    try:
        lock = folder / LOCK_NAME
        pid, status = int(lock.read_text()), lock.stat()
        held = any(os.path.samestat(file.stat(), status) for file in Path("/proc", str(pid), "fd").iterdir())
    except (OSError, ValueError):
        return None
    return pid if held else None
