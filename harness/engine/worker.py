"""What recorder and prober share: a task in a file, commands on standard input, reports on standard output."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness.adapter import Launch
from harness.errors import HarnessBug, made
from harness.wire import Json, Lines


@dataclass(frozen=True)
class Task:
    """What recorder and prober need to know. `runner` is None for the prober."""

    launch: Launch
    output: Path
    logs: Path
    seed: int
    runner: Any = None


class Worker:
    """The trial's end of a recorder or prober process."""

    def __init__(self, module: str, task: Task, folder: Path, environment: Mapping[str, str]) -> None:
        name = module.rpartition(".")[2]
        self.name = name
        file = folder / f"{name}.task"
        # Our own object for our own child, through a folder that only we can write to.
        file.write_bytes(pickle.dumps(task))
        with (task.logs / f"{name}.log").open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
                bufsize=0,
            )
        self._lines = Lines()

    def fileno(self) -> int:
        """Descriptor of its reports."""
        return made(self._process.stdout, "a worker's pipe").fileno()

    def tell(self, command: str, **arguments: object) -> None:
        """Send a command; one that cannot be delivered shows as the end of its reports."""
        try:
            made(self._process.stdin, "a worker's pipe").write(
                msgspec.json.encode({"do": command, **arguments}) + b"\n"
            )
        except BrokenPipeError:
            return

    def reports(self) -> list[Json] | None:
        """Return the reports that have come, or None when it has ended."""
        data = os.read(self.fileno(), 1 << 16)
        return [msgspec.json.decode(line) for line in self._lines.feed(data)] if data else None

    def close(self, patience_s: float) -> None:
        """End its input, so that it leaves; kill it if it does not."""
        made(self._process.stdin, "a worker's pipe").close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        made(self._process.stdout, "a worker's pipe").close()


class Commands:
    """The worker's end: commands by name."""

    def __init__(self, handlers: dict[str, Callable[..., None]]) -> None:
        self._handlers = handlers
        self._lines = Lines()

    def receive(self) -> bool:
        """Obey the commands that have come; return False at the end of input."""
        data = os.read(0, 1 << 16)
        for line in self._lines.feed(data):
            command = msgspec.json.decode(line)
            self._handlers[command.pop("do")](**command)
        return bool(data)


def load_task() -> Task:
    """Read the task named on the command line and remove its file."""
    file = Path(sys.argv[1])
    task = pickle.loads(file.read_bytes())  # noqa: S301  written by our parent, see Worker
    file.unlink()
    if not isinstance(task, Task):
        raise HarnessBug(f"{file} holds no task")
    return task


def report(**members: object) -> None:
    """Tell the trial something; a trial that is gone is no reason to fail."""
    try:
        os.write(1, msgspec.json.encode(members) + b"\n")
    except BrokenPipeError:
        return
