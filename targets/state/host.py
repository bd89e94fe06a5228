"""The host role of the adapter: the supervised service, where its things are, and its events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from targets import supervision
from targets.state import frames, layout, store
from targets.state.client import Json
from targets.state.errors import BadRequest, CannotOpen
from targets.state.settings import Settings
from targets.state.store import Emit

START_TIMEOUT_S = 30.0
_LONGEST_SOCKET_PATH = 107  # sockaddr_un holds 108 bytes, the last of which is the terminator


class Host:
    """Starts the service under its supervisor, tells where things are, and stops both.

    `command` is what serves: `python -m targets.state`, or something that takes the same arguments.
    """

    def __init__(self, emit: Emit, command: Sequence[str] = (sys.executable, "-m", "targets.state")) -> None:
        self._emit = emit
        self._command = command
        self._folder: Path | None = None
        self._socket_folder: tempfile.TemporaryDirectory[str] | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._service: int | None = None
        self._changed = threading.Condition()
        self._ready = self._ended = False
        self._listener: threading.Thread | None = None

    def describe(self) -> Json:
        """Say what this is, and where its processes and files are at this moment."""
        return {
            "name": "targets.state",
            "contracts": ["versioned_store"],
            "handles": {
                "state.json": self._file(layout.STATE),
                "journal": self._file(self._newest("journal-*.log")),
                "journal.mirror": self._file(self._newest("journal-*.mirror")),
                "snapshot": self._file(self._newest("snapshot-*.json")),
                "folder": {"type": "folder", **({"path": str(self._folder)} if self._folder else {})},
                "service": _process(self._service),
                "supervisor": _process(self._supervisor.pid if self._supervisor else None),
            },
            "events": [*store.EVENTS, *supervision.EVENTS],
            "failpoints": list(store.FAILPOINTS),
        }

    def start(self, folder: str, label: str, options: Mapping[str, object] | None = None) -> Json:
        """Start the service below `folder` and return once it serves.

        `options` are those of `Settings`. `label` needs no care: it is in the environment already, where children
        inherit it. Raises `BadRequest` for an option it does not know, `CannotOpen` if the service does not come up.
        """
        settings = Settings.of(options or {})
        if os.environ.get("BIGFIVE_LABEL", label) != label:
            raise BadRequest(f"label {label!r} differs from that of the environment")
        self._folder = Path(folder).resolve() / "store"
        path = self._choose_socket(Path(folder).resolve())
        service = [*self._command, "serve", str(self._folder), "--socket", path, *settings.arguments()]
        self._ready = self._ended = False
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "targets.supervision", "--with-parent", "--", *service],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._supervisor.stdout,))
        self._listener.start()
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended, START_TIMEOUT_S)
            ready = self._ready
        if not ready:
            self.stop()
            raise CannotOpen(f"the store in {folder} did not come up; the log above says why")
        return {"connect": {"socket": path}}

    def layout(self, handle: str) -> Json:
        """Return where the records of the current journal, or its mirror, begin, and how long they are."""
        pattern = {"journal": "journal-*.log", "journal.mirror": "journal-*.mirror"}.get(handle)
        newest = self._newest(pattern) if pattern else None
        if newest is None or self._folder is None:
            raise BadRequest(f"{handle!r} has no records")
        found, _ = frames.scan((self._folder / newest).read_bytes())
        return {"records": [[frame.offset, frame.end - frame.offset] for frame in found]}

    def stop(self) -> Json:
        """Stop the service cleanly, its supervisor as well, and remove the socket's folder."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.send_signal(signal.SIGTERM)
            try:
                supervisor.wait(2 * supervision.Policy().grace_s)
            except subprocess.TimeoutExpired:
                supervisor.kill()
                supervisor.wait()
        if self._listener is not None:
            self._listener.join()
        if self._socket_folder is not None:
            self._socket_folder.cleanup()
        self._listener = self._socket_folder = None
        self._ready = False
        return {}

    def _choose_socket(self, folder: Path) -> str:
        """Put the socket into `folder`, or into one of its own where that path would be too long for the kernel."""
        path = str(folder / "socket")
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            self._socket_folder = tempfile.TemporaryDirectory(prefix="bigfive-state-")
            path = str(Path(self._socket_folder.name, "socket"))
        return path

    def _listen(self, events: IO[bytes]) -> None:
        with events:
            for line in events:
                event = json.loads(line)
                self._note(event["event"], event["data"])
                self._emit(event["event"], **event["data"])
        self._note("supervisor.exited", {})

    def _note(self, event: str, data: Mapping[str, int]) -> None:
        with self._changed:
            if event == "service.started":
                self._service = data["pid"]
            elif event == "service.ready":
                self._ready = True
            elif event in {"service.exited", "supervisor.exited"}:
                self._service = None
                self._ended = event == "supervisor.exited"
            self._changed.notify_all()

    def _newest(self, pattern: str) -> str | None:
        return max((path.name for path in self._folder.glob(pattern)), default=None) if self._folder else None

    def _file(self, name: str | None) -> Json:
        return {"type": "file", **({"path": str(self._folder / name)} if self._folder and name else {})}


def _process(pid: int | None) -> Json:
    return {"type": "process", **({"pid": pid} if pid else {})}
