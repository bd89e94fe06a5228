"""An offered load: processes that each want to write so many times a second, and how long they wait."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from targets.locking.addresses import open_backend
from targets.locking.errors import LockingError

_KEY = "load"
_START_S = 1.0  # to import and connect
_PATIENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """`offered` and `done` are writes a second. Waits are in seconds, from when a write was due until it was durable.

    `within` says whether 99 of 100 were done within `budget_s`, and the load was carried (95 % of it).
    """

    backend: str
    offered: float
    done: float
    failed: int
    p50_s: float
    p99_s: float
    longest_s: float
    smallest_share: float
    budget_s: float

    @property
    def within(self) -> bool:
        """Whether this backend is fast enough."""
        return self.p99_s <= self.budget_s and self.done >= 0.95 * self.offered and not self.failed


def measure(address: str, *, clients: int, rate: float, seconds: float, budget_s: float) -> Result:
    """Let `clients` processes offer `rate` writes a second together, to one key of `address`; return how it went."""
    begin = time.monotonic() + _START_S
    each = [str(rate / clients), str(seconds)]
    command = [sys.executable, "-m", "targets.locking.load", address]
    started = [
        subprocess.Popen([*command, *each, str(begin + number / rate)], stdout=subprocess.PIPE, text=True)
        for number in range(clients)
    ]
    outcomes = [json.loads(process.communicate()[0] or '{"waits": [], "failed": 1}') for process in started]
    waits = sorted(wait for outcome in outcomes for wait in outcome["waits"])
    counts = [len(outcome["waits"]) for outcome in outcomes]
    last = max((outcome.get("ended", begin) for outcome in outcomes), default=begin)
    return Result(
        backend=address,
        offered=rate,
        done=len(waits) / max(seconds, last - begin),
        failed=sum(outcome["failed"] for outcome in outcomes),
        p50_s=_quantile(waits, 0.5),
        p99_s=_quantile(waits, 0.99),
        longest_s=_quantile(waits, 1.0),
        smallest_share=min(counts) / (sum(counts) / clients) if sum(counts) else 0.0,
        budget_s=budget_s,
    )


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("inf")


def _offer(address: str, rate: float, seconds: float, begin: float) -> dict[str, object]:
    """Write when each write is due; who is late goes on at once, and the wait counts from when it was due."""
    backend, pause, waits, failed = open_backend(address), threading.Event(), [], 0
    backend.read(_KEY)
    for number in range(max(1, round(rate * seconds))):
        due = begin + number / rate
        pause.wait(max(0.0, due - time.monotonic()))
        try:
            backend.update(_KEY, lambda found: (found.value or 0) + 1, timeout_s=_PATIENCE_S)
            waits.append(time.monotonic() - due)
        except LockingError:
            failed += 1
        if time.monotonic() > begin + 3 * seconds:  # it does not carry the load: enough is known
            break
    backend.close()
    return {"waits": waits, "failed": failed, "ended": time.monotonic()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_offer(sys.argv[1], *map(float, sys.argv[2:]))))
