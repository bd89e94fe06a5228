"""The README's catalogue, generated from the registries: `python tests/support/catalogue.py` writes it anew."""

from __future__ import annotations

import inspect
from pathlib import Path

from harness.registry import CHECKS, FAULTS, REPORTS, RUNNERS, Registry

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- catalogue: generated -->\n", "<!-- /catalogue -->\n"


def table(registry: Registry, title: str) -> str:
    """Return one table: every kind with the first sentence of what it says of itself."""
    rows = [f"| `{plugin.kind}` | {_first_sentence(plugin)} |" for plugin in registry.all()]
    return "\n".join([f"| {title} | |", "|---|---|", *rows]) + "\n"


def catalogue() -> str:
    """Return everything between the two marks."""
    titled = [(FAULTS, "fault"), (CHECKS, "check"), (RUNNERS, "runner"), (REPORTS, "report")]
    return "\n" + "\n".join(table(registry, title) for registry, title in titled) + "\n"


def renewed(text: str) -> str:
    """Return the README with today's catalogue."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + catalogue() + END + after


def _first_sentence(plugin: type) -> str:
    text = " ".join((inspect.getdoc(plugin) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".").replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
