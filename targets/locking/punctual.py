"""Calls that answer in time, whatever they wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from targets.locking.errors import OutcomeUnknown, Unavailable

T = TypeVar("T")


class Punctual:
    """Runs one call at a time on a thread of its own, and gives up on it when its time is over.

    What was given up goes on; until it is done, later calls are refused when their own time is over.
    """

    def __init__(self) -> None:
        self._call: Callable[[], None] | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def run(self, call: Callable[[], T], timeout_s: float) -> T:
        """Return `call()`. Raises what it raises, or after `timeout_s` `OutcomeUnknown`; `Unavailable` if not begun."""
        deadline = time.monotonic() + timeout_s
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(call())
            except BaseException as error:  # noqa: BLE001  raised again where it was asked for
                errors.append(error)

        with self._changed:
            if not self._changed.wait_for(lambda: self._call is None, timeout_s):
                raise Unavailable("an earlier call is still under way; this one was not begun")
            self._call = work
            self._start()
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: results or errors, deadline - time.monotonic()):
                raise OutcomeUnknown(f"not finished within {timeout_s:.3g} s")
        if errors:
            raise errors[0]
        return results[0]

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="locking-client", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._call is not None)
                call = self._call
            if call is not None:
                call()
            with self._changed:
                self._call = None
                self._changed.notify_all()
