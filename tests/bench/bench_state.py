"""The state store beside the disk, the hash and the parser that it cannot do without."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from _measure import Row, interleaved, seconds

from targets.state.records import Record
from targets.state.recovery import recover
from targets.state.settings import Settings
from targets.state.store import StateStore
from targets.state.vault import Vault

WRITES = 1500
FRAME = 8 + 1 + 64 + 1  # bytes before a record's body
RARELY = Settings(snapshot_every=10**9, checkpoint_every=10**9, scrub_every_s=10**6)
VALUE = {"agent": 7, "status": "running", "note": "x" * 120}


def durable_appends(folder: Path) -> Row:
    """One writer of the store, beside a bare loop of append and fdatasync with frames of the same size."""
    frame = b"x" * 414  # as long as the record of `VALUE`

    def store() -> float:
        path = Path(tempfile.mkdtemp(dir=folder))
        kept = StateStore(path, RARELY)
        took = seconds(lambda: [kept.write(f"k{n % 100}", VALUE) for n in range(WRITES)])
        kept.close()
        return WRITES / took

    def bare() -> float:
        file = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

        def loop() -> None:
            for _ in range(WRITES):
                os.write(file, frame)
                os.fdatasync(file)

        took = seconds(loop)
        os.close(file)
        return WRITES / took

    ours, theirs, ratio = interleaved(store, bare, 11)
    return Row("durable writes, one writer", ours, "append + fdatasync", theirs, "/s", ratio, 0.8, at_least=True)


def group_commit(folder: Path) -> Row:
    """Ten writers that share syncs, beside one."""

    def writers(count: int) -> float:
        kept = StateStore(Path(tempfile.mkdtemp(dir=folder)), RARELY)

        def work(name: int) -> None:
            for n in range(WRITES // count):
                kept.write(f"{name}:{n % 100}", VALUE)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(count)]

        def run() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        took = seconds(run)
        kept.close()
        return WRITES / took

    ours, theirs, ratio = interleaved(lambda: writers(10), lambda: writers(1), 7)
    return Row("durable writes, ten writers", ours, "one writer", theirs, "/s", ratio, 2.0, at_least=True)


def restore(folder: Path) -> Row:
    """Recovery of about 100 MB of state, beside reading, hashing and parsing the same bytes."""
    path = folder / "large"
    kept = StateStore(path, RARELY)
    for n in range(300):
        kept.write(f"k{n}", ["word " * 12] * 5_000)
    kept.rotate()
    kept.close()
    large = [file for file in path.iterdir() if file.stat().st_size > 1_000_000]

    def bare() -> float:
        gc.collect()
        gc.disable()
        began = time.perf_counter()
        for file in large:
            data = file.read_bytes()
            hashlib.sha256(data).hexdigest()
            framed = file.name.startswith("journal")
            for line in data.splitlines() if framed else [data]:
                msgspec.json.decode(line[FRAME:] if framed else line)
        took = time.perf_counter() - began
        gc.enable()
        return took

    def ours() -> float:
        gc.collect()
        return seconds(lambda: recover(Vault(path).read()))

    mine, theirs, ratio = interleaved(ours, bare, 5)
    return Row("restore of 100 MB of state", mine, "read + SHA-256 + parse", theirs, "s", ratio, 1.5)


def replay(folder: Path) -> Row:
    """Recovery from the journal alone, beside hashing and parsing the lines of both of its copies.

    The store verifies the mirror by comparing it with the journal, byte by byte. A loop that does so too, and so hashes
    and parses one copy, is twice as fast as the one measured here; unlike the store it verifies and keeps nothing.
    """
    path = folder / "journal-only"
    kept = StateStore(path, RARELY)
    threads = [
        threading.Thread(target=lambda name=name: [kept.write(f"{name}:{n}", VALUE) for n in range(2_000)])
        for name in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept.close()
    (path / "state.json").unlink()
    files = Vault(path).read()
    decode = msgspec.json.Decoder(Record).decode

    def bare() -> float:
        def parse() -> None:
            for data in (data for name, data in files.items() if name.startswith("journal")):
                for line in data.splitlines():
                    body = line[FRAME:]
                    hashlib.sha256(body).hexdigest()
                    decode(body)

        gc.collect()
        gc.disable()
        took = seconds(parse)
        gc.enable()
        return 20_000 / took

    def ours() -> float:
        gc.collect()
        return 20_000 / seconds(lambda: recover(files))

    mine, theirs, ratio = interleaved(ours, bare, 5)
    return Row("replay of a journal and its mirror", mine, "SHA-256 + parse", theirs, "/s", ratio, 0.7, at_least=True)


def rows() -> Iterator[Row]:
    """Measure everything of this file."""
    folder = Path(tempfile.mkdtemp(prefix="bigfive-bench-"))
    try:
        yield durable_appends(folder)
        yield group_commit(folder)
        yield replay(folder)
        yield restore(folder)
    finally:
        shutil.rmtree(folder)
