"""The store as a system under test: `targets.state:adapter`. One host, any number of clients.

Each role imports what it needs itself: a run has a dozen clients, and the store would cost each of them 0.1 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from targets.state.client import StateClient
    from targets.state.host import Host


def host(emit: Callable[..., None]) -> Host:
    """Return the host role; `emit(name, **data)` takes its events."""
    from targets.state.host import Host  # noqa: PLC0415  see above

    return Host(emit)


def client() -> StateClient:
    """Return a client role."""
    from targets.state.client import StateClient  # noqa: PLC0415  see above

    return StateClient()
