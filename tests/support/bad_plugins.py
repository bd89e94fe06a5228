"""Plug-ins with one bug each. Not registered: a test puts the one that it needs into the registry, and takes it out."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.checks._base import Verdict
from harness.faults._base import Site, Undo
from harness.faults.file_bit_flip import FileBitFlip
from harness.faults.noop import Noop
from harness.record import Record
from harness.runners._base import Call, Conversation
from harness.runners.state_corruption import StateCorruption
from harness.undo import undoer
from harness.wire import Json

FROZEN = dataclass(frozen=True, kw_only=True)


@dataclass(kw_only=True)
class Thawed:
    """Can be changed."""

    on: ClassVar[str | None] = None
    lasts: ClassVar[bool] = False


@dataclass(frozen=True)
class Positional(Noop):
    """Has a field whose place matters."""

    depth: int = 1
    """How deep."""


@FROZEN
class Wordless(Noop):
    pass


@FROZEN
class Undocumented(Noop):
    """Has a field that nobody explains."""

    depth: int = 1


@FROZEN
class Unitless(Noop):
    """Has a field that makes people guess."""

    delay: float = 1.0
    """Milliseconds? Seconds?"""


@FROZEN
class Teapot(Noop):
    """Acts on something that no target has."""

    on: ClassVar[str | None] = "teapot"


@FROZEN
class Healing(Noop):
    """Damage that is undone."""

    lasts: ClassVar[bool] = False


@FROZEN
class Irreversible(Noop):
    """Says that it lasts, and has nothing to undo it by."""

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Plan nothing."""
        return []


@FROZEN
class Unregistered(Noop):
    """Is undone by something that nobody knows."""

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Plan the unknown."""
        return [Undo("no.such.kind", {})]


@FROZEN
class OnceOnly(Noop):
    """Has an undo that fails the second time, and where nothing was done."""

    on: ClassVar[str | None] = "folder"

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Plan the removal of the file."""
        return [Undo("bad.unlink", {"path": str(site.path() / "made")})]

    def inject(self, site: Site) -> Json:
        """Make a file."""
        (site.path() / "made").touch()
        return {}


@undoer("bad.unlink")
def unlink(path: str) -> None:
    Path(path).unlink()


@FROZEN
class Remembering(Noop):
    """Has an undo that works only in the process that acted."""

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Plan by pid."""
        return [Undo("bad.remember", {"pid": os.getpid()})]


@undoer("bad.remember")
def remember(pid: int) -> None:
    if pid != os.getpid():
        raise LookupError("never seen it")


@FROZEN
class Reckless(FileBitFlip):
    """Makes what it is to damage."""

    def inject(self, site: Site) -> Json:
        """Damage it, whether it exists or not."""
        Path(site.handle["path"]).write_bytes(b"damage")
        return {"before": 1, "after": 2}


@FROZEN
class Toothless(FileBitFlip):
    """Does nothing; its proof says so."""

    def inject(self, site: Site) -> Json:
        """Do nothing."""
        return {"path": str(site.path()), "before": 1, "after": 1}


@FROZEN
class Unseeded(FileBitFlip):
    """Draws from another randomness than its own."""

    def inject(self, site: Site) -> Json:
        """Flip a bit that nobody can flip again."""
        return super().inject(Site(site.handle, random.Random(), site.folder))


@FROZEN
class Unspeakable(FileBitFlip):
    """Returns what JSON does not know."""

    def inject(self, site: Site) -> Json:
        """Flip a bit."""
        return {**super().inject(site), "bits": {1, 2}}


class _Check:
    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ()

    def judge(self, record: Record) -> Verdict:
        """Judge nothing."""
        return Verdict(status="UNKNOWN", summary="nothing is known")


@FROZEN
class Optimist(_Check):
    """Passes what it has not seen."""

    def judge(self, record: Record) -> Verdict:
        """Find nothing bad."""
        return Verdict(status="PASS", summary="nothing bad was seen")


@FROZEN
class Moody(_Check):
    """Judges by the time of day."""

    def judge(self, record: Record) -> Verdict:
        """Look at the clock."""
        return Verdict(status="UNKNOWN", summary=f"at {time.monotonic_ns()}")


@FROZEN
class Mute(_Check):
    """Gives no reason."""

    def judge(self, record: Record) -> Verdict:
        """Say nothing."""
        return Verdict(status="UNKNOWN", summary="")


@FROZEN
class Shorthanded(_Check):
    """Has a short form for nothing."""

    shorthand: ClassVar[str | None] = "budget"


@FROZEN
class Seer(_Check):
    """Asks for what nobody samples."""

    observes: ClassVar[tuple[str, ...]] = ("the_future",)


@FROZEN
class Lawless(StateCorruption):
    """Drives a contract that does not exist."""

    contract = "teapot"


@FROZEN
class Handyman(StateCorruption):
    """Has handles of a type that no fault acts on."""

    handles: ClassVar[dict[str, str]] = {"spout": "teapot"}


@FROZEN
class Idle(StateCorruption):
    """Never writes, so none of its runs proves anything."""

    writes: ClassVar[frozenset[str]] = frozenset()


@FROZEN
class Fickle(StateCorruption):
    """Draws from another randomness than its own."""

    def converse(self, client: int, rng: random.Random) -> Conversation:
        """Converse as nobody can again."""
        return super().converse(client, random.Random())


@FROZEN
class Hasty(StateCorruption):
    """Stops before the recorder does."""

    def converse(self, client: int, rng: random.Random) -> Conversation:
        """Ask once."""
        yield Call("read", {"key": "k"})


@FROZEN
class Inventive(StateCorruption):
    """Calls what the contract does not have."""

    def converse(self, client: int, rng: random.Random) -> Conversation:
        """Erase."""
        while True:
            yield Call("read", {"key": "k", "deep": True})


@FROZEN
class LastWord(StateCorruption):
    """Writes when it should only look."""

    def final(self) -> Iterable[Call]:
        """Write."""
        return [Call("write", {"key": "k", "value": 1})]


@FROZEN
class OneShot(StateCorruption):
    """Can say only once what it asks at the end."""

    asked: ClassVar[list[Any]] = []

    def final(self) -> Iterable[Call]:
        """Read more every time."""
        self.asked.append(1)
        return [Call("read", {"key": f"k{len(self.asked)}"})]
