"""Reset connections: a crashed peer, a load balancer that forgot its table."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from harness.faults import _streams
from harness.faults._toxics import PATIENCE_S, Toxic
from harness.registry import fault
from harness.units import Seconds
from harness.wire import Json


@fault("toxic.reset_peer")
@dataclass(frozen=True, kw_only=True)
class ToxicResetPeer(Toxic):
    """Reset a connection (RST) as soon as something is sent over it in that direction, and swallow what was sent.

    With `upstream` a request never arrives; with `downstream` it has been carried out when its answer is lost.
    Measured: what comes of one byte. Not promised: RST on connections that were open before; those are closed with FIN.
    """

    timeout: Seconds = Seconds(0)
    """How long after that it is reset."""

    def attributes(self) -> Json:
        """In milliseconds."""
        return {"timeout": round(self.timeout * 1000)}

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Send one byte."""
        return _streams.arrival(sender, receiver, self.timeout + PATIENCE_S)

    def shows(self, through: Json, direct: Json) -> bool:
        """The other end was reset, not before its time."""
        late = through["after_s"] >= round(self.timeout * 1000) / 1000
        return bool(through["got"] == "reset" and late and direct["got"] == "data")
