"""What one waiter has seen, and for how long, by its own monotonic clock: no wall clock frees anything.

A lease has ended when its holder did not renew for as long as the lease is, counted from when this waiter first saw
the last renewal. That is never too early, whatever anybody's clock does, and late by the time until the first look.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from targets.locking.backend import Blocked, Presumption

STALLED_S = 0.5
"""Who is first and does not take a free lock for so long (it is paused, or on a dead host) is passed over."""

_LOOK_S = 0.25  # a lost ring costs no more than this
_LOOK_PER_WAITER_S = 0.01  # two hundred waiters together look a hundred times a second


class Patience:
    """The observations of one wait. `clock` returns seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._leases: dict[int, tuple[int, float, float]] = {}  # token → renewals, since when, how long
        self._died: list[int] = []
        self._gone: list[int] = []
        self._idle: tuple[int, float] | None = None  # who is first while nobody holds, since when

    def see(self, blocked: Blocked) -> None:
        """Take note of a look that has just been answered."""
        now = self._clock()
        before, self._leases = self._leases, {}
        self._died = [holder.token for holder in blocked.holders if not holder.alive]
        self._gone = [waiter.ticket for waiter in blocked.ahead if not waiter.alive]
        for holder in blocked.holders:
            renewals, since, _ = before.get(holder.token, (-1, now, 0.0))
            since = since if renewals == holder.renewals else now
            self._leases[holder.token] = (holder.renewals, since, holder.lease_s)
        first = blocked.ahead[0].ticket if blocked.ahead and not blocked.holders else None
        if first is None:
            self._idle = None
        elif self._idle is None or self._idle[0] != first:
            self._idle = (first, now)

    def presumption(self) -> Presumption:
        """Return what has been seen for long enough by now."""
        now = self._clock()
        ended = [(t, renewals) for t, (renewals, since, lease_s) in self._leases.items() if now - since >= lease_s]
        stalled = [self._idle[0]] if self._idle is not None and now - self._idle[1] >= STALLED_S else []
        return Presumption(ended, self._died, [*stalled, *self._gone])

    def next_look_s(self, ahead: int) -> float:
        """Return in how many seconds to look again if nothing is heard; `ahead` is how many came first."""
        if self._died or self._gone:
            return 0.0
        now = self._clock()
        ends = [since + lease_s - now for _, since, lease_s in self._leases.values()]
        if self._idle is not None:
            ends.append(self._idle[1] + STALLED_S - now)
        look = (_LOOK_S + _LOOK_PER_WAITER_S * ahead) * random.uniform(0.8, 1.2)  # noqa: S311  jitter
        return max(0.001, min([look, *ends]))
