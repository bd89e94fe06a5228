"""A planted bug: a lock that is looked at first and taken afterwards; whoever looked in between takes it as well.

Two steps on the real versioned store, where one (a write on the version that was read) would do. The check
`mutual_exclusion` must convict it. Referenced as `…/tests/quality/check_then_act.py:adapter`.
"""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

from targets.locking.adapter import host
from targets.locking.client import LockingClient

Json = dict[str, object]
_LOOK_EVERY_S = 0.002


class Held(Exception):
    certainly_not_done = True

    def __init__(self) -> None:
        super().__init__("held")
        self.details = {"error": "held"}


class HastyClient(LockingClient):
    """Takes what looks free."""

    def acquire(self, key: str, wait_s: float, lease_s: float) -> Json:
        deadline = time.monotonic() + wait_s
        while True:
            found = self.read(f"lock:{key}")
            taken = found["value"] or {"token": 0, "until": 0.0}
            if taken["until"] <= time.monotonic():
                break
            if time.monotonic() > deadline:
                raise Held
            threading.Event().wait(_LOOK_EVERY_S)
        token = taken["token"] + 1
        self.write(f"lock:{key}", {"token": token, "until": time.monotonic() + lease_s})
        return {"token": token}

    def release(self, key: str, token: int) -> Json:
        return self.write(f"lock:{key}", {"token": token, "until": 0.0})


adapter = SimpleNamespace(host=host, client=HastyClient)
