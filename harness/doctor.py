"""What this machine can do: the one table that skips, `bigfive doctor` and the documentation read.

A capability is probed, never guessed from the platform's name. A probe returns what it found, or raises `Lacking` with
the reason; it changes nothing and answers within a second.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import EnvironmentLacks
from harness.registry import FAULTS
from harness.undo import state_directory

if TYPE_CHECKING:
    from harness.scenario.model import Scenario

_PATIENCE_S = 1.0


class Lacking(Exception):
    """Raised by a probe; its text is the reason."""


@dataclass(frozen=True)
class Capability:
    """A line of the table. `why` says what needs it, `fix` is one line to get it; `required` by every run."""

    name: str
    probe: Callable[[], str]
    why: str
    fix: str
    required: bool = False


@dataclass(frozen=True)
class Finding:
    """What a probe found: `detail` describes what is there, or why it is not."""

    capability: Capability
    ok: bool
    detail: str

    def raised(self) -> EnvironmentLacks:
        """Return the error that says that this capability is missing."""
        return EnvironmentLacks(self.capability.name, self.detail, self.capability.fix)


def _linux() -> str:
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        raise Lacking(f"{sys.platform} has no pidfd")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        raise Lacking(f"pidfd_open failed: {error.strerror}") from error
    return f"Linux {os.uname().release}"


def _state_folder() -> str:
    folder = state_directory()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise Lacking(f"{existing} is not a folder that can be written to")
    return str(folder)


def _own_name() -> str:
    owners = set(importlib.metadata.packages_distributions().get("harness", ()))
    if others := owners - {"bigfive"}:
        raise Lacking(f"{', '.join(sorted(others))} installs a package `harness` as well")
    return "nobody else installs a package `harness`"


def _root() -> str:
    if os.geteuid() != 0:
        raise Lacking(f"this is user {os.geteuid()}")
    return "this is root"


def _docker() -> str:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        with _connect(address) as connection:
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            status = connection.makefile("rb").readline().decode(errors="replace").strip()
    except (OSError, ValueError) as error:
        raise Lacking(f"no engine answers at {address}: {error}") from error
    if " 200 " not in f"{status} ":
        raise Lacking(f"{address} answers {status!r}")
    return address


def _connect(address: str) -> socket.socket:
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_PATIENCE_S)
        try:
            connection.connect(rest)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = rest.partition(":")
    return socket.create_connection((host, int(port)), _PATIENCE_S)


@cache  # equal probes make equal capabilities, which are probed once
def _on_path(program: str) -> Callable[[], str]:
    def probe() -> str:
        found = shutil.which(program)
        if found is None:
            raise Lacking(f"there is no {program} on PATH")
        return found

    return probe


def _fuse() -> str:
    device = Path("/dev/fuse")
    if not os.access(device, os.R_OK | os.W_OK):
        raise Lacking(f"{device} {'is not ours to open' if device.exists() else 'does not exist'}")
    return str(device)


def _cgroup() -> str:
    folder = Path("/sys/fs/cgroup")
    if (folder / "cgroup.controllers").exists():
        return f"version 2 at {folder}"
    if (folder / "memory").exists():
        return f"version 1 at {folder}"
    raise Lacking(f"no hierarchy at {folder}")


def _program(name: str, why: str, fix: str) -> Capability:
    return Capability(name, _on_path(name), why, fix)


_TABLE = (
    Capability(
        "linux", _linux, "everything: processes are addressed by pidfd", "use Linux 5.3 or newer", required=True
    ),
    Capability(
        "state-folder",
        _state_folder,
        "finding what a killed run left behind",
        "export BIGFIVE_STATE_DIR=/a/folder/of/yours",
        required=True,
    ),
    Capability(
        "own-name",
        _own_name,
        "importing our `harness` rather than another",
        "use a virtual environment of its own for bigfive",
        required=True,
    ),
    Capability("root", _root, "faults in the kernel's tables", "run as root, in a throw-away machine or container"),
    Capability("docker", _docker, "containers, networks", "install docker.io, start it, join the group `docker`"),
    _program("redis-server", "locks on Redis", "apt-get install redis-server"),
    _program(
        "toxiproxy-server",
        "network toxics",
        "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0; call it toxiproxy-server",
    ),
    _program("strace", "faults at system calls", "apt-get install strace"),
    _program("node", "the adapter in Node.js", "apt-get install nodejs"),
    Capability("fuse", _fuse, "disks that forget and fail", "modprobe fuse; in a container: --device /dev/fuse"),
    Capability("cgroup", _cgroup, "memory and CPU limits", "mount a cgroup hierarchy on /sys/fs/cgroup"),
)

CAPABILITIES = {capability.name: capability for capability in _TABLE}


def examine() -> Iterator[Finding]:
    """Probe every capability, in the order of the table."""
    return map(probe, _TABLE)


@cache  # a trial in a suite of thousands must not ask the engine again
def probe(capability: Capability) -> Finding:
    """Probe one capability; the answer holds for this process."""
    try:
        return Finding(capability, ok=True, detail=capability.probe())
    except Lacking as lacking:
        return Finding(capability, ok=False, detail=str(lacking))


def needs(scenario: Scenario) -> list[Capability]:
    """Derive what a scenario needs: what everything needs, its adapter's program, and what its faults name.

    Raises `ScenarioError` for a fault that does not exist.
    """
    names = {name for step in scenario.faults for name in getattr(FAULTS.get(step.kind), "needs", ())}
    listed = [capability for capability in _TABLE if capability.required or capability.name in names]
    return [*listed, *_adapter(scenario)]


def _adapter(scenario: Scenario) -> Iterator[Capability]:
    """Yield the program of a foreign adapter; one with a slash is beside the scenario, and not ours to look for."""
    program = scenario.command[0] if scenario.command else ""
    if program and "/" not in program:
        yield CAPABILITIES.get(program) or _program(program, "this adapter", f"install {program}")


def missing(scenario: Scenario) -> EnvironmentLacks | None:
    """Return the first capability that this machine lacks for `scenario`."""
    lacking = (finding for finding in map(probe, needs(scenario)) if not finding.ok)
    return next((finding.raised() for finding in lacking), None)
