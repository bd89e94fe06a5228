"""The process that undoes when the harness cannot: one a run, started before anything is changed.

`python -m harness.guardian LOG POINTER OWNER_PID` lives in a session of its own, ignores the signals that end the
harness, and has imported all undo code before the first fault (a full disk breaks late imports). It notices the owner's
death by pidfd, and by the end of its standard input, whichever comes first. Commands on standard input, a line each,
answered by the same line on standard output:

    import MODULE    be able to execute the undos of that module
    dismiss          the owner has undone everything: go
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from harness.errors import HarnessBug
from harness.processes import Process
from harness.undo import Pointer, UndoLog

_START_PATIENCE_S = 20.0


class Guardian:
    """The owner's side: starts the guardian of this process and speaks with it.

    Use it as a context manager around everything that changes the world: on a clean exit the log is executed and the
    guardian dismissed; `left` then names what could not be undone.
    """

    def __init__(self, log: UndoLog, label: str) -> None:
        self.log = log
        self.left: list[str] = []
        owner = Process.of(os.getpid())
        self._pointer = Pointer(label, str(log.path.resolve()), (owner.pid, owner.started))
        self._pointer.write()
        self._imported: set[str] = set()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.guardian", str(log.path), str(self._pointer.path), str(owner.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # nothing is left to be flushed into the pipe of a guardian that was killed
            start_new_session=True,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )
        guardian = Process.of(self._process.pid)
        self._pointer = Pointer(label, self._pointer.log, self._pointer.owner, (guardian.pid, guardian.started))
        self._pointer.write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dismiss()

    def learn(self, module: str) -> None:
        """Make the guardian import the undo code of `module`; returns when it has."""
        if module not in self._imported:
            self._ask(f"import {module}")
            self._imported.add(module)

    def dismiss(self) -> None:
        """Undo everything that is pending, then let the guardian go. What failed is in `left`."""
        self.left = self.log.execute_all()
        if not self.left:
            self._pointer.remove()
        self._ask("dismiss")
        self._process.wait(_START_PATIENCE_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _ask(self, command: str) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise HarnessBug("the guardian was started without pipes")
        try:
            stdin.write(f"{command}\n".encode())
            stdin.flush()
        except BrokenPipeError:
            return  # killed: the next start of bigfive sweeps in its place
        if select.select([stdout], [], [], _START_PATIENCE_S)[0]:
            stdout.readline()


class _Sentinel:
    """The guardian's own side."""

    def __init__(self, log: Path, owner: int) -> None:
        self._log = log
        self._input = b""
        try:
            self._owner: int | None = Process.of(owner).open()
        except ProcessLookupError:
            self._owner = None

    def watch(self) -> bool:
        """Return True when the owner has died, False when it has dismissed us."""
        while self._owner is not None:
            readable, _, _ = select.select([0, self._owner], [], [])
            if 0 in readable:
                data = os.read(0, 4096)
                if not data:
                    return True
                if self._obey(data):
                    return False
            elif self._owner in readable:
                return True
        return True

    def _obey(self, data: bytes) -> bool:
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            verb, _, argument = line.decode().partition(" ")
            if verb == "import":
                importlib.import_module(argument)
            self._answer(line)
            if verb == "dismiss":
                return True
        return False

    @staticmethod
    def _answer(line: bytes) -> None:
        try:
            os.write(1, line + b"\n")
        except BrokenPipeError:
            return  # the owner died waiting for it, and its log is still to be executed

    def undo(self) -> list[str]:
        """Execute the log; one that is gone went with the folder that its last undo removed."""
        return UndoLog(self._log).execute_all() if self._log.exists() else []


def main() -> None:
    """Guard the run named on the command line."""
    log, pointer, owner = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    try:
        Path("/proc/self/oom_score_adj").write_text("-900")
    except OSError:
        pass  # lowering it takes a privilege; without it we are as likely a victim as anybody
    sentinel = _Sentinel(Path(log), int(owner))
    if sentinel.watch() and not sentinel.undo():
        Path(pointer).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
