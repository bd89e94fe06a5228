"""What the targets ask of Docker: containers, networks, figures, events. Their only importer of its SDK.

Promised:

- Every call has a deadline (the `timeout_s` of `connect`, for each silence of the engine), every failure is an
  `EngineError` that says what to do, and its `kind` is for programs.
- Whatever is made carries the labels of its `Spec` and, where the environment names a run in BIGFIVE_LABEL, that run's
  label and name prefix, so that its owner can find and remove it. Images are never fetched.
- `remove` and `remove_network` succeed for what is gone already.

Not promised: anything about containers that somebody else changes meanwhile. `stats` takes a second on some engines:
who watches a limit reads the kernel's own files.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from targets.containers import EngineError, Event, Host, Spec, State, Stats

LABEL = "bigfive.label"
LABEL_VARIABLE = "BIGFIVE_LABEL"
IMAGE_VARIABLE = "BIGFIVE_IMAGE"
_LATEST_IMAGE = "bigfive:latest"
_LEAST_API = "1.41"  # Docker Engine 20.10
_TIMEOUT_S = 20.0
_AWAY = (502, 503, 504)


def default_image() -> str:
    """Return the image that the run names, else the newest that `bigfive doctor --fix image` has made."""
    return os.environ.get(IMAGE_VARIABLE) or _LATEST_IMAGE


class Engine:
    """An engine, connected. Use it as a context manager; its calls may come from several threads."""

    def __init__(self, api: Any) -> None:  # noqa: ANN401  the types of the SDK change with its version
        self._api = api
        self._run = os.environ.get(LABEL_VARIABLE, "")

    @classmethod
    def connect(cls, timeout_s: float = _TIMEOUT_S) -> Engine:
        """Connect to the engine that `docker` would use: DOCKER_HOST, else the current context."""
        from docker import APIClient  # noqa: PLC0415  200 ms: only where an engine is used

        with _explained("connect"):
            where = {**_where(), "timeout": math.ceil(timeout_s)}
            _knock(where.get("base_url") or "")
            asking = APIClient(**where, version=_LEAST_API)
            try:
                version = str(asking.version(api_version=False)["ApiVersion"])
            finally:
                asking.close()
            if _numbers(version) < _numbers(_LEAST_API):
                raise EngineError(f"the engine speaks API {version}: upgrade it to 20.10 or newer", "too_old")
            api = APIClient(**where, version=version)
        return cls(api)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def host(self) -> Host:
        """Return what the engine's machine has to give."""
        with _explained("describe its host"):
            return Host.read(self._api.info())

    def create(self, spec: Spec) -> str:
        """Create a container and return its id; it is not started."""
        with _explained(f"create container {spec.name}"):
            made = self._api.create_container(
                spec.image,
                list(spec.command),
                name=self.full_name(spec.name),
                user=spec.user or None,
                labels=self._labels(spec.labels),
                environment={**spec.environment, **({LABEL_VARIABLE: self._run} if self._run else {})},
                stop_signal=spec.stop_signal,
                host_config={
                    "NetworkMode": spec.network,
                    "Mounts": [each.written() for each in spec.mounts],
                    **spec.limits,
                },
            )
        return str(made["Id"])

    def run(self, spec: Spec) -> State:
        """Create and start a container; one that does not start is removed again."""
        container = self.create(spec)
        try:
            self.start(container)
            return self.inspect(container)
        except EngineError:
            self.remove(container)
            raise

    def start(self, container: str) -> None:
        """Start a container that was created or has ended."""
        with _explained(f"start container {container}"):
            self._api.start(container)

    def inspect(self, container: str) -> State:
        """Describe a container by id or full name."""
        with _explained(f"inspect container {container}"):
            return State.read(self._api.inspect_container(container))

    def stop(self, container: str, grace_s: int) -> State:
        """Ask a container to end, kill it `grace_s` later, and return how it ended."""
        with _explained(f"stop container {container}"):
            self._api.stop(container, timeout=grace_s)
        return self.inspect(container)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Signal a container's first process. Its restart policy is off from then on."""
        with _explained(f"kill container {container}"):
            self._api.kill(container, signal)

    def wait(self, container: str, timeout_s: float) -> int:
        """Wait for a container's end and return its exit status."""
        with _explained(f"see the end of container {container} within {timeout_s:g} s"):
            return int(self._api.wait(container, timeout=timeout_s)["StatusCode"])

    def remove(self, container: str) -> None:
        """Kill and remove a container with its own volumes; one that is gone needs nothing."""
        with _unless_gone(), _explained(f"remove container {container}"):
            self._api.remove_container(container, v=True, force=True)

    def execute(self, container: str, command: Sequence[str], user: str = "") -> tuple[int, str]:
        """Run a command inside; return its exit status and what it said."""
        with _explained(f"run {command[0]} in container {container}"):
            started = self._api.exec_create(container, list(command), user=user)["Id"]
            said = self._api.exec_start(started)
            return int(self._api.exec_inspect(started)["ExitCode"]), said.decode(errors="replace")

    def logs(self, container: str) -> str:
        """Return what a container has said so far."""
        with _explained(f"read the log of container {container}"):
            return str(self._api.logs(container).decode(errors="replace"))

    def stats(self, container: str) -> Stats:
        """Return a container's figures, once."""
        with _explained(f"read the figures of container {container}"):
            return Stats.read(self._api.stats(container, stream=False, one_shot=True))

    def update(self, container: str, limits: Mapping[str, Any]) -> None:
        """Change limits of a running container. Memory and swap go together: the engine refuses one above the other."""
        with _explained(f"update container {container}"):
            url = self._api._url("/containers/{0}/update", container)  # noqa: SLF001  its own method lacks two limits
            self._api._result(self._api._post_json(url, data=dict(limits)))  # noqa: SLF001

    def create_network(self, name: str, *, subnet: str = "", internal: bool = False, **options: str) -> str:
        """Create a bridge and return its id. `options` are the driver's, dots written as `__`.

        Give a `subnet`: the engine's own pools hold about thirty networks.
        """
        from docker.types import IPAMConfig, IPAMPool  # noqa: PLC0415

        with _explained(f"create network {name}"):
            made = self._api.create_network(
                self.full_name(name),
                driver="bridge",
                check_duplicate=True,
                internal=internal,
                labels=self._labels({}),
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]) if subnet else None,
                options={key.replace("__", "."): value for key, value in options.items()},
            )
        return str(made["Id"])

    def remove_network(self, network: str) -> None:
        """Remove a network that nobody uses any more; one that is gone needs nothing."""
        with _unless_gone(), _explained(f"remove network {network}"):
            self._api.remove_network(network)

    def containers(self, labels: Mapping[str, str] | None = None) -> list[str]:
        """Return the ids of all containers with these labels, and with the run's where there is one."""
        wanted = [f"{name}={value}" for name, value in self._labels(labels or {}).items()]
        with _explained("list containers"):
            return [each["Id"] for each in self._api.containers(all=True, filters={"label": wanted})]

    @contextmanager
    def events(self, labels: Mapping[str, str] | None = None) -> Iterator[Iterator[Event]]:
        """Yield what happens to containers with these labels from now on. It blocks; leaving the context ends it."""
        wanted = [f"{name}={value}" for name, value in self._labels(labels or {}).items()]
        with _explained("report events"):
            stream = self._api.events(decode=True, filters={"type": "container", "label": wanted})
            try:
                yield map(Event.read, stream)
            finally:
                stream.close()

    def full_name(self, name: str) -> str:
        """Return the name of something that a run calls `name`."""
        return f"bigfive-{self._run}-{name}" if self._run else name

    def _labels(self, own: Mapping[str, str]) -> dict[str, str]:
        return {**own, **({LABEL: self._run} if self._run else {})}


