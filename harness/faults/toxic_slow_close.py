"""Let the end of a connection come late: half-open connections that fill a pool."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from harness.faults import _streams
from harness.faults._toxics import PATIENCE_S, Toxic
from harness.registry import fault
from harness.units import Seconds
from harness.wire import Json


@fault("toxic.slow_close")
@dataclass(frozen=True, kw_only=True)
class ToxicSlowClose(Toxic):
    """Tell one end only after `delay` that the other has closed the connection. Measured: how long that takes."""

    delay: Annotated[Seconds, Ge(0.001)] = Seconds(0.5)
    """How much later."""

    def attributes(self) -> Json:
        """In milliseconds."""
        return {"delay": round(self.delay * 1000)}

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Close one end."""
        return _streams.ending(sender, receiver, self.delay + PATIENCE_S)

    def shows(self, through: Json, direct: Json) -> bool:
        """The other end heard of it late, and earlier without."""
        least = round(self.delay * 1000) / 1000
        return bool(through["got"] == direct["got"] == "end" and through["after_s"] >= least > direct["after_s"])
