"""The rules of task networks, as text for nft. Pure. Each function's text is one transaction: all of it or nothing.

Rules only ever *open*: they put a mark on what may pass, and the kernel has no route to or from a task's bridge for
what is unmarked (`kernel`). So whatever takes the rules away shuts the tasks off.

Every packet is judged, not only a connection's first: the sets are asked again in both directions, so that taking an
entry out of a set ends the connections that it allowed. All texts may be applied again, in any state of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from targets.network.claims import Claim
from targets.network.policy import NEVER, AllowList, Box
from targets.network.settings import Settings

_FLOW = "ipv4_addr . inet_proto . inet_service"
_FAMILIES = ("inet", "arp", "bridge")
# Isolated ports forward nothing among themselves, but a port exists for some milliseconds before it can be isolated.
_BETWEEN_PORTS = ("ip saddr", "ip daddr", "arp saddr ip", "arp daddr ip")
_DENIALS_KEPT = 4096
DENIALS = ("denied", "others")
DENIALS_KEPT_S = 3600


def base(settings: Settings) -> str:
    """What all tasks share: the two hooks, and the maps that lead from a bridge or a subnet to its task's chain."""
    inet, arp, bridge = (f"{family} {settings.table}" for family in _FAMILIES)
    mark, pool = settings.mark, settings.pool
    return _lines(
        f"add table {inet}",
        f"add map {inet} tasks {{ type ifname : verdict; }}",
        f"add map {inet} replies {{ type ipv4_addr : verdict; }}",
        f"add set {inet} never {{ type ipv4_addr; flags interval; }}",
        f"flush set {inet} never",
        f"add element {inet} never {{ {', '.join(map(str, [*NEVER, pool]))} }}",
        f"add chain {inet} prerouting {{ type filter hook prerouting priority mangle; policy accept; }}",
        f"flush chain {inet} prerouting",
        f"add rule {inet} prerouting iifname vmap @tasks",
        f"add rule {inet} prerouting ct direction reply ct mark {mark:#x} "
        f"ct original ip saddr and {settings.mask} vmap @replies",
        f"add table {arp}",
        f"add map {arp} tasks {{ type ifname : verdict; }}",
        f"add chain {arp} input {{ type filter hook input priority filter; policy accept; }}",
        f"flush chain {arp} input",
        f"add rule {arp} input iifname vmap @tasks",
        f"add table {bridge}",
        f"add chain {bridge} forward {{ type filter hook forward priority filter; policy accept; }}",
        f"flush chain {bridge} forward",
        *(f"add rule {bridge} forward {each} {pool} drop" for each in _BETWEEN_PORTS),
    )


def base_removal(settings: Settings) -> str:
    """Remove everything, the tasks' rules included."""
    tables = [f"{family} {settings.table}" for family in _FAMILIES]
    return _lines(*(f"{verb} table {each}" for each in tables for verb in ("add", "delete")))


def task(settings: Settings, claim: Claim) -> str:
    """Everything of one task, in place of what there was of it; its denials stay counted."""
    inet, arp, key = f"inet {settings.table}", f"arp {settings.table}", claim.key
    return _lines(
        base(settings).rstrip(),
        *_objects(settings, claim),
        *_flushed_chains(settings, key),
        *(f"add rule {inet} task_{key} {each}" for each in _sent(settings, key)),
        *(f"add rule {inet} replies_{key} {each}" for each in _answered(settings, key)),
        *(f"add rule {inet} refused_{key} {each}" for each in _refused(settings, key)),
        *(f"add rule {arp} task_{key} {each}" for each in _resolved(settings, key)),
        *_contents(settings, claim),
        *_entrances("add", settings, claim),
    )


def _objects(settings: Settings, claim: Claim) -> list[str]:
    """The chains, sets and counters of a task, empty; nothing is done where they exist."""
    inet, arp, key = f"inet {settings.table}", f"arp {settings.table}", claim.key
    kept = f"flags dynamic,timeout; timeout {DENIALS_KEPT_S}s; size {_DENIALS_KEPT}; counter;"
    sets = {
        "members": "type ipv4_addr . ether_addr;",
        "allow": f"type {_FLOW}; flags interval;",
        "pings": "type ipv4_addr; flags interval;",
        "links": f"type ipv4_addr . {_FLOW}; flags interval;",
        "denied": f"type ipv4_addr . {_FLOW}; {kept}",
        "others": f"type ipv4_addr . ipv4_addr . inet_proto; {kept}",
    }
    return [
        *(f"add counter {inet} {each}_{key}" for each in ("spoofed", "refused")),
        *(f"add set {inet} {name}_{key} {{ {options} }}" for name, options in sets.items()),
        *(f"add chain {inet} {each}_{key}" for each in ("refused", "replies", "task")),
        f"add set {arp} members_{key} {{ {sets['members']} }}",
        f"add chain {arp} task_{key}",
    ]


def _flushed_chains(settings: Settings, key: str) -> list[str]:
    chains = [f"inet {settings.table} {each}_{key}" for each in ("task", "replies", "refused")]
    return [f"flush chain {each}" for each in (*chains, f"arp {settings.table} task_{key}")]


