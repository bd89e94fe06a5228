"""Locks and documents with one bug each, for `python -m harness.serve`; started in this folder, which they import."""

# ruff: noqa: ANN401  a planted bug passes on whatever it gets
from __future__ import annotations

import contextlib
from typing import Any

import small_locks as small


class Good:
    host = small.Host
    client = small.Client


class SameToken(Good):
    class client(small.Client):  # noqa: N801  an adapter has callables of these names
        def _grant(self, state: Any, keys: Any, lease_s: Any) -> Any:
            return dict.fromkeys(super()._grant(state, keys, lease_s), 1)

        def _own(self, state: Any, key: Any, token: Any) -> Any:
            return state[f"lock {key}"]


class Generous(Good):
    class client(small.Client):  # noqa: N801
        def _grant(self, state: Any, keys: Any, lease_s: Any) -> Any:
            for key in keys:
                state.pop(f"lock {key}", None) if key == "held" else None
            return super()._grant(state, keys, lease_s)


class Impatient(Good):
    class client(small.Client):  # noqa: N801
        def acquire(self, key: Any, wait_s: Any, lease_s: Any) -> Any:
            return super().acquire(key, 0.0, lease_s)


class Endless(Good):
    class client(small.Client):  # noqa: N801
        def _grant(self, state: Any, keys: Any, lease_s: Any) -> Any:
            return super()._grant(state, keys, 1e9)


class Anybody(Good):
    class client(small.Client):  # noqa: N801
        def _own(self, state: Any, key: Any, token: Any) -> Any:
            self._me, me = state[f"lock {key}"]["owner"], self._me
            try:
                return super()._own(state, key, token)
            finally:
                self._me = me


class Unguarded(Good):
    class client(small.Client):  # noqa: N801
        def store(self, key: Any, value: Any, token: Any) -> Any:
            if key != "guarded":
                super().store(key, value, token)


class Unfenced(Good):
    class client(small.Client):  # noqa: N801
        def fetch(self, key: Any) -> Any:
            with self._state() as state:
                return {"value": state.get(f"guarded {key}")}


class OneByOne(Good):
    class client(small.Client):  # noqa: N801
        def acquire_all(self, keys: Any, wait_s: Any, lease_s: Any) -> Any:
            tokens: dict[str, int] = {}
            for key in keys:
                tokens |= super().acquire_all([key], wait_s, lease_s)["tokens"]
            return {"tokens": tokens}


class LastWriterWins(Good):
    class client(small.Client):  # noqa: N801
        def submit(self, document: Any, agent: Any, base_version: Any, request: Any, operations: Any) -> Any:
            with self._state() as state, contextlib.suppress(KeyError):
                del state[f"document {document}"]
            return super().submit(document, agent, base_version, request, operations)


class Again(Good):
    class client(small.Client):  # noqa: N801
        def submit(self, document: Any, agent: Any, base_version: Any, request: Any, operations: Any) -> Any:
            self._count = getattr(self, "_count", 0) + 1
            return super().submit(document, agent, base_version, f"{request} {self._count}", operations)
