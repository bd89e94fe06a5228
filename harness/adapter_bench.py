"""Where an adapter is examined: a run of its own, from which nothing is left whatever the adapter does.

`harness.adapter_check` and `harness.adapter_contracts` hold the rules that are tried here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from harness import seeds
from harness.adapter import AdapterProcess, Launch
from harness.engine.host import expect_ok, sandbox_of
from harness.errors import TargetFailed, UndoFailed
from harness.faults._base import Site, Undo
from harness.faults.process_kill import ProcessKill
from harness.faults.process_pause import ProcessPause
from harness.guardian import Guardian
from harness.processes import carries
from harness.undo import UndoLog
from harness.wire import LABEL_VARIABLE, Answer, Emitted, HandleType, Json

TIMEOUT_S = 1.0  # what clients are told; a call may take no longer
GRACE_S = 2.0  # for the way of an answer through two pipes of a busy machine
START_PATIENCE_S = 30.0
ANSWER_PATIENCE_S = 5.0


class NotOffered(Exception):
    """The adapter does not offer what a rule is about; the text says what."""


@dataclass(frozen=True)
class Rule:
    """What must hold of every adapter. `says` are the words of `harness.wire` that demand it.

    `examine` returns a remark for people or "", raises `TargetFailed` or `TimedOut` saying what was seen instead, and
    `NotOffered` where it does not apply. Nothing that comes after a `gate` makes sense if that one fails.
    """

    name: str
    says: str
    examine: Callable[[Bench], str]
    gate: bool = False


class Handle(msgspec.Struct, frozen=True):
    """A handle as `describe` must give it."""

    type: HandleType
    pid: int | None = None
    path: str | None = None
    address: str | None = None

    @property
    def there(self) -> bool:
        """Return whether it is anywhere at the moment."""
        return any(place is not None for place in (self.pid, self.path, self.address))


class Description(msgspec.Struct, frozen=True):
    """The answer to `describe`."""

    name: str
    contracts: list[str]
    handles: dict[str, Handle]
    events: list[str]
    failpoints: list[str]


@dataclass(frozen=True)
class Kept:
    """What a key holds after an acknowledged write."""

    value: Any
    version: int


class Bench:
    """The run: the adapter's processes, and what has been learned of it so far."""

    def __init__(self, launch: Launch, label: str, folder: Path, log: UndoLog) -> None:
        self.label = label
        self.target = folder / "target"
        self.description: Description | None = None
        self.connect: object = None
        self.clients: list[AdapterProcess] = []
        self.events: list[Emitted] = []
        self.strays: list[Emitted] = []
        self.kept: dict[str, Kept] = {}
        self.recovered = False  # from a kill
        self._launch = replace(launch, environment={**launch.environment, LABEL_VARIABLE: label})
        self._folder = folder
        self._log = log
        self._processes: list[AdapterProcess] = []

    def spawn(self, role: Literal["host", "client"]) -> AdapterProcess:
        """Start another process of the adapter."""
        process = AdapterProcess(self._launch, role, self._folder / f"{role}-{len(self._processes)}.log")
        process.on_event = (self.events if role == "host" else self.strays).append
        self._processes.append(process)
        return process

    def host(self) -> AdapterProcess:
        """Return the host, started at the first call."""
        return next((each for each in self._processes if each.role == "host"), None) or self.spawn("host")

    def ask(self, process: AdapterProcess, op: str, args: Json, timeout_s: float = ANSWER_PATIENCE_S) -> Json:
        """Return the members of an `ok` answer. Raises `TargetFailed` for any other."""
        return expect_ok(op, process.call(op, args, timeout_s)).result

    def describe(self) -> Description:
        """Ask where things are now. Raises `TargetFailed` for an answer of another form."""
        answer = self.ask(self.host(), "describe", {})
        try:
            return msgspec.convert(answer, Description)
        except msgspec.ValidationError as error:
            raise TargetFailed(f"`describe` answered {answer}: {error}") from error

    def start(self, host: AdapterProcess, folder: Path) -> object:
        """Start the system in an empty folder, and return what its clients are to be told."""
        folder.mkdir(mode=0o700)
        arguments = {"folder": str(folder), "label": self.label, "options": {}}
        answer = self.ask(host, "start", arguments, START_PATIENCE_S)
        if "connect" not in answer:
            raise TargetFailed(f"the answer to `start` has no `connect`: {answer}")
        return answer["connect"]

    def open(self, client: AdapterProcess) -> None:
        """Introduce a client and tell it where the system is."""
        client.greet()
        self.ask(client, "open", {"connect": self.connect, "client": len(self.clients), "timeout_s": TIMEOUT_S})
        self.clients.append(client)

    def call(self, client: AdapterProcess, op: str, **arguments: object) -> Answer:
        """Let a client do an operation; later than it may be is `TimedOut`."""
        return client.call(op, arguments, TIMEOUT_S + GRACE_S)

    def service(self) -> Site:
        """Return the service as the place of a fault. Raises `NotOffered`; refuses to touch a foreign process."""
        handle = self.describe().handles.get("service")
        if handle is None:
            raise NotOffered("no handle `service`, so no fault can reach the process that serves")
        if handle.pid is not None and not carries(handle.pid, self.label):
            raise TargetFailed(f"the service, process {handle.pid}, does not carry BIGFIVE_LABEL={self.label}")
        return Site({"pid": handle.pid}, seeds.stream(0, "adapter check"))

    def kill_service(self) -> int:
        """Kill the service as a scenario would, and return its pid."""
        site, fault = self.service(), ProcessKill()
        evidence = fault.inject(site)
        fault.prove(site, evidence)
        return int(evidence["pid"])

    @contextmanager
    def service_paused(self) -> Iterator[None]:
        """Hold the service; it goes on afterwards whatever happens to us."""
        site, fault = self.service(), ProcessPause()
        entries = [self._log.push(undo) for undo in fault.undo_plan(site)]
        try:
            fault.prove(site, fault.inject(site))
            yield
        finally:
            for entry in entries:
                self._log.execute(entry)

    def close(self) -> None:
        """Kill what is left of the adapter's processes."""
        for process in self._processes:
            process.kill()


@contextmanager
def bench(launch: Launch) -> Iterator[Bench]:
    """Make a folder and a label for a run of an adapter; afterwards nothing of either is left.

    Raises `UndoFailed` where something is.
    """
    label = f"check-{seeds.fresh_root():08x}"
    folder = sandbox_of(label)
    folder.mkdir(mode=0o700)
    log = UndoLog(folder / "undo.jsonl")
    with Guardian(log, label) as guardian:
        guardian.learn("harness.faults.process_pause")
        log.push(Undo("folder.remove", {"path": str(folder)}))
        log.push(Undo("label.sweep", {"label": label}))
        made = Bench(launch, label, folder, log)
        try:
            yield made
        finally:
            made.close()
    log.close()
    if guardian.left:
        raise UndoFailed("; ".join(guardian.left))
