"""Ten writers in one document, 5 ms of thought before each of 60 edits: collaborative mode beside last write wins.

Last write wins is what agents do without it: read the whole document, think, write the whole document. The rates of
both are those of one file and one backend, in turn; what it lost is in the row, since a fast loser is no peer.
"""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _measure import Row, seconds

from targets.locking.documents import Documents
from targets.locking.sqlite import SqliteBackend

WRITERS, EDITS, THINK_S, NODES, RUNS = 10, 60, 0.005, 300, 3
CONTENT = {"nodes": {f"n{number}": {"title": "t" * 20, "done": False} for number in range(NODES)}, "count": 0}

Content = dict[str, Any]
Way = Callable[[Path, str, int], Iterator[None]]
"""How one writer edits; yields when it thinks, and when an edit is made."""


def node_of(writer: int, edit: int) -> str:
    return f"n{writer * (NODES // WRITERS) + edit % (NODES // WRITERS)}"


def merging(path: Path, change: str) -> tuple[list[float], int]:
    """Return the latencies (s) and the edits lost in collaborative mode."""
    setup = Documents(SqliteBackend(path))
    setup.attach("doc", "setup")
    setup.submit("doc", "setup", 0, "setup", [{"op": "set", "path": "", "value": CONTENT}])
    took = race(merge, path, change)
    return took, lost(setup.inspect("doc")["content"], change)


def merge(path: Path, change: str, writer: int) -> Iterator[None]:
    """Look at the document, think, submit an operation."""
    shared, agent = Documents(SqliteBackend(path)), f"w{writer}"
    shared.attach("doc", agent)
    for edit in range(EDITS):
        base = shared.inspect("doc")["version"]
        yield
        node = {"op": "set", "path": f"/nodes/{node_of(writer, edit)}/title", "value": f"{writer}:{edit}"}
        count = {"op": "increment", "path": "/count", "by": 1}
        answer = shared.submit("doc", agent, base, f"{writer}:{edit}", [count if change == "count" else node])
        assert not answer["conflicts"]
        yield


def overwriting(path: Path, change: str) -> tuple[list[float], int]:
    """Return the same where everybody writes the document as a whole."""
    setup = SqliteBackend(path)
    setup.write("doc", CONTENT)
    took = race(overwrite, path, change)
    return took, lost(setup.read("doc").value, change)


def overwrite(path: Path, change: str, writer: int) -> Iterator[None]:
    """Read the document, think, write it."""
    backend = SqliteBackend(path)
    for edit in range(EDITS):
        content = backend.read("doc").value
        yield
        if change == "count":
            content["count"] += 1
        else:
            content["nodes"][node_of(writer, edit)]["title"] = f"{writer}:{edit}"
        backend.write("doc", content)
        yield


def race(way: Way, path: Path, change: str) -> list[float]:
    """Let all writers make their edits, each in a process of its own; return how long each took beside thought."""
    forked = multiprocessing.get_context("fork")
    together = forked.Barrier(WRITERS)
    with forked.Pool(WRITERS, together.wait) as pool:
        return [
            each for took in pool.starmap(timed, [(way, path, change, n) for n in range(WRITERS)], 1) for each in took
        ]


def timed(way: Way, path: Path, change: str, writer: int) -> list[float]:
    """Make one writer's edits."""
    took, steps = [], way(path, change, writer)
    for _ in range(EDITS):
        looked = seconds(lambda: next(steps))
        threading.Event().wait(THINK_S)
        took.append(looked + seconds(lambda: next(steps)))
    return took


def lost(content: Content, change: str) -> int:
    """Count the edits that are not there. Of two by one writer on one node, the first was overwritten knowingly."""
    if change == "count":
        return WRITERS * EDITS - int(content["count"])
    newest = {(writer, node_of(writer, edit)): f"{writer}:{edit}" for writer in range(WRITERS) for edit in range(EDITS)}
    return sum(content["nodes"][node]["title"] != title for (_, node), title in newest.items())


def rows() -> Iterator[Row]:
    """Measure disjoint nodes, then one counter for all."""
    for change, what in (("nodes", "disjoint nodes"), ("count", "one counter")):
        runs = [(measured(merging, change), measured(overwriting, change)) for _ in range(RUNS)]
        ours, theirs = ([run[side] for run in runs] for side in (0, 1))
        gone, dropped = (sum(count for _, count in side) for side in (ours, theirs))
        of = RUNS * WRITERS * (EDITS if change == "count" else NODES // WRITERS)
        for name, share in (("p50", 50), ("p99", 99)):
            mine, peer = (percentile([t for took, _ in side for t in took], share) * 1e3 for side in (ours, theirs))
            yield Row(
                f"collaborative edit, {what}, {name}; {gone} of {of} lost",
                mine,
                f"last write wins, {dropped} of {of} lost",
                peer,
                "ms",
                mine / peer,
                4 if gone == 0 else 0,
            )


def measured(strategy: Callable[[Path, str], tuple[list[float], int]], change: str) -> tuple[list[float], int]:
    """Run one strategy on a file of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bigfive-bench-"))
    try:
        return strategy(folder / "locks.sqlite", change)
    finally:
        shutil.rmtree(folder)


def percentile(values: list[float], share: int) -> float:
    """Return the value below which `share` percent of them lie."""
    return statistics.quantiles(values, n=100)[share - 1]
