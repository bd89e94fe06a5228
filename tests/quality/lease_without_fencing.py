"""A planted bug: the locks are right, but what they guard takes any write, however old its token is.

A lease ends while its holder is paused, somebody else is granted the lock, and then the paused one wakes up and writes
over what was written since. The check `no_lost_updates` must convict it. Referenced as
`…/tests/quality/lease_without_fencing.py:adapter`.
"""

from __future__ import annotations

from types import SimpleNamespace

from targets.locking.adapter import host
from targets.locking.client import LockingClient

Json = dict[str, object]


class TrustingClient(LockingClient):
    """Keeps what is guarded where nobody looks at tokens."""

    def fetch(self, key: str) -> Json:
        return {"value": self.read(f"guarded:{key}")["value"]}

    def store(self, key: str, value: object, token: int) -> Json:
        del token
        self.write(f"guarded:{key}", value)
        return {}


adapter = SimpleNamespace(host=host, client=TrustingClient)
