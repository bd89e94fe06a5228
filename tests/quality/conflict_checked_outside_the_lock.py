"""A planted bug: the newest version of a document is read, conflicts are looked for, and then it is written unlocked.

Two writers who read the same version both write the next one, and both are told that they succeeded; the edit of the
first is gone. So did agent-sh/agentsys#332. Everything else is the real thing. The check `no_lost_updates` must convict
it. Referenced as `…/tests/quality/conflict_checked_outside_the_lock.py:adapter`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from targets.locking import client as clients
from targets.locking.backend import TIMEOUT_S, UNCHANGED, Change, Versioned
from targets.locking.client import LockingClient
from targets.locking.documents import Documents
from targets.locking.host import Host

if TYPE_CHECKING:
    from targets.locking.backend import Versions


class Unlocked:
    """Takes what is there when it looks for what is there when it writes.

    But for attachments: the next submission of an agent whose attachment was lost would give the bug away.
    """

    def __init__(self, backend: Versions) -> None:
        self._backend = backend
        self.read = backend.read

    def update(
        self, key: str, change: Change, *, writer: str = "", request: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> Versioned:
        current = self.read(key, timeout_s=timeout_s)
        value = change(current)
        if value is UNCHANGED:
            return current

        def overwrite(newest: Versioned) -> object:
            attached = newest.value["agents"] if newest.value else {}
            return {**value, "agents": {**attached, **value["agents"]}}

        return self._backend.update(key, overwrite, writer=writer, timeout_s=timeout_s)


class HastyDocuments(Documents):
    """Documents without the lock."""

    def __init__(self, backend: Versions, **settings: object) -> None:
        super().__init__(Unlocked(backend), **settings)  # type: ignore[arg-type]  write is never asked for


def client() -> LockingClient:
    clients.Documents = HastyDocuments  # type: ignore[misc]
    return LockingClient()


adapter = SimpleNamespace(host=Host, client=client)
