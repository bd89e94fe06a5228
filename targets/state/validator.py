"""StateValidator: what each file must look like while the store runs, and whether it still does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from targets.state.journal import Seal

_CHUNK = 1 << 20


class StateValidator:
    """Remembers the seal of every finished file of a folder; the journal that still grows brings its own."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self._folder = folder
        self.seals = {name: Seal.of(data) for name, data in files.items()}

    def is_intact(self, name: str) -> bool:
        """Read the file and return whether it is, to the byte, what was written."""
        return self._matches(name, self.seals[name], growing=False)

    def damaged(self, growing: Mapping[str, Seal]) -> Iterator[str]:
        """Yield the names of all damaged files. Of the `growing` ones only the sealed beginning is looked at."""
        for name, seal in {**self.seals, **growing}.items():
            if not self._matches(name, seal, growing=name in growing):
                yield name

    def _matches(self, name: str, seal: Seal, *, growing: bool) -> bool:
        digest = hashlib.sha256()
        left = seal.length
        try:
            with (self._folder / name).open("rb", buffering=0) as file:
                while left and (chunk := file.read(min(left, _CHUNK))):
                    digest.update(chunk)
                    left -= len(chunk)
                ended = growing or not file.read(1)
        except OSError:  # missing, or its sectors cannot be read: either way it is not what was written
            return False
        return ended and Seal(seal.length - left, digest.hexdigest()) == seal
