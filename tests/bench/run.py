"""Measure everything and print the README's table: `python tests/bench/run.py [WORD…]` (only rows with these words)."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _measure import HEADER


def main() -> int:
    """Print a row as soon as it is measured; the status is 1 if any bound is missed."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    wanted = [name for name in modules if not sys.argv[1:] or any(word in name for word in sys.argv[1:])]
    missed = 0
    sys.stdout.write(f"{HEADER}\n")
    for name in wanted:
        for row in importlib.import_module(name).rows():
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()
            missed += not row.holds
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
