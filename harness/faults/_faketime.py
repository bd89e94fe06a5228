"""What faults of the clock share: a wall clock of a process's own, by libfaketime.

A client that may meet such a fault is started with the library before its own ones, and with the name of a file, which
need not exist, in its environment. At every look at the wall clock the library reads there by how much it is wrong. So
to write the file is to make the clock jump, at once, and nobody else's. The monotonic clock and the times of files are
left alone.

The library is a copy in the run's folder, in which its `clock_nanosleep` has another name and so is not found: where
the monotonic clock is not faked, it takes an absolute time on that clock for one on the wall's, and answers EINVAL, up
to version 0.9.10 at least. Python's `time.sleep` sleeps so. Not promised: a sleep until a time on a wall clock that was
made to jump; and programs that bring an allocator of their own (Redis) may not start with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from harness.clock import NS_PER_S
from harness.doctor import CAPABILITIES, probe
from harness.errors import FaultNotProven
from harness.faults._base import Site
from harness.processes import Process
from harness.undo import undoer
from harness.wire import Json

_FILE = "FAKETIME_TIMESTAMP_FILE"
_LIBRARY = "libfaketime.so"
_BROKEN, _HIDDEN = b"clock_nanosleep\0", b"clock_nanosleeq\0"
_NO_SHIFT = "+0"
_PATIENCE_S = 10.0
_WITNESS = "import time; print(time.time_ns(), time.monotonic_ns())"


def equip(folder: Path) -> Mapping[str, str]:
    """Put the library into `folder` and return the environment of the clients. Raises `EnvironmentLacks`."""
    found = probe(CAPABILITIES["faketime"])
    if not found.ok:
        raise found.raised()
    library = folder / _LIBRARY
    library.write_bytes(Path(found.detail).read_bytes().replace(_BROKEN, _HIDDEN))
    return {
        "LD_PRELOAD": ":".join(filter(None, (str(library), os.environ.get("LD_PRELOAD")))),
        _FILE: str(folder / "clock-{client}"),
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # its name since 0.9.9
        "FAKETIME_NO_CACHE": "1",
        "NO_FAKE_STAT": "1",
    }


def file_of(site: Site) -> Path:
    """Return where the process reads how wrong its clock is. Raises `FaultNotProven` where it does not."""
    process = site.process()
    maps = Path("/proc", str(process.pid), "maps").read_text()
    file = _environment(process).get(_FILE)
    if file is None or _LIBRARY not in maps:
        raise FaultNotProven(f"process {process.pid} runs without libfaketime: only clients have it, not the target")
    return Path(file)


def shift(file: Path, by: float) -> None:
    """Make the clock of who reads `file` wrong by so many seconds; nobody ever reads half of it."""
    new = file.with_name(f"{file.name}.new")
    new.write_text(f"{by:+.6f}\n" if by else f"{_NO_SHIFT}\n")
    new.replace(file)


def shifted(file: Path) -> bool:
    """Return whether the clock of who reads `file` is wrong."""
    return file.exists() and file.read_text().strip() != _NO_SHIFT


def witness(process: Process) -> Json:
    """Start a process with the same clock and return by how much it is ahead of ours: {"wall_s", "monotonic_s"}.

    Both are too large by up to {"exact_to_s"}, the time that it took.
    """
    faked = {name: value for name, value in _environment(process).items() if "FAKE" in name or name == "LD_PRELOAD"}
    before = time.time_ns(), time.monotonic_ns()
    command = [sys.executable, "-I", "-S", "-c", _WITNESS]
    said = subprocess.run(
        command, env={**os.environ, **faked}, capture_output=True, check=True, text=True, timeout=_PATIENCE_S
    )
    took = time.monotonic_ns() - before[1]
    wall, monotonic = (int(text) - ours for text, ours in zip(said.stdout.split(), before, strict=True))
    return {"wall_s": wall / NS_PER_S, "monotonic_s": monotonic / NS_PER_S, "exact_to_s": took / NS_PER_S}


@undoer("clock.restore")
def restore(path: str) -> None:
    """Let the clock of who reads the file be right again; a run that is gone has none."""
    if Path(path).parent.is_dir():
        shift(Path(path), 0)


def _environment(process: Process) -> dict[str, str]:
    entries = Path("/proc", str(process.pid), "environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}
