"""The HTML page of a hundred trials: how large, how fast."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _measure import Row, seconds

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.reporting.html import HtmlReport
from support.pages import kill_at_second_one, recovered, written_suite

TRIALS = 100


def rows() -> Iterator[Row]:
    """Render a hundred trials, each with a record of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bigfive-bench-"))
    try:
        results = [recovered(attempt=number) for number in range(TRIALS)]
        suite = written_suite(folder, *results, record=kill_at_second_one())
        HtmlReport().write(suite, folder)  # the first one imports Jinja2
        took = seconds(lambda: HtmlReport().write(suite, folder))
        size = (folder / "index.html").stat().st_size / 1000
        records = sum(path.stat().st_size for path in folder.rglob("*.jsonl")) / 1000
        yield Row("page of 100 trials, kB", size, "their records", records, "kB", size, 300)
        yield Row(
            "page of 100 trials, ms", took * 1e3, "one trial's share", took * 1e3 / TRIALS, "ms", took * 1e3, 1000
        )
    finally:
        shutil.rmtree(folder)
