"""What can go wrong with limits and with a service under pressure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class ResourceError(Exception):
    """Base of everything that this feature raises on purpose. None of it has done anything."""

    certainly_not_done = True


class BadRequest(ResourceError):
    """An option, operation or argument that cannot be."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a limit: where, what was got, and what to do."""

    where: str
    what: str
    got: str
    do: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}, got {self.got}; {self.do}"


class BadLimits(ResourceError):
    """Limits that cannot be read, or that this host cannot give; `problems` has all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[BadLimits], tuple[Sequence[Problem]]]:
        return type(self), (self.problems,)


class Refused(ResourceError):
    """Work that was not taken on: it would not fit, or the service is about to end. Try again later, or elsewhere."""

    def __init__(self, why: str, details: Mapping[str, object]) -> None:
        super().__init__(why)
        self.details = dict(details)

    def __reduce__(self) -> tuple[type[Refused], tuple[str, Mapping[str, object]]]:
        return type(self), (str(self), self.details)


class CannotStart(ResourceError):
    """The service, or the cgroup or container around it, did not come up."""
