"""What a process of its own does with locks: `python -m support.lock_worker WHAT ADDRESS RESOURCE …`."""

from __future__ import annotations

import json
import sys
import time

from support.locks_kit import open_by_address
from targets.locking.errors import LockingError
from targets.locking.fencing import FencedResource
from targets.locking.manager import LockManager


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def hold(address: str, resource: str, key: str, lease_s: str) -> None:
    """Take the key and hold it until told; then add one to what it read, and release."""
    manager = LockManager(open_by_address(address), guarded := FencedResource(resource), owner="worker")
    held = manager.acquire(key, lease_s=float(lease_s))
    value = guarded.read(key, held.token) or 0
    say(held.token)
    sys.stdin.readline()
    try:
        guarded.write(key, value + 1, held.token)
        held.release()
        say("written")
    except LockingError as error:
        say(type(error).__name__)


def wait(address: str, resource: str, key: str) -> None:
    """Stand in the queue."""
    manager = LockManager(open_by_address(address), FencedResource(resource), owner="waiter")
    say("waiting")
    say(manager.acquire(key).token)
    sys.stdin.readline()


def increment(address: str, _: str, key: str, seconds: str) -> None:
    """Add one to a versioned value, again and again; say how often, and the longest wait."""
    backend, count, longest = open_by_address(address), 0, 0.0
    backend.read(key)
    ends = time.monotonic() + float(seconds)
    while (began := time.monotonic()) < ends:
        backend.update(key, lambda found: (found.value or 0) + 1, timeout_s=30)
        longest = max(longest, time.monotonic() - began)
        count += 1
    say([count, longest])


def locked(address: str, resource: str, key: str, times: str) -> None:
    """Add one to a guarded value under the lock, so many times."""
    manager = LockManager(open_by_address(address), guarded := FencedResource(resource))
    for _ in range(int(times)):
        with manager.acquire(key, timeout_s=30) as held:
            guarded.write(key, (guarded.read(key, held.token) or 0) + 1, held.token)
    say("done")


if __name__ == "__main__":
    {"hold": hold, "wait": wait, "increment": increment, "locked": locked}[sys.argv[1]](*sys.argv[2:])
