"""A wall clock that jumps for one process, and for nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.doctor import CAPABILITIES, probe
from harness.errors import FaultNotProven
from harness.faults import _faketime
from harness.units import Shift
from support.faults import broken, executed, make, refusal, site_of_process

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not probe(CAPABILITIES["faketime"]).ok, reason="clocks that jump take libfaketime"),
]
# For every line, tells its clocks, after it has waited in every way that asks a clock.
TELLS = """
import json, os, select, subprocess, sys, threading, time
for line in sys.stdin:
    began = time.monotonic()
    time.sleep(0.02)
    select.select([], [], [], 0.02)
    threading.Event().wait(0.02)
    child = subprocess.run([sys.executable, "-c", "import time; print(time.time())"], capture_output=True, text=True)
    print(json.dumps({
        "waited": time.monotonic() - began,
        "wall": time.time(),
        "monotonic": time.monotonic(),
        "child": float(child.stdout),
        "file": os.stat(sys.argv[1]).st_mtime,
    }), flush=True)
"""


class Client:
    """A process that was started as the engine starts clients."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        (folder / "file").touch()
        self.process = subprocess.Popen(
            [sys.executable, "-c", TELLS, str(folder / "file")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
        )
        self.ask()

    def ask(self) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        return dict(json.loads(self.process.stdout.readline()))

    def ahead(self) -> int:
        """By how many minutes its wall clock is ahead of ours."""
        return round((self.ask()["wall"] - time.time()) / 60)


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[list[Client]]:
    equipment = make("clock.jump", by=Shift(60)).equip(tmp_path)
    clients = [
        Client(tmp_path, {name: value.replace("{client}", str(number)) for name, value in equipment.items()})
        for number in range(2)
    ]
    yield clients
    for client in clients:
        client.process.kill()
        client.process.communicate()


@pytest.mark.parametrize("by", [Shift(3600), Shift(-600), Shift(90.5)])
def test_the_wall_clock_of_one_process_jumps_and_back(by: Shift, clients: list[Client], tmp_path: Path) -> None:
    fault, site = make("clock.jump", by=by), site_of_process(clients[0].process.pid)
    plan = fault.undo_plan(site)
    evidence = broken(fault, site)
    assert abs(clients[0].ask()["wall"] - time.time() - by) < 5
    assert clients[1].ahead() == 0
    executed(plan, tmp_path / "undo")
    assert fault.prove_undone(site, evidence)
    assert clients[0].ahead() == 0


def test_nothing_but_the_wall_clock_jumps(clients: list[Client]) -> None:
    broken(make("clock.jump", by=Shift(3600)), site_of_process(clients[0].process.pid))
    told = clients[0].ask()
    assert abs(told["monotonic"] - time.monotonic()) < 5
    assert 0.06 <= told["waited"] < 5
    assert abs(told["file"] - time.time()) < 60
    assert told["child"] > time.time() + 3000


def test_the_proof_is_what_another_process_with_the_same_clock_sees(clients: list[Client]) -> None:
    fault, site = make("clock.jump", by=Shift(-600)), site_of_process(clients[0].process.pid)
    proof = fault.prove(site, fault.inject(site))
    assert 0 <= proof["wall_s"] + 600 <= proof["exact_to_s"]
    assert 0 <= proof["monotonic_s"] <= proof["exact_to_s"]


def test_a_clock_that_was_set_right_meanwhile_proves_nothing(clients: list[Client], tmp_path: Path) -> None:
    fault, site = make("clock.jump", by=Shift(60)), site_of_process(clients[0].process.pid)
    plan, evidence = fault.undo_plan(site), fault.inject(site)
    executed(plan, tmp_path / "undo")
    with pytest.raises(FaultNotProven, match="the wall clock is not what it should be"):
        fault.prove(site, evidence)


def test_a_clock_that_still_is_wrong_is_noticed(clients: list[Client]) -> None:
    fault, site = make("clock.jump", by=Shift(60)), site_of_process(clients[0].process.pid)
    evidence = broken(fault, site)
    with pytest.raises(FaultNotProven, match="the wall clock is not what it should be"):
        fault.prove_undone(site, evidence)


def test_a_clock_that_is_wrong_already_is_refused(clients: list[Client]) -> None:
    site = site_of_process(clients[0].process.pid)
    broken(make("clock.jump", by=Shift(60)), site)
    assert "wrong already" in refusal(make("clock.jump", by=Shift(-60)), site)


def test_a_client_that_died_has_no_clock_to_be_set_right(clients: list[Client], tmp_path: Path) -> None:
    fault, site = make("clock.jump", by=Shift(60)), site_of_process(clients[0].process.pid)
    plan = fault.undo_plan(site)
    evidence = broken(fault, site)
    clients[0].process.kill()
    clients[0].process.wait()
    executed(plan, tmp_path / "undo")
    assert fault.prove_undone(site, evidence) == {"gone": clients[0].process.pid}


def test_a_process_without_the_library_is_refused() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert "without libfaketime" in refusal(make("clock.jump", by=Shift(60)), site_of_process(process.pid))
        process.kill()


def test_an_undo_needs_no_run(tmp_path: Path) -> None:
    _faketime.restore(str(tmp_path / "gone" / "clock-0"))


def test_what_is_preloaded_already_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/a/library/of/the/users.so")
    assert _faketime.equip(tmp_path)["LD_PRELOAD"] == f"{tmp_path}/libfaketime.so:/a/library/of/the/users.so"