def _sent(settings: Settings, key: str) -> list[str]:
    """What happens to a packet that comes from the task's bridge."""
    passes = f"ct mark set {settings.mark:#x} meta mark set {settings.mark:#x} accept"
    return [
        f'ip saddr . ether saddr != @members_{key} counter name "spoofed_{key}" drop',
        f"ct direction reply ct mark {settings.mark:#x} goto replies_{key}",
        f"ip saddr . ip daddr . meta l4proto . th dport @links_{key} {passes}",
        f"ip daddr @never goto refused_{key}",
        f"fib daddr type != unicast goto refused_{key}",
        f"ip daddr . meta l4proto . th dport @allow_{key} {passes}",
        f"icmp type echo-request ip daddr @pings_{key} {passes}",
        f"goto refused_{key}",
    ]


def _resolved(settings: Settings, key: str) -> list[str]:
    """What happens to a task's ARP: without a mark the kernel answers not even for the gateway."""
    return [f"arp saddr ip . arp saddr ether @members_{key} meta mark set {settings.mark:#x} accept", "drop"]


def _answered(settings: Settings, key: str) -> list[str]:
    """What happens to an answer, from outside or from a member: the reverse of what was asked must still be allowed."""
    passes = f"meta mark set {settings.mark:#x} accept"
    return [
        f"ip saddr . meta l4proto . th sport @allow_{key} {passes}",
        f"ip daddr . ip saddr . meta l4proto . th sport @links_{key} {passes}",
        f"icmp type echo-reply ip saddr @pings_{key} {passes}",
        f"ct state related icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} {passes}",
        f"goto refused_{key}",
    ]


def _refused(settings: Settings, key: str) -> list[str]:
    """Who was refused what is kept in a set; when, in its timeouts. A full set lists no new ones; they are dropped."""
    return [
        f"meta l4proto {{ tcp, udp }} update @denied_{key} {{ ip saddr . ip daddr . meta l4proto . th dport counter }}",
        f"meta l4proto != {{ tcp, udp }} update @others_{key} {{ ip saddr . ip daddr . meta l4proto counter }}",
        f'counter name "refused_{key}" log prefix "{settings.table} {key} " group {settings.log_group} drop',
    ]


def _contents(settings: Settings, claim: Claim) -> Iterable[str]:
    """What the task's sets hold, in place of what they held."""
    boxes = AllowList.of(claim.allow, [settings.pool]).boxes()
    address = {each.container: each.address for each in claim.members}
    held = {
        "members": [f"{each.address} . {each.mac}" for each in claim.members],
        "allow": [_flow(each) for each in boxes if each.protocol != "icmp"],
        "pings": [_addresses(each) for each in boxes if each.protocol == "icmp"],
        "links": [
            f"{address[each.source]} . {address[each.target]} . {each.protocol} . {each.port}"
            for each in claim.links
            if each.source in address and each.target in address
        ],
    }
    places = [("inet", name) for name in held] + [("arp", "members")]
    for family, name in places:
        yield f"flush set {family} {settings.table} {name}_{claim.key}"
        if held[name]:
            yield _elements("add", f"{family} {settings.table} {name}_{claim.key}", held[name])


def _entrances(verb: str, settings: Settings, claim: Claim) -> list[str]:
    """The ways that lead to a task's chains."""
    first = IPv4Network(claim.subnet).network_address
    return [
        *(
            _elements(verb, f"{family} {settings.table} tasks", [f'"{claim.bridge}" : jump task_{claim.key}'])
            for family in ("arp", "inet")
        ),
        _elements(verb, f"inet {settings.table} replies", [f"{first} : jump replies_{claim.key}"]),
    ]


def change(settings: Settings, claim: Claim, allow: AllowList) -> str:
    """From what the claim allows to `allow`, touching only what differs: no flow that stays allowed sees a gap.

    Fails, changing nothing, where the sets do not hold what the claim says.
    """
    before, after = set(AllowList.of(claim.allow, [settings.pool]).boxes()), set(allow.boxes())
    lines = []
    for verb, boxes in (("delete", before - after), ("add", after - before)):
        flows = [_flow(each) for each in sorted(boxes) if each.protocol != "icmp"]
        pings = [_addresses(each) for each in sorted(boxes) if each.protocol == "icmp"]
        for name, elements in (("allow", flows), ("pings", pings)):
            if elements:
                lines.append(_elements(verb, f"inet {settings.table} {name}_{claim.key}", elements))
    return _lines(*lines)


def removal(settings: Settings, claim: Claim) -> str:
    """Remove everything of one task. nft 1.0.6 has no `destroy`, so what is missing is added first."""
    objects = _objects(settings, claim)
    entrances = [line for verb in ("add", "delete") for line in _entrances(verb, settings, claim)]
    deletions = [f"delete {' '.join(each.split()[1:5])}" for each in reversed(objects)]
    flushes = _flushed_chains(settings, claim.key)
    return _lines(base(settings).rstrip(), *objects, *entrances, *flushes, *deletions)


def listing(settings: Settings, claim: Claim, name: str) -> str:
    """List one of the task's sets, such as those of `DENIALS`."""
    return f"list set inet {settings.table} {name}_{claim.key}"


def _flow(box: Box) -> str:
    return f"{_addresses(box)} . {box.protocol} . {_span(box.first_port, box.last_port)}"


def _addresses(box: Box) -> str:
    return _span(IPv4Address(box.first), IPv4Address(box.last))


def _span(first: object, last: object) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def _elements(verb: str, where: str, elements: Iterable[str]) -> str:
    return f"{verb} element {where} {{ {', '.join(elements)} }}"


def _lines(*lines: str) -> str:
    return "".join(f"{each}\n" for each in lines)
