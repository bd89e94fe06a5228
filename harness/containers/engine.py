"""What the harness asks of an engine. Every call has a deadline, every error says what to do.

Not promised: an engine that answers a byte at a time is not noticed as slow; the deadline is for each silence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from harness.containers import wires
from harness.containers._explained import Gone, absent, explained, too_old
from harness.containers.address import Address
from harness.containers.labels import LABEL, OWNER, Owner, marks
from harness.errors import EngineFailed, TimedOut
from harness.waiting import until
from harness.wire import LABEL_VARIABLE, Json

CALL_S = 20.0  # fifty networks made at once kept one caller waiting for 3 s
BUILD_S = 300.0
_PING_S = 1.0
_LEAST_API = "1.41"  # Docker Engine 20.10
_AT_ONCE = 8
_REMOVAL_S = 10.0
_HIDDEN = ("removal of container", "is already in progress")


@dataclass(frozen=True, kw_only=True)
class Order:
    """A container to be made. `name` gets the run's prefix; `limits` are members of the API's HostConfig.

    `mounts` are (source on the engine's host, path inside, "ro" or "rw"); no network unless one is named.
    """

    image: str
    command: Sequence[str]
    label: str
    name: str
    network: str = "none"
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[tuple[str, str, str]] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Container:
    """A container as the engine described it just now. `pid` is that of the engine's host, 0 while it does not run."""

    id: str
    name: str
    pid: int
    status: str
    exit_code: int
    oom_killed: bool
    started: str

    @classmethod
    def read(cls, data: Json) -> Container:
        """Read an answer of the engine."""
        state = data["State"]
        return cls(
            id=data["Id"],
            name=data["Name"].lstrip("/"),
            pid=state["Pid"],
            status=state["Status"],
            exit_code=state["ExitCode"],
            oom_killed=state["OOMKilled"],
            started=state["StartedAt"],
        )


@dataclass(frozen=True)
class Found:
    """Something with our label: `kind` is "container", "network" or "volume"."""

    kind: str
    id: str
    name: str
    label: str
    owner: Owner | None

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.kind} {self.name}"


def preload() -> None:
    """Import all that `Engine` needs later: a full disk breaks late imports."""
    import docker.errors  # noqa: PLC0415  200 ms, so only where an engine is used
    import requests.adapters  # noqa: PLC0415

    del docker, requests


def prefixed(label: str, name: str) -> str:
    """Return the name of something in the engine that a run calls `name`."""
    return f"bigfive-{label}-{name}"


