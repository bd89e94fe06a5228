"""The host role of the adapter: a folder with a SQLite file, or a supervised Redis, and where their things are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from targets import supervision
from targets.durable import create_folder
from targets.locking.errors import BadRequest
from targets.locking.fencing import FencedResource
from targets.locking.server import RedisServer
from targets.locking.settings import Settings

Json = dict[str, Any]

DATABASE = "locks.sqlite"
RESOURCE = "resource.sqlite"
FAILPOINTS = ("commit.before", "commit.after")

_LINK = "link"


class Host:
    """Makes what clients need and tells where it is. With SQLite there is no process to start: clients open the file.

    The guarded resource is a SQLite file with either backend: it must not share the fate of a Redis's memory.
    """

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        self._folder: Path | None = None
        self._server: RedisServer | None = None
        self._sqlite = False

    def describe(self) -> Json:
        """Say what this is, and where its processes and files are at this moment."""
        server = self._server
        return {
            "name": "targets.locking",
            "contracts": ["versioned_store", "locks", "documents"],
            "handles": {
                "database": _known("file", path=self._path(DATABASE) if self._sqlite else None),
                "folder": _known("folder", path=str(self._folder) if self._folder else None),
                "backend": _known("process", pid=server and server.pid, data=server and str(server.folder)),
                "supervisor": _known("process", pid=server and server.supervisor),
                _LINK: _known("link", address=server and server.address),
            },
            "events": list(supervision.EVENTS),
            "failpoints": list(FAILPOINTS),
        }

    def start(
        self,
        folder: str,
        label: str,
        options: Mapping[str, object] | None = None,
        links: Mapping[str, str] | None = None,
    ) -> Json:
        """Make everything below `folder` and return what clients need.

        `options` are those of `Settings`. `links` may lead clients to Redis by another address. `label` needs no care:
        it is in the environment already, where children inherit it. Raises `BadRequest` for what it does not know,
        `CannotOpen` if Redis does not come up.
        """
        settings = Settings.of(options or {})
        if os.environ.get("BIGFIVE_LABEL", label) != label:
            raise BadRequest(f"label {label!r} differs from that of the environment")
        offered = {_LINK} if settings.backend == "redis" else set()
        if unknown := sorted(set(links or {}) - offered):
            raise BadRequest(f"no link {', '.join(unknown)} with the {settings.backend} backend")
        self._folder = Path(folder).resolve() / "locks"
        create_folder(self._folder)
        connect: Json = {"backend": settings.backend, "agents": settings.agents, "policy": settings.policy}
        connect["resource"] = self._make_resource()
        if settings.backend == "redis":
            self._server = RedisServer(self._folder / "redis", settings.persistence, self._emit)
            self._server.start()
            return {"connect": {**connect, "address": (links or {}).get(_LINK, self._server.address)}}
        return {"connect": {**connect, "database": self._make_database()}}

    def stop(self) -> Json:
        """Stop the server, if there is one."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        return {}

    def _make_resource(self) -> str:
        path = self._path(RESOURCE)
        resource = FencedResource(path)
        resource.highest("any")
        resource.close()
        return path

    def _make_database(self) -> str:
        from targets.locking.sqlite import SqliteBackend  # noqa: PLC0415  a host of Redis does not need it

        backend = SqliteBackend(self._path(DATABASE))
        backend.status()
        backend.close()
        self._sqlite = True
        return str(backend.path)

    def _path(self, name: str) -> str:
        return str((self._folder or Path()) / name)


def _known(type_: str, **members: object) -> Json:
    return {"type": type_, **{name: value for name, value in members.items() if value}}
