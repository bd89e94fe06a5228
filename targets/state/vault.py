"""A store's folder: reading all of it, and changing it so that a crash at any moment is harmless."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from targets.durable import create_folder, failpoint, is_temporary, replace, sync_folder
from targets.state import layout

# Snapshots first, for a header promises one; a journal before its mirror, which bears witness to it; state.json last.
# What a disk answers about sectors that it, or a file system with checksums, has lost.
_LOST_SECTORS = {errno.EIO, errno.EBADMSG, errno.EUCLEAN}

_ORDER = {"snapshot": 0, "journal": 1, "journal.mirror": 2, layout.STATE: 3}


class Vault:
    """A store's folder.

    A file that the disk cannot read counts as empty, so that the other copies are asked; `unreadable` says why, by
    name, as of the last time that it was read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable: dict[str, str] = {}

    def read(self) -> dict[str, bytes]:
        """Return the content of every file that the store knows; other files are none of its business."""
        self.unreadable.clear()
        known = (path for path in self.folder.iterdir() if layout.is_ours(path.name) and path.is_file())
        return {path.name: self._content(path) for path in known}

    def read_one(self, name: str) -> bytes | None:
        """Return the content of a file, or None where it is missing."""
        try:
            return self._content(self.folder / name)
        except FileNotFoundError:
            return None

    def size(self, name: str) -> int | None:
        """Return the length of a file, or None where it is missing."""
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def keep_aside(self, name: str, data: bytes) -> None:
        """Keep damaged bytes for people to look at; the same bytes are kept once. An unreadable file is moved away."""
        failpoint("restore.before_aside")
        aside = self.aside(name, data)
        create_folder(aside.parent)
        if name in self.unreadable:
            (self.folder / name).replace(aside)
            sync_folder(aside.parent)
        else:
            replace(aside, data, "aside")

    def aside(self, name: str, data: bytes) -> Path:
        """Return where `keep_aside` puts these bytes."""
        mark = "unreadable" if name in self.unreadable else hashlib.sha256(data).hexdigest()[:16]
        return self.folder / layout.DAMAGED / f"{name}.{mark}"

    def restore(self, old: Mapping[str, bytes], new: Mapping[str, bytes], rewrite: Iterable[str] = ()) -> None:
        """Turn the contents `old` into `new`, keeping aside what `new` does not contain.

        A file in `rewrite` is written even if it holds the right bytes. Interrupted anywhere, it can be repeated.
        """
        changed = [name for name in new if old.get(name) != new[name] or name in rewrite]
        for name in changed:
            if name in self.unreadable or (name in old and not new[name].startswith(old[name])):
                self.keep_aside(name, old[name])
        for name in sorted(changed, key=lambda name: (_ORDER[layout.handle_of(name)], name)):
            replace(self.folder / name, new[name], "restore")

    def drop(self, names: Iterable[str]) -> None:
        """Remove files that are no longer needed, and what interrupted writes left."""
        leftovers = [path.name for path in self.folder.iterdir() if is_temporary(path.name)]
        for name in sorted([*names, *leftovers], key=lambda name: (layout.is_snapshot(name), name)):
            (self.folder / name).unlink(missing_ok=True)
        sync_folder(self.folder)

    def _content(self, path: Path) -> bytes:
        self.unreadable.pop(path.name, None)
        try:
            return path.read_bytes()
        except OSError as error:
            if error.errno not in _LOST_SECTORS:
                raise
            self.unreadable[path.name] = f"it cannot be read: {error.strerror}"
            return b""