class Engine:
    """An engine, connected. Use it as a context manager; its calls may come from several threads."""

    def __init__(self, address: Address, reachable: Address, version: str, tunnel: ExitStack | None = None) -> None:
        self.address = address
        self._reachable = reachable
        self._version = version
        self._tunnel = tunnel or ExitStack()
        self._apis: dict[float, Any] = {}

    @classmethod
    def connect(cls, address: Address | None = None, patience_s: float = 0.0) -> Engine:
        """Connect to the engine that the user means, or to `address`, waiting for it for `patience_s`.

        Raises `EnvironmentLacks` for one that is absent, hangs or is too old.
        """
        address = address or Address.current()
        with ExitStack() as tunnel:
            try:
                reachable = tunnel.enter_context(wires.dialed(address))
                _await_ping(address, reachable, patience_s)
                version = _version(reachable)
            except OSError as error:
                raise absent(address, error) from error
            if _numbers(version) < _numbers(_LEAST_API):
                raise too_old(address, version, _LEAST_API)
            return cls(address, reachable, version, tunnel.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for api in self._apis.values():
            api.close()
        self._tunnel.close()

    @contextmanager
    def asked(self, what: str, patience_s: float = CALL_S) -> Iterator[Any]:
        """Yield the SDK's own client for one call, its errors explained, for what has no method here."""
        with explained(self.address, what, patience_s):
            yield self._api(patience_s)

    def image_id(self, name: str) -> str | None:
        """Return the id of an image that the engine has; nobody else is asked."""
        with explained(self.address, f"look for the image {name}", wires.PATIENCE_S):
            return wires.image_id(self._reachable, name)

    def create(self, order: Order) -> str:
        """Create a container and return its id."""
        name = prefixed(order.label, order.name)
        with self.asked(f"create container {name}") as api:
            made = api.create_container(
                order.image,
                list(order.command),
                name=name,
                labels={**order.labels, **marks(order.label)},
                environment={**order.environment, LABEL_VARIABLE: order.label},
                host_config={
                    "NetworkMode": order.network,
                    "Binds": [":".join(mount) for mount in order.mounts],
                    **order.limits,
                },
            )
        return str(made["Id"])

    def run(self, order: Order) -> Container:
        """Create and start a container. It is removed again if it does not start."""
        made = self.create(order)
        try:
            with self.asked(f"start container {order.name}") as api:
                api.start(made)
            return self.inspect(made)
        except EngineFailed:
            self.remove(made)
            raise

    def inspect(self, container: str) -> Container:
        """Describe a container by id or name. Raises `Gone`."""
        with self.asked(f"inspect container {container}") as api:
            return Container.read(api.inspect_container(container))

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Signal the first process. The engine then no longer applies the container's restart policy."""
        with self.asked(f"kill container {container}") as api:
            api.kill(container, signal)

    def pause(self, container: str) -> None:
        """Freeze all processes of a container."""
        with self.asked(f"pause container {container}") as api:
            api.pause(container)

    def unpause(self, container: str) -> None:
        """Let them go on; one that is not paused, or gone, needs nothing."""
        try:
            if self.inspect(container).status == "paused":
                with self.asked(f"unpause container {container}") as api:
                    api.unpause(container)
        except Gone:
            return

    def stop(self, container: str, grace_s: int) -> Container:
        """Send SIGTERM, and SIGKILL `grace_s` later; return how it ended."""
        with self.asked(f"stop container {container}", CALL_S + grace_s) as api:
            api.stop(container, timeout=grace_s)
        return self.inspect(container)

    def restart(self, container: str, grace_s: int) -> Container:
        """Stop it as `stop` does, and start it again."""
        with self.asked(f"restart container {container}", CALL_S + grace_s) as api:
            api.restart(container, timeout=grace_s)
        return self.inspect(container)

    def update(self, container: str, limits: Json) -> None:
        """Change limits of a running container, by members of the API's HostConfig (NanoCpus and PidsLimit too)."""
        with self.asked(f"update container {container}") as api:
            api._result(api._post_json(api._url("/containers/{0}/update", container), data=limits))  # noqa: SLF001  the SDK's own method knows neither

    def restore(self, container: str, limits: Json) -> None:
        """Give a container limits that it had before; one that is gone needs none."""
        try:
            self.update(container, limits)
        except Gone:
            return

    def execute(self, container: str, command: Sequence[str], patience_s: float = CALL_S) -> tuple[int, bytes]:
        """Run a command inside and return its exit status and what it said."""
        with self.asked(f"run {command[0]} in container {container}", patience_s) as api:
            started = api.exec_create(container, list(command))["Id"]
            said: bytes = api.exec_start(started)
            return int(api.exec_inspect(started)["ExitCode"]), said

    def wait(self, container: str, patience_s: float) -> int:
        """Wait for the end of a container and return its exit status. Raises `EngineFailed` after `patience_s`."""
        with self.asked(f"see the end of container {container}", patience_s) as api:
            return int(api.wait(container, timeout=patience_s)["StatusCode"])

    def logs(self, container: str) -> str:
        """Return what a container has said so far."""
        with self.asked(f"read the log of container {container}") as api:
            said: bytes = api.logs(container)
            return said.decode(errors="replace")

    def remove(self, container: str) -> None:
        """Kill and remove a container with its own volumes; one that is gone needs nothing."""
        try:
            with self.asked(f"remove container {container}") as api:
                api.remove_container(container, v=True, force=True)
        except Gone:
            return
        except EngineFailed as error:
            if not all(words in str(error) for words in _HIDDEN):
                raise
        until(lambda: not self._exists(container), f"the end of container {container}", _REMOVAL_S)

    def create_network(self, label: str, name: str, **options: Any) -> str:  # noqa: ANN401  of the SDK
        """Create a bridge of the run and return its id; `options` are those of the SDK's `create_network`."""
        full = prefixed(label, name)
        with self.asked(f"create network {full}") as api:
            made = api.create_network(full, driver="bridge", check_duplicate=True, labels=marks(label), **options)
            return str(made["Id"])

    def remove_network(self, network: str) -> None:
        """Disconnect everybody and remove a network; one that is gone needs nothing."""
        try:
            with self.asked(f"remove network {network}") as api:
                for container in api.inspect_network(network)["Containers"]:
                    api.disconnect_container_from_network(container, network, force=True)
                api.remove_network(network)
        except Gone:
            return

    def ours(self, label: str | None = None) -> list[Found]:
        """Return everything that carries `label`, or any label of ours; containers first, as they hold the rest."""
        wanted = {"label": LABEL if label is None else f"{LABEL}={label}"}
        with self.asked("list what we have made") as api:
            containers = api.containers(all=True, filters=wanted)
            networks = api.networks(filters=wanted)
            volumes = api.volumes(filters=wanted)["Volumes"] or ()
        return [
            *(_found("container", each["Id"], each["Names"][0].lstrip("/"), each["Labels"]) for each in containers),
            *(_found("network", each["Id"], each["Name"], each["Labels"]) for each in networks),
            *(_found("volume", each["Name"], each["Name"], each["Labels"]) for each in volumes),
        ]

    def sweep(self, label: str) -> list[Found]:
        """Remove everything that carries `label`, until nothing is left, and return what there was."""
        return self.remove_all(self.ours(label))

    def orphans(self) -> list[Found]:
        """Return what is left of owners on this machine that live no more."""
        return [found for found in self.ours() if found.owner is not None and found.owner.gone()]

    def remove_all(self, found: Sequence[Found]) -> list[Found]:
        """Remove things; containers many at once, then what they held."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self.remove, [each.id for each in found if each.kind == "container"]))
        for each in found:
            if each.kind == "network":
                self.remove_network(each.id)
            elif each.kind == "volume":
                self._remove_volume(each.id)
        return list(found)

    def _remove_volume(self, name: str) -> None:
        try:
            with self.asked(f"remove volume {name}") as api:
                api.remove_volume(name, force=True)
        except Gone:
            return

    def _exists(self, container: str) -> bool:
        try:
            self.inspect(container)
        except Gone:
            return False
        return True

    def _api(self, patience_s: float) -> Any:  # noqa: ANN401  the SDK's types change with its version
        if patience_s not in self._apis:
            from docker import APIClient  # noqa: PLC0415  200 ms, so only where an engine is used

            self._apis[patience_s] = APIClient(
                base_url=self._reachable.url,
                tls=_tls(self._reachable),
                version=self._version,
                timeout=math.ceil(patience_s),
            )
        return self._apis[patience_s]


def _version(reachable: Address) -> str:
    """Return the newest API that an engine speaks. Raises `OSError` for what is none."""
    reply = wires.ask(reachable, "/version", wires.PATIENCE_S)
    try:
        return str(json.loads(reply.body)["ApiVersion"])
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"what answers is no engine: {reply.body[:80]!r}") from error


def _await_ping(address: Address, reachable: Address, patience_s: float) -> None:
    """Return when the engine answers. Raises `OSError` with its last excuse."""
    said: list[str] = []

    def answers() -> bool:
        try:
            reply = wires.ask(reachable, "/_ping", _PING_S)
        except OSError as error:
            if not patience_s:
                raise
            said[:] = [str(error)]
            return False
        said[:] = [f"it answers {reply.status}: {reply.body.decode(errors='replace').strip()}"]
        return reply.status == HTTPStatus.OK

    try:
        until(answers, f"the engine at {address}", patience_s)
    except TimedOut as error:
        raise OSError(said[0]) from error


def _tls(address: Address) -> Any:  # noqa: ANN401  the SDK's types change with its version
    if address.tls is None:
        return False
    from docker.tls import TLSConfig  # noqa: PLC0415

    folder = Path(address.tls)
    pair = (str(folder / "cert.pem"), str(folder / "key.pem"))
    client = pair if Path(pair[0]).exists() else None
    return TLSConfig(ca_cert=str(folder / "ca.pem"), client_cert=client, verify=True)


def _found(kind: str, identity: str, name: str, labels: Mapping[str, str]) -> Found:
    return Found(kind, identity, name, labels[LABEL], Owner.parse(labels.get(OWNER, "")))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
