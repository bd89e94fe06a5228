"""The protected service as a system under test: `targets.resources:adapter`. One host, any number of clients.

Each role imports what it needs itself: a run has a dozen clients, and the service would cost each of them 0.1 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from targets.resources.client import WorkClient
    from targets.resources.host import Host


def host(emit: Callable[..., None]) -> Host:
    """Return the host role; `emit(name, **data)` takes its events."""
    from targets.resources.host import Host  # noqa: PLC0415  see above

    return Host(emit)


def client() -> WorkClient:
    """Return a client role."""
    from targets.resources.client import WorkClient  # noqa: PLC0415  see above

    return WorkClient()
