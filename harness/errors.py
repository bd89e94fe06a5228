"""The whole exception tree.

    BigfiveError
    ├── ScenarioError          a scenario file or command line is wrong       exit 4
    ├── EnvironmentLacks       this machine cannot do what was asked          SKIPPED, or 5 under --require-all
    ├── TargetFailed           the system under test, or its adapter, failed
    │   ├── AdapterDied        its process ended while we were talking to it
    │   └── ProtocolViolation  it said something the wire protocol forbids
    ├── FaultNotProven         a fault was injected and did not take effect   UNKNOWN
    │   └── EngineFailed       the container engine failed in the middle       UNKNOWN
    ├── TimedOut               a condition did not come true in time          UNKNOWN, or FAIL after steady state
    ├── Interrupted            a signal asked us to stop                      exit 2
    ├── UndoFailed             something could not be put back                exit 3
    └── HarnessBug             our own mistake                                exit 3

Every error says what happened, what was found, and what to do. The attributes are kept, and every error
survives pickling (pytest-xdist and process pools send them between processes).
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class BigfiveError(Exception):
    """Base of everything that bigfive raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by attributes: subclasses have constructors that BaseException does not know."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[BigfiveError], args: tuple[object, ...], attributes: dict[str, object]) -> BigfiveError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ScenarioError(BigfiveError):
    """A scenario file, plug-in reference or command line that cannot mean anything."""


class EnvironmentLacks(BigfiveError):
    """A capability that this machine does not have.

    `capability` is its name in `bigfive doctor`, `fix` one line that says how to get it.
    """

    def __init__(self, capability: str, reason: str, fix: str) -> None:
        super().__init__(f"{capability}: {reason} (fix: {fix})")
        self.capability = capability
        self.reason = reason
        self.fix = fix


class TargetFailed(BigfiveError):
    """The system under test, or the adapter that speaks for it, did not do what it was asked."""


class AdapterDied(TargetFailed):
    """An adapter process ended in the middle of the conversation."""


class ProtocolViolation(TargetFailed):
    """An adapter broke the wire protocol (see `harness.wire`)."""


class FaultNotProven(BigfiveError):
    """A fault without a proof that it took effect. Whatever the checks say, such a trial proves nothing."""


class EngineFailed(FaultNotProven):
    """A container engine that answered before did not do what it was asked.

    `kind` is "away" (died or restarting), "slow", "full" (its disk), "gone" (what it was asked about) or "refused".
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class TimedOut(BigfiveError):
    """A condition that did not come true before its deadline.

    `what` names the condition, `waited_s` is in seconds, `evidence` is what was last seen instead.
    """

    def __init__(self, what: str, waited_s: float, evidence: str = "") -> None:
        seen = f"; last seen: {evidence}" if evidence else ""
        super().__init__(f"waited {waited_s:.3g} s for {what}{seen}")
        self.what = what
        self.waited_s = waited_s
        self.evidence = evidence


class Interrupted(BigfiveError):
    """A signal asked for an end; everything is undone and reported on the way out."""


class UndoFailed(BigfiveError):
    """Something that was changed could not be put back; the message says what and how to do it by hand."""


class HarnessBug(BigfiveError):
    """A state of the harness that should be impossible."""


def made(part: T | None, what: str) -> T:
    """Return a part that must exist by now. Raises `HarnessBug` naming it where it does not."""
    if part is None:
        raise HarnessBug(f"{what} is used before it was made")
    return part
