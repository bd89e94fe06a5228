"""The harness's end of one adapter process: start it, ask, listen, end it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from harness.errors import AdapterDied, ProtocolViolation, TargetFailed, TimedOut, made
from harness.wire import (
    CLIENT_VARIABLE,
    PROTOCOL,
    Answer,
    Emitted,
    Json,
    Lines,
    Request,
    decode_message,
    encode_request,
)

HELLO_PATIENCE_S = 20.0
_FAREWELL_PATIENCE_S = 5.0
_DEATH_PATIENCE_S = 0.2
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Launch:
    """How to start an adapter: its command, where, with which additions to the environment."""

    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def python(cls, reference: str, folder: Path, environment: Mapping[str, str]) -> Launch:
        """Start `pkg.mod:name` or `./file.py:name` (relative to `folder`) through `harness.serve`."""
        if reference.rpartition(":")[0].endswith(".py"):
            reference = str(folder / reference)
        return cls((sys.executable, "-m", "harness.serve", reference), folder, environment)

    def adding(self, environment: Mapping[str, str]) -> Launch:
        """Return how to start it with more in its environment."""
        return replace(self, environment={**self.environment, **environment})

    def for_client(self, number: int) -> Launch:
        """Return how to start client `number`: its environment says so, as does `{client}` in what is added to it."""
        told = {name: value.replace("{client}", str(number)) for name, value in self.environment.items()}
        return replace(self, environment={**told, CLIENT_VARIABLE: str(number)})


class AdapterProcess:
    """One running adapter in one role. `send` may be called from any thread, all else from one."""

    def __init__(self, launch: Launch, role: str, log: Path) -> None:
        self.role = role
        self.on_event: Callable[[Emitted], None] = lambda _event: None
        self._count = 0
        self._lines = Lines()
        self._writing = threading.Lock()
        self._log = log
        with log.open("ab") as stderr:
            try:
                self.process = subprocess.Popen(
                    launch.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    cwd=launch.folder,
                    env={**os.environ, "PYTHONSAFEPATH": "1", **launch.environment},
                    bufsize=0,
                )
            except OSError as error:
                raise TargetFailed(f"adapter {' '.join(launch.command)} cannot be started: {error}") from error

    def fileno(self) -> int:
        """Descriptor that becomes readable when something can be received."""
        return self._stdout.fileno()

    def send(self, op: str, args: Json) -> int:
        """Send a request and return its id. Raises `AdapterDied`."""
        with self._writing:
            self._count += 1
            request = Request(self._count, op, args)
            try:
                self._stdin.write(encode_request(request))
            except (BrokenPipeError, ValueError) as error:
                raise self._died() from error
        return request.id

    def receive(self) -> list[Answer | Emitted]:
        """Read what is there; blocks only if nothing is. Raises `AdapterDied`, `ProtocolViolation`."""
        data = os.read(self.fileno(), _CHUNK)
        if not data:
            raise self._died()
        return [decode_message(line) for line in self._lines.feed(data)]

    def call(self, op: str, args: Json, timeout_s: float) -> Answer:
        """Ask and wait for the answer; events meanwhile go to `on_event`. Raises `TimedOut` as well."""
        deadline = time.monotonic() + timeout_s
        wanted = self.send(op, args)
        while True:
            if not select.select([self], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimedOut(f"the answer of the {self.role} adapter to {op!r}", timeout_s)
            messages = self.receive()
            for message in messages:
                if isinstance(message, Emitted):
                    self.on_event(message)
            for message in messages:
                if isinstance(message, Answer) and message.id == wanted:
                    return message

    def greet(self) -> None:
        """Say hello in this process's role. Raises `ProtocolViolation` where the versions do not fit."""
        check_hello(self.call("hello", hello(self.role), HELLO_PATIENCE_S))

    def close(self) -> None:
        """End its input, wait a little for it to leave by itself, kill it otherwise."""
        self._stdin.close()
        try:
            self.process.wait(_FAREWELL_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._stdout.close()

    def kill(self) -> None:
        """Kill it at once."""
        self.process.kill()
        self.process.wait()
        self._stdin.close()
        self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        return made(self.process.stdin, "an adapter's pipe")

    @property
    def _stdout(self) -> IO[bytes]:
        return made(self.process.stdout, "an adapter's pipe")

    def _died(self) -> AdapterDied:
        status = self._status()
        how = "closed its output" if status is None else f"ended with status {status}"
        return AdapterDied(f"the {self.role} adapter {how}; its last words: {last_words(self._log)}")

    def _status(self) -> int | None:
        """Return its exit status; its output ends a moment before there is one."""
        try:
            return self.process.wait(_DEATH_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return None


def hello(role: str) -> Json:
    """Return the arguments of the first request."""
    return {"protocol": PROTOCOL, "role": role}


def check_hello(answer: Answer) -> None:
    """Raise `ProtocolViolation` unless the adapter accepted our protocol version."""
    if answer.outcome != "ok" or answer.result.get("protocol") != PROTOCOL:
        raise ProtocolViolation(
            f"the adapter did not answer hello with protocol {PROTOCOL} but {answer.outcome}: {answer.result}"
        )


def last_words(log: Path, lines: int = 3) -> str:
    """Return the end of a log for an error message."""
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return " / ".join(text.splitlines()[-lines:]) or "(none)"
