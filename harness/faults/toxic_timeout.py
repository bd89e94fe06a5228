"""Swallow what goes over a link: a firewall that drops, a peer that is gone without a word."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from harness.faults import _streams
from harness.faults._toxics import PATIENCE_S, Toxic
from harness.registry import fault
from harness.units import Seconds
from harness.wire import Json

_SILENCE_S = 0.2  # a direct byte takes a thousandth of that


@fault("toxic.timeout")
@dataclass(frozen=True, kw_only=True)
class ToxicTimeout(Toxic):
    """Let no byte through, and close a connection when nothing was sent over it for `timeout`.

    Whoever waits for an answer must give up by himself. At the fault's end the connections that it held are closed,
    since bytes are missing from them. Measured: what comes of one byte, and when.
    """

    timeout: Seconds = Seconds(0)
    """After how long; 0s is never."""

    def attributes(self) -> Json:
        """In milliseconds."""
        return {"timeout": round(self.timeout * 1000)}

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Send one byte."""
        return _streams.arrival(sender, receiver, self.timeout + PATIENCE_S if self.timeout else _SILENCE_S)

    def shows(self, through: Json, direct: Json) -> bool:
        """It did not arrive; instead the connection ended in time, or nothing happened."""
        expected = "end" if self.timeout else "nothing"
        late = through["after_s"] >= round(self.timeout * 1000) / 1000
        return bool(through["got"] == expected and late and direct["got"] == "data")
