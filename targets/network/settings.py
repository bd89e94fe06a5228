"""What can be chosen about a host's task networks: where they live, and by what their objects are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from targets.network.errors import BadRequest

_LEAST_PREFIX, _MOST_PREFIX = 20, 29


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Two sets of networks on one host must differ in every field but `prefix`.

    `pool` is cut into subnets of `prefix` bits, one per task; `table` names the tables of rules; the upper eight bits
    of `mark` are on every packet that may pass; `routes` is the number of the routing table that such packets use, and
    `preference` and the number after it are the places of our two routing rules; `log_group` is told of refused
    packets (NFLOG); `folder` holds the claims.
    """

    pool: IPv4Network = field(default_factory=lambda: IPv4Network("10.220.0.0/16"))
    prefix: int = 28
    table: str = "bigfive"
    mark: int = 0xB5000000
    routes: int = 3061
    preference: int = 100
    log_group: int = 5
    folder: Path = field(default_factory=lambda: Path("/run/bigfive/network"))

    def __post_init__(self) -> None:
        if not max(self.pool.prefixlen, _LEAST_PREFIX) <= self.prefix <= _MOST_PREFIX:
            raise BadRequest(
                f"prefix must be from {_LEAST_PREFIX} to {_MOST_PREFIX} and not shorter than the pool's, "
                f"got {self.prefix} for {self.pool}"
            )
        if not self.table.isidentifier():
            raise BadRequest(f"table must be letters, digits and underscores, got {self.table!r}")
        if not 0 < self.mark < 1 << 32 or self.mark & 0x00FFFFFF:
            raise BadRequest(f"mark must use the upper eight bits alone, such as 0xb5000000, got {self.mark:#x}")

    @property
    def mask(self) -> str:
        """The netmask of a task's subnet."""
        return str(IPv4Network((0, self.prefix)).netmask)
