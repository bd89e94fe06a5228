"""Restart the server behind a target, with what it has saved or with nothing: an upgrade, a careless fail-over."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harness.errors import FaultNotProven
from harness.faults import _ends
from harness.faults._base import Site
from harness.registry import fault
from harness.wire import Json


@fault("backend.restart")
@dataclass(frozen=True, kw_only=True)
class BackendRestart:
    """End the server that the target keeps its state in; that it comes back is the target's matter.

    It is asked to end (SIGTERM), so it may save what it has. With `empty` it comes back without any memory: the folder
    that its process handle names as "data" gets a new, empty one in its place, and the server is killed (SIGKILL). What
    it still writes goes to the old folder, which is left beside the new one as evidence. It must be below the target's.
    """

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = False

    empty: bool = False
    """Whether everything that it has saved is lost."""

    def inject(self, site: Site) -> Json:
        """Take its files away if they are to be lost, and end it."""
        if not self.empty:
            return _ends.end(site, signal.SIGTERM)
        site.process()  # a folder is not taken from under a server that is about to start
        folder = _data(site)
        lost = sorted(path.name for path in folder.iterdir())
        old = folder.with_name(f"{folder.name}.lost-{site.process().pid}")
        mode = folder.stat().st_mode & 0o7777
        folder.rename(old)
        folder.mkdir(mode)
        return {**_ends.end(site, signal.SIGKILL), "data": str(folder), "kept": str(old), "lost": lost}

    def prove(self, site: Site, evidence: Json) -> Json:
        """Wait until that very process is gone; of what it had saved, nothing is where its successor looks."""
        gone = _ends.prove_gone(evidence)
        if not self.empty:
            return gone
        folder, old = Path(evidence["data"]), Path(evidence["kept"])
        if not folder.is_dir() or folder.samefile(old):
            raise FaultNotProven(f"{folder} still is the folder that was to be lost, {old}")
        return {**gone, "lost": evidence["lost"]}


def _data(site: Site) -> Path:
    """Return the folder of the server's files. Raises `FaultNotProven` for one that is not the run's to take away."""
    folder = Path(str(site.handle.get("data", "")))
    if "data" not in site.handle or folder.is_symlink() or not folder.is_dir():
        raise FaultNotProven(f'its handle names no folder as "data", so nothing can be lost: {site.handle}')
    if site.folder is not None and site.folder.resolve() not in folder.resolve().parents:
        raise FaultNotProven(f"{folder} is not below the run's folder {site.folder}: refused")
    return folder
