"""The host adapter inside a trial: asked from any thread, answered and listened to in the loop's thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from harness.adapter import HELLO_PATIENCE_S, AdapterProcess, Launch, check_hello, hello
from harness.clock import NS_PER_S
from harness.engine.loop import Loop
from harness.errors import TargetFailed
from harness.wire import Answer, Emitted, Json


class Host:
    """Starts the host adapter; `on_event` gets what it reports, `on_death` the error when it ends by itself."""

    def __init__(self, loop: Loop, launch: Launch, log: Path) -> None:
        self.on_event: Callable[[Emitted], None] = lambda _event: None
        self.on_death: Callable[[TargetFailed], None] = lambda _error: None
        self._loop = loop
        self._adapter = AdapterProcess(launch, "host", log)
        self._asked: dict[int, Future[Answer]] = {}
        loop.watch(self._adapter.fileno(), self._receive)
        check_hello(self.call("hello", hello("host"), HELLO_PATIENCE_S))

    def ask(self, op: str, args: Json) -> Future[Answer]:
        """Send a request; callable from any thread, but the loop's own may not wait for the future."""
        future: Future[Answer] = Future()

        def send() -> None:
            try:
                self._asked[self._adapter.send(op, args)] = future
            except TargetFailed as error:
                future.set_exception(error)

        self._loop.post(send)
        return future

    def call(self, op: str, args: Json, timeout_s: float, *, shielded: bool = False) -> Answer:
        """Ask in the loop's thread and go on turning until the answer is there. Raises `TimedOut`, `TargetFailed`."""
        future = self.ask(op, args)
        deadline = self._loop.clock.monotonic_ns() + round(timeout_s * NS_PER_S)
        what = f"the target's answer to {op!r}"
        self._loop.run_until(future.done, what, deadline, shielded=shielded)
        return expect_ok(op, future.result())

    def close(self) -> None:
        """End the adapter process."""
        self._forget()
        self._adapter.close()

    def _receive(self) -> None:
        try:
            messages = self._adapter.receive()
        except TargetFailed as error:
            self._forget()
            for future in self._asked.values():
                future.set_exception(error)
            self._asked.clear()
            self.on_death(error)
            return
        for message in messages:
            if isinstance(message, Emitted):
                self.on_event(message)
            elif message.id in self._asked:
                self._asked.pop(message.id).set_result(message)

    def _forget(self) -> None:
        try:
            self._loop.unwatch(self._adapter.fileno())
        except (KeyError, ValueError):
            return  # forgotten before: it died, and is closed now


def expect_ok(op: str, answer: Answer) -> Answer:
    """Return the answer if it is `ok`. Raises `TargetFailed` with what the target said otherwise."""
    if answer.outcome != "ok":
        said = answer.result.get("message") or answer.result
        raise TargetFailed(f"the target answered {op!r} with {answer.outcome}: {said}")
    return answer


def sandbox_of(label: str) -> Path:
    """Return where a run keeps what it owns: short, since socket paths end at 107 bytes."""
    return Path(tempfile.gettempdir()) / f"bigfive-{label}"
