"""The locks beside the primitives and libraries that they are made of, or made instead of."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import apsw
import redis
from _measure import Row, interleaved

from targets.locking.errors import StaleToken
from targets.locking.fencing import FencedResource
from targets.locking.manager import LockManager
from targets.locking.redis import RedisBackend
from targets.locking.server import RedisServer
from targets.locking.sqlite import SqliteBackend

WRITERS = 10
SECONDS = 2.0
PAIRS = 5
OTHERS = 50  # updates by others while the holder is paused
_CONTEXT = multiprocessing.get_context("forkserver")  # imports once, not for each of 240 processes
_CONTEXT.set_forkserver_preload(["redis", "targets.locking.manager", "targets.locking.redis", "targets.locking.sqlite"])

Work = Callable[[str], Callable[[], object]]  # an address → one increment


@dataclass(frozen=True)
class Crowd:
    """What ten processes did on one counter: increments a second, the smallest share of the mean, the longest wait."""

    rate: float
    share: float
    longest_s: float


def increment_sqlite(address: str) -> Callable[[], object]:
    backend = SqliteBackend(address)
    backend.read("n")
    return lambda: backend.update("n", lambda found: (found.value or 0) + 1, timeout_s=60)


def increment_bare(address: str) -> Callable[[], object]:
    """An flock in front of apsw, with the same durability, and nothing else."""
    connection = apsw.Connection(address)
    connection.set_busy_timeout(60_000)
    connection.execute("PRAGMA synchronous=FULL")
    gate = os.open(f"{address}.lock", os.O_RDWR | os.O_CREAT)

    def work() -> None:
        fcntl.flock(gate, fcntl.LOCK_EX)
        connection.execute("BEGIN IMMEDIATE")
        value = connection.execute("SELECT value FROM counters WHERE key = 'n'").get
        connection.execute("UPDATE counters SET value = ? WHERE key = 'n'", (value + 1,))
        connection.execute("COMMIT")
        fcntl.flock(gate, fcntl.LOCK_UN)

    return work


def increment_redis(address: str) -> Callable[[], object]:
    backend = RedisBackend(address)
    return lambda: backend.update("n", lambda found: (found.value or 0) + 1, timeout_s=60)


def increment_redis_py(address: str) -> Callable[[], object]:
    host, _, port = address.partition(":")
    client = redis.Redis(host, int(port))

    def work() -> None:
        with client.lock("lock", timeout=10):
            client.set("n", int(client.get("n") or 0) + 1)

    return work


def _crowd_member(work: Work, address: str, told: Connection) -> None:
    step, count, longest = work(address), 0, 0.0
    told.send("ready")
    ends = told.recv()
    while (began := time.monotonic()) < ends:
        step()
        longest = max(longest, time.monotonic() - began)
        count += 1
    told.send((count, longest))


def crowd(work: Work, address: str) -> Crowd:
    """Let ten processes increment side by side."""
    pipes = [_CONTEXT.Pipe() for _ in range(WRITERS)]
    processes = [_CONTEXT.Process(target=_crowd_member, args=(work, address, told)) for _, told in pipes]
    for process in processes:
        process.start()
    for heard, _ in pipes:
        heard.recv()
    ends = time.monotonic() + SECONDS
    for heard, _ in pipes:
        heard.send(ends)
    results = [heard.recv() for heard, _ in pipes]
    for process in processes:
        process.join()
    counts = [count for count, _ in results]
    mean = sum(counts) / WRITERS
    return Crowd(sum(counts) / SECONDS, min(counts) / mean, max(longest for _, longest in results))


def durable_increments(folder: Path) -> Iterator[Row]:
    """Ten processes on one SQLite counter: the rate, the smallest share, the longest wait."""
    found: list[tuple[Crowd, Crowd]] = []
    for number in range(PAIRS):
        bare = folder / f"bare{number}.sqlite"
        connection = apsw.Connection(str(bare))
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE counters (key TEXT PRIMARY KEY, value); INSERT INTO counters VALUES ('n', 0)")
        connection.close()
        found.append((crowd(increment_sqlite, str(folder / f"ours{number}.sqlite")), crowd(increment_bare, str(bare))))
    floor = f"flock + apsw, {WRITERS} processes"
    yield _row(
        "durable increments, ten processes", floor, "/s", [(a.rate, b.rate) for a, b in found], 0.9, at_least=True
    )
    yield _row(
        "their smallest share of the mean", "the mean", "", [(a.share, 1.0) for a, _ in found], 0.5, at_least=True
    )
    yield _row("their longest wait", floor, "s", [(a.longest_s, b.longest_s) for a, b in found], 2.0, at_least=False)


def _row(what: str, peer: str, unit: str, pairs: list[tuple[float, float]], bound: float, *, at_least: bool) -> Row:
    ours, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(what, ours, peer, theirs, unit, ratio, bound, at_least=at_least)


def _hold_ours(folder: str, told: Connection) -> None:
    LockManager(SqliteBackend(f"{folder}/locks.sqlite"), FencedResource(f"{folder}/resource.sqlite")).acquire("k")
    told.send("held")
    signal.pause()


def _hold_flock(folder: str, told: Connection) -> None:
    file = os.open(f"{folder}/flock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    told.send("held")
    signal.pause()


def _wait_ours(folder: str, told: Connection) -> None:
    manager = LockManager(SqliteBackend(f"{folder}/locks.sqlite"), FencedResource(f"{folder}/resource.sqlite"))
    manager.status()
    told.send("waiting")
    hold = manager.acquire("k")
    told.send(time.monotonic())
    hold.release()


def _wait_flock(folder: str, told: Connection) -> None:
    file = os.open(f"{folder}/flock", os.O_RDWR | os.O_CREAT)
    told.send("waiting")
    fcntl.flock(file, fcntl.LOCK_EX)
    told.send(time.monotonic())


def _hand_over(folder: Path, hold: Callable[..., None], wait: Callable[..., None]) -> float:
    """Return the seconds from `kill -9` of the holder until the waiter is in."""
    heard, told = _CONTEXT.Pipe(duplex=False)
    holder = _CONTEXT.Process(target=hold, args=(str(folder), told))
    holder.start()
    heard.recv()
    waiter = _CONTEXT.Process(target=wait, args=(str(folder), told))
    waiter.start()
    heard.recv()
    heard.poll(0.1)
    killed = time.monotonic()
    os.kill(holder.pid or 0, signal.SIGKILL)
    entered: float = heard.recv()
    holder.join()
    waiter.join()
    return entered - killed


def hand_over(folder: Path) -> Row:
    """The 95th percentile of the hand-over after the holder's death, in milliseconds, beside a bare flock's."""
    pairs = [
        (_hand_over(folder, _hold_ours, _wait_ours), _hand_over(folder, _hold_flock, _wait_flock)) for _ in range(20)
    ]
    ours, theirs = (sorted(values)[18] * 1000 for values in zip(*pairs, strict=True))
    limit = max(10.0, 10 * theirs)
    return Row("hand-over after kill -9 (p95)", ours, "10 x bare flock, or 10 ms", limit, "ms", ours / limit, 1.0)


def redis_increments(address: str) -> Row:
    """Ten processes on one Redis counter, both with `appendfsync always`."""
    ours, theirs, ratio = interleaved(
        lambda: crowd(increment_redis, address).rate, lambda: crowd(increment_redis_py, address).rate, PAIRS
    )
    return Row("increments on Redis, ten processes", ours, "redis-py Lock", theirs, "/s", ratio, 2.0, at_least=True)


def _read(told: Connection) -> None:
    """Say that the value was read, and wait for the signal to write."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    told.send("read")
    signal.sigwait({signal.SIGUSR1})


