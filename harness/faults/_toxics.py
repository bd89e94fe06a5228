"""What the toxics share: a fault on a link, done by the run's own Toxiproxy, held, undone, and measured.

A link is the connection between the target's clients and its server. The engine puts a proxy there when a scenario acts
on it (see `harness.wire`), and adds {"api", "proxy"} to its handle. What is proven of a toxic is:

- that the link is used: a client has, or had within the last minute, a connection through it (/proc/net/tcp),
- that the link's proxy carries exactly this toxic, is enabled, and accepts a connection of ours,
- what it does, measured. Nothing can be measured on the link itself without knowing its protocol, and our bytes would
  disturb the target. So the same server gets a second proxy, with the same toxic, to a listener of ours, for as long
  as that takes: we have both ends of a connection through it, and of a direct one to compare with. That second proxy's
  toxicity is 1.

Not proven: which connections a toxicity below 1 hits. Toxiproxy draws that for each, and has no seed that works.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Gt, Le

from harness.errors import FaultNotProven, TimedOut
from harness.faults import _streams
from harness.faults._base import Site, Undo
from harness.waiting import until
from harness.wire import Json

if TYPE_CHECKING:
    from harness.faults._toxiproxy import Proxy

Stream = Literal["upstream", "downstream"]

PATIENCE_S = 2.0
_USE_PATIENCE_S = 5.0
_ATTEMPTS = 5  # on a busy machine even a direct connection is slow now and then


@dataclass(frozen=True, kw_only=True)
class Toxic:
    """A toxic of Toxiproxy's on a link. Its kind ends with Toxiproxy's name for it."""

    kind: ClassVar[str]
    on: ClassVar[str | None] = "link"
    lasts: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"toxiproxy-server"})

    stream: Literal["upstream", "downstream", "both"] = "downstream"
    """Which way: `upstream` to the server, `downstream` to the client."""
    toxicity: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the connections that are affected, drawn for each."""

    def attributes(self) -> Json:
        """Return the toxic's attributes in Toxiproxy's names and units."""
        raise NotImplementedError

    def measure(self, sender: socket.socket, receiver: socket.socket) -> Json:
        """Send something from one end of a connection to the other and return numbers that show the effect."""
        raise NotImplementedError

    def shows(self, through: Json, direct: Json) -> bool:
        """Return whether what was measured through the toxic, and without it, shows the effect."""
        raise NotImplementedError

    def undo_plan(self, site: Site) -> Sequence[Undo]:
        """Name the toxics that will be removed. Raises `FaultNotProven` where the link has such a toxic already."""
        proxy = proxy_of(site)
        names = [str(toxic["name"]) for toxic in self._toxics()]
        if taken := proxy.toxics().keys() & set(names):
            raise FaultNotProven(f"the link has a toxic {', '.join(sorted(taken))} already")
        return [Undo("toxic.remove", {"api": proxy.api, "proxy": proxy.name, "toxic": name}) for name in names]

    def inject(self, site: Site) -> Json:
        """Add the toxics, to a link that somebody uses."""
        proxy = proxy_of(site)
        used = await_use(proxy)
        for toxic in self._toxics():
            proxy.add(toxic)
        return {**used, "toxics": self._toxics()}

    def prove(self, site: Site, evidence: Json) -> Json:
        """The link carries the toxics, and they do what they should: measured, with a direct connection beside it."""
        proxy = proxy_of(site)
        carried, link = proxy.toxics(), prove_open(proxy)
        for toxic in evidence["toxics"]:
            if carried.get(toxic["name"]) != toxic:
                raise FaultNotProven(f"the link should carry {toxic}, and carries {carried}")
        return {"link": link, "measured": [self._measured(proxy, toxic) for toxic in evidence["toxics"]]}

    def prove_undone(self, site: Site, evidence: Json) -> Json:
        """The link carries none of them, and is open."""
        proxy = proxy_of(site)
        if left := proxy.toxics().keys() & {toxic["name"] for toxic in evidence["toxics"]}:
            raise FaultNotProven(f"the link still carries {', '.join(sorted(left))}")
        return {"link": prove_open(proxy)}

    def _toxics(self) -> list[Json]:
        streams = ("upstream", "downstream") if self.stream == "both" else (self.stream,)
        kind = self.kind.partition(".")[2]
        common = {"type": kind, "toxicity": self.toxicity, "attributes": self.attributes()}
        return [{"name": f"{kind}_{stream}", "stream": stream, **common} for stream in streams]

    def _measured(self, proxy: Proxy, toxic: Json) -> Json:
        through: Json = {}
        direct: Json = {}
        for _ in range(_ATTEMPTS):
            with _streams.listening() as listener, _twin(proxy, toxic, listener) as address:
                through = self._measure(listener, address, toxic["stream"])
                direct = self._measure(listener, address_of(listener), toxic["stream"])
            if self.shows(through, direct):
                return {"stream": toxic["stream"], "through": through, "direct": direct}
        raise FaultNotProven(f"{toxic} has no effect: {through} was measured through it, and {direct} without it")

    def _measure(self, listener: socket.socket, address: str, stream: Stream) -> Json:
        with _streams.connected(listener, address) as (near, far):
            return self.measure(near, far) if stream == "upstream" else self.measure(far, near)


def proxy_of(site: Site) -> Proxy:
    """Return the proxy of a link handle. Raises `FaultNotProven` where there is none."""
    from harness.faults._toxiproxy import Proxy  # noqa: PLC0415  0.2 s that only those with a link pay

    if not {"api", "proxy"} <= site.handle.keys():
        raise FaultNotProven(f"there is no proxy on this link, so there is nothing to act on: {site.handle}")
    return Proxy(str(site.handle["api"]), str(site.handle["proxy"]))


def await_use(proxy: Proxy) -> Json:
    """Wait until somebody is connected through the proxy. Raises `FaultNotProven`."""
    state = proxy.state()
    try:
        what = f"a connection through {state['listen']}"
        count = until(lambda: _streams.connections(state["listen"]), what, _USE_PATIENCE_S)
    except TimedOut as error:
        hint = "the target's `connect` must lead its clients to the address that `start` got in `links`"
        raise FaultNotProven(f"nobody uses the link: {error} ({hint})") from error
    return {"proxy": proxy.name, "listen": state["listen"], "upstream": state["upstream"], "connections": count}


def prove_open(proxy: Proxy) -> Json:
    """Show that the proxy accepts connections. Raises `FaultNotProven`."""
    state = proxy.state()
    answer = _streams.opened(state["listen"])
    if not state["enabled"] or answer != "accepted":
        raise FaultNotProven(f"the link is down: {state}, and connecting to it is {answer}")
    return {**state, "connect": answer}


def address_of(listener: socket.socket) -> str:
    """Return where it listens, as "host:port"."""
    return ":".join(map(str, listener.getsockname()))


@contextmanager
def _twin(proxy: Proxy, toxic: Json, listener: socket.socket) -> Iterator[str]:
    """Put a second proxy, with that toxic on every connection, before a listener of ours; return where it listens."""
    from harness.faults._toxiproxy import create  # noqa: PLC0415  see `proxy_of`

    twin = create(proxy.api, f"{proxy.name}.{toxic['name']}", address_of(listener))
    try:
        twin.add({**toxic, "toxicity": 1.0})
        yield twin.state()["listen"]
    finally:
        twin.destroy()
