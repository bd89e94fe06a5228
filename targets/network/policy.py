"""What a task may reach: an allow-list, read from text such as `198.51.100.10:9000` or `203.0.113.0/24:80-90/udp`.

    ENTRY    = HOST ":" PORTS ["/" PROTOCOL] | HOST "/icmp"
    HOST     = an IPv4 address | an IPv4 range in CIDR notation | the exact name of a host
    PORTS    = PORT | FIRST "-" LAST
    PROTOCOL = "tcp" (where none is given) | "udp" | "icmp" (echo requests only)

Pure: nothing is looked up. What no entry names is denied.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, Self, cast, get_args

from targets.network.errors import BadPolicy, Problem

Protocol = Literal["tcp", "udp", "icmp"]

NEVER = {
    IPv4Network("0.0.0.0/8"): "no address of another host",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local, where clouds serve their metadata",
    IPv4Network("100.100.100.200/32"): "a cloud's metadata service",
    IPv4Network("168.63.129.16/32"): "a cloud's metadata service",
    IPv4Network("192.0.0.192/32"): "a cloud's metadata service",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved, or broadcast",
}
_PORT_LAST = 65535
_NAME_LONGEST = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBERS = re.compile(r"[0-9.]+(/.*)?")


class _Wrong(Exception):
    """What, got, do."""


@dataclass(frozen=True, order=True)
class Entry:
    """One line of an allow-list. `host` is an `IPv4Network` as text, or a name; ports are inclusive, 0 for ICMP."""

    host: str
    protocol: Protocol
    first_port: int
    last_port: int

    @property
    def network(self) -> IPv4Network | None:
        """Return the addresses, None for a name: those are known only when it is resolved."""
        return IPv4Network(self.host) if _NUMBERS.fullmatch(self.host) else None

    def __str__(self) -> str:
        host = self.host.removesuffix("/32")
        if self.protocol == "icmp":
            return f"{host}/icmp"
        ports = f"{self.first_port}" + (f"-{self.last_port}" if self.last_port > self.first_port else "")
        return f"{host}:{ports}" + ("" if self.protocol == "tcp" else f"/{self.protocol}")


@dataclass(frozen=True, order=True)
class Box:
    """Addresses times ports of a protocol, all inclusive; addresses are whole numbers."""

    protocol: Protocol
    first_port: int
    last_port: int
    first: int
    last: int


@dataclass(frozen=True)
class AllowList:
    """Everything that a task may reach. Sorted, without repetitions; two of equal entries are equal."""

    entries: tuple[Entry, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str], never: Sequence[IPv4Network] = ()) -> Self:
        """Read entries; `never` are further addresses that must not be granted, such as the pool of all tasks.

        Raises `BadPolicy` with all that is wrong.
        """
        entries, problems = set(), []
        for text in texts:
            try:
                entries.add(_entry(text.strip(), never))
            except _Wrong as wrong:
                problems.append(Problem(text, *wrong.args))
        if problems:
            raise BadPolicy(problems)
        return cls(tuple(sorted(entries)))

    def texts(self) -> list[str]:
        """Return the entries as they would be written."""
        return list(map(str, self.entries))

    def names(self) -> tuple[Entry, ...]:
        """Return the entries whose addresses a resolver must find."""
        return tuple(each for each in self.entries if each.network is None)

    def with_(self, other: AllowList) -> AllowList:
        """Return what either allows."""
        return AllowList(tuple(sorted({*self.entries, *other.entries})))

    def without(self, other: AllowList) -> AllowList:
        """Return this without the entries of `other`. What another entry allows as well stays allowed."""
        return AllowList(tuple(each for each in self.entries if each not in other.entries))

    def boxes(self) -> tuple[Box, ...]:
        """Return what the addresses and ranges allow as boxes that do not overlap (the kernel's sets refuse others)."""
        found: list[Box] = []
        for protocol in get_args(Protocol):
            mine = [each for each in self.entries if each.protocol == protocol and each.network]
            found.extend(_disjoint(protocol, mine))
        return tuple(found)


def _disjoint(protocol: Protocol, entries: Sequence[Entry]) -> Iterator[Box]:
    """Cut at every port where an entry begins or ends; in each piece the addresses are joined, then equal pieces."""
    cuts = sorted({cut for each in entries for cut in (each.first_port, each.last_port + 1)})
    joined: list[tuple[int, int, tuple[tuple[int, int], ...]]] = []
    for low, after in itertools.pairwise(cuts):
        spans = _joined(each for each in entries if each.first_port <= low and after <= each.last_port + 1)
        if joined and joined[-1][1] + 1 == low and joined[-1][2] == spans:
            joined[-1] = (joined[-1][0], after - 1, spans)
        else:
            joined.append((low, after - 1, spans))
    return (Box(protocol, low, high, first, last) for low, high, spans in joined for first, last in spans)


def _joined(entries: Iterable[Entry]) -> tuple[tuple[int, int], ...]:
    """Return the addresses of entries as spans in order that neither touch nor overlap."""
    spans: list[tuple[int, int]] = []
    networks = [cast("IPv4Network", each.network) for each in entries]
    for first, last in sorted((int(each.network_address), int(each.broadcast_address)) for each in networks):
        if spans and first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(last, spans[-1][1]))
        else:
            spans.append((first, last))
    return tuple(spans)


