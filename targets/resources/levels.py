"""When pressure rises and falls: a state machine without clock and world. Samples in, changes of level out.

The rules, in their order:

    1  at or above a threshold                            that level, at once
    2  at WARNING, and full within `horizon_s`            CRITICAL, at once: at 2 GiB/s 85 % comes too late
    3  below the level's threshold by `hysteresis`,       the level that rules 1 and 2 give
       and without a reason for it for `calm_s`
    4  otherwise                                          no change, and nothing is said twice
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from targets.resources.errors import BadRequest
from targets.resources.growth import Growth


class Level(IntEnum):
    """How bad it is."""

    NORMAL = 0
    WARNING = 1
    CRITICAL = 2
    EMERGENCY = 3

    @property
    def word(self) -> str:
        """Its name in events and options."""
        return self.name.lower()


PRESSING = (Level.WARNING, Level.CRITICAL, Level.EMERGENCY)


@dataclass(frozen=True)
class Sample:
    """What was used of a resource at a time in seconds. `limit` is None where there is none: then nothing presses."""

    at: float
    used: float
    limit: float | None

    @property
    def share(self) -> float:
        """The used part of the limit. A limit of 0 is always full."""
        if self.limit is None:
            return 0.0
        return self.used / self.limit if self.limit else 1.0


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Shares of the limit at which a level begins; `hysteresis` is a share as well, the rest is in seconds."""

    warning: float = 0.70
    critical: float = 0.85
    emergency: float = 0.95
    hysteresis: float = 0.05
    calm_s: float = 1.0
    horizon_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.warning <= self.critical <= self.emergency <= 1:
            got = f"{self.warning:.0%}, {self.critical:.0%} and {self.emergency:.0%}"
            raise BadRequest(f"warning, critical and emergency must rise, above 0 % and up to 100 %, got {got}")
        if not 0 <= self.hysteresis < self.warning:
            raise BadRequest(f"hysteresis must be less than the warning threshold, got {self.hysteresis:.0%}")

    def at(self, level: Level) -> float:
        """Return the share where `level` begins."""
        return (0.0, self.warning, self.critical, self.emergency)[level]

    def level(self, share: float) -> Level:
        """Return the highest level that begins at `share` or below."""
        return max(level for level in Level if self.at(level) <= share)

    def ahead(self, sample: Sample) -> float:
        """Return the use at which the next level begins, or the limit where none is left. The sample has a limit."""
        limit = sample.limit or 0.0
        return min((each for level in PRESSING if (each := self.at(level) * limit) > sample.used), default=limit)


@dataclass(frozen=True)
class Change:
    """A resource went from one level to another. `seconds_left` is None unless it grows."""

    resource: str
    old: Level
    new: Level
    sample: Sample
    per_s: float
    seconds_left: float | None
    cause: str

    def details(self) -> Mapping[str, object]:
        """Return what an event or a record says about it."""
        left = self.seconds_left
        return {
            "resource": self.resource,
            "level": self.new.word,
            "from": self.old.word,
            "used": round(self.sample.used, 3),
            "limit": self.sample.limit,
            "share": round(self.sample.share, 4),
            "per_s": round(self.per_s),
            "seconds_left": None if left is None else round(left, 4),
            "cause": self.cause,
        }

    def __str__(self) -> str:
        text = f"{self.resource} at {self.sample.share:.0%} of its limit: {self.old.word} -> {self.new.word}"
        return text if self.seconds_left is None else f"{text}, full in {self.seconds_left:.2f} s if it goes on"


class Gauge:
    """The level of one resource."""

    def __init__(self, resource: str, thresholds: Thresholds) -> None:
        self.resource = resource
        self.thresholds = thresholds
        self.level = Level.NORMAL
        self.growth = Growth()
        self._calm_since: float | None = None

    def feed(self, sample: Sample) -> Change | None:
        """Take a sample; return the change of level that it brings, if any. Samples come in the order of time."""
        self.growth.add(sample.at, sample.used)
        due = self.thresholds.level(sample.share)
        cause = "threshold"
        if due == Level.WARNING and self._is_soon_full(sample):
            due, cause = Level.CRITICAL, "growth"
        held = max(level for level in Level if level <= self.level and self._holds(level, sample.share))
        if max(due, held) >= self.level:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = sample.at
        calm = self._calm_since is not None and sample.at - self._calm_since >= self.thresholds.calm_s
        if due <= self.level and not calm:
            return None
        old, self.level, self._calm_since = self.level, max(due, held) if calm else due, None
        left = None if sample.limit is None else self.growth.seconds_to(sample.limit)
        return Change(self.resource, old, self.level, sample, self.growth.per_s, left, "relief" if calm else cause)

    def _is_soon_full(self, sample: Sample) -> bool:
        left = self.growth.seconds_to(sample.limit or 0.0)
        return left is not None and left <= self.thresholds.horizon_s

    def _holds(self, level: Level, share: float) -> bool:
        return share > self.thresholds.at(level) - self.thresholds.hysteresis


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to look. Seconds.

    The next look comes when a quarter of the way to the next threshold can be gone at most, at the growth that is seen
    or, unless the kernel wakes us there, at `fastest_per_s`, the most that this machine's memory takes. At rest not
    below `rest_s`, so that watching costs less than 1 % of a processor. What cannot be full a moment later is looked at
    every `slow_s`.
    """

    shortest_s: float = 0.001
    rest_s: float = 0.04
    longest_s: float = 0.25
    slow_s: float = 1.0
    fastest_per_s: float = 2.5 * (1 << 30)

    def pause(self, gauge: Gauge, sample: Sample, *, woken: bool) -> float:
        """Return the seconds until the next look, where the kernel wakes us at the next threshold if `woken`."""
        if sample.limit is None:
            return self.longest_s
        room = gauge.thresholds.ahead(sample) - sample.used
        rate = max(gauge.growth.per_s, 0.0) if woken else self.fastest_per_s
        # Less than a second away at the growth that is seen is no rest.
        resting = gauge.level == Level.NORMAL and gauge.growth.last_per_s < room
        least = self.rest_s if resting else self.shortest_s
        return self.longest_s if rate <= 0 else min(self.longest_s, max(least, room / rate / 4))
