"""What a page is made of: frozen data that says what is shown, never how.

A section is a title and blocks. A builder that needs nothing but prose, facts, lists and tables appears in the HTML
page and in Markdown without any template of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.reporting._story import Story


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    kind: ClassVar[str] = "prose"
    text: str


@dataclass(frozen=True)
class Items:
    """A list. Each entry is a sentence and, if there is one, a command or path that belongs to it."""

    kind: ClassVar[str] = "items"
    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table; `status` colours it and gives it a sign, `href` makes it a link, `note` is a second line."""

    text: str = ""
    status: str = ""
    href: str = ""
    note: str = ""
    code: bool = False


@dataclass(frozen=True)
class Column:
    """The head of a column; numbers are aligned to the right."""

    title: str
    number: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows below columns. With `filters` the reader's filter hides rows of it."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    filters: bool = False


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What was asked, what came of it, and the trial that shows it. `meter` is the used share of a budget."""

    status: str
    asked: str
    count: str
    measured: str
    said: str
    href: str
    meter: float | None = None


@dataclass(frozen=True, kw_only=True)
class Feature:
    """The verdict of a feature, against its numbers."""

    name: str
    status: str
    count: str
    criteria: tuple[Criterion, ...]
    grounds: tuple[Criterion, ...]
    planted: str


@dataclass(frozen=True)
class Features:
    """A card for each feature."""

    kind: ClassVar[str] = "features"
    cards: tuple[Feature, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that did not go as it should, in plain English, and the command that shows it again.

    `evidence` is (href or "", text); `expected` marks the bug of a negative scenario.
    """

    anchor: str
    status: str
    title: str
    sentences: tuple[str, ...]
    evidence: tuple[tuple[str, str], ...]
    command: str
    timeline: str
    fix: str = ""
    expected: bool = False
    source: str = ""


@dataclass(frozen=True)
class Findings:
    """All of them, the worst first."""

    kind: ClassVar[str] = "findings"
    cards: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The recoveries of one fault. `never` counts those that did not come, `unnoticed` those that nobody saw fail."""

    name: str
    budget_s: float | None
    times_s: tuple[float, ...]
    never: int
    unnoticed: int


@dataclass(frozen=True)
class Distribution:
    """Recovery times on one logarithmic axis from `low_s` to `high_s`."""

    kind: ClassVar[str] = "distribution"
    spreads: tuple[Spread, ...]
    low_s: float
    high_s: float


@dataclass(frozen=True, kw_only=True)
class TrialCard:
    """A trial with its picture; `story` is None where the record cannot be read, and `note` says why.

    A `brief` one leaves out what its result says as well: of a hundred trials that passed, nobody reads every line.
    """

    anchor: str
    title: str
    status: str
    opened: bool
    brief: bool
    line: str
    checks: tuple[tuple[str, str, str], ...]
    links: tuple[tuple[str, str], ...]
    command: str
    story: Story | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ScenarioCard:
    """The trials of one scenario and variant."""

    title: str
    summary: str
    status: str
    count: str
    trials: tuple[TrialCard, ...]


@dataclass(frozen=True)
class Timelines:
    """The trials of all scenarios."""

    kind: ClassVar[str] = "timelines"
    scenarios: tuple[ScenarioCard, ...]


Block = Prose | Items | Facts | Table | Features | Findings | Distribution | Timelines


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page. `brief` sections are in Markdown summaries, too."""

    id: str
    title: str
    lead: str
    blocks: tuple[Block, ...]
    brief: bool = False
