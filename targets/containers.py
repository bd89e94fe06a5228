"""What the targets say to an engine and hear from it, as data: `targets.engine` does the talking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["absent", "too_old", "slow", "full", "gone", "no_image", "refused"]


class EngineError(Exception):
    """The engine did not do what it was asked; the message says what, why and what to do."""

    def __init__(self, message: str, kind: Kind) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder or file of the engine's host, seen inside."""

    source: str
    target: str
    read_only: bool = True

    def written(self) -> dict[str, object]:
        """Return it as the API takes it."""
        return {"Type": "bind", "Source": self.source, "Target": self.target, "ReadOnly": self.read_only}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A container to be made.

    `limits` are members of the API's HostConfig, such as {"Memory": 268435456, "PidsLimit": 64}; `network` is a name or
    an id, "none" for no network at all; `user` as `docker run --user` takes it.
    """

    image: str
    command: Sequence[str]
    name: str
    limits: Mapping[str, Any] = field(default_factory=dict)
    network: str = "none"
    mounts: Sequence[Mount] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True)
class State:
    """A container as the engine sees it. `pid` is that of the engine's host, 0 while it does not run.

    `oom_killed` is known only after the end, and then says that *something* in the container was killed: it may be true
    together with an exit status of 0.
    """

    id: str
    name: str
    status: str
    pid: int
    exit_code: int
    oom_killed: bool
    started_at: str
    restarts: int
    addresses: Mapping[str, str]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> State:
        """Read an answer of the API."""
        state, networks = data["State"], data["NetworkSettings"]["Networks"] or {}
        return cls(
            id=data["Id"],
            name=data["Name"].lstrip("/"),
            status=state["Status"],
            pid=state["Pid"],
            exit_code=state["ExitCode"],
            oom_killed=state["OOMKilled"],
            started_at=state["StartedAt"],
            restarts=data["RestartCount"],
            addresses={name: each["IPAddress"] for name, each in networks.items() if each["IPAddress"]},
        )

    @property
    def running(self) -> bool:
        """Return whether it runs (a paused one does)."""
        return self.pid > 0


@dataclass(frozen=True)
class Stats:
    """Figures of a running container: bytes, nanoseconds, counts.

    `memory_bytes` is the working set: what is in use, without the page cache that the kernel would give up first.
    """

    memory_bytes: int
    memory_limit_bytes: int
    cpu_ns: int
    throttled_ns: int
    pids: int
    pids_limit: int

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Stats:
        """Read an answer of the API, from an engine on cgroup version 1 or 2; what it does not say is 0."""
        memory, cpu, pids = data.get("memory_stats", {}), data.get("cpu_stats", {}), data.get("pids_stats", {})
        details = memory.get("stats", {})
        cache = details.get("total_inactive_file", details.get("inactive_file", 0))
        return cls(
            memory_bytes=max(0, memory.get("usage", 0) - cache),
            memory_limit_bytes=memory.get("limit", 0),
            cpu_ns=cpu.get("cpu_usage", {}).get("total_usage", 0),
            throttled_ns=cpu.get("throttling_data", {}).get("throttled_time", 0),
            pids=pids.get("current", 0),
            pids_limit=pids.get("limit", 0),
        )


@dataclass(frozen=True)
class Event:
    """Something that has happened: `action` is "start", "oom", "die", "kill", …; `time_ns` is the engine's clock."""

    action: str
    container: str
    time_ns: int
    attributes: Mapping[str, str]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Event:
        """Read a line of the API's stream."""
        actor = data["Actor"]
        return cls(data["Action"], actor["ID"], data["timeNano"], actor["Attributes"])


@dataclass(frozen=True)
class Host:
    """What the engine's machine has to give."""

    memory_bytes: int
    cpus: int
    cgroup_version: int
    swap_limits: bool
    server: str

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Host:
        """Read an answer of the API."""
        return cls(
            memory_bytes=data["MemTotal"],
            cpus=data["NCPU"],
            cgroup_version=int(data.get("CgroupVersion", 1)),
            swap_limits=bool(data.get("SwapLimit")),
            server=data["ServerVersion"],
        )
