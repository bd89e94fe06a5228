"""The only place of the harness that waits for something that cannot be selected on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from harness.errors import TimedOut

T = TypeVar("T")

_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02


def until(condition: Callable[[], T], what: str, timeout_s: float) -> T:
    """Return the first truthy result of `condition`. Raises `TimedOut` with the last result as its evidence.

    `condition` is asked at once, then after pauses that grow from 1 to 20 ms, and once more at the deadline.
    """
    began = time.monotonic()
    pause = _FIRST_PAUSE_S
    while not (result := condition()):
        left = began + timeout_s - time.monotonic()
        if left <= 0:
            raise TimedOut(what, timeout_s, evidence=repr(result))
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE_S)
    return result
