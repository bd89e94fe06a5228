"""Adapters with one bug each, for `python -m harness.serve`; started in the folder of the toy, which they import."""

# ruff: noqa: ANN401  a planted bug passes on whatever it gets
from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import toy_adapter as toy


class GoodClient(toy.Client):
    def close(self) -> None: ...


class Good:
    Host: type[toy.Host] = toy.Host
    Client: type[toy.Client] = GoodClient

    @classmethod
    def host(cls, emit: Any) -> toy.Host:
        return cls.Host(emit)

    @classmethod
    def client(cls) -> toy.Client:
        return cls.Client()


class NoEvents(Good):
    class Host(toy.Host):
        def describe(self) -> dict[str, Any]:
            return {name: value for name, value in super().describe().items() if name != "events"}


class ForeignContract(Good):
    class Host(toy.Host):
        def describe(self) -> dict[str, Any]:
            return {**super().describe(), "contracts": ["teapot"]}


class WrongType(Good):
    class Host(toy.Host):
        def describe(self) -> dict[str, Any]:
            return {**super().describe(), "handles": {"journal": {"type": "process"}}}


class YesMan(Good):
    class Host(toy.Host):
        def no_such_operation(self) -> None: ...


class YesClient(Good):
    class Client(GoodClient):
        def no_such_operation(self) -> None: ...


class NoConnect(Good):
    class Host(toy.Host):
        def start(self, **arguments: Any) -> dict[str, Any]:
            super().start(**arguments)
            return {}


class MissingFile(Good):
    class Host(toy.Host):
        def describe(self) -> dict[str, Any]:
            described = super().describe()
            described["handles"]["journal"]["path"] += ".bak"
            return described


class ShiftingHandles(Good):
    class Host(toy.Host):
        def describe(self) -> dict[str, Any]:
            described = super().describe()
            if self.service:
                del described["handles"]["journal"]
            return described


class Unlabelled(Good):
    class Host(toy.Host):
        def start(self, **arguments: Any) -> dict[str, Any]:
            del os.environ["BIGFIVE_LABEL"]
            return super().start(**arguments)

        def _spawn(self, command: list[str]) -> None:
            # Nobody could find it by its label, so it must not outlive us: it dies with the pipe to its input.
            guarded = "import os, subprocess, sys; child = subprocess.Popen(sys.argv[1:]); os.read(0, 1); child.kill()"
            self.service = subprocess.Popen(
                [sys.executable, "-c", guarded, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert self.service.stdout is not None
            self.service.stdout.readline()


class OutsideFolder(Good):
    class Host(toy.Host):
        def describe(self) -> dict[str, Any]:
            described = super().describe()
            described["handles"]["journal"]["path"] = __file__
            return described


class EagerClient(Good):
    class Client(GoodClient):
        def open(self, **arguments: Any) -> None:
            super().open(**arguments)
            self.probe()


class PatientClient(Good):
    class Client(GoodClient):
        def open(self, connect: str, client: int, timeout_s: float) -> None:
            super().open(connect, client, timeout_s * 100)


class SickProbe(Good):
    class Client(GoodClient):
        def probe(self) -> dict[str, Any]:
            raise RuntimeError("never well")


class CountsFromZero(Good):
    class Client(GoodClient):
        def write(self, **arguments: Any) -> dict[str, Any]:
            return {"version": super().write(**arguments)["version"] - 1}


class NullVersion(Good):
    class Client(GoodClient):
        def read(self, key: str) -> dict[str, Any]:
            found = super().read(key)
            return {**found, "version": found["version"] or None}


class LastWriterWins(Good):
    class Client(GoodClient):
        def write(self, key: str, value: Any, expected_version: int | None = None) -> dict[str, Any]:
            del expected_version
            return super().write(key, value)


class MuteConflict(Good):
    class Client(GoodClient):
        def write(self, **arguments: Any) -> dict[str, Any]:
            try:
                return super().write(**arguments)
            except toy.Conflict as error:
                error.details = {"error": "conflict"}
                raise


class NeverOnAVersion(Good):
    class Client(GoodClient):
        def write(self, key: str, value: Any, expected_version: int | None = None) -> dict[str, Any]:
            if expected_version is not None:
                raise toy.Conflict(self.read(key)["version"])
            return super().write(key, value)


class Stringly(Good):
    class Client(GoodClient):
        def write(self, value: Any, **arguments: Any) -> dict[str, Any]:
            return super().write(value=str(value), **arguments)


class Caching(Good):
    class Client(GoodClient):
        def read(self, key: str) -> dict[str, Any]:
            cache = self.__dict__.setdefault("cache", {})
            return dict(cache.setdefault(key, super().read(key))) if key == "shared" else super().read(key)


class NotRestarted(Good):
    class Host(toy.Host):
        def _supervise(self, command: list[str]) -> None: ...


class Forgetful(Good):
    class Host(toy.Host):
        def start(self, options: dict[str, Any], **arguments: Any) -> dict[str, Any]:
            return super().start(options={**options, "forgetful": True}, **arguments)

        def describe(self) -> dict[str, Any]:
            described = super().describe()
            del described["handles"]["journal"]
            return described


class ForgetsVersions(Good):
    class Host(toy.Host):
        """The service starts from a journal without the history of each key, so all versions begin again."""

        def _supervise(self, command: list[str]) -> None:
            assert self.service is not None
            self.service.wait()
            journal = Path(self.folder, "journal")
            newest = {line.split(",")[0]: line for line in journal.read_text().splitlines()}
            journal.write_text("".join(f"{line.rpartition(',')[0]}, 1]\n" for line in newest.values()))
            self._spawn(command)


class Chatty(Good):
    class Host(toy.Host):
        def __init__(self, emit: Any) -> None:
            super().__init__(emit)
            self.emit = emit

        def start(self, **arguments: Any) -> dict[str, Any]:
            self.emit("surprise")
            return super().start(**arguments)


class Unclosable(Good):
    class Client(GoodClient):
        close = None


class ClingingClient(Good):
    class Client(GoodClient):
        closed = False

        def close(self) -> None:
            if self.closed:
                threading.Event().wait()
            self.closed = True


class LeavesService(Good):
    class Host(toy.Host):
        def stop(self) -> None:
            self.stopping = True


class ClingingHost(Good):
    class Host(toy.Host):
        def stop(self) -> None:
            if self.stopping:
                threading.Event().wait()
            super().stop()
