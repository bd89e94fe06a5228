"""The page in Markdown, for `$GITHUB_STEP_SUMMARY` and merge requests: what is brief of it, below GitHub's limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import singledispatch
from pathlib import Path

from harness.registry import report
from harness.reporting import _page
from harness.reporting._base import Suite
from harness.reporting._blocks import Block, Cell, Facts, Feature, Features, Finding, Findings, Items, Prose, Table
from harness.reporting._material import Source, gather

MAX_BYTES = 1024 * 1024
"""GitHub refuses a longer step summary as a whole."""

_SIGNS = {
    "PASS": "✅",
    "FAIL": "❌",
    "UNKNOWN": "❔",
    "ERROR": "❗",
    "INTERRUPTED": "⏸",
    "SKIPPED": "💤",
    "CONVICTED": "🚩",
}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&@])")
_CUT = "\n\n… cut here: the rest is in `index.html`.\n"


@report("markdown")
class MarkdownReport:
    """Write `summary.md`: verdict, features, findings and tables, at most 1 MiB."""

    def write(self, suite: Suite, folder: Path) -> Path:
        """Write it."""
        return write(_page.build(gather([Source(suite, folder)], folder)), folder)


def write(page: _page.Page, out: Path) -> Path:
    """Write the summary into `out`."""
    path = out / "summary.md"
    path.write_bytes(render(page))
    return path


def render(page: _page.Page) -> bytes:
    """Return the summary, cut at the end of a line where it would be too long."""
    data = "\n".join(_lines(page)).encode() + b"\n"
    if len(data) <= MAX_BYTES:
        return data
    cut = _CUT.encode()
    return data[: data.rindex(b"\n", 0, MAX_BYTES - len(cut))] + cut


def _lines(page: _page.Page) -> Iterator[str]:
    yield f"## {_sign(page.banner.verdict)} {page.banner.verdict}: {text(page.banner.sentence)}"
    yield ""
    yield " · ".join(f"{name} **{text(value)}**" for name, value in page.banner.facts)
    yield f" · exit status **{text(page.banner.exit)}**"
    for section in page.sections:
        if section.brief:
            blocks = ["\n".join(_show(block)) for block in section.blocks]
            yield "\n\n".join(["", f"### {text(section.title)}", *filter(None, blocks)])


def text(value: str) -> str:
    """Return `value` as it is read: nothing in it is markup, a link, a mention or a line of its own."""
    return _SPECIAL.sub(r"\\\1", " ".join(value.split())).replace("://", ":\u200b//")


def code(value: str) -> str:
    """Return `value` between as many backticks as it takes."""
    runs = re.findall(r"`+", value)
    fence = "`" * (max(map(len, runs), default=0) + 1)
    pad = " " if "`" in value else ""
    return f"{fence}{pad}{' '.join(value.split())}{pad}{fence}"


def _sign(status: str) -> str:
    return _SIGNS.get(status, "")


@singledispatch
def _show(_: Block) -> list[str]:
    """Pictures have no text of their own: the tables beside them do."""
    return []


@_show.register
def _(block: Prose) -> list[str]:
    return [text(block.text)]


@_show.register
def _(block: Items) -> list[str]:
    return [f"- {text(sentence)}{f' {code(command)}' if command else ''}" for sentence, command in block.entries]


@_show.register
def _(block: Facts) -> list[str]:
    return [f"- {text(name)}: {text(value)}" for name, value in block.pairs]


@_show.register
def _(block: Table) -> list[str]:
    heads = [text(column.title) for column in block.columns]
    rules = ["--:" if column.number else "---" for column in block.columns]
    return [_row(heads), _row(rules), *(_row([_cell(cell) for cell in row]) for row in block.rows)]


@_show.register
def _(block: Features) -> list[str]:
    heads = ["feature", "asked", "verdict", "measured"]
    return [_row(heads), _row(["---"] * len(heads)), *(row for card in block.cards for row in _feature(card))]


@_show.register
def _(block: Findings) -> list[str]:
    return [line for card in block.cards for line in _finding(card)]


def _feature(card: Feature) -> Iterator[str]:
    yield _row([f"**{text(card.name)}**", text(card.planted), f"{_sign(card.status)} {card.status}", text(card.count)])
    for each in card.criteria:
        yield _row(["", text(each.asked), f"{_sign(each.status)} {each.status} {each.count}", text(each.measured)])


def _finding(card: Finding) -> Iterator[str]:
    yield f"- {_sign(card.status)} **{text(card.title)}** {' '.join(map(text, card.sentences))}"
    yield f"  {code(card.command)}"


def _cell(cell: Cell) -> str:
    said = code(cell.text).replace("|", "\\|") if cell.code else text(cell.text)
    return f"{_sign(cell.status)} {said}".strip()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
