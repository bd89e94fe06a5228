"""The optimistic lock: nobody waits, and who was overtaken is told by whom."""

from __future__ import annotations

from targets.locking.backend import TIMEOUT_S, Change, Versioned, Versions


class OptimisticLock:
    """Versioned values for one `writer`, whose name others see in their conflicts.

    `read` says the version; `write` states the version that it was decided on; `update` does both, and again where
    somebody else was faster. A `request` (unique in its key) makes a repetition harmless: what was done the first
    time is not done again, and answered with the same version, while the key has seen fewer than
    `REMEMBERED_REQUESTS` writes since.
    """

    def __init__(self, backend: Versions, *, writer: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._backend = backend
        self._writer = writer
        self._timeout_s = timeout_s

    def read(self, key: str) -> Versioned:
        """Return the newest value and its version; version 0 is "never written"."""
        return self._backend.read(key, timeout_s=self._timeout_s)

    def write(
        self, key: str, value: object, expected_version: int | None = None, *, request: str | None = None
    ) -> Versioned:
        """Write and return the new version. Raises `VersionConflict` if it is not on `expected_version`."""
        return self._backend.write(
            key, value, expected=expected_version, writer=self._writer, request=request, timeout_s=self._timeout_s
        )

    def update(self, key: str, change: Change, *, request: str | None = None) -> Versioned:
        """Replace the value by `change(newest)` and return it with its version. See `backend` for what `change` may do.

        Tries, with jitter, until `timeout_s` is over: then `TooManyConflicts`, and nothing is written.
        """
        return self._backend.update(key, change, writer=self._writer, request=request, timeout_s=self._timeout_s)
