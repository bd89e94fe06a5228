"""What file faults share: damage done in place, with digests before and after as the evidence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.wire import Json

_ATTEMPTS = 10


def damage(site: Site, act: Callable[[int, int], Json]) -> Json:
    """Let `act(file descriptor, size in bytes)` damage the site's file and return the evidence.

    A target that replaces its file at the same moment would leave the damage in a file without a name, where nobody can
    ever notice it: then the new file is damaged instead. Raises `FaultNotProven` where there is nothing to damage.
    """
    path = site.path()
    for _ in range(_ATTEMPTS):
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            before = fingerprint(file)
            done = act(file, before["bytes"])
            after = fingerprint(file)
            if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                return {"path": str(path), **done, "before": before, "after": after}
        finally:
            os.close(file)
    raise FaultNotProven(f"{path} was replaced {_ATTEMPTS} times in a row while it was being damaged")


def prove_damage(evidence: Json) -> Json:
    """Show that the fingerprints differ. Raises `FaultNotProven`."""
    if evidence["before"] == evidence["after"]:
        raise FaultNotProven(f"{evidence['path']} reads the same after the damage as before")
    return {"before": evidence["before"], "after": evidence["after"]}


def fingerprint(file: int) -> Json:
    """Return size and digest of an open file."""
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(file, "rb", closefd=False) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": os.fstat(file).st_size, "sha256": digest}
