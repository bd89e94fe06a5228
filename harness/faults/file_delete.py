"""Delete a file: a careless clean-up, a lost directory entry, a backup that was moved rather than copied."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.faults._files import fingerprint
from harness.registry import fault
from harness.wire import Json


@fault("file.delete")
@dataclass(frozen=True, kw_only=True)
class FileDelete:
    """Take the file's name away. A target that has it open goes on with a file that nobody can open again."""

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    def inject(self, site: Site) -> Json:
        """Unlink it."""
        path = site.path()
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # While we hold it open its inode cannot be given to a file that the target makes in its place.
            names = os.fstat(file).st_nlink
            path.unlink()
            left = os.fstat(file).st_nlink
            return {"path": str(path), "deleted": fingerprint(file), "names": names, "names_left": left}
        finally:
            os.close(file)

    def prove(self, site: Site, evidence: Json) -> Json:
        """The file had one name less right after the deletion."""
        if evidence["names_left"] >= evidence["names"]:
            raise FaultNotProven(f"{evidence['path']} still has all its names")
        return {"names_left": evidence["names_left"]}
