"""Which backend is meant: a path is a SQLite file, `redis://…` a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from targets.locking.redis import RedisBackend
    from targets.locking.sqlite import SqliteBackend

_PREFIX = "#"


def open_backend(address: str, *, create: bool = True) -> SqliteBackend | RedisBackend:
    """Return the backend at a path, or at `redis://host:port#prefix`. Neither is touched before it is used."""
    if "://" in address:
        from targets.locking.redis import PREFIX, RedisBackend  # noqa: PLC0415  only the one that is used

        place, _, prefix = address.partition(_PREFIX)
        return RedisBackend(place, prefix=prefix or PREFIX)
    from targets.locking.sqlite import SqliteBackend  # noqa: PLC0415

    return SqliteBackend(address, create=create)
