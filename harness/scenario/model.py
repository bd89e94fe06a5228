"""A scenario as the engine sees it: validated, typed, frozen.

The names and the documentation of the fields are those of the YAML; a trailing underscore (`with_`) is there for
Python's keywords only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Interval, MinLen

from harness.checks._base import Check
from harness.faults._base import Fault
from harness.runners._base import Runner
from harness.scenario._text import Text
from harness.scenario.triggers import Trigger
from harness.units import Seconds

Value = str | int | float | bool

# Slugs become names of folders.
Slug = Annotated[str, Text(r"(?=.{1,80}$)[a-z0-9]+([-_][a-z0-9]+)*", "lower-case words joined by - or _")]
Name = Annotated[str, Text(r"[A-Za-z_][A-Za-z0-9_]*", "a name of letters, digits and _")]
Target = Annotated[str, Text(r"[\w./-]+:[A-Za-z_][\w.]*", "a Python object such as package.module:adapter")]
NotEmpty = Annotated[str, MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class SteadyState:
    """What must hold before the first fault, so that a failure afterwards is the fault's."""

    good_probes: Annotated[int, Interval(ge=1, le=1000)] = 3
    """Number of good probes in a row."""
    within: Annotated[Seconds, Gt(0)] = Seconds(10)
    """How long the target may take to give them."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Everything of a scenario that no plug-in has a say in."""

    scenario: Slug
    """Name of the scenario, unique in its suite."""
    feature: Slug
    """Feature that it tests, as the reports group them."""
    summary: NotEmpty
    """What happens and what must hold, in one sentence."""
    tags: tuple[Slug, ...] = ()
    """Words to select it by."""
    target: Target | None = None
    """System under test: a Python object that speaks the adapter protocol. Either this or `command`."""
    command: Annotated[tuple[str, ...], MinLen(1)] | None = None
    """System under test: a program that speaks the adapter protocol, and its arguments. Either this or `target`."""
    with_: dict[str, Any] = field(default_factory=dict)
    """Options that the target is started with; it says which it knows."""
    params: dict[Name, Value] = field(default_factory=dict)
    """Values that `${name}` stands for; `-p name=value` overrides them."""
    matrix: dict[Name, Annotated[tuple[Value, ...], MinLen(1)]] = field(default_factory=dict)
    """Lists of values that `${name}` stands for: one variant of the scenario for every combination."""
    repeat: Annotated[int, Interval(ge=1, le=10_000)] = 1
    """Number of trials of every variant, each with its own seed."""
    steady_state: SteadyState = SteadyState()
    """Probes that must hold before the first fault."""
    warm_up: Seconds = Seconds(0)
    """How long the workload runs before time zero of the faults."""
    quiet: Seconds = Seconds(0.5)
    """How long the healed target is left alone before its end state is read."""
    timeout: Annotated[Seconds, Gt(0)] = Seconds(60)
    """How long a trial may take, tear-down excluded."""
    convicts: tuple[str, ...] = ()
    """Checks that must fail: the target of this scenario is broken on purpose."""


@dataclass(frozen=True, kw_only=True)
class FaultStep:
    """One fault of a scenario: when, what, where, how long, how often."""

    at: Trigger
    kind: str
    on: str | None
    parameters: Fault
    hold_s: float | None
    """How long it is held; None for damage, and for a fault that lasts until the end of the workload."""
    every_s: float | None
    """Time between two occurrences, from start to start; None if there is only one."""
    times: Annotated[int, Ge(1)]
    """Number of occurrences."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One check of a scenario; `asked` is its line in the YAML, for reports."""

    kind: str
    parameters: Check
    asked: str


@dataclass(frozen=True, kw_only=True)
class Scenario(Frame):
    """A scenario without placeholders. Exactly one of `target` and `command` is given."""

    runner: str
    workload: Runner
    faults: tuple[FaultStep, ...]
    expect: tuple[Expectation, ...]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One combination of the matrix: `bits=8,mode=x`, or the name "" where there is no matrix.

    `params` are the values that the placeholders were filled in with, those of the matrix included.
    """

    name: str
    params: dict[str, Value]
    scenario: Scenario