def _where() -> dict[str, Any]:
    from docker.context import ContextAPI  # noqa: PLC0415
    from docker.utils import kwargs_from_env  # noqa: PLC0415

    if os.environ.get("DOCKER_HOST"):
        return dict(kwargs_from_env())
    name = os.environ.get("DOCKER_CONTEXT")
    context = ContextAPI.get_context(name)
    if context is None:
        raise EngineError(f"there is no context {name!r}; `docker context ls` shows those there are", "absent")
    tls: Any = context.TLSConfig  # None where it has none, whatever its annotation says
    return {"base_url": context.Host, "tls": tls or False}


def _knock(url: str) -> None:
    """Raise `OSError` where nobody listens; the SDK would leave its socket open for the collector to find."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(url.removeprefix("unix://"))


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except EngineError as error:
        if error.kind != "gone":
            raise


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn whatever the SDK raises while doing `what` into an `EngineError`."""
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415  the SDK brings it

    try:
        yield
    except ImageNotFound as error:
        raise EngineError(f"cannot {what}: {error.explanation}; bigfive doctor --fix image", "no_image") from error
    except NotFound as error:
        raise EngineError(f"cannot {what}: {error.explanation}", "gone") from error
    except APIError as error:
        raise _of_answer(what, error.status_code, str(error.explanation or error)) from error
    except (DockerException, RequestException, OSError) as error:
        if "timed out" in str(error).lower():
            slow = f"the engine did not {what} in time: it is slow or hangs; look at its log"
            raise EngineError(slow, "slow") from error
        raise EngineError(
            f"no engine answers, so it cannot {what} ({error}); start it: bigfive doctor --fix docker", "absent"
        ) from error


def _of_answer(what: str, status: int | None, said: str) -> EngineError:
    if "no space left on device" in said.lower():
        return EngineError(f"the engine's disk is full, so it cannot {what} ({said}); `docker system df`", "full")
    if status in _AWAY:
        return EngineError(f"the engine is restarting, so it cannot {what}: {said}", "absent")
    return EngineError(f"the engine refused to {what}: {said}", "refused")
