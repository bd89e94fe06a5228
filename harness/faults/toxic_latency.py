"""Delay what goes over a link: a distant region, a congested path."""

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


@fault("toxic.latency")
@dataclass(frozen=True, kw_only=True)
class ToxicLatency(Toxic):
    """Hold everything for `latency`, give or take `jitter`, before it goes on; nothing overtakes, nothing is lost.

    Measured: how long one byte is under way. Not promised: a slower hand-shake or close, which are not held.
    """

    latency: Annotated[Seconds, Ge(0.001)] = Seconds(0.1)
    """For how long."""
    jitter: Seconds = Seconds(0)
    """How much longer or shorter it may be for each piece; less than `latency`."""

    def __post_init__(self) -> None:
        if self.jitter >= self.latency:
            raise ValueError(f"expected a jitter below the latency, which is {self.latency}")

    def attributes(self) -> Json:
        """In milliseconds."""
        return {"latency": round(self.latency * 1000), "jitter": round(self.jitter * 1000)}

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Send one byte."""
        return _streams.arrival(sender, receiver, self.latency + self.jitter + PATIENCE_S)

    def shows(self, through: Json, direct: Json) -> bool:
        """It took the latency at least, and less without."""
        least = (round(self.latency * 1000) - round(self.jitter * 1000)) / 1000
        return bool(through["got"] == "data" and through["after_s"] >= least > direct["after_s"])
