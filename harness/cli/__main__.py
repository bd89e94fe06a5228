"""`python -m harness.cli`, for where the command `bigfive` is not on PATH."""

from __future__ import annotations

from harness.cli import main

main()
