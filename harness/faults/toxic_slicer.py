"""Cut what goes over a link into small pieces: readers that take one read for one message break."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval

from harness.faults import _streams
from harness.faults._toxics import PATIENCE_S, Toxic
from harness.registry import fault
from harness.units import Seconds, Size
from harness.wire import Json

_SAMPLE_S = 0.1  # how long a measurement may take, with at least so many slices:
_FEWEST, _MOST = 4, 16


@fault("toxic.slicer")
@dataclass(frozen=True, kw_only=True)
class ToxicSlicer(Toxic):
    """Send everything on in pieces of about `average_size`, with a `delay` after each; nothing is lost.

    Measured: into how many reads a few slices fall, and how long they take. Not promised: pieces of exactly that size.
    """

    average_size: Annotated[Size, Interval(ge=1, le=4096)] = Size(16)
    """How large a piece is on the average."""
    size_variation: Size = Size(0)
    """How much larger or smaller it may be; less than `average_size`."""
    delay: Annotated[Seconds, Ge(0.000_001)] = Seconds(0.002)
    """How long to wait after each; without a pause TCP may put them together again."""

    def __post_init__(self) -> None:
        if self.size_variation >= self.average_size:
            raise ValueError(f"expected a size_variation below the average_size, which is {self.average_size}")

    def attributes(self) -> Json:
        """In bytes and microseconds."""
        sizes = {"average_size": int(self.average_size), "size_variation": int(self.size_variation)}
        return {**sizes, "delay": round(self.delay * 1e6)}

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Send a few slices' worth at once."""
        slices = max(_FEWEST, min(_MOST, int(_SAMPLE_S / self.delay)))
        return _streams.pour(sender, receiver, slices * self.average_size, 2 * slices * self.delay + PATIENCE_S)

    def shows(self, through: Json, direct: Json) -> bool:
        """All of it came, in more pieces than without."""
        return bool(through["bytes"] == direct["bytes"] and through["pieces"] > direct["pieces"])
