"""Addresses, routes, bridges: what makes a task's network closed by itself, so that the rules can only open it.

The subnet's connected route is taken out of the main table, into one that only marked packets are shown. Everything
else to the pool is prohibited, and what comes from a task unmarked has no way back, so that the kernel's own source
validation drops it, for the host's addresses and for all others alike.

Needs root in the network namespace of the engine's host. Every command has a deadline; what fails is `KernelRefused`.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from targets.network.claims import Claim
from targets.network.errors import KernelRefused
from targets.network.settings import Settings

_TIMEOUT_S = 10.0
_SYSCTLS = Path("/proc/sys/net")
_LINKS = Path("/sys/class/net")
_OF_A_BRIDGE = {
    "ipv4/conf/{}/rp_filter": "1",
    "ipv4/conf/{}/src_valid_mark": "1",
    "ipv4/conf/{}/proxy_arp_pvlan": "1",  # peers are isolated: the host answers for them, and routes what is linked
    "ipv4/conf/{}/send_redirects": "0",
    "ipv4/neigh/{}/proxy_delay": "0",
    "ipv6/conf/{}/disable_ipv6": "1",
}
_GONE = ("No such process", "No such file or directory", "Cannot find device", "FIB table does not exist")


def networks_in_use() -> Iterator[IPv4Network]:
    """Yield every network that this host has a route to, whoever made it; the default route is none."""
    for route in _asked("-4", "route", "show", "table", "all"):
        if route["dst"] != "default":
            yield IPv4Network(route["dst"])


def open_routing(settings: Settings) -> None:
    """Add the two routing rules that all tasks share, where they are missing."""
    present = {rule["priority"] for rule in _ours(settings)}
    for preference, *rule in _routing_rules(settings):
        if int(preference) not in present:
            _told("-4", "rule", "add", "pref", preference, *rule)


def close_routing(settings: Settings) -> None:
    """Remove the two routing rules, however often they are there."""
    for rule in _ours(settings):
        _told("-4", "rule", "del", "pref", str(rule["priority"]), unless_gone=True)


def _ours(settings: Settings) -> list[dict[str, Any]]:
    places = (settings.preference, settings.preference + 1)
    return [each for each in _asked("-4", "rule", "show") if each["priority"] in places]


def _routing_rules(settings: Settings) -> list[list[str]]:
    return [
        [str(settings.preference), "fwmark", f"{settings.mark:#x}/0xff000000", "lookup", str(settings.routes)],
        [str(settings.preference + 1), "to", str(settings.pool), "prohibit"],
    ]


def close_bridge(settings: Settings, claim: Claim) -> None:
    """Close a new bridge to everything that has no mark. To be called before anything is attached to it."""
    for name, value in _OF_A_BRIDGE.items():
        _set(name.format(claim.bridge), value)
    ours = ("dev", claim.bridge, "table", str(settings.routes), "scope", "link", "src", claim.gateway)
    _told("-4", "route", "replace", claim.subnet, *ours)
    _told("-4", "route", "del", claim.subnet, "dev", claim.bridge, "table", "main", unless_gone=True)


def has_bridge(claim: Claim) -> bool:
    """Return whether a task's bridge exists."""
    return (_LINKS / claim.bridge).exists()


def remove_bridge(claim: Claim) -> None:
    """Remove a bridge that its engine has lost, with its routes; one that is gone needs nothing."""
    if has_bridge(claim):
        _told("link", "del", claim.bridge, unless_gone=True)


def isolate_ports(claim: Claim) -> None:
    """Let no frame of any protocol pass between the ports that a bridge has now (RFC 5517's isolated ports)."""
    for port in (_LINKS / claim.bridge / "brif").iterdir():
        with contextlib.suppress(FileNotFoundError):  # its container has ended meanwhile
            (port / "isolated").write_text("1")


def interface(pid: int, address: str) -> str:
    """Return the hardware address of the interface that holds `address` in the network namespace of a process.

    It is asked of the kernel in that namespace, not of the container. Raises `KernelRefused` when there is none.
    """
    for link in _asked("address", "show", namespace=pid):
        if any(each["local"] == address for each in link["addr_info"]):
            return str(link["address"])
    raise KernelRefused(f"process {pid} has no interface with {address}: its container has ended, or changed it")


def _set(name: str, value: str) -> None:
    path = _SYSCTLS / name
    if name.startswith("ipv6/") and not path.exists():
        return  # a kernel without IPv6
    try:
        path.write_text(value)
    except OSError as error:
        raise KernelRefused(
            f"cannot write {value} to {path} ({error}); this needs root on the engine's host"
        ) from error


def _asked(*arguments: str, namespace: int = 0) -> list[dict[str, Any]]:
    said = _told("-json", *arguments, namespace=namespace)
    return list(json.loads(said or "[]"))


def _told(*arguments: str, namespace: int = 0, unless_gone: bool = False) -> str:
    inside = ["nsenter", f"--net=/proc/{namespace}/ns/net"] if namespace else []
    command = [*inside, "ip", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelRefused(f"cannot run {' '.join(command)}: {error}; install iproute2 and util-linux") from error
    if done.returncode and not (unless_gone and any(each in done.stderr for each in _GONE)):
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise KernelRefused(f"{' '.join(command)}: {said}; this needs root on the engine's host")
    return done.stdout
