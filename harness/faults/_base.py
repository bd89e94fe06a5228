"""What a fault is.

A fault is a frozen, keyword-only dataclass registered with `@fault("group.verb")`. Its fields are the YAML members
beside `at`, `fault`, `on`, `for`; each has a type with units where it needs one, and a docstring below it. Two
methods make a fault: `inject` acts, `prove` shows that the act took effect. *Damage* (bytes, kills) ends there: it
is never undone, since that would heal the target in its place. An *environment* fault (`lasts = True`) also says,
before it acts, what will undo it, and shows afterwards that it is gone:

    journal(undo_plan) → inject → prove → hold → undo → prove_undone

A fault that waits for its moment says in its evidence, as `began_ns` on the monotonic clock, when it came: recovery
counts from there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import msgspec

from harness.errors import FaultNotProven
from harness.processes import Process
from harness.wire import Json


class Undo(msgspec.Struct, frozen=True):
    """One undo, as data: a registered kind and its JSON arguments. Executing it twice equals once."""

    kind: str
    arguments: Json


@dataclass(frozen=True)
class Site:
    """Where a fault acts: what the target answered for the handle just now, and this occurrence's own randomness.

    `folder` is the run's folder for the target, or None where the user named the place himself (the pytest fixture).
    `layout` returns the (offset, length) of every record of a file handle.
    """

    handle: Json
    random: random.Random
    folder: Path | None = None
    layout: Callable[[], Sequence[tuple[int, int]]] = tuple

    def process(self) -> Process:
        """Return the process of a process handle. Raises `FaultNotProven` where it does not run."""
        pid = self.handle.get("pid")
        if not isinstance(pid, int):
            raise FaultNotProven("the target's process is not running, so there is nothing to act on")
        try:
            return Process.of(pid)
        except ProcessLookupError as error:
            raise FaultNotProven(f"process {pid} is gone, so there is nothing to act on") from error

    def path(self) -> Path:
        """Return the path of a file or folder handle; it must exist, be no link, and lie in the run's folder."""
        path = Path(str(self.handle.get("path", "")))
        if path.is_symlink() or not path.exists():
            raise FaultNotProven(f"{path} does not exist (or is a link), so there is nothing to damage")
        if self.folder is not None and not path.resolve().is_relative_to(self.folder.resolve()):
            raise FaultNotProven(f"{path} is outside the run's folder {self.folder}: refused")
        return path


class Fault(Protocol):
    """The contract of every fault."""

    kind: ClassVar[str]
    on: ClassVar[str | None]
    """Type of the handle it acts on: "process", "file", "folder", "link", or None for a fault that needs none."""
    lasts: ClassVar[bool]
    """True for environment faults, which are held and undone; False for damage."""

    def inject(self, site: Site) -> Json:
        """Act, and return what was done. Raises `FaultNotProven` where it cannot."""
        ...

    def prove(self, site: Site, evidence: Json) -> Json:
        """Return what shows that the act took effect. Raises `FaultNotProven`."""
        ...


@runtime_checkable
class Tooled(Protocol):
    """What damage adds that is done with a tool of the environment, such as a tracer.

    The tool is gone when `inject` returns, or raises; its undo is for a harness that does not live to see that.
    """

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Return what undoes the act that is about to happen. Must not change anything."""
        ...


@runtime_checkable
class Lasting(Tooled, Protocol):
    """What an environment fault adds."""

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """Return what shows that nothing is left of it. Raises `FaultNotProven`."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """What a fault adds that needs the target's folder to be special, such as a disk of its own.

    Both are called in preflight, before the target starts: the undos are journaled, then `prepare` acts. It is undone
    at tear-down, when the target has stopped, even with --keep: no mount outlives its run, and what is on it goes.
    """

    def preparation(self, folder: Path) -> Sequence[Undo]:
        """Return what undoes `prepare`. Must not change anything."""
        ...

    def prepare(self, folder: Path) -> None:
        """Change the folder, which is empty or was prepared by another fault of the scenario."""
        ...


@runtime_checkable
class Equips(Protocol):
    """What a fault adds that needs clients to be started with something special, such as a library.

    Called in preflight, as `Prepares` is, but after the target's folder was prepared.
    """

    def equip(self, folder: Path) -> Mapping[str, str]:
        """Make in `folder`, one of the run's own, what clients need, and return what is added to their environment.

        `{client}` in a value stands for the client's number.
        """
        ...
