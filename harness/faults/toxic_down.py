"""Cut a link: a pulled cable, a partition, a firewall that rejects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.errors import FaultNotProven
from harness.faults import _streams
from harness.faults._base import Site, Undo
from harness.faults._toxics import await_use, prove_open, proxy_of
from harness.registry import fault
from harness.wire import Json


@fault("toxic.down")
@dataclass(frozen=True, kw_only=True)
class ToxicDown:
    """Close every connection of a link and refuse new ones until the fault's end.

    Measured on the link itself: a connection of ours is refused.
    """

    on: ClassVar[str | None] = "link"
    lasts: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"toxiproxy-server"})

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the proxy that will be enabled. Raises `FaultNotProven` where it is down already."""
        proxy = proxy_of(site)
        prove_open(proxy)
        return [Undo("proxy.enable", {"api": proxy.api, "proxy": proxy.name})]

    def inject(self, site: Site) -> Json:
        """Disable it, when somebody uses it."""
        proxy = proxy_of(site)
        used = await_use(proxy)
        proxy.disable()
        return used

    def prove(self, site: Site, evidence: Json) -> Json:
        """We are refused, though the server may listen as before."""
        answer = _streams.opened(evidence["listen"])
        if answer != "refused":
            raise FaultNotProven(f"the link is not down: connecting to {evidence['listen']} is {answer}")
        return {"connect": answer, "direct": _streams.opened(evidence["upstream"])}

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """It accepts connections again."""
        return {"link": prove_open(proxy_of(site))}
