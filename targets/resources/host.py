"""The host role of the adapter: the supervised service in what limits it, where its things are, and its events."""

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
from typing import IO, Any

from targets import supervision
from targets.durable import create_folder
from targets.resources import contained, owncgroup, service
from targets.resources.client import WorkClient
from targets.resources.errors import BadRequest, CannotStart
from targets.resources.limits import HostFacts
from targets.resources.settings import Options
from targets.state import store
from targets.state.client import Json
from targets.state.store import Emit

CONTRACTS = ("versioned_store",)
START_TIMEOUT_S = 60.0
_ASK_S = 10.0
_LONGEST_SOCKET_PATH = 107  # sockaddr_un holds 108 bytes, the last of which is the terminator
_SERVE = (sys.executable, "-m", "targets.resources")


class Host:
    """Starts the service under its supervisor, tells where things are, and stops both.

    `command` is what serves: `python -m targets.resources`, or something that takes the same arguments. The supervisor
    stays outside of the service's cgroup: what is killed for memory in there is never the one who restarts it.
    """

    def __init__(self, emit: Emit, command: Sequence[str] = _SERVE) -> None:
        self._emit = emit
        self._command = command
        self._folder: Path | None = None
        self._path = ""
        self._socket_folder: tempfile.TemporaryDirectory[str] | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._group: owncgroup.OwnCgroup | None = None
        self._service: int | None = None
        self._container: str | None = None
        self._changed = threading.Condition()
        self._ready = self._ended = False
        self._listener: threading.Thread | None = None

    def describe(self) -> Json:
        """Say what this is, and where its processes and files are at this moment."""
        return {
            "name": "targets.resources",
            "contracts": list(CONTRACTS),
            "handles": {
                "service": _process(self._service),
                "supervisor": _process(self._supervisor.pid if self._supervisor else None),
                "folder": _folder(self._folder),
                "cgroup": _folder(self._group.folders["memory"] if self._group else None),
            },
            "events": [*service.EVENTS, *contained.EVENTS, *store.EVENTS, *supervision.EVENTS],
            "failpoints": list(store.FAILPOINTS),
        }

    def start(self, folder: str, label: str, options: Mapping[str, object] | None = None) -> Json:
        """Start the service below `folder` and return once it serves.

        `options` are those of `settings.Options`. `label` needs no care: it is in the environment already. Raises
        `BadRequest`, `BadLimits` for what the host cannot give, `CannotStart` if the service does not come up.
        """
        chosen = Options.of(options or {})
        chosen.limits.validate(HostFacts.read())
        if os.environ.get("BIGFIVE_LABEL", label) != label:
            raise BadRequest(f"label {label!r} differs from that of the environment")
        self._folder = Path(folder).resolve() / "service"
        create_folder(self._folder)
        self._path = self._choose_socket(self._folder)
        self._supervise(self._serving(chosen))
        if not self._came_up():
            self.stop()
            raise CannotStart(f"the service in {folder} did not come up; the log above says why")
        return {"connect": {"socket": self._path}}

    def grow(self, bytes: int | str, rate: float | str | None = None, kind: str = "private") -> Json:  # noqa: A002  the wire's name
        """Let the service grow, see `WorkClient.grow`. Raises `NotDone` or `Unknown`."""
        client = WorkClient()
        client.open({"socket": self._path}, "host", _ASK_S)
        try:
            return client.grow(bytes, rate, kind)
        finally:
            client.close()

    def stop(self) -> Json:
        """Stop the service in order, its supervisor as well, and remove its cgroup and the socket's folder."""
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
        if self._group is not None:
            self._group.remove()
        if self._socket_folder is not None:
            self._socket_folder.cleanup()
        self._listener = self._socket_folder = self._group = None
        self._ready = False
        return {}

    def _serving(self, chosen: Options) -> list[str]:
        """Return the command that serves, in what the options put it into."""
        arguments = ["serve", str(self._folder), "--socket", self._path, *chosen.settings.arguments()]
        if chosen.container:
            order = contained.Order(
                folder=self._folder or Path(),
                limits=chosen.limits,
                deadline_s=chosen.settings.deadline_s,
                arguments=arguments,
                script=Path(self._command[1]) if self._command[1].endswith(".py") else None,
            )
            return order.command()
        if chosen.cgroup == "own":
            owncgroup.sweep()
            self._group = owncgroup.OwnCgroup.create(chosen.limits)
            return self._group.entering([*self._command, *arguments])
        return [*self._command, *arguments]

    def _supervise(self, command: Sequence[str]) -> None:
        self._ready = self._ended = False
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "targets.supervision", "--with-parent", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._listener = threading.Thread(target=self._listen, args=(self._supervisor.stdout,))
        self._listener.start()

    def _came_up(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._ended, START_TIMEOUT_S)
            return self._ready

    def _choose_socket(self, folder: Path) -> str:
        """Put the socket into `folder`, or into one of its own where that path would be too long for the kernel."""
        path = str(folder / "socket")
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            self._socket_folder = tempfile.TemporaryDirectory(prefix="bigfive-resources-")
            path = str(Path(self._socket_folder.name, "socket"))
        return path

    def _listen(self, events: IO[bytes]) -> None:
        with events:
            for line in events:
                event = json.loads(line)
                self._note(event["event"], event["data"])
                self._emit(event["event"], **event["data"])
        self._note("supervisor.exited", {})

    def _note(self, event: str, data: Mapping[str, Any]) -> None:
        with self._changed:
            if event == "service.started":
                self._service = data["pid"]
            elif event == "container.started":
                self._service, self._container = data["pid"], data["container"]
            elif event == "container.ended":
                self._container = None
            elif event == "service.ready":
                self._ready = True
            elif event in {"service.exited", "supervisor.exited"}:
                self._service = None
                self._ended = event == "supervisor.exited"
            self._changed.notify_all()


def _process(pid: int | None) -> Json:
    return {"type": "process", **({"pid": pid} if pid else {})}


def _folder(path: Path | None) -> Json:
    return {"type": "folder", **({"path": str(path)} if path else {})}
