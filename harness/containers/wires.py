"""Connections to an engine, and a question that needs no SDK: `doctor` probes with it in milliseconds.

An engine behind SSH is reached through a forwarded socket: the user's own `ssh` with his own keys and configuration,
never asking for a password. The tunnel lasts as long as the `cat` at its other end, which lasts as long as our end of
its standard input: it goes when we do, `kill -9` included.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from harness.containers.address import Address
from harness.errors import EnvironmentLacks, TimedOut
from harness.waiting import until

PATIENCE_S = 5.0
SSH_PATIENCE_S = 8.0
_REMOTE_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Reply:
    """What the engine's HTTP server said."""

    status: int
    body: bytes


def ask(address: Address, path: str, patience_s: float) -> Reply:
    """Send one GET. Raises `OSError` where nobody answers within `patience_s` (an SSH handshake comes on top)."""
    with dialed(address) as reachable:
        connection = _Connection(reachable, patience_s)
        try:
            connection.request("GET", path, headers={"Host": "docker"})
            response = connection.getresponse()
            return Reply(response.status, response.read())
        except http.client.HTTPException as error:
            raise OSError(f"it does not speak HTTP ({error!r})") from error
        finally:
            connection.close()


def image_id(address: Address, name: str) -> str | None:
    """Return the id of an image that the engine has. Raises `OSError` where it does not answer."""
    reply = ask(address, f"/images/{name}/json", PATIENCE_S)
    return str(json.loads(reply.body)["Id"]) if reply.status == http.HTTPStatus.OK else None


@contextmanager
def dialed(address: Address) -> Iterator[Address]:
    """Yield an address without SSH in it, for as long as the tunnel is needed. Raises `OSError`."""
    if address.scheme != "ssh":
        yield address
        return
    with tempfile.TemporaryDirectory(prefix="bigfive-ssh-") as folder:
        end = Path(folder) / "engine"
        with _tunnel(address, end):
            yield replace(address, url=f"unix://{end}", tls=None)


@contextmanager
def _tunnel(address: Address, end: Path) -> Iterator[None]:
    log = end.with_name("log")
    with log.open("wb") as errors:
        process = subprocess.Popen(
            tunnel_command(address.url, end),
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
        )
    try:
        until(lambda: _listens(end) or process.poll() is not None, f"ssh to {address.url}", SSH_PATIENCE_S)
        if process.poll() is not None:
            raise ConnectionError(f"ssh ended with {process.returncode}: {_last(log.read_text(errors='replace'))}")
        yield
    except TimedOut as error:
        raise TimeoutError(str(error)) from error
    finally:
        process.kill()
        process.communicate()


def tunnel_command(url: str, end: Path) -> list[str]:
    """Return the command that makes the engine of an `ssh://` address answer at the socket `end`."""
    parts = urlsplit(url)
    if not parts.hostname or parts.hostname.startswith("-"):
        reason = f"{url!r} names no host"
        raise EnvironmentLacks("docker", reason, "use ssh://user@host, as `ssh` itself would take it")
    options = (
        *("BatchMode=yes", "ExitOnForwardFailure=yes", f"ConnectTimeout={SSH_PATIENCE_S:.0f}"),
        *("ControlMaster=no", "ControlPath=none"),  # a shared connection would outlive us, or end before us
    )
    port = ("-p", str(parts.port)) if parts.port else ()
    user = ("-l", parts.username) if parts.username else ()
    forward = f"{end}:{parts.path.rstrip('/') or _REMOTE_SOCKET}"
    return ["ssh", "-T", *(f"-o{option}" for option in options), *port, *user, "-L", forward, parts.hostname, "cat"]


class _Connection(http.client.HTTPConnection):
    """HTTP over whatever the address says."""

    def __init__(self, address: Address, patience_s: float) -> None:
        super().__init__("docker", timeout=patience_s)
        self._address = address
        self._patience_s = patience_s

    def connect(self) -> None:
        """Open the socket."""
        if self._address.scheme == "unix":
            self.sock = _unix(self._address.url.partition("://")[2], self._patience_s)
            return
        parts = urlsplit(self._address.url)
        if parts.hostname is None or parts.port is None:
            raise OSError(f"{self._address.url!r} has no host and port")
        plain = socket.create_connection((parts.hostname, parts.port), self._patience_s)
        self.sock = _encrypted(plain, parts.hostname, Path(self._address.tls)) if self._address.tls else plain


def _unix(path: str, patience_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(patience_s)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _encrypted(plain: socket.socket, host: str, folder: Path) -> socket.socket:
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        with contextlib.suppress(FileNotFoundError):  # a server may not ask who we are
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context.wrap_socket(plain, server_hostname=host)
    except OSError:
        plain.close()
        raise


def _listens(end: Path) -> bool:
    """Return whether somebody answers there; the socket's file is there a moment before."""
    try:
        _unix(str(end), SSH_PATIENCE_S).close()
    except OSError:
        return False
    return True


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
