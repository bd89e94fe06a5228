"""What a runner is.

A runner is a frozen, keyword-only dataclass registered with `@runner("name")`. Its fields are the YAML members of
`workload`. It says which contract of the wire protocol it drives, which handles that contract has (so that
`validate` can check a fault's `on` without starting anything), and what each client does: a generator that yields
`Call`s and is sent a `Reply` for each. The recorder paces, sends and records; the generator only decides.

Clients are processes of the harness, and can be handles, too (`client_handles`): `client` is any of them, every
other name is whoever is in that `role` at the moment. A client whose process died begins anew, as a client with a
number of its own: what the dead one was granted is not its successor's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from harness.units import Rate, Seconds
from harness.wire import Json, Outcome

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Call:
    """An operation that a client wants to make next.

    It is sent in the client's next slot; with `after_s`, so many seconds after the answer before, whatever the slots
    are: to think, or to hold what one was granted. What has begun so goes on when the workload ends. From the answer
    before until its own answer, the client can be found by the client handle `role`.
    """

    op: str
    args: Json
    after_s: float | None = None
    role: str = ""


@dataclass(frozen=True)
class Reply:
    """What came of it."""

    outcome: Outcome
    result: Json


Conversation = Generator[Call, Reply, None]

_UNTIL = re.compile(r"\s*faults_done\s*(?:\+\s*(?P<after>\S+))?\s*|\s*(?P<operations>\d+)\s*operations\s*")


@dataclass(frozen=True)
class Until:
    """When a workload ends: so long after the last fault is over, after a time, or after a number of operations."""

    after_faults_s: float | None = None
    seconds: float | None = None
    operations: int | None = None

    def __str__(self) -> str:
        """Return what `parse` reads back."""
        if self.operations is not None:
            return f"{self.operations} operations"
        if self.seconds is not None:
            return str(Seconds(self.seconds))
        return f"faults_done + {Seconds(self.after_faults_s or 0.0)}"

    @classmethod
    def parse(cls, text: object) -> Until:
        """Read `faults_done`, `faults_done + 2s`, `10s` or `500 operations`. Raises `ValueError`."""
        if isinstance(text, Until):
            return text
        match = _UNTIL.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            try:
                return cls(seconds=float(Seconds.parse(text)))
            except ValueError:
                expected = "`faults_done + 2s`, a duration such as 10s, or `500 operations`"
                raise ValueError(f"expected {expected}") from None
        if match["operations"]:
            return cls(operations=int(match["operations"]))
        return cls(after_faults_s=float(Seconds.parse(match["after"])) if match["after"] else 0.0)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415  the recorder runs without pydantic

        return core_schema.no_info_plain_validator_function(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "examples": ["faults_done + 2s", "10s", "500 operations"]}


class Runner(Protocol):
    """The contract of every runner."""

    kind: ClassVar[str]
    contracts: ClassVar[tuple[str, ...]]
    """Keys of `harness.wire.CONTRACTS`: all that it can drive."""
    handles: ClassVar[Mapping[str, str]]
    """Name → type of every handle that a fault may name in `on`."""
    client_handles: ClassVar[frozenset[str]]
    """Those of them that are clients, which the recorder finds; all others are the target's."""

    @property
    def contract(self) -> str:
        """The one that it drives."""
        ...

    @property
    def writes(self) -> frozenset[str]:
        """Operations that change the target: a run without an acknowledged one proves nothing."""
        ...

    @property
    def clients(self) -> int:
        """Number of client processes."""
        ...

    @property
    def rate(self) -> Rate:
        """Slots a second over all clients together."""
        ...

    @property
    def until(self) -> Until:
        """When the workload ends."""
        ...

    def converse(self, client: int, rng: random.Random) -> Conversation:
        """What client number `client` does, for ever; the recorder stops asking when the workload ends.

        Numbers count from 0. One that is `clients` or more is the successor of a process that died.
        """
        ...

    def final(self) -> Iterable[Call]:
        """What is asked once after the quiet period, so that the checks see the end state."""
        ...
