"""Speak the adapter protocol for a plain Python object: `python -m harness.serve pkg.mod:adapter`.

The object needs two callables, `host(emit)` and `client()`, whose results have one method per operation of the
protocol (`harness.wire`), taking its arguments by keyword and returning a dict or None. `emit(name, **data)` sends
an event. A module serves as such an object. An exception becomes `info` (outcome unknown), or `fail` if it has an
attribute `certainly_not_done` that is true; a dict in its attribute `details` is sent along.

Nothing here is needed by the object itself: targets import nothing of the harness.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from harness.errors import ProtocolViolation, ScenarioError
from harness.wire import (
    PROTOCOL,
    Answer,
    Emitted,
    Json,
    Request,
    decode_request,
    encode_answer,
    encode_event,
)


def resolve(reference: str) -> Any:  # noqa: ANN401  an adapter is any object
    """Import `pkg.mod:name` or `path/to/file.py:name`; `name` may be dotted, or a submodule of the package.

    Raises `ScenarioError` where the reference is malformed or leads nowhere.
    """
    module_name, colon, name = reference.rpartition(":")
    if not colon or not module_name or not name:
        raise ScenarioError(f"adapter {reference!r} is not of the form pkg.mod:name or ./file.py:name")
    try:
        found: Any = _import(module_name)
        for part in name.split("."):
            found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
    except (ImportError, FileNotFoundError, AttributeError) as error:
        raise ScenarioError(f"adapter {reference!r} cannot be imported: {error}") from error
    return found


def _import(name: str) -> ModuleType:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class Server:
    """Answers the requests of one role, one at a time, in order."""

    def __init__(self, adapter: Any, out: BinaryIO) -> None:  # noqa: ANN401
        self._adapter = adapter
        self._out = out
        self._lock = threading.Lock()
        self._role: Any = None

    def serve(self, requests: BinaryIO) -> None:
        """Answer until the input ends; then close what is still open."""
        for line in requests:
            self._send(self._answer(decode_request(line)))
        for method in ("close", "stop"):
            farewell = getattr(self._role, method, None)
            if farewell is not None:
                farewell()

    def _answer(self, request: Request) -> bytes:
        try:
            result = self._method(request.op)(**request.args)
            return encode_answer(Answer(request.id, "ok", result or {}))
        except Exception as error:  # noqa: BLE001  whatever it is, the other side must hear of it
            return encode_answer(_refusal(request.id, error))

    def _method(self, op: str) -> Callable[..., Json | None]:
        if op == "hello":
            return self._hello
        method = None if op.startswith("_") else getattr(self._role, op, None)
        if method is None:
            raise _NotOffered(f"operation {op!r} is not offered by {type(self._role).__name__}")
        return method  # type: ignore[no-any-return]

    def _hello(self, protocol: int, role: str) -> Json:
        if protocol != PROTOCOL:
            raise _NotOffered(f"this adapter speaks protocol {PROTOCOL}, not {protocol}")
        self._role = self._adapter.host(self._emit) if role == "host" else self._adapter.client()
        return {"protocol": PROTOCOL}

    def _emit(self, name: str, **data: object) -> None:
        self._send(encode_event(Emitted(name, data)))

    def _send(self, line: bytes) -> None:
        with self._lock:
            self._out.write(line)
            self._out.flush()


class _NotOffered(ProtocolViolation):
    certainly_not_done = True


def _refusal(request: int, error: Exception) -> Answer:
    certain = bool(getattr(error, "certainly_not_done", False))
    if not certain:
        traceback.print_exception(error, file=sys.stderr)
    details = {"error": type(error).__name__, "message": str(error), **getattr(error, "details", {})}
    return Answer(request, "fail" if certain else "info", details)


def main() -> None:
    """Serve the adapter named on the command line on standard input and output."""
    try:
        _, reference = sys.argv
    except ValueError:
        sys.exit("usage: python -m harness.serve pkg.mod:adapter")
    # Installed packages come first, so that a source tree in the working folder never shadows them.
    sys.path.append(str(Path.cwd()))
    # What the target prints must not end up between the answers, nor may its children read our requests.
    requests, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        adapter = resolve(reference)
    except ScenarioError as error:
        sys.exit(f"{error}")
    Server(adapter, out).serve(requests)


if __name__ == "__main__":
    main()
