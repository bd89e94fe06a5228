"""Each backend, fresh for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.locks_kit import redis_server
from targets.locking.backend import Backend
from targets.locking.fencing import FencedResource
from targets.locking.redis import RedisBackend
from targets.locking.server import RedisServer
from targets.locking.sqlite import SqliteBackend

_numbers = itertools.count()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Callable[[str], None]], RedisServer]]:
    """The Redis that all tests share, started by the first that needs it."""
    started: list[RedisServer] = []
    with ExitStack() as stack:

        def get(lacking: Callable[[str], None]) -> RedisServer:
            if not started:
                started.append(stack.enter_context(redis_server(tmp_path_factory.mktemp("redis"), lacking)))
            return started[0]

        yield get


@pytest.fixture(params=["sqlite", "redis"])
def address(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    servers: Callable[[Callable[[str], None]], RedisServer],
    lacking: Callable[[str], None],
) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "locks.sqlite")
    return f"redis://{servers(lacking).address}#test{next(_numbers)}:"


@pytest.fixture
def backend(address: str) -> Iterator[Backend]:
    place, _, prefix = address.partition("#")
    made = RedisBackend(place, prefix=prefix) if prefix else SqliteBackend(place)
    yield made
    made.close()


@pytest.fixture
def resource(tmp_path: Path) -> Iterator[FencedResource]:
    made = FencedResource(tmp_path / "resource.sqlite")
    yield made
    made.close()
