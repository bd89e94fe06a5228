"""Which task holds which subnet, and what was promised to it: one small file per task, in a folder of the host.

A claim is written before anything is made of it and removed after everything is gone, so whatever a kill in the middle
has left behind can be found and removed from the claim alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import msgspec

from targets.durable import LOCK_NAME, replace
from targets.network.errors import NetworkError

_SUFFIX = ".json"
_BETWEEN_TRIES_MS = 2


@dataclass(frozen=True, kw_only=True)
class Member:
    """A container of a task: the addresses that its packets must carry."""

    container: str
    address: str
    mac: str


@dataclass(frozen=True, kw_only=True)
class Link:
    """`source` may open connections to `target` (both are ids of containers) at this port, not the reverse.

    By id: what takes over the address of a container that has ended does not take over its links.
    """

    source: str
    target: str
    protocol: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A task's subnet, the engine's name of its network, and what it may do. `allow` is text as in `policy`."""

    task: str
    label: str
    subnet: str
    network: str
    allow: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def key(self) -> str:
        """The subnet's first address in hexadecimal digits: the end of every name that this task has in the kernel."""
        return f"{int(IPv4Network(self.subnet).network_address):08x}"

    @property
    def bridge(self) -> str:
        """The name of the interface (which has at most 15 characters)."""
        return f"bfnet{self.key}"

    @property
    def gateway(self) -> str:
        """The host's own address in the subnet: the first."""
        return str(IPv4Network(self.subnet)[1])


class Claims:
    """The claims in a folder, which is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Claim]:
        """Return the claims of everybody, in the order of their subnets."""
        paths = sorted(self._folder.glob(f"[!.]*{_SUFFIX}"))
        found: list[Claim] = []
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # destroyed meanwhile
                found.append(_read(path))
        return found

    def save(self, claim: Claim) -> None:
        """Write a claim down: the old content or the new one is there at any moment."""
        replace(self._path(claim), msgspec.json.encode(claim), "network.claim")

    def forget(self, claim: Claim) -> None:
        """Give a subnet back; one that was given back already needs nothing."""
        self._path(claim).unlink(missing_ok=True)

    @contextmanager
    def locked(self, timeout_s: float = 30.0) -> Iterator[None]:
        """Keep all other processes and threads out of the claims. A lock file stays behind; a dead holder has none.

        Raises `NetworkError` when somebody holds it for longer than `timeout_s`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor, time.monotonic() + timeout_s)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise NetworkError(
                        f"another process holds {self._folder / LOCK_NAME}; see `lslocks`, end it, and try again"
                    ) from None
                select.poll().poll(_BETWEEN_TRIES_MS)  # the kernel offers no wait for a file lock with a deadline
            else:
                return

    def _path(self, claim: Claim) -> Path:
        return self._folder / f"{claim.key}{_SUFFIX}"


def _read(path: Path) -> Claim:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Claim)
    except msgspec.DecodeError as error:
        raise NetworkError(
            f"{path} is no claim of this version ({error}); move it away and destroy its task by hand"
        ) from error
