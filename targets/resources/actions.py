"""What is done about pressure: small plug-ins, and the table that says which, for what, at which level.

An action is a class with a name and two methods. `raised` is called when a level that lists it begins, `lowered` when
no level that lists it is left. One that is `for_every_change` is called each time. They run in the monitor's thread, so
they only begin things.
"""

from __future__ import annotations

import abc
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Protocol, TypeVar

from targets.resources.errors import BadRequest
from targets.resources.levels import PRESSING, Change, Level


class Protected(Protocol):
    """The service that is protected, as far as actions see it. Nothing here may take long."""

    def notify(self, event: str, details: Mapping[str, object]) -> None:
        """Tell whoever listens."""

    def checkpoint(self) -> None:
        """Begin to write a checkpoint."""

    def shed(self, why: str) -> None:
        """Take on no new work; "" means again."""

    def pause(self, why: str) -> None:
        """Let work that is under way wait; "" means go on."""

    def shut_down(self, why: str, details: Mapping[str, object], *, at_once: bool) -> None:
        """Begin to end in order; `at_once` without waiting for work that is under way."""


class Action(abc.ABC):
    """One thing to do."""

    for_every_change: ClassVar[bool] = False

    @abc.abstractmethod
    def raised(self, change: Change, service: Protected) -> None:
        """Act: it got worse."""

    def lowered(self, change: Change, service: Protected) -> None:  # noqa: B027  most have nothing to take back
        """Take it back: it got better."""


_ACTIONS: dict[str, type[Action]] = {}
_Class = TypeVar("_Class", bound=type[Action])


def action(name: str) -> Callable[[_Class], _Class]:
    """Register an action under the name that options use."""

    def register(cls: _Class) -> _Class:
        _ACTIONS[name] = cls
        return cls

    return register


@action("log")
class _Log(Action):
    """Write a line on standard error."""

    for_every_change = True

    def raised(self, change: Change, service: Protected) -> None:
        sys.stderr.write(f"{change}\n")

    def lowered(self, change: Change, service: Protected) -> None:
        sys.stderr.write(f"{change}\n")


@action("notify")
class _Notify(Action):
    """Report an event: `pressure.<level>` on the way up, `pressure.eased` on the way down."""

    for_every_change = True

    def raised(self, change: Change, service: Protected) -> None:
        service.notify(f"pressure.{change.new.word}", change.details())

    def lowered(self, change: Change, service: Protected) -> None:
        service.notify("pressure.eased", change.details())


@action("checkpoint")
class _Checkpoint(Action):
    """Write a checkpoint while there is time."""

    def raised(self, change: Change, service: Protected) -> None:
        service.checkpoint()


@action("shed_load")
class _ShedLoad(Action):
    """Refuse new work until it is over."""

    def raised(self, change: Change, service: Protected) -> None:
        service.shed(str(change))

    def lowered(self, change: Change, service: Protected) -> None:
        service.shed("")


@action("pause")
class _Pause(Action):
    """Let work that is under way wait until it is over."""

    def raised(self, change: Change, service: Protected) -> None:
        service.pause(str(change))

    def lowered(self, change: Change, service: Protected) -> None:
        service.pause("")


@action("shut_down")
class _ShutDown(Action):
    """End in order; in an emergency without waiting for work that is under way."""

    for_every_change = True

    def raised(self, change: Change, service: Protected) -> None:
        service.shut_down("pressure", change.details(), at_once=change.new == Level.EMERGENCY)


Table = Mapping[str, Mapping[Level, Sequence[str]]]

# Only memory kills. Restarting a service does not give it processes, processors or disk, and a full disk is refused
# by the store, write by write.
PLAN: Table = MappingProxyType(
    {
        "memory": {
            Level.WARNING: ("notify", "checkpoint", "shed_load"),
            Level.CRITICAL: ("shut_down", "notify"),
            Level.EMERGENCY: ("shut_down", "notify"),
        },
        "pids": {
            Level.WARNING: ("notify",),
            Level.CRITICAL: ("notify", "shed_load"),
            Level.EMERGENCY: ("notify", "shed_load"),
        },
        "disk": {
            Level.WARNING: ("notify",),
            Level.CRITICAL: ("notify", "checkpoint", "shed_load"),
            Level.EMERGENCY: ("notify", "shed_load"),
        },
        "cpu": dict.fromkeys(PRESSING, ("notify",)),
    }
)


def names(text: str) -> tuple[str, ...]:
    """Read `notify,shut_down`. Raises `BadRequest`, naming what is unknown."""
    chosen = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in chosen if name not in _ACTIONS]:
        raise BadRequest(f"unknown action {', '.join(unknown)}; known are {', '.join(sorted(_ACTIONS))}")
    return chosen


class Responder:
    """Does what a plan says about each change. Not thread-safe: changes come from one thread."""

    def __init__(self, service: Protected, plan: Table = PLAN) -> None:
        self._service = service
        self._plan = plan
        self._actions = {name: cls() for name, cls in _ACTIONS.items()}
        self._in_force: dict[str, set[str]] = {}
        """By action, the resources that it is in force for: load is shed until the last reason is gone."""

    def __call__(self, change: Change) -> None:
        """Act on a change. The actions of the highest level come first: in a race the last resort must not wait."""
        if change.new > change.old:
            self._rise(change)
        else:
            self._fall(change)

    def _rise(self, change: Change) -> None:
        passed = [level for level in reversed(PRESSING) if change.old < level <= change.new]
        for name in self._named(change.resource, passed):
            action, reasons = self._actions[name], self._in_force.setdefault(name, set())
            if action.for_every_change or not reasons:
                action.raised(change, self._service)
            reasons.add(change.resource)

    def _fall(self, change: Change) -> None:
        left = [level for level in reversed(PRESSING) if change.new < level <= change.old]
        kept = self._named(change.resource, [level for level in PRESSING if level <= change.new])
        for name in self._named(change.resource, left):
            action, reasons = self._actions[name], self._in_force[name]
            if name not in kept:
                reasons.discard(change.resource)
            if action.for_every_change or not reasons:
                action.lowered(change, self._service)

    def _named(self, resource: str, levels: Sequence[Level]) -> list[str]:
        table = self._plan[resource]
        return list(dict.fromkeys(name for level in levels for name in table.get(level, ())))