def _writer_ours(address: str, folder: str, told: Connection) -> None:
    resource = FencedResource(f"{folder}/paused.sqlite")
    hold = LockManager(RedisBackend(address), resource).acquire("paused", lease_s=1)
    value = resource.read("paused", hold.token) or 0
    _read(told)
    try:
        resource.write("paused", value + 1, hold.token)
        told.send("written")
    except StaleToken:
        told.send("refused")


def _writer_redis_py(address: str, _: str, told: Connection) -> None:
    host, _, port = address.partition(":")
    client = redis.Redis(host, int(port))
    client.lock("paused-lock", timeout=1).acquire()
    value = int(client.get("paused") or 0)
    _read(told)
    client.set("paused", value + 1)
    told.send("written")


def _lost(address: str, folder: Path, writer: Callable[..., None], others: Callable[[int], int]) -> int:
    """Stop a holder beyond its lease while `others` write on; return how many of all updates are lost."""
    heard, told = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=writer, args=(address, str(folder), told))
    process.start()
    heard.recv()
    os.kill(process.pid or 0, signal.SIGSTOP)
    others(OTHERS)
    os.kill(process.pid or 0, signal.SIGUSR1)
    os.kill(process.pid or 0, signal.SIGCONT)
    acknowledged = OTHERS + (heard.recv() == "written")
    process.join()
    return acknowledged - others(0)


def paused(address: str, folder: Path) -> Row:
    """A holder that was stopped beyond its lease of a second: the updates that its late write undoes."""
    resource = FencedResource(folder / "paused.sqlite")
    manager = LockManager(RedisBackend(address), resource)
    host, _, port = address.partition(":")
    client = redis.Redis(host, int(port))

    def ours(times: int) -> int:
        for _ in range(times):
            with manager.acquire("paused", timeout_s=30) as hold:
                resource.write("paused", (resource.read("paused", hold.token) or 0) + 1, hold.token)
        return int(resource.read("paused") or 0)

    def theirs(times: int) -> int:
        for _ in range(times):
            with client.lock("paused-lock", timeout=1):
                client.set("paused", int(client.get("paused") or 0) + 1)
        final: int = int(client.get("paused") or 0)
        return final

    lost, lost_there = _lost(address, folder, _writer_ours, ours), _lost(address, folder, _writer_redis_py, theirs)
    return Row("updates lost to a holder that was paused", lost, "redis-py Lock", lost_there, "", lost, 0.0)


def rows() -> Iterator[Row]:
    """Measure everything of this file."""
    folder = Path(tempfile.mkdtemp(prefix="bigfive-bench-"))
    server = RedisServer(folder / "redis")
    try:
        yield from durable_increments(folder)
        yield hand_over(folder)
        server.start()
        yield redis_increments(server.address)
        yield paused(server.address, folder)
    finally:
        server.stop()
        shutil.rmtree(folder)
