"""The locks as a system under test: `targets.locking:adapter`. One host, any number of clients.

Each role imports what it needs itself: a run has up to two hundred clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from targets.locking.client import LockingClient
    from targets.locking.host import Host


def host(emit: Callable[..., None]) -> Host:
    """Return the host role; `emit(name, **data)` takes its events."""
    from targets.locking.host import Host  # noqa: PLC0415  see above

    return Host(emit)


def client() -> LockingClient:
    """Return a client role."""
    from targets.locking.client import LockingClient  # noqa: PLC0415  see above

    return LockingClient()
