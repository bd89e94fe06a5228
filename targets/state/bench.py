"""How fast this store is on one file system, beside what that file system can do at best."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from targets.state.errors import NotAStore
from targets.state.settings import Settings
from targets.state.store import StateStore
from targets.state.vault import Vault

LONGEST_S = 60.0
WRITERS = 10

_RARELY = Settings(snapshot_every=10**9, checkpoint_every=10**9, scrub_every_s=10**6)
_VALUE = {"agent": 7, "status": "running", "note": "x" * 120}
_LARGE_VALUE = "x" * (64 << 10)
_FRAME = b"x" * 430  # as long as the record of `_VALUE`
_RESTORED_BYTES = 16 << 20
_ROUNDS = 2  # of the three rates in turn: a disk's speed drifts
_SHARES = 8


@dataclass(frozen=True)
class Figure:
    """One result, and how it compares."""

    what: str
    value: float
    unit: str
    compared: str

    def __str__(self) -> str:
        return f"{self.what:<26}{self.value:>12,.1f} {self.unit:<4}{self.compared}"


def measure(folder: Path, seconds: float, progress: Callable[[str], None]) -> list[Figure]:
    """Return the figures, after about `seconds`.

    Raises `NotAStore` where there is no such folder, `OSError` or a `StateError` where it cannot be written to.
    Whatever ends it but SIGKILL, nothing is left behind.
    """
    if not folder.is_dir():
        raise NotAStore(f"there is no folder {folder}; name one on the disk that is to be measured")
    with _workshop(folder) as place:
        rates = dict.fromkeys(("append + fdatasync", "1 writer", f"{WRITERS} writers"), 0.0)
        for turn in range(_ROUNDS):
            for what in rates:
                progress(f"{what} ({turn + 1} of {_ROUNDS})")
                rates[what] += _rate(what, place / f"{turn}-{what[0]}", seconds / _SHARES) / _ROUNDS
        progress("a restore")
        return [*_compared(*rates.values()), _restore(place / "large", seconds / _SHARES)]


def _compared(bare: float, one: float, ten: float) -> Iterator[Figure]:
    yield Figure("bare append + fdatasync", bare, "/s", "the best that one writer can get")
    yield Figure("durable writes, 1 writer", one, "/s", f"{one / bare:.2f} of that")
    yield Figure(f"durable writes, {WRITERS} writers", ten, "/s", f"{ten / one:.1f} times one writer")


def _rate(what: str, path: Path, seconds: float) -> float:
    """Return how many durable writes a second there were."""
    if what.startswith("append"):
        return _bare_rate(path, seconds)
    store = StateStore(path, _RARELY)
    try:
        return _store_rate(store, 1 if what == "1 writer" else WRITERS, seconds)
    finally:
        store.close()


def _bare_rate(path: Path, seconds: float) -> float:
    count, began = 0, time.monotonic()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while time.monotonic() - began < seconds:
            os.write(file, _FRAME)
            os.fdatasync(file)
            count += 1
    finally:
        os.close(file)
    return count / (time.monotonic() - began)


def _store_rate(store: StateStore, writers: int, seconds: float) -> float:
    """Return the rate of all writers together; the error of one ends it."""
    counts = [0] * writers
    errors: list[Exception] = []
    began = time.monotonic()

    def work(writer: int) -> None:
        try:
            while time.monotonic() - began < seconds and not errors:
                store.write(f"{writer}:{counts[writer] % 100}", _VALUE)
                counts[writer] += 1
        except Exception as error:  # noqa: BLE001  raised below, in the thread that people see
            errors.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return sum(counts) / (time.monotonic() - began)


def _restore(path: Path, seconds: float) -> Figure:
    """Time an opening: it reads, verifies and replays everything, and writes the current generation anew."""
    store = StateStore(path, _RARELY)
    began, written = time.monotonic(), 0
    while written < _RESTORED_BYTES and time.monotonic() - began < seconds:
        store.write(f"k{written}", _LARGE_VALUE)
        written += len(_LARGE_VALUE)
    store.close()
    files = Vault(path)
    began = time.monotonic()
    read = [(len(data), hashlib.sha256(data).digest()) for data in files.read().values()]
    bare = time.monotonic() - began
    megabytes = sum(length for length, _ in read) / 1e6
    began = time.monotonic()
    StateStore(path, _RARELY).close()
    took = time.monotonic() - began
    compared = f"{took / bare:.1f} times read + SHA-256 of the same {megabytes:.1f} MB"
    return Figure("restore, until it serves", took * 1000, "ms", compared)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """Make a folder for the time of the measurement; SIGTERM ends it as Ctrl-C does."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    place = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place)
        signal.signal(signal.SIGTERM, before)
