"""Cut connections in the middle of what they carry: torn replies, half-sent requests."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from harness.faults import _streams
from harness.faults._toxics import PATIENCE_S, Toxic
from harness.registry import fault
from harness.units import Size
from harness.wire import Json

_BEYOND = 100  # bytes that are sent and must not arrive


@fault("toxic.limit_data")
@dataclass(frozen=True, kw_only=True)
class ToxicLimitData(Toxic):
    """Close a connection when `limit` has gone over it since the fault began; the rest is lost.

    Measured: how many bytes of one connection arrive.
    """

    limit: Annotated[Size, Interval(ge=1, le=64 << 20)] = Size(1024)
    """How much each connection carries."""

    def attributes(self) -> Json:
        """In bytes."""
        return {"bytes": int(self.limit)}

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Send more than that."""
        return _streams.pour(sender, receiver, self.limit + _BEYOND, 5 * PATIENCE_S)

    def shows(self, through: Json, direct: Json) -> bool:
        """Exactly so much arrived before the end, and all of it without."""
        return bool(through["bytes"] == self.limit and through["ended"] and direct["bytes"] == self.limit + _BEYOND)
