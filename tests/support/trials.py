"""Trials as processes, made and killed by tests."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from harness import seeds
from harness.engine.host import sandbox_of
from harness.processes import Process, labelled
from harness.record import Folder, TrialSpec
from harness.result import Result, read
from harness.undo import state_directory
from harness.waiting import until

TOY = Path(__file__).resolve().parents[1] / "harness" / "toy_adapter.py"
PATIENCE_S = 20.0


class Trial:
    """A run folder, and the process that fills it."""

    def __init__(self, path: Path, scenario: str, **spec: object) -> None:
        path.mkdir(parents=True)
        self.folder = Folder(path)
        self.label = f"bf-test-{random.SystemRandom().getrandbits(40):010x}"
        self.sandbox = sandbox_of(self.label)
        self.folder.scenario.write_text(scenario)
        fields = {"scenario": "toy", "source": str(path / "scenario.yaml"), "root_seed": 1, "label": self.label}
        spec = {**fields, "seed": seeds.trial_seed(1, "toy", "", 0), **spec}
        self.folder.trial.write_bytes(msgspec.json.encode(msgspec.convert(spec, TrialSpec)))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder.path / "stdout").open("wb") as stdout:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.engine.trial", str(self.folder.path)],
                stdout=stdout,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return self.process

    def run(self, **environment: str) -> Result:
        self.start(**environment).wait(60)
        return read(self.folder.result)

    def wait_for(self, text: str) -> None:
        """Wait until the event log contains `text`."""
        until(lambda: text in self.log(), f"{text!r} in the events", PATIENCE_S)

    def output(self) -> bytes:
        return (self.folder.path / "stdout").read_bytes()

    def log(self) -> str:
        return self.folder.events.read_text() if self.folder.events.exists() else ""

    def left(self) -> list[str]:
        """What the run has not cleaned up: processes, its folder, its pointer."""
        pointer = state_directory() / "runs" / f"{self.label}.json"
        found = [f"process {process.pid}" for process in labelled(self.label)]
        return [*found, *(str(path) for path in (self.sandbox, pointer) if path.exists())]

    def wait_until_clean(self) -> None:
        until(lambda: not self.left(), f"nothing left, but: {self.left()}", PATIENCE_S)


def toy_scenario(
    faults: Sequence[str], *, until_: str = "faults_done", expect: str = "no_orphans", more: str = ""
) -> str:
    """A scenario around the toy adapter; `faults` are flow mappings."""
    lines = "".join(f"\n  - {fault}" for fault in faults)
    return f"""scenario: toy
feature: state
summary: A toy.
target: {TOY}:adapter
runner: state_corruption
workload: {{writers: 2, rate: 100/s, until: {until_}}}
faults:{lines or " []"}
expect:
  - {expect}
{more}"""


def odd_toy(folder: Path, body: str) -> str:
    """A target that differs from the toy in what `body` says."""
    path = folder / "odd.py"
    path.write_text(
        f"""
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("toy_adapter", {str(TOY)!r})
toy = sys.modules["toy_adapter"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)
class Host(toy.Host): pass
class Client(toy.Client): pass
class adapter:
    host, client = Host, Client
{body}
"""
    )
    return str(path)


def bystander() -> Iterator[Process]:
    """A process that no run has made; ends with the test, even if it was left stopped."""
    process = subprocess.Popen(["sleep", "600"])
    yield Process.of(process.pid)
    process.kill()
    process.wait()
