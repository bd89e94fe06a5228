"""How fast something grows, from the last few samples, and when it will have reached its limit. Pure."""

from __future__ import annotations

from collections import deque
from itertools import combinations

REMEMBERED = 9
ENOUGH = 3
_PACE = 8  # a sample this many times further away than the newest two are from each other tells of another time


class Growth:
    """The slope through the last samples by Theil and Sen: the median of the slopes of all pairs.

    A median, since one reading that is off (a garbage collection, a buffer that comes and goes) must neither start a
    shutdown nor hide what needs one: with nine samples any two may be arbitrarily wrong.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._slope: float | None = 0.0
        self.last_per_s = 0.0
        """Growth between the last two samples: nothing to decide by, but enough to look more closely."""

    def add(self, at: float, used: float) -> None:
        """Take a sample: seconds and, say, bytes. Samples of one moment, or from before the last, are left out."""
        if self._samples and at <= self._samples[-1][0]:
            return
        self._slope = None
        if self._samples:
            self.last_per_s = (used - self._samples[-1][1]) / (at - self._samples[-1][0])
            farthest = at - _PACE * (at - self._samples[-1][0])
            while self._samples[0][0] < farthest:
                self._samples.popleft()
        self._samples.append((at, used))

    @property
    def per_s(self) -> float:
        """Growth a second, negative while it shrinks; 0 as long as there are too few samples of one pace to tell."""
        if self._slope is None:
            pairs = combinations(self._samples, 2) if len(self._samples) >= ENOUGH else ()
            slopes = sorted([(b - a) / (then - at) for (at, a), (then, b) in pairs] or [0.0])
            middle = len(slopes) // 2
            self._slope = (slopes[middle] + slopes[~middle]) / 2
        return self._slope

    def seconds_to(self, limit: float) -> float | None:
        """Seconds until `limit` is reached if it goes on like this; None if it does not grow."""
        if not self._samples or self.per_s <= 0:
            return None
        return max(0.0, (limit - self._samples[-1][1]) / self.per_s)
