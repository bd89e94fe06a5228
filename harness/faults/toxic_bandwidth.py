"""Narrow a link: a saturated uplink, a throttled tenant."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from harness.faults import _streams
from harness.faults._toxics import PATIENCE_S, Toxic
from harness.registry import fault
from harness.units import Bandwidth
from harness.wire import Json

_SAMPLE_S = 0.3  # how long a measurement takes
_MOST = 8 << 20
_TOLERANCE = 0.9  # Toxiproxy waits in steps of a millisecond


@fault("toxic.bandwidth")
@dataclass(frozen=True, kw_only=True)
class ToxicBandwidth(Toxic):
    """Let no more than `rate` through, on each connection for itself.

    Measured: the bytes a second of one connection.
    """

    rate: Annotated[Bandwidth, Ge(1000)] = Bandwidth(10_000)
    """How much; whole kilobytes a second."""

    def attributes(self) -> Json:
        """In kilobytes a second."""
        return {"rate": int(self.rate) // 1000}

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Send for a while as much as may pass, and count it."""
        size = min(_MOST, int(self.rate * _SAMPLE_S))
        poured = _streams.pour(sender, receiver, size, 2 * _SAMPLE_S + PATIENCE_S)
        return {**poured, "bytes_per_s": round(poured["bytes"] / max(poured["after_s"], 1e-6))}

    def shows(self, through: Json, direct: Json) -> bool:
        """It was no faster than the rate, and faster without."""
        most = self.rate / _TOLERANCE
        return bool(0 < through["bytes_per_s"] <= most < direct["bytes_per_s"])
