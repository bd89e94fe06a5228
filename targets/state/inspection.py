"""Looking at a folder without touching it, whoever owns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from targets.durable import is_temporary, owner_of
from targets.state import layout
from targets.state.errors import InMotion, NotAStore
from targets.state.vault import Vault

_LOOKS = 20


@dataclass(frozen=True)
class View:
    """All files of a folder as they were at one moment; a folder in use may have changed since.

    `unreadable` says what the disk could not read, `leftovers` what interrupted writes left, `owner` which process
    owns the folder, as far as can be told.
    """

    files: Mapping[str, bytes]
    unreadable: Mapping[str, str]
    leftovers: tuple[str, ...]
    owner: int | None


def look(folder: Path) -> View:
    """Read the store in `folder`. Raises `NotAStore`, `InMotion`, and `OSError` for what may not be read."""
    find(folder)
    vault = Vault(folder)
    for _ in range(_LOOKS):
        before = _versions(folder)
        try:
            files = vault.read()
        except FileNotFoundError:  # its owner has removed it since it was listed
            continue
        if _versions(folder) == before:
            leftovers = sorted(path.name for path in folder.iterdir() if is_temporary(path.name))
            return View(files, dict(vault.unreadable), tuple(leftovers), owner_of(folder))
    owner = owner_of(folder)
    raise InMotion(
        f"{folder} was written to all the time, by {f'process {owner}' if owner else 'some process'}; "
        "stop that first, or try again (a running service scrubs its files by itself)"
    )


def find(folder: Path) -> None:
    """Raise `NotAStore`, saying what else may have been meant, unless there is a file of a store in `folder`."""
    if not folder.is_dir():
        raise NotAStore(f"there is no folder {folder}; which folder has your service been started with?")
    if _has_store(folder):
        return
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name != layout.DAMAGED]
    near = next(filter(_has_store, below), None)
    raise NotAStore(
        f"{folder} holds no store: no {layout.STATE}, no snapshot and no journal; "
        + (f"did you mean {near}?" if near else "is it the folder that your service has been started with?")
    )


def _has_store(folder: Path) -> bool:
    return any(layout.is_ours(path.name) for path in folder.iterdir())


def _versions(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return what changes when a file does; a file that goes meanwhile is a change, too."""
    return {path.name: _version(path) for path in folder.iterdir() if layout.is_ours(path.name)}


def _version(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
