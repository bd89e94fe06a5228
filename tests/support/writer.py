"""A process that makes its files durable all the time: `python writer.py FOLDER THREADS`.

Each thread counts in a file of its own, with one fdatasync a step, and notes every error in `errors`.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.processes import Process
from harness.waiting import until

PATIENCE_S = 10.0


class Writer:
    """The test's side."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder = folder
        self.threads = threads
        self.popen = subprocess.Popen([sys.executable, __file__, str(folder), str(threads)])
        self.process = Process.of(self.popen.pid)

    def counts(self) -> list[int]:
        paths = [self.folder / str(thread) for thread in range(self.threads)]
        return [int(path.read_bytes() or b"0") if path.exists() else 0 for path in paths]

    def errors(self) -> list[str]:
        path = self.folder / "errors"
        return path.read_text().split() if path.exists() else []

    def goes_on(self) -> bool:
        """Wait until every thread has made progress."""
        before = self.counts()
        return until(
            lambda: all(now > then for now, then in zip(self.counts(), before, strict=True)),
            f"all threads to get beyond {before} (they are in {self.states()})",
            PATIENCE_S,
        )

    def states(self) -> list[str]:
        tasks = Path("/proc", str(self.process.pid), "task")
        return [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]

    def tracers(self) -> set[int]:
        statuses = [task / "status" for task in Path("/proc", str(self.process.pid), "task").iterdir()]
        lines = [line for status in statuses for line in status.read_text().splitlines()]
        return {int(line.split()[1]) for line in lines if line.startswith("TracerPid:")}


@contextmanager
def writing(folder: Path, threads: int = 3) -> Iterator[Writer]:
    writer = Writer(folder, threads)
    try:
        writer.goes_on()
        yield writer
    finally:
        writer.popen.kill()
        writer.popen.wait()


def count(folder: Path, thread: int) -> None:
    file = os.open(folder / str(thread), os.O_RDWR | os.O_CREAT)
    errors = os.open(folder / "errors", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for step in range(10**9):
        try:
            os.pwrite(file, b"%09d" % step, 0)
            os.fdatasync(file)
        except OSError as error:
            os.write(errors, f"{errno.errorcode[error.errno or 0]}\n".encode())
        threading.Event().wait(0.002)


if __name__ == "__main__":
    for number in range(int(sys.argv[2])):
        threading.Thread(target=count, args=(Path(sys.argv[1]), number)).start()
