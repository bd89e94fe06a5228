"""The client role of the adapter: versions, locks, the values they guard, and documents.

A run has up to two hundred clients: what they need is imported before the first operation, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from targets.locking.backend import Backend
from targets.locking.documents import Documents
from targets.locking.errors import Unavailable
from targets.locking.fencing import FencedResource
from targets.locking.manager import LockManager
from targets.locking.punctual import Punctual

Json = dict[str, Any]

_PROBE = "probe:"
_STEP = 0.1  # of the time a call may take: a wait ends two steps before, one to be refused and one to leave the queue


class LockingClient:
    """Uses the backend itself: there is no service between. One thread at a time.

    No call takes longer than `timeout_s`. What `harness.serve` passes on: an error is `fail` if it is certainly not
    done, else `info`.
    """

    def __init__(self) -> None:
        self._punctual = Punctual()
        self._timeout_s = 0.0
        self._opened: _Opened | None = None

    def open(self, connect: Mapping[str, Any], client: str, timeout_s: float) -> None:
        """Note where the backend is. It need not be there yet: the first call connects, or opens files."""
        self.close()
        self._timeout_s = timeout_s
        self._opened = _Opened(connect, str(client), timeout_s)

    def probe(self) -> Json:
        """Succeed if the backend takes writes."""
        return self._do(lambda its: its.probe())

    def read(self, key: str) -> Json:
        """Return `value` and `version` of `key`."""
        return self._do(lambda its: its.read(key))

    def write(self, key: str, value: object, expected_version: int | None = None) -> Json:
        """Return the new `version`. Raises `VersionConflict`."""
        return self._do(lambda its: its.write(key, value, expected_version))

    def acquire(self, key: str, wait_s: float, lease_s: float) -> Json:
        """Return the `token` of a grant. Raises `Held`."""
        return self._do(lambda its: {"token": its.acquire([key], wait_s, lease_s)[key]})

    def acquire_all(self, keys: Sequence[str], wait_s: float, lease_s: float) -> Json:
        """Return the `tokens` of all keys. Raises `Held`: then none is held."""
        return self._do(lambda its: {"tokens": its.acquire(keys, wait_s, lease_s)})

    def renew(self, key: str, token: int) -> Json:
        """Begin the lease anew. Raises `NotOwner`."""
        return self._do(lambda its: its.renew({key: token}))

    def release(self, key: str, token: int) -> Json:
        """Give the key up. Raises `NotOwner`."""
        return self._do(lambda its: its.release({key: token}))

    def release_all(self, tokens: Mapping[str, int]) -> Json:
        """Give all keys up, or none: raises `NotOwner`."""
        return self._do(lambda its: its.release(tokens))

    def fetch(self, key: str) -> Json:
        """Return the guarded `value`; under this client's token, if it has one, which shuts out all before it."""
        return self._do(lambda its: its.fetch(key))

    def store(self, key: str, value: object, token: int) -> Json:
        """Write the guarded value. Raises `StaleToken`."""
        return self._do(lambda its: its.store(key, value, token))

    def attach(self, document: str, agent: str) -> Json:
        """Let `agent` edit `document`; return its `version`."""
        return self._do(lambda its: its.documents.attach(document, agent))

    def detach(self, document: str, agent: str) -> Json:
        """Let `agent` edit `document` no more."""
        return self._do(lambda its: its.documents.detach(document, agent))

    def submit(self, document: str, agent: str, base_version: int, request: str, operations: list[Json]) -> Json:
        """Return the new `version` and the `conflicts` of operations that were decided on `base_version`."""
        return self._do(lambda its: its.documents.submit(document, agent, base_version, request, operations))

    def inspect(self, document: str) -> Json:
        """Return `content`, `version` and `conflicts`."""
        return self._do(lambda its: its.documents.inspect(document))

    def close(self) -> None:
        """Let go of the backend. What is held ends with its lease, or with this process."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _do(self, call: Callable[[_Opened], Json]) -> Json:
        opened = self._opened
        if opened is None:
            raise Unavailable("this client is not open: open it, then ask again")
        return self._punctual.run(lambda: call(opened), self._timeout_s)


class _Opened:
    """What a client uses. Nothing in it touches the backend before it is used."""

    def __init__(self, connect: Mapping[str, Any], client: str, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._step_s = timeout_s * _STEP
        self._backend = _backend(connect)
        self._resource = FencedResource(connect["resource"])
        self._manager = LockManager(self._backend, self._resource, owner=client, timeout_s=self._step_s)
        policy, limit = connect["policy"], connect["agents"]
        self.documents = Documents(self._backend, policy=policy, limit=limit, timeout_s=timeout_s)
        self._tokens: dict[str, int] = {}

    def probe(self) -> Json:
        self._backend.write(f"{_PROBE}{self._client}", None, writer=self._client, timeout_s=self._timeout_s)
        return {}

    def read(self, key: str) -> Json:
        found = self._backend.read(key, timeout_s=self._timeout_s)
        return {"value": found.value, "version": found.version}

    def write(self, key: str, value: object, expected: int | None) -> Json:
        new = self._backend.write(key, value, expected=expected, writer=self._client, timeout_s=self._timeout_s)
        return {"version": new.version}

    def acquire(self, keys: Sequence[str], wait_s: float, lease_s: float) -> dict[str, int]:
        longest = self._timeout_s - 2 * self._step_s
        hold = self._manager.acquire_all(keys, timeout_s=min(wait_s, longest), lease_s=lease_s)
        self._tokens.update(hold.tokens)
        return hold.tokens

    def renew(self, tokens: Mapping[str, int]) -> Json:
        self._backend.renew(self._client, tokens, timeout_s=self._timeout_s)
        return {}

    def release(self, tokens: Mapping[str, int]) -> Json:
        for key in tokens:
            self._tokens.pop(key, None)
        self._backend.release(self._client, tokens, timeout_s=self._timeout_s)
        return {}

    def fetch(self, key: str) -> Json:
        return {"value": self._resource.read(key, self._tokens.get(key), timeout_s=self._timeout_s)}

    def store(self, key: str, value: object, token: int) -> Json:
        self._resource.write(key, value, token, timeout_s=self._timeout_s)
        return {}

    def close(self) -> None:
        self._manager.close()
        self._backend.close()
        self._resource.close()


def _backend(connect: Mapping[str, Any]) -> Backend:
    if connect["backend"] == "redis":
        from targets.locking.redis import RedisBackend  # noqa: PLC0415  see the module

        return RedisBackend(connect["address"])
    from targets.locking.sqlite import SqliteBackend  # noqa: PLC0415

    return SqliteBackend(connect["database"])
