"""The supervisor's folder: private, with one owner at a time, and emptied of what a dead owner left running."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from targets.durable import FolderInUse, FolderLock, create_folder, replace
from targets.mcp_tools.processes import Identity, kill_identity, kill_marked

_ID, _SERVERS = "id", "servers.json"
STATE_VARIABLE = "XDG_STATE_HOME"


def base() -> Path:
    """Return where the folders are that nobody chose."""
    home = os.environ.get(STATE_VARIABLE) or Path("~/.local/state").expanduser()
    return Path(home, "bigfive", "mcp")


def slots(command: Sequence[str]) -> Iterator[Path]:
    """Yield the folders for supervisors of this command in this directory: each takes the first that is free."""
    about = "\0".join([str(Path.cwd()), *command])
    name = f"{Path(command[0]).name}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    return (base() / name / str(number) for number in itertools.count())


def claim(folders: Iterable[Path]) -> Folder:
    """Return the first of `folders` that no living supervisor owns. Raises `FolderInUse` if there is none."""
    refused: FolderInUse | None = None
    for path in folders:
        try:
            return Folder(path)
        except FolderInUse as error:
            refused = error
    if refused is None:
        raise ValueError("no folder to choose from")
    raise refused


class Folder:
    """The folder at `path`, owned until the end of the process. Raises `FolderInUse`, `OSError`.

    `id` is the folder's for ever, `life` that of this owner. What an earlier owner left running is killed, by pid *and*
    start time, and by the mark in its environment; `killed` is how many that were.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        create_folder(path)
        path.chmod(0o700)
        self._lock = FolderLock(path)
        self.id = self._identify()
        self.life = uuid.uuid4().hex
        self.killed = sum(kill_identity(identity) for identity in self._recorded())
        self.killed += kill_marked(f"{self.id}:")
        self._incarnations = itertools.count(1)

    def mark(self) -> str:
        """Return a mark for a new server."""
        return f"{self.id}:{next(self._incarnations)}"

    def record(self, servers: Iterable[Identity]) -> None:
        """Note which servers run. A disk that refuses costs only one of two ways to find them."""
        with contextlib.suppress(OSError):
            temporary = self.path / f".{_SERVERS}.tmp"
            temporary.write_bytes(msgspec.json.encode(list(servers)))
            temporary.replace(self.path / _SERVERS)

    def release(self) -> None:
        """Give the folder up."""
        self._lock.release()

    def _identify(self) -> str:
        path = self.path / _ID
        with contextlib.suppress(OSError):
            if known := path.read_text().strip():
                return known
        name = uuid.uuid4().hex
        replace(path, name.encode(), "id")
        return name

    def _recorded(self) -> list[Identity]:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode((self.path / _SERVERS).read_bytes(), type=list[Identity])
        return []
