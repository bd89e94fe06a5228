"""Which subnet a new task gets. Pure: what is in use is given."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from targets.network.errors import PoolExhausted


def pick(pool: IPv4Network, prefix: int, used: Iterable[IPv4Network]) -> IPv4Network:
    """Return the first subnet of `prefix` bits that overlaps nothing that is in use.

    Raises `PoolExhausted`. The time grows with what is in use, not with the size of the pool.
    """
    size = 1 << (32 - prefix)
    candidate, last = int(pool.network_address), int(pool.broadcast_address)
    for taken in sorted((each for each in used if each.overlaps(pool)), key=lambda each: each.network_address):
        if int(taken.network_address) >= candidate + size:
            break
        after = int(taken.broadcast_address) + 1
        candidate = max(candidate, -(-after // size) * size)
    if candidate + size - 1 > last:
        raise PoolExhausted(
            f"no subnet of {size} addresses is free in {pool}; destroy tasks that are over, or choose a larger pool"
        )
    return IPv4Network((candidate, prefix))
