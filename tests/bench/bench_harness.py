"""The harness's own time: what a trial costs beside the workload it runs, and how late a fault comes."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from _measure import Row, interleaved, seconds

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.record import FaultInjecting, Record
from support.trials import Trial, toy_scenario


def help_text() -> Row:
    """`bigfive --help` over a bare interpreter, in seconds more."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", "--help"]

    def ours() -> float:
        return seconds(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))

    def bare() -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))

    mine, theirs, _ = interleaved(ours, bare, 9)
    return Row(
        "bigfive --help, ms over a bare interpreter",
        mine * 1e3,
        "python -c pass",
        theirs * 1e3,
        "ms",
        (mine - theirs) * 1e3,
        100,
    )


def jitter(folder: Path) -> Row:
    """How late a fault begins, beside how late a bare timer thread wakes up."""
    faults = ["{at: 100ms, fault: noop, for: 5ms, every: 20ms, times: 40}"]
    trial = Trial(folder / "jitter", toy_scenario(faults))
    trial.run()
    late = [(event.t - event.due) / 1e6 for event in Record.load(trial.folder.path).of(FaultInjecting)]
    waiting = threading.Event()
    bare = []
    for _ in range(40):
        due = time.monotonic_ns() + 20_000_000
        waiting.wait(0.02)
        bare.append((time.monotonic_ns() - due) / 1e6)
    mine, theirs = statistics.median(late), statistics.median(bare)
    return Row("injection jitter, p50", mine, "Event.wait", theirs, "ms", mine - theirs, 20)


def noop_trial(folder: Path) -> Row:
    """A whole trial without a fault, beside starting the nine Python processes that it consists of."""
    count = iter(range(1000))

    def ours() -> float:
        trial = Trial(folder / f"noop-{next(count)}", toy_scenario([], until_="1ms", more="quiet: 1ms"))
        return seconds(trial.run)

    def bare() -> float:
        def start() -> None:
            command = [sys.executable, "-c", "import msgspec, json, socket, subprocess"]
            for process in [subprocess.Popen(command) for _ in range(9)]:
                process.wait()

        return seconds(start)

    mine, theirs, ratio = interleaved(ours, bare, 5)
    return Row("a noop trial", mine, "nine bare interpreters", theirs, "s", ratio, 5)


def rows() -> Iterator[Row]:
    """Measure everything of this file."""
    folder = Path(tempfile.mkdtemp(prefix="bigfive-bench-"))
    os.environ["BIGFIVE_STATE_DIR"] = str(folder / "state")
    try:
        yield help_text()
        yield jitter(folder)
        yield noop_trial(folder)
    finally:
        shutil.rmtree(folder)
