"""The only source of randomness of the harness.

One root seed decides everything: `trial_seed` depends on *what* a trial is, never on when or where it runs, so
order, shards, `-k` and the number of workers change nothing.
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets

SEED_BITS = 63  # fits a signed 64-bit integer in every language an adapter may be written in


def fresh_root() -> int:
    """Draw a new root seed from the operating system; it is printed and stored, so that it can be used again."""
    return secrets.randbits(32)


def derive(seed: int, *names: str | int) -> int:
    """Derive a seed that is independent of every other `names` under the same `seed` (BLAKE2b, 63 bits)."""
    text = json.dumps([seed, *names])  # tells ("a", "b") from ("ab",) and 1 from "1", whatever the names contain
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEED_BITS)


def trial_seed(root: int, scenario: str, variant: str, attempt: int) -> int:
    """Return the seed of one trial."""
    return derive(root, "trial", scenario, variant, attempt)


def stream(seed: int, *names: str | int) -> random.Random:
    """Return a generator of its own for one purpose, so that a new consumer never shifts the draws of another."""
    return random.Random(derive(seed, *names))  # noqa: S311  reproducible on purpose
