"""A small system that keeps every contract of writing together: one JSON file, changed under `flock`.

Correct, slow, and not durable: what the runner and the checks are tried on, and what planted bugs are derived from.
A lock whose lease has not ended is waited for by looking every few milliseconds; nobody stands in line.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Json = dict[str, Any]
_LOOK_EVERY_S = 0.002


class Refused(Exception):
    """Certainly not done."""

    certainly_not_done = True

    def __init__(self, error: str, **details: object) -> None:
        super().__init__(error)
        self.details = {"error": error, **details}


class Host:
    """Nothing runs, so there is nothing to start."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._folder: str | None = None

    def describe(self) -> Json:
        folder = {"type": "folder", **({"path": self._folder} if self._folder else {})}
        contracts = ["versioned_store", "locks", "documents"]
        return {"name": "small", "contracts": contracts, "handles": {"folder": folder}, "events": [], "failpoints": []}

    def start(self, folder: str, label: str, options: Json | None = None, links: Json | None = None) -> Json:
        self._folder = folder
        (Path(folder) / "state").write_text("{}")
        return {"connect": {"file": str(Path(folder) / "state"), **(options or {})}}

    def stop(self) -> Json:
        return {}


class Client:
    """One owner of locks, one writer, one agent."""

    def open(self, connect: Json, client: int, timeout_s: float) -> None:
        self._file = os.open(connect["file"], os.O_RDWR)
        self._me = client

    def probe(self) -> None:
        with self._state():
            return

    def close(self) -> None:
        os.close(self._file)

    def read(self, key: str) -> Json:
        with self._state() as state:
            value, version = state.get(f"value {key}", [None, 0])
        return {"value": value, "version": version}

    def write(self, key: str, value: object, expected_version: int | None = None) -> Json:
        with self._state() as state:
            version = state.get(f"value {key}", [None, 0])[1]
            if expected_version not in {None, version}:
                raise Refused("conflict", version=version)
            state[f"value {key}"] = [value, version + 1]
        return {"version": version + 1}

    def acquire(self, key: str, wait_s: float, lease_s: float) -> Json:
        return {"token": self.acquire_all([key], wait_s, lease_s)["tokens"][key]}

    def acquire_all(self, keys: list[str], wait_s: float, lease_s: float) -> Json:
        deadline = time.monotonic() + wait_s
        while True:
            with self._state() as state:
                tokens = self._grant(state, keys, lease_s)
            if tokens:
                return {"tokens": tokens}
            if time.monotonic() > deadline:
                raise Refused("held")
            threading.Event().wait(_LOOK_EVERY_S)

    def renew(self, key: str, token: int) -> None:
        with self._state() as state:
            self._own(state, key, token)["until"] = time.monotonic() + state[f"lock {key}"]["lease_s"]

    def release(self, key: str, token: int) -> None:
        with self._state() as state:
            self._own(state, key, token)["until"] = 0.0

    def release_all(self, tokens: Mapping[str, int]) -> None:
        for key, token in tokens.items():
            self.release(key, token)

    def fetch(self, key: str) -> Json:
        with self._state() as state:
            lock = state.get(f"lock {key}", {})
            if lock.get("owner") == self._me:
                state[f"seen {key}"] = lock["token"]
            return {"value": state.get(f"guarded {key}")}

    def store(self, key: str, value: object, token: int) -> None:
        with self._state() as state:
            if token < state.get(f"seen {key}", 0):
                raise Refused("stale")
            state[f"seen {key}"], state[f"guarded {key}"] = token, value

    def attach(self, document: str, agent: str) -> Json:
        return {"version": self.inspect(document)["version"]}

    def detach(self, document: str, agent: str) -> None:
        return

    def inspect(self, document: str) -> Json:
        with self._state() as state:
            return dict(_document(state, document)["shown"])

    def submit(self, document: str, agent: str, base_version: int, request: str, operations: list[Json]) -> Json:
        with self._state() as state:
            kept = _document(state, document)
            if request not in kept["answers"]:
                shown = kept["shown"]
                shown["version"] += 1
                conflicts = [
                    found for each in operations if (found := _apply(kept, each, base_version, shown["version"]))
                ]
                shown["conflicts"] += conflicts
                kept["answers"][request] = {"version": shown["version"], "conflicts": conflicts}
            return dict(kept["answers"][request])

    def _grant(self, state: Json, keys: list[str], lease_s: float) -> dict[str, int]:
        """Grant all the keys, or none."""
        now = time.monotonic()
        locks = {key: state.setdefault(f"lock {key}", {"token": 0, "until": 0.0}) for key in keys}
        if any(lock["until"] > now for lock in locks.values()):
            return {}
        for lock in locks.values():
            lock.update(token=lock["token"] + 1, until=now + lease_s, lease_s=lease_s, owner=self._me)
        return {key: lock["token"] for key, lock in locks.items()}

    def _own(self, state: Json, key: str, token: int) -> Json:
        lock: Json = state.get(f"lock {key}", {"token": 0, "until": 0.0})
        if lock["token"] != token or lock["until"] <= time.monotonic() or lock["owner"] != self._me:
            raise Refused("not_owner")
        return lock

    @contextmanager
    def _state(self) -> Iterator[Json]:
        """Lend the state; what is changed of it is written back."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            before = os.pread(self._file, os.fstat(self._file).st_size, 0)
            state = json.loads(before)
            yield state
            after = json.dumps(state).encode()
            if after != before:
                os.pwrite(self._file, after.ljust(len(before)), 0)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _document(state: Json, name: str) -> Json:
    """Return a document: what is `shown` of it, who `made` each member when, and the `answers` to requests."""
    shown = {"content": {}, "version": 0, "conflicts": []}
    return state.setdefault(f"document {name}", {"shown": shown, "made": {}, "answers": {}})  # type: ignore[no-any-return]


def _apply(kept: Json, operation: Json, base: int, version: int) -> Json | None:
    """Apply an operation; return both sides where it replaces what its author had not seen."""
    content, path = kept["shown"]["content"], operation["path"]
    if operation["op"] == "append":
        content.setdefault(path, []).append(operation["item"])
        return None
    if operation["op"] == "increment":
        content[path] = content.get(path, 0) + operation["by"]
        return None
    mine, theirs = operation.get("value", operation.get("content")), content.get(path)
    unseen = kept["made"].get(path, 0) > base
    content[path], kept["made"][path] = mine, version
    return {"path": path, "kept": mine, "replaced": theirs} if unseen else None


adapter = SimpleNamespace(host=Host, client=Client)
