"""The store as a service: JSON lines over a unix socket, one thread a connection, one answer a request, in order.

    -> {"op": "write", "key": "k", "value": 1, "expected_version": 4}
    <- {"ok": {"version": 5}}
    <- {"fail": {"error": "conflict", "version": 6, "message": ".."}}   certainly not done
    <- {"info": {"error": "OutcomeUnknown", "message": ".."}}           unknown

Also `{"op": "read", "key"}` -> `value`, `version`, and `{"op": "probe"}`, answered with ok only while the store takes
writes. Events are JSON lines on standard output, each in one write.

A service whose journal failed ends itself with status 1: its supervisor's restart is the recovery.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from targets.durable import FolderInUse
from targets.readiness import notify_ready
from targets.state.errors import BadRequest, ReadOnly, StateError
from targets.state.journal import Journal
from targets.state.settings import Settings
from targets.state.store import StateStore

MAX_LINE_BYTES = 16 << 20
_EVENT_BYTES = 4096  # PIPE_BUF on Linux: up to here a write to a pipe is never torn or mixed with another
_SCRUB_SHARE = 10
_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED}
_RETRY_S = 0.05

Parser = TypeVar("Parser", bound=argparse.ArgumentParser)

_encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, frozen=True):
    """What a client asks."""

    op: str
    key: str = ""
    value: Any = None
    expected_version: int | None = None


_decode = msgspec.json.Decoder(Request).decode


def write_event(name: str, **data: object) -> None:
    """Write an event line on standard output, its texts shortened to fit into one write that is never torn."""
    line = json.dumps({"event": name, "data": data}).encode()
    if len(line) >= _EVENT_BYTES:
        line = json.dumps({"event": name, "data": {k: str(v)[:200] for k, v in data.items()}}).encode()
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more: that is no reason to stop serving
        os.write(1, line + b"\n")


def answer(store: StateStore, line: bytes) -> bytes:
    """Return the line that answers a request."""
    try:
        reply = {"ok": _perform(store, _decode(line))}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # msgspec says the latter of a text that is not UTF-8
        reply = {"fail": {"error": "BadRequest", "message": str(error)}}
    except StateError as error:
        outcome = "fail" if error.certainly_not_done else "info"
        reply = {outcome: {"error": type(error).__name__, "message": str(error), **error.details}}
    return _encode(reply) + b"\n"


def _perform(store: StateStore, request: Request) -> Mapping[str, object]:
    if request.op == "read":
        version, value = store.read_encoded(request.key)
        return {"value": value, "version": version}
    if request.op == "write":
        return {"version": store.write(request.key, request.value, request.expected_version)}
    if request.op != "probe":
        raise BadRequest(f"unknown operation {request.op!r}; known are read, write, probe")
    if store.failed:
        raise ReadOnly("the journal failed; the service is about to end")
    return {}


class Listener:
    """Accepts connections and serves each in a thread of its own.

    It outlives a lack of threads and descriptors: whom nobody can serve is hung up on, or waits.
    """

    def __init__(self, path: str, reply: Callable[[bytes], bytes]) -> None:
        self._reply = reply
        self._socket = socket.socket(socket.AF_UNIX)
        Path(path).unlink(missing_ok=True)  # of an earlier life: the folder's lock says that it is over
        try:
            self._socket.bind(path)
        except OSError as error:
            self._socket.close()
            raise BadRequest(f"cannot listen on {path} ({len(os.fsencode(path))} bytes): {error}") from error
        self._socket.listen(128)

    def serve(self) -> None:
        """Accept until `stop`."""
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if error.errno not in _SCARCE:
                    return  # stop() shut the socket down under accept()
                select.select([], [], [], _RETRY_S)
                continue
            try:
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()
            except RuntimeError:  # that is how Python says that there are no more threads
                connection.close()

    def stop(self) -> None:
        """Accept no more. Connections end with the process."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as lines:
            while (line := lines.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                connection.sendall(self._reply(line))


class Keeper:
    """Does the store's care and scrub in one thread, until `stop`; calls `give_up` when the journal has failed.

    A full disk is reported and tried again at the next write or scrub.
    """

    def __init__(self, store: StateStore, scrub_every_s: float, give_up: Callable[[], None]) -> None:
        self._store = store
        self._every_s = scrub_every_s
        self._give_up = give_up
        self._stopping = False
        self._thread = threading.Thread(target=self._keep)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after what it is doing."""
        self._stopping = True
        self._store.attention.set()
        self._thread.join()

    def _keep(self) -> None:
        next_scrub = time.monotonic()
        while not self._stopping and not self._store.failed:
            self._store.attention.wait(max(0.0, next_scrub - time.monotonic()))
            self._store.attention.clear()
            try:
                self._store.care()
                if time.monotonic() >= next_scrub:
                    next_scrub = self._scrub()
            except (OSError, StateError) as error:
                sys.stderr.write(f"will be tried again: {error}\n")
                next_scrub = time.monotonic() + self._every_s
        if self._store.failed:
            self._give_up()

    def _scrub(self) -> float:
        began = time.monotonic()
        self._store.scrub()
        ended = time.monotonic()
        return ended + max(self._every_s, _SCRUB_SHARE * (ended - began))


def serve(folder: Path, path: str, settings: Settings, journal: Callable[[Path, int, bytes], Journal] = Journal) -> int:
    """Serve the store in `folder` on the socket `path` until SIGTERM; return the exit status."""
    store = StateStore(folder, settings, write_event, journal)
    over = threading.Event()
    listener = Listener(path, lambda line: answer(store, line))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    keeper = Keeper(store, settings.scrub_every_s, over.set)
    threading.Thread(target=listener.serve, daemon=True).start()
    notify_ready()
    over.wait()
    listener.stop()
    keeper.stop()
    store.close()
    Path(path).unlink(missing_ok=True)
    return int(store.failed)


def add_command(commands: argparse._SubParsersAction[Parser]) -> Parser:
    """Add `serve` to a command line, and return its parser."""
    command = commands.add_parser(
        "serve",
        help="serve a folder on a unix socket",
        description="Serve the store in FOLDER, which is made where it is missing, until SIGTERM. Events are JSON "
        "lines on standard output. Exit status: 0 stopped, 1 the store cannot be opened, or its journal failed.",
    )
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--socket", required=True, metavar="PATH", help="where to listen")
    for field in fields(Settings):
        kind = type(field.default)
        help_ = f"default {field.default:g}"
        command.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default, help=help_)
    return command


def main(arguments: Sequence[str] | None = None, journal: Callable[[Path, int, bytes], Journal] = Journal) -> int:
    """Run the service that the command line describes; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m targets.state", description="A versioned key-value store.")
    add_command(parser.add_subparsers(required=True))
    return run(parser.parse_args(arguments), journal)


def run(arguments: argparse.Namespace, journal: Callable[[Path, int, bytes], Journal] = Journal) -> int:
    """Run the service that the parsed command line describes; return the exit status."""
    options = {field.name: getattr(arguments, field.name) for field in fields(Settings)}
    try:
        return serve(arguments.folder, arguments.socket, Settings.of(options), journal)
    except (StateError, FolderInUse, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
