"""Toy plug-ins, so that these tests are about scenarios and not about the real faults and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from annotated_types import Gt, Interval

from harness.registry import CHECKS, FAULTS, RUNNERS
from harness.runners._base import Until
from harness.scenario.load import ScenarioErrors, load
from harness.scenario.model import Scenario
from harness.units import Rate, Seconds, Size


@dataclass(frozen=True, kw_only=True)
class Bite:
    """Damage a file."""

    on: ClassVar[str | None] = "file"
    lasts: ClassVar[bool] = False

    teeth: Annotated[int, Interval(ge=1, le=32)] = 1
    """How many teeth."""
    mode: Literal["hard", "soft"] = "hard"
    """How it bites."""
    crumbs: Size | None = None
    """How much is dropped."""


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Hold a process."""

    on: ClassVar[str | None] = "process"
    lasts: ClassVar[bool] = True

    share: Annotated[float, Gt(0)] = 0.5
    """Share of the time. Of all of it."""
    cores: tuple[int, ...] | Literal["all"] = "all"
    """Where."""


@dataclass(frozen=True, kw_only=True)
class Shout:
    """Act on nothing."""

    on: ClassVar[str | None] = None
    lasts: ClassVar[bool] = False

    words: tuple[str, ...]
    """What is shouted."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Two numbers, the smaller one first."""

    low: int
    """The smaller one."""
    high: int = 10

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("expected `low` below `high`")


@dataclass(frozen=True, kw_only=True)
class ToyWithin:
    """Something happens soon."""

    shorthand: ClassVar[str | None] = "budget"
    observes: ClassVar[tuple[str, ...]] = ()

    budget: Seconds
    """How soon."""
    probes: int = 3
    """How often."""
    between: Range | None = None
    """Where."""
    by_name: dict[str, int] = field(default_factory=dict)
    """Numbers."""


@dataclass(frozen=True, kw_only=True)
class ToyPlain:
    """Nothing to say."""

    shorthand: ClassVar[str | None] = None
    observes: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, kw_only=True)
class ToySaid:
    """Something was said."""

    shorthand: ClassVar[str | None] = "words"
    observes: ClassVar[tuple[str, ...]] = ()

    words: tuple[str | int, ...] = ()
    """What."""


@dataclass(frozen=True, kw_only=True)
class ToyRunner:
    """Run."""

    contract: ClassVar[str] = "versioned_store"
    handles: ClassVar[Mapping[str, str]] = {"service": "process", "helper": "process", "state.json": "file"}
    writes: ClassVar[frozenset[str]] = frozenset({"write"})

    clients: Annotated[int, Interval(ge=1, le=20)] = 2
    """How many."""
    rate: Rate = Rate(50)
    """How fast."""
    until: Until = Until(after_faults_s=1.0)
    """How long."""


TOYS = [
    (FAULTS, "toy.bite", Bite),
    (FAULTS, "toy.hold", Hold),
    (FAULTS, "toy.shout", Shout),
    (CHECKS, "toy_within", ToyWithin),
    (CHECKS, "toy_plain", ToyPlain),
    (CHECKS, "toy_said", ToySaid),
    (RUNNERS, "toy_runner", ToyRunner),
]


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    for registry, kind, plugin in TOYS:
        registry.register(kind)(plugin)
    yield
    for registry, kind, _ in TOYS:
        del registry._found[kind]


HEAD = """\
scenario: toy
feature: state
summary: A toy.
target: toys:adapter
runner: toy_runner
"""
EXPECT = "expect: [toy_plain]\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (path := tmp_path / "toy.yaml").write_text(text)
        return path

    return write


@pytest.fixture
def scenario(write: Callable[[str], Path]) -> Callable[..., Scenario]:
    """Load the only variant of a scenario: what every one must have, and `more`."""

    def scenario(more: str = "", expect: str = EXPECT) -> Scenario:
        (variant,) = load(write(HEAD + more + expect))
        return variant.scenario

    return scenario


@pytest.fixture
def problems(write: Callable[[str], Path]) -> Callable[..., list[str]]:
    """What is wrong with a scenario: what every one must have (5 lines), and `more`."""

    def problems(more: str = "", expect: str = EXPECT, head: str = HEAD, **params: str) -> list[str]:
        path = write(head + more + expect)
        with pytest.raises(ScenarioErrors) as caught:
            load(path, params)
        assert all(problem.file == str(path) for problem in caught.value.problems)
        return str(caught.value).replace(f"{path}:", "").splitlines()

    return problems
