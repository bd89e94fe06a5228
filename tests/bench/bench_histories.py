"""The linearizability checker's own time, beside that of reading the same history."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from _measure import Row, interleaved, seconds

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.checks.linearizable import Linearizable
from harness.histories.checking import check
from harness.histories.files import load
from harness.histories.models import named
from harness.runners.concurrent_writers import ConcurrentWriters
from harness.units import Rate, Seconds
from support.simulated import Store, Texts, World
from support.third_party import FOLDER, convert
from support.writing import World as Writing


def versioned() -> Row:
    """Ten thousand operations by fifty clients on one key."""
    operations, model = World(Store(keys=1), 50, seed=1).history(10_000), named("versioned_register")
    text = msgspec.json.encode(operations)

    def ours() -> float:
        return seconds(lambda: check(operations, model)) * 1e3

    mine, theirs, _ = interleaved(ours, lambda: seconds(lambda: msgspec.json.decode(text)) * 1e3, 9)
    return Row("checker, 10,000 versioned operations, 50 clients", mine, "decoding them", theirs, "ms", mine, 200)


def texts() -> Row:
    """Two thousand operations by fifty clients on ten keys of a store that appends."""
    operations, model = World(Texts(keys=10, mix=(45, 50, 5)), 50, seed=1).history(2_000), named("kv")
    text = msgspec.json.encode(operations)

    def ours() -> float:
        return seconds(lambda: check(operations, model)) * 1e3

    mine, theirs, _ = interleaved(ours, lambda: seconds(lambda: msgspec.json.decode(text)) * 1e3, 5)
    return Row("checker, 2,000 appends, puts and gets, 50 clients", mine, "decoding them", theirs, "ms", mine, 1000)


def locks() -> Row:
    """Ten thousand operations on locks by fifty clients, translated from the record and judged."""
    writers: Any = {"writers": 50, "rate": Rate(200), "keys": 10, "hold": Seconds(0.005)}
    record = Writing(ConcurrentWriters(**writers), seed=1).record(12.5)
    text = msgspec.json.encode(record.history)
    judge = Linearizable(model="fenced_mutex").judge

    def ours() -> float:
        return seconds(lambda: judge(replace(record))) * 1e3

    mine, theirs, _ = interleaved(ours, lambda: seconds(lambda: msgspec.json.decode(text)) * 1e3, 5)
    name = f"check `linearizable` of {len(record.operations):,} operations on locks, 50 clients"
    return Row(name, mine, "decoding them", theirs, "ms", mine, 1000)


def etcd(folder: Path) -> Row:
    """All fifty logs of etcd: verdicts and explanations."""
    model = named("cas_register")
    logs = [convert(log, folder / f"{log.stem}.jsonl") for log in sorted((FOLDER / "jepsen").glob("*.log"))]
    histories = [load(log, model) for log in logs]

    def ours() -> float:
        return seconds(lambda: [check(history, model) for history in histories]) * 1e3

    mine, theirs, _ = interleaved(ours, lambda: seconds(lambda: [load(log, model) for log in logs]) * 1e3, 5)
    return Row(f"checker, {len(logs)} logs of etcd, 40 explained", mine, "reading them", theirs, "ms", mine, 500)


def rows() -> Iterator[Row]:
    """Measure everything of this file; the third-party logs only where they are."""
    yield versioned()
    yield texts()
    yield locks()
    if FOLDER.is_dir():
        with tempfile.TemporaryDirectory(prefix="bigfive-bench-") as folder:
            yield etcd(Path(folder))
