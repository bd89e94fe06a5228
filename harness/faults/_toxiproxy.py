"""A Toxiproxy server of the run's own, and its proxies, through `toxiproxy-python`: the one file that imports it.

The library keeps the server's address in class attributes, waits for ever, and takes an error 500 for an answer. All of
that is its class `APIConsumer`, which the rest of it looks up by name in two modules. There the name is bound to
`_Consumer`: its address is that of the call at hand (a context variable, so that no two trials or threads share one),
it has a deadline, and it raises what goes wrong. A change of a proxy's upstream, for which the library has no method,
is asked of it directly.

The server has a loopback address that is derived from its owner's pid: no other run can have it, nor can a client's own
port ever be that of a proxy that is down (Linux connects from 127.0.0.1, and a socket on an ephemeral port of the same
address may connect to itself). Such a link is there for clients on this machine, and not for containers.

Imported only where there is a link to act on, since `requests` takes 0.2 s.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

import requests
import toxiproxy.proxy
import toxiproxy.server
from toxiproxy.api import validate_response
from toxiproxy.exceptions import NotFound

from harness.doctor import CAPABILITIES, find_program
from harness.errors import EnvironmentLacks, FaultNotProven, TimedOut
from harness.undo import undoer
from harness.waiting import until
from harness.wire import LABEL_VARIABLE, Json

_PROGRAM = "toxiproxy-server"
_PORT = 8474
_NOWHERE_PORT = 1  # refuses: where a proxy leads before it is known where the target listens
_ANSWER_PATIENCE_S = 10.0
_START_PATIENCE_S = 10.0
_LAST_WORDS = 500
_api: ContextVar[str] = ContextVar("api")
# What an update does not mention, the server takes from the proxy as it is at that moment: of two at once, one may see
# it disabled while the other restarts it, and leave it so (seen after 5 to 50 pairs).
_updating = threading.Lock()


class ServerGone(FaultNotProven):
    """Nobody answers where the server was."""


class _Consumer:
    """What the library asks the server with."""

    @classmethod
    def get(cls, url: str, params: Json | None = None, **more: Any) -> requests.Response:  # noqa: ANN401
        return _ask("GET", url, params=params, **more)

    @classmethod
    def post(cls, url: str, data: Any = None, json: Json | None = None, **more: Any) -> requests.Response:  # noqa: ANN401
        return _ask("POST", url, data=data, json=json, **more)

    @classmethod
    def delete(cls, url: str, **more: Any) -> requests.Response:  # noqa: ANN401
        return _ask("DELETE", url, **more)


toxiproxy.proxy.APIConsumer = toxiproxy.server.APIConsumer = _Consumer


def _ask(method: str, url: str, **request: Any) -> requests.Response:  # noqa: ANN401
    """Send one request. Raises `NotFound` for 404, `FaultNotProven` for every other error."""
    api = _api.get()
    try:
        with requests.Session() as session:
            session.trust_env = False  # an HTTP proxy of the user's is not for our loopback
            response = session.request(method, f"http://{api}{url}", timeout=_ANSWER_PATIENCE_S, **request)
    except requests.ConnectionError as error:
        raise ServerGone(f"no Toxiproxy server answers at {api}") from error
    except requests.RequestException as error:
        raise FaultNotProven(f"Toxiproxy at {api} did not answer {method} {url}: {error}") from error
    if not response.ok and response.status_code != requests.codes.not_found:
        said = response.text.strip()
        raise FaultNotProven(f"Toxiproxy at {api} answered {method} {url} with {response.status_code}: {said}")
    validate_response(response)
    return response


class Proxy:
    """One proxy of a server, by name. Every method asks the server, and raises `FaultNotProven` where it cannot."""

    def __init__(self, api: str, name: str) -> None:
        self.api = api
        self.name = name

    def state(self) -> Json:
        """Return {"listen": "host:port", "upstream": "host:port", "enabled": bool} as they are now."""
        with _at(self.api):
            found = toxiproxy.server.Toxiproxy().get_proxy(self.name)
        if found is None:
            raise FaultNotProven(f"Toxiproxy at {self.api} has no proxy {self.name!r}")
        return {"listen": found.listen, "upstream": found.upstream, "enabled": found.enabled}

    def toxics(self) -> dict[str, Json]:
        """Return every toxic by name, as `add` takes it."""
        with self._handle() as proxy:
            return {name: dict(vars(toxic)) for name, toxic in proxy.toxics().items()}

    def add(self, toxic: Json) -> None:
        """Add a toxic: {"name", "type", "stream", "toxicity", "attributes"}."""
        with self._handle() as proxy:
            proxy.add_toxic(**toxic)

    def remove(self, toxic: str) -> None:
        """Remove a toxic; one that is not there is no matter."""
        with self._handle() as proxy:
            try:
                proxy.destroy_toxic(toxic)
            except NotFound:
                return

    def enable(self) -> None:
        """Listen; a proxy that is gone is no matter."""
        with self._handle() as proxy, _updating:
            try:
                proxy.enable()
            except NotFound:
                return

    def disable(self) -> None:
        """Cut all connections, and refuse new ones."""
        with self._handle() as proxy, _updating:
            proxy.disable()

    def lead_to(self, upstream: str) -> None:
        """Connect to `upstream` from now on; what is connected to another one is cut."""
        with _at(self.api), _updating:
            _Consumer.post(f"/proxies/{self.name}", json={"upstream": upstream})

    def destroy(self) -> None:
        """Take it away."""
        with self._handle() as proxy:
            proxy.destroy()

    @contextmanager
    def _handle(self) -> Iterator[Any]:
        with _at(self.api):
            yield toxiproxy.proxy.Proxy(name=self.name, upstream="", enabled=True, listen="")


class Server:
    """A `toxiproxy-server` process of ours. Whoever starts it has journaled the undo of everything with its label."""

    def __init__(self, label: str, log: Path) -> None:
        program = find_program(_PROGRAM)
        if program is None:
            raise _lacks(f"there is no {_PROGRAM} on PATH")
        self._host = _own_address(os.getpid())
        self.api = f"{self._host}:{_PORT}"
        _check_free(self._host)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program, "-host", self._host, "-port", str(_PORT)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C at the terminal is for the harness, which then undoes
                env={**os.environ, LABEL_VARIABLE: label},
            )
        try:
            until(self._answers, f"an answer of {_PROGRAM}", _START_PATIENCE_S)
        except BaseException as error:
            self.close()
            if isinstance(error, TimedOut):
                said = log.read_text(errors="replace")[-_LAST_WORDS:]
                raise _lacks(f"{error}; its last words: {said}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(self, name: str, upstream: str = "") -> Proxy:
        """Make a proxy that listens on a port of the kernel's choice, and leads nowhere without `upstream`."""
        return create(self.api, name, upstream)

    def close(self) -> None:
        """End it; all connections through it are cut."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with _at(self.api):
                toxiproxy.server.Toxiproxy().proxies()
        except FaultNotProven:
            return False
        return True


def create(api: str, name: str, upstream: str = "") -> Proxy:
    """Make a proxy on a server that runs; see `Server.create`."""
    host = api.rpartition(":")[0]
    with _at(api):
        toxiproxy.server.Toxiproxy().create(upstream or f"{host}:{_NOWHERE_PORT}", name, f"{host}:0", enabled=True)
    return Proxy(api, name)


@undoer("toxic.remove")
def remove_toxic(api: str, proxy: str, toxic: str) -> None:
    """Remove a toxic; a server that is gone has none."""
    try:
        Proxy(api, proxy).remove(toxic)
    except ServerGone:
        return


@undoer("proxy.enable")
def enable_proxy(api: str, proxy: str) -> None:
    """Let a proxy listen again; a server that is gone has none."""
    try:
        Proxy(api, proxy).enable()
    except ServerGone:
        return


@contextmanager
def _at(api: str) -> Iterator[None]:
    token = _api.set(api)
    try:
        yield
    finally:
        _api.reset(token)


def _own_address(pid: int) -> str:
    """Return an address of 127.64.0.0/10 for every pid that Linux gives (22 bits)."""
    return f"127.{64 + (pid >> 16)}.{pid >> 8 & 255}.{pid & 255}"


def _check_free(host: str) -> None:
    """The server goes on without its API where the port is taken; so that is asked first."""
    try:
        socket.create_server((host, _PORT)).close()
    except OSError as error:
        raise _lacks(f"{host}:{_PORT} cannot be listened on: {error}; `bigfive sweep` ends what was left") from error


def _lacks(reason: str) -> EnvironmentLacks:
    return EnvironmentLacks(_PROGRAM, reason, CAPABILITIES[_PROGRAM].fix)
