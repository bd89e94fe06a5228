"""What can go wrong with task networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class NetworkError(Exception):
    """Base of everything that this feature raises on purpose. Nothing was opened by the call that raised it."""


class BadRequest(NetworkError):
    """A name, an option or an order of calls that cannot be. Nothing was changed."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an allow-list: the entry, what is wrong, what was got, and what to do."""

    entry: str
    what: str
    got: str
    do: str

    def __str__(self) -> str:
        return f"{self.entry!r}: {self.what}, got {self.got}; {self.do}"


class BadPolicy(NetworkError):
    """An allow-list that cannot be read or must not be granted; `problems` has everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[BadPolicy], tuple[Sequence[Problem]]]:
        return type(self), (self.problems,)


class PoolExhausted(NetworkError):
    """No subnet of the pool is free. Nothing was made."""


class KernelRefused(NetworkError):
    """The kernel, or a tool that speaks to it, did not do what it was told; what there was before still holds.

    `missing` says that it did not find the table, set or chain: somebody else has removed it.
    """

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing

    def __reduce__(self) -> tuple[object, ...]:
        return _refused, (str(self), self.missing)


def _refused(message: str, missing: bool) -> KernelRefused:  # noqa: FBT001  pickle passes by position
    return KernelRefused(message, missing=missing)
