"""The worker: answers requests, keeps acknowledged results in `targets.state`, and can be protected.

    read, write, probe       as of `targets.state.service`
    work {key, value, bytes?, hold_s?}    -> version   takes `bytes` of memory, if they are there, for `hold_s`; then
                                                       keeps the result, as `write` does
    grow {bytes, rate?, kind?}            -> bytes     begins to hold so much, see `appetite`; 0 gives it back

Refused, and certainly not done: {"error": "shedding" | "full" | "draining"}. Each answered write is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from targets.resources.admission import Admission
from targets.resources.appetite import Appetite
from targets.resources.errors import BadRequest, Refused, ResourceError
from targets.resources.shutdown import GracefulShutdown
from targets.resources.units import about, duration, rate, size
from targets.state import service as state
from targets.state.store import Emit, StateStore

OPERATIONS = ("read", "write", "probe", "work", "grow")


class Request(msgspec.Struct, frozen=True):
    """What a client asks; what `targets.state` understands is left to it."""

    op: str
    key: str = ""
    value: Any = None
    bytes: int | str = 0
    hold_s: float | str = 0
    rate: float | str | None = None
    kind: str = "private"


_decode = msgspec.json.Decoder(Request).decode
_encode = msgspec.json.Encoder().encode


class Worker:
    """Answers, and does what actions ask of it. Thread-safe."""

    def __init__(
        self,
        store: StateStore,
        usage: Callable[[], tuple[int, int | None]],
        shutdown: GracefulShutdown,
        emit: Emit,
    ) -> None:
        self.appetite = Appetite(self._refused)
        self.doubtful = False
        """Whether memory was lacking where the store's was being changed: then only its journal is to be trusted."""
        self._store = store
        self._admission = Admission(usage)
        self._shutdown = shutdown
        self._emit = emit
        self._hurry = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        self._wanted = threading.Event()
        self._over = False
        self._checkpoints = threading.Thread(target=self._write_checkpoints, name="checkpoints", daemon=True)
        self._checkpoints.start()

    def answer(self, line: bytes) -> bytes:
        """Return the line that answers a request."""
        try:
            request = _decode(line)
            with self._shutdown.work.unit():
                return self._answer(request, line)
        except ResourceError as error:
            details = getattr(error, "details", {})
            reply = {"fail": {"error": type(error).__name__, "message": str(error), **details}}
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            reply = {"fail": {"error": "BadRequest", "message": str(error)}}
        except MemoryError:
            self.lacks_memory()
            reply = {"info": {"error": "MemoryError", "message": "no memory; whether it was done will be seen"}}
        return _encode(reply) + b"\n"

    def _answer(self, request: Request, line: bytes) -> bytes:
        if request.op == "work":
            return self._work(request)
        if request.op == "grow":
            speed = None if request.rate in {None, 0} else rate(request.rate)
            self.appetite.hold(size(request.bytes), speed, request.kind)
            return _encode({"ok": {"bytes": size(request.bytes)}}) + b"\n"
        if request.op not in OPERATIONS:
            raise BadRequest(f"unknown operation {request.op!r}; known are {', '.join(OPERATIONS)}")
        return state.answer(self._store, line)

    def _work(self, request: Request) -> bytes:
        count, seconds = size(request.bytes), duration(request.hold_s)
        with self._admission.take(count):
            try:
                held = b"x" * count
            except MemoryError:  # the fence; nothing was begun
                raise Refused(f"{about(count)} are not to be had", {"error": "full"}) from None
            self._hurry.wait(seconds)
            self._go_on.wait()
            del held
            return state.answer(self._store, _encode({"op": "write", "key": request.key, "value": request.value}))

    def notify(self, event: str, details: Mapping[str, object]) -> None:
        """Report an event."""
        self._emit(event, **details)

    def checkpoint(self) -> None:
        """Have a checkpoint written, in a thread of its own."""
        self._wanted.set()

    def shed(self, why: str) -> None:
        """Refuse `work` for this reason, or, without one, take it on again."""
        if why:
            self._admission.close(why)
        else:
            self._admission.open()

    def pause(self, why: str) -> None:
        """Let `work` that is under way wait before it is kept, or, without a reason, go on."""
        if why:
            self._go_on.clear()
        else:
            self._go_on.set()

    def shut_down(self, why: str, details: Mapping[str, object], *, at_once: bool) -> None:
        """Begin to end."""
        self._shutdown.request(why, details, at_once=at_once)

    def lacks_memory(self) -> None:
        """End, and trust nothing but the journal: what is in memory may be half changed."""
        self.doubtful = True
        self._shutdown.request("out of memory", at_once=True)

    def hurry(self) -> None:
        """Let work that waits, or is paused, come to its end: the service is about to."""
        self._hurry.set()
        self._go_on.set()

    def stop(self) -> None:
        """Write no more checkpoints; one that is being written is waited for."""
        self._over = True
        self._wanted.set()
        self._checkpoints.join()

    def _write_checkpoints(self) -> None:
        while self._wanted.wait() and not self._over:
            self._wanted.clear()
            try:
                self._store.checkpoint()
            except MemoryError:
                self.lacks_memory()
            except Exception as error:  # noqa: BLE001  the journal has everything; the next one may succeed
                self._emit("checkpoint.failed", what=f"{type(error).__name__}: {error}")

    def _refused(self, held: int) -> None:
        self._emit("growth.refused", held=held)
