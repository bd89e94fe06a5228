"""Which engine is meant, found the way the `docker` command finds it. Reads files, asks nobody.

`DOCKER_HOST`, else the context named by `DOCKER_CONTEXT` or by `docker context use`, else the default socket.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentLacks

DEFAULT_URL = "unix:///var/run/docker.sock"
_SCHEMES = ("unix", "tcp", "ssh")


@dataclass(frozen=True)
class Address:
    """Where an engine listens: `unix://`, `tcp://` or `ssh://`.

    `tls` is the folder of ca.pem, cert.pem and key.pem, or None for a plain connection; `source` says who chose it.
    """

    url: str
    tls: str | None = None
    source: str = "the default"

    @classmethod
    def current(cls, environment: Mapping[str, str] = os.environ) -> Address:
        """Return the engine that the user means. Raises `EnvironmentLacks` for one that cannot be understood."""
        if url := environment.get("DOCKER_HOST"):
            return cls._checked(url, _environment_tls(environment), "DOCKER_HOST")
        folder = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "/")) / ".docker")
        name = environment.get("DOCKER_CONTEXT") or _current_context(folder / "config.json")
        if name in {"", "default"}:
            return cls(DEFAULT_URL)
        return cls._of_context(folder / "contexts", name)

    @classmethod
    def _of_context(cls, folder: Path, name: str) -> Address:
        key = hashlib.sha256(name.encode()).hexdigest()
        meta = _read_json(folder / "meta" / key / "meta.json")
        url = meta.get("Endpoints", {}).get("docker", {}).get("Host")
        if not url:
            fix = "`docker context ls` shows those there are; `docker context use default`"
            raise EnvironmentLacks("docker", f"there is no context {name!r}", fix)
        tls = folder / "tls" / key / "docker"
        return cls._checked(url, str(tls) if tls.is_dir() else None, f"context {name!r}")

    @classmethod
    def _checked(cls, url: str, tls: str | None, source: str) -> Address:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _SCHEMES or not rest:
            reason = f"{source} is {url!r}, which is no address of an engine"
            raise EnvironmentLacks("docker", reason, "use unix:///path, tcp://host:port or ssh://user@host")
        return cls(url, tls, source)

    @property
    def scheme(self) -> str:
        """Return "unix", "tcp" or "ssh"."""
        return self.url.partition("://")[0]

    @property
    def local(self) -> bool:
        """Return whether its containers are processes of this machine's kernel, as far as the address tells."""
        return self.scheme == "unix"

    def __str__(self) -> str:
        """Return the address as people read it."""
        return self.url if self.source == "the default" else f"{self.url} ({self.source})"


def _environment_tls(environment: Mapping[str, str]) -> str | None:
    if not environment.get("DOCKER_TLS_VERIFY"):
        return None
    return environment.get("DOCKER_CERT_PATH") or str(Path(environment.get("HOME", "/")) / ".docker")


def _current_context(config: Path) -> str:
    return str(_read_json(config).get("currentContext", ""))


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; a missing or damaged file has none, as the `docker` command has it."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
