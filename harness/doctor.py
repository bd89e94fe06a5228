"""What this machine can do: the one table that skips, `bigfive doctor` and the documentation read.

A capability is probed, never guessed from the platform's name. A probe returns what it found, or raises `Lacking` with
the reason; it changes nothing and answers within a second.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from harness.containers import wires
from harness.containers.address import Address
from harness.errors import EnvironmentLacks
from harness.registry import FAULTS
from harness.undo import state_directory

if TYPE_CHECKING:
    from harness.scenario.model import Scenario

_PATIENCE_S = 1.0


def own_programs() -> Path:
    """Return the folder of programs that `bigfive doctor --fix` has built."""
    return state_directory() / "bin"


def find_program(name: str) -> str | None:
    """Return where a program is: on PATH, or among those that `--fix` has built."""
    return shutil.which(name) or shutil.which(name, path=str(own_programs()))


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
    address = _address()
    try:
        reply = wires.ask(address, "/_ping", _PATIENCE_S)
    except (OSError, ValueError) as error:
        raise Lacking(f"no engine answers at {address.url}: {error}") from error
    if reply.status != HTTPStatus.OK:
        raise Lacking(f"{address.url} answers {reply.status}: {reply.body.decode(errors='replace').strip()}")
    return address.url


def _address() -> Address:
    try:
        return Address.current()
    except EnvironmentLacks as error:
        raise Lacking(error.reason) from error


def _image() -> str:
    from harness.containers import image  # noqa: PLC0415  looks at every installed package: only for this probe

    _docker()
    try:
        found = image.present(_address())
    except (OSError, ValueError) as error:
        raise Lacking(f"the engine does not say: {error}") from error
    except EnvironmentLacks as error:
        raise Lacking(error.reason) from error
    if found is None:
        raise Lacking("the engine has none that is up to date")
    return found


@cache  # equal probes make equal capabilities, which are probed once
def _on_path(program: str) -> Callable[[], str]:
    def probe() -> str:
        found = find_program(program)
        if found is None:
            raise Lacking(f"there is no {program} on PATH")
        return found

    return probe


def _faketime() -> str:
    places = (Path(root) / "faketime" / "libfaketime.so.1" for root in ("/usr/lib", "/usr/local/lib"))
    found = next(
        (path for path in (*places, *Path("/usr/lib").glob("*/faketime/libfaketime.so.1")) if path.exists()), None
    )
    if found is None:
        raise Lacking("there is no libfaketime.so.1")
    return str(found)


def _chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise Lacking(f"there is no {', '.join(names[:-1])} or {names[-1]} on PATH")
    return found


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
    Capability("image", _image, "containers that run the targets", "bigfive doctor --fix image"),
    _program("redis-server", "locks on Redis", "apt-get install redis-server"),
    _program(
        "toxiproxy-server",
        "network toxics",
        "go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0; call it toxiproxy-server",
    ),
    Capability("faketime", _faketime, "clocks that jump", "apt-get install libfaketime"),
    Capability("chromium", _chromium, "tests of the report's page", "apt-get install chromium"),
    _program("strace", "faults at system calls", "apt-get install strace"),
    _program("node", "the adapter in Node.js", "apt-get install nodejs"),
    Capability("fuse", _fuse, "disks that forget and fail", "modprobe fuse; in a container: --device /dev/fuse"),
    Capability("cgroup", _cgroup, "memory and CPU limits", "mount a cgroup hierarchy on /sys/fs/cgroup"),
)

_IMPLIED = {"redis": "redis-server"}  # by value of an option of the target

CAPABILITIES = {capability.name: capability for capability in _TABLE}


def examine() -> Iterator[Finding]:
    """Probe every capability, in the order of the table."""
    return map(probe, _TABLE)


def examine_again(capabilities: Iterable[Capability]) -> list[Finding]:
    """Probe capabilities whatever was found before: something has been done about them."""
    probe.cache_clear()
    return [probe(capability) for capability in capabilities]


@cache  # a trial in a suite of thousands must not ask the engine again
def probe(capability: Capability) -> Finding:
    """Probe one capability; the answer holds for this process."""
    try:
        return Finding(capability, ok=True, detail=capability.probe())
    except Lacking as lacking:
        return Finding(capability, ok=False, detail=str(lacking))


def needs(scenario: Scenario) -> list[Capability]:
    """Derive what a scenario needs: what everything needs, its adapter's program, what its faults and options name.

    Raises `ScenarioError` for a fault that does not exist.
    """
    names = {name for step in scenario.faults for name in getattr(FAULTS.get(step.kind), "needs", ())}
    names |= {_IMPLIED[value] for value in scenario.with_.values() if isinstance(value, str) and value in _IMPLIED}
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