def _entry(text: str, never: Sequence[IPv4Network]) -> Entry:
    rest, protocol = _protocol(text)
    if "[" in rest or rest.count(":") > 1:
        raise _Wrong("IPv6 cannot be allowed", rest, "name the IPv4 address: tasks have no IPv6, so nothing is missed")
    host, colon, ports = rest.partition(":")
    if protocol == "icmp" and colon:
        raise _Wrong("ICMP has no ports", ports or "an empty one", f"write {host}/icmp")
    low, high = (0, 0) if protocol == "icmp" else _ports(ports, host)
    return Entry(_host(host, never), protocol, low, high)


def _protocol(text: str) -> tuple[str, Protocol]:
    rest, slash, last = text.rpartition("/")
    if not slash or last[:1].isdigit():
        return text, "tcp"
    if last not in get_args(Protocol):
        raise _Wrong("the protocol is unknown", repr(last), f"use one of {', '.join(get_args(Protocol))}")
    return rest, cast("Protocol", last)


def _ports(text: str, host: str) -> tuple[int, int]:
    if not text:
        raise _Wrong("the port is missing", "none", f"write {host}:443, or {host}:1-{_PORT_LAST} for all")
    low, dash, high = text.partition("-")
    found = [int(each) if each.isascii() and each.isdecimal() else 0 for each in (low, high if dash else low)]
    if not 1 <= found[0] <= found[1] <= _PORT_LAST:
        raise _Wrong("the ports are none", repr(text), f"use a port from 1 to {_PORT_LAST}, or a range such as 80-90")
    return found[0], found[1]


def _host(text: str, never: Sequence[IPv4Network]) -> str:
    if not _NUMBERS.fullmatch(text):
        return _name(text)
    try:
        network = IPv4Network(text, strict=False)
    except ValueError as error:
        raise _Wrong("the address is none", repr(text), "write 198.51.100.10 or 203.0.113.0/24") from error
    if "/" in text and network.network_address != IPv4Address(text.partition("/")[0]):
        raise _Wrong("the address lies inside of its range", text, f"write {network}, or the address alone")
    for each, why in {**NEVER, **dict.fromkeys(never, "where the tasks themselves are")}.items():
        if network.overlaps(each):
            raise _Wrong(f"{each} is never reachable ({why})", text, "name addresses outside of it")
    return str(network)


def _name(text: str) -> str:
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if "*" in name:
        raise _Wrong("a name must be exact", repr(text), "list each name: a wildcard is a channel to its zone's owner")
    if len(name) > _NAME_LONGEST or not all(map(_LABEL.fullmatch, labels)):
        raise _Wrong("the name is none", repr(text), "use letters, digits, hyphens and dots")
    if labels[-1] == "localhost" or labels[-1][0].isdigit():
        raise _Wrong("the name stands for an address or this host", repr(text), "write the address, as 198.51.100.10")
    return name
