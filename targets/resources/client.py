"""A client of the protected service; also the client role of the adapter. Imports nothing slow."""

from __future__ import annotations

from targets.state.client import Json, StateClient


class WorkClient(StateClient):
    """A `StateClient` that can ask for work, and let the service grow. Quantities may be text: `64MiB`, `1GiB/s`."""

    def work(self, key: str, value: object, bytes: int | str = 0, hold_s: float | str = 0) -> Json:  # noqa: A002  the wire's name
        """Have `bytes` of memory held for `hold_s`, then `value` kept; return the new `version` of `key`."""
        return self._call({"op": "work", "key": key, "value": value, "bytes": bytes, "hold_s": hold_s})

    def grow(self, bytes: int | str, rate: float | str | None = None, kind: str = "private") -> Json:  # noqa: A002
        """Let the service grow by so much inside itself, as a leak would; 0 gives it back. Returns at once."""
        return self._call({"op": "grow", "bytes": bytes, "rate": rate, "kind": kind})
