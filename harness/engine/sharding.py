"""A suite in parts, for machines that know nothing of each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness import seeds


@dataclass(frozen=True)
class Shard:
    """Part `number` of `total`, from 1.

    A trial's scenario, variant and attempt alone decide which part it is in: not the order, not the seed, and not what
    else was selected. So every trial is in exactly one part, and stays in it while scenarios come and go. Not promised:
    parts of one size; with few trials a part may even be empty.
    """

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `2/4`. Raises `ValueError`."""
        match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text)
        if match is None or int(match[1]) > int(match[2]):
            raise ValueError("expected K/N, part K of N, such as 1/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        """Return what `parse` reads back."""
        return f"{self.number}/{self.total}"

    def has(self, scenario: str, variant: str, attempt: int) -> bool:
        """Return whether a trial is in this part."""
        return seeds.derive(0, "shard", scenario, variant, attempt) % self.total == self.number - 1
