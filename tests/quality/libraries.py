"""Libraries that people use to write together, as systems under test: what each is known to break must be found.

`…/tests/quality/libraries.py:filelock_`, `:redis_lock`, `:sqlite` and `:shelf` are adapters. Each library is used as
its documentation shows, with its defaults, except for timeouts that the protocol asks for.
"""

from __future__ import annotations

import dbm.dumb
import json
import shelve
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import redis
from redis.lock import Lock

Json = dict[str, Any]


class Refused(Exception):
    certainly_not_done = True

    def __init__(self, error: str, **details: object) -> None:
        super().__init__(error)
        self.details = {"error": error, **details}


class Host:
    """A folder is all that these need."""

    contract = "versioned_store"

    def __init__(self, emit: Callable[..., None]) -> None:
        del emit

    def describe(self) -> Json:
        return {"name": "library", "contracts": [self.contract], "handles": {}, "events": [], "failpoints": []}

    def start(self, folder: str, label: str, options: Json) -> Json:
        del label, options
        return {"connect": folder}

    def stop(self) -> Json:
        return {}


class LockHost(Host):
    contract = "locks"


class RedisHost(LockHost):
    """Starts a Redis for the run."""

    def start(self, folder: str, label: str, options: Json) -> Json:
        address = str(Path(folder) / "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", address, "--save", "", "--dir", folder]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        any("eady to accept connections" in line for line in self._server.stdout)
        return {"connect": address}

    def stop(self) -> Json:
        self._server.kill()
        self._server.wait()
        return {}


class Client:
    def open(self, connect: str, client: int, timeout_s: float) -> None:
        self._folder, self._timeout_s = Path(connect), timeout_s

    def probe(self) -> None:
        return

    def close(self) -> None:
        return


class LockClient(Client):
    """A lock of the library, and a plain file or key that it guards. There are no tokens, so all are 0."""

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}

    def fetch(self, key: str) -> Json:
        return {"value": json.loads(self._get(key) or "null")}

    def store(self, key: str, value: object, token: int) -> None:
        self._put(key, json.dumps(value))


class FileLockClient(LockClient):
    def acquire(self, key: str, wait_s: float, lease_s: float) -> Json:
        lock = filelock.FileLock(self._folder / f"{key}.lock")
        try:
            lock.acquire(timeout=wait_s)
        except filelock.Timeout as error:
            raise Refused("held") from error
        self._held[key] = lock
        return {"token": 0}

    def release(self, key: str, token: int) -> None:
        self._held.pop(key).release()

    def _get(self, key: str) -> str:
        with suppress(FileNotFoundError):
            return (self._folder / key).read_text()
        return ""

    def _put(self, key: str, text: str) -> None:
        (self._folder / key).write_text(text)


class RedisLockClient(LockClient):
    def open(self, connect: str, client: int, timeout_s: float) -> None:
        self._redis = redis.Redis(unix_socket_path=connect, socket_timeout=timeout_s, decode_responses=True)

    def probe(self) -> None:
        self._redis.ping()

    def acquire(self, key: str, wait_s: float, lease_s: float) -> Json:
        lock = Lock(self._redis, f"lock:{key}", timeout=lease_s, sleep=0.01, blocking_timeout=wait_s)
        if not lock.acquire():
            raise Refused("held")
        self._held[key] = lock
        return {"token": 0}

    def release(self, key: str, token: int) -> None:
        try:
            self._held.pop(key).release()
        except redis.exceptions.LockError as error:
            raise Refused("not_owner") from error

    def _get(self, key: str) -> str:
        return str(self._redis.get(key) or "")

    def _put(self, key: str, text: str) -> None:
        self._redis.set(key, text)


class SqliteClient(Client):
    """Read the version, then write, in one transaction, as `sqlite3` begins it."""

    def open(self, connect: str, client: int, timeout_s: float) -> None:
        self._database = sqlite3.connect(Path(connect) / "data", timeout=timeout_s / 2, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("CREATE TABLE IF NOT EXISTS data (key TEXT PRIMARY KEY, value TEXT, version INTEGER)")

    def read(self, key: str) -> Json:
        row = self._database.execute("SELECT value, version FROM data WHERE key = ?", (key,)).fetchone()
        return {"value": json.loads(row[0]), "version": row[1]} if row else {"value": None, "version": 0}

    def write(self, key: str, value: object, expected_version: int | None = None) -> Json:
        try:
            self._database.execute("BEGIN")
            version = self.read(key)["version"]
            if expected_version not in {None, version}:
                raise Refused("conflict", version=version)
            row = key, json.dumps(value), version + 1
            self._database.execute("INSERT OR REPLACE INTO data VALUES (?, ?, ?)", row)
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Refused("busy", message=str(error)) from error
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        return {"version": version + 1}


class ShelfClient(Client):
    """Open, look, change, close; on the dbm that `shelve` takes where the system has no other."""

    def read(self, key: str) -> Json:
        with self._shelf() as shelf:
            value, version = shelf.get(key, (None, 0))
        return {"value": value, "version": version}

    def write(self, key: str, value: object, expected_version: int | None = None) -> Json:
        with self._shelf() as shelf:
            _, version = shelf.get(key, (None, 0))
            if expected_version not in {None, version}:
                raise Refused("conflict", version=version)
            shelf[key] = value, version + 1
        return {"version": version + 1}

    def _shelf(self) -> closing[shelve.Shelf[Any]]:
        return closing(shelve.Shelf(dbm.dumb.open(str(self._folder / "shelf"), "c")))


filelock_ = SimpleNamespace(host=LockHost, client=FileLockClient)
redis_lock = SimpleNamespace(host=RedisHost, client=RedisLockClient)
sqlite = SimpleNamespace(host=Host, client=SqliteClient)
shelf = SimpleNamespace(host=Host, client=ShelfClient)
