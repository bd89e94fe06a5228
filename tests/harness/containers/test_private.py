"""An engine of our own: it works, may be broken in any way, and leaves nothing on the machine."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.containers import image as images
from harness.containers import private
from harness.containers.engine import Order
from harness.containers.private import PrivateEngine, left_of, running, surroundings
from harness.doctor import CAPABILITIES, probe
from harness.errors import EngineFailed, EnvironmentLacks
from harness.faults._disks import mount, unmount
from harness.processes import Process
from harness.undo import UndoLog, sweep
from harness.waiting import until

pytestmark = pytest.mark.chaos

PATIENCE_S = 30.0
PROMISED_S = 10.0

# Starts an engine of our own and a container in it, says its name, and waits to be killed.
OWNER = """
import signal, sys
from pathlib import Path
from harness.containers import private
from harness.guardian import Guardian
from harness.undo import UndoLog

log = UndoLog(Path(sys.argv[1]) / "undo.jsonl")
guardian = Guardian(log, sys.argv[2])
guardian.learn(private.__name__)
with private.running(log) as engine:
    print(engine.label, flush=True)
    signal.pause()
"""


@pytest.fixture(autouse=True)
def _able(lacking: Callable[[str], None]) -> None:
    if not probe(CAPABILITIES["root"]).ok or shutil.which("dockerd") is None:
        lacking("an engine of our own takes root and dockerd: bigfive doctor --fix docker")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[UndoLog]:
    log = UndoLog(tmp_path / "undo.jsonl")
    yield log
    assert log.execute_all() == []
    log.close()


def test_it_runs_containers_on_a_bridge_that_nobody_else_sees(log: UndoLog) -> None:
    with running(log) as own:
        with own.connect() as engine:
            image = images.make(engine)
            network = engine.create_network(own.label, "net")
            order = Order(image=image, command=["sleep", "60"], label=own.label, name="c", network=network)
            process = Process.of(engine.run(order).pid)
            pid = str(own.process().pid)
        inside = subprocess.run(
            ["nsenter", "--net", "--target", pid, "ip", "-o", "link"], capture_output=True, check=True, text=True
        )
        bridge = f"br-{network[:12]}"
        assert bridge in inside.stdout
        assert bridge not in surroundings()["interfaces"]
        assert process.alive()
    assert left_of(own.label) == []
    assert not process.alive()


def test_its_tables_can_be_flushed_and_the_machine_s_stay(log: UndoLog) -> None:
    with running(log) as own:
        enter = ["nsenter", "--net", "--target", str(own.process().pid)]
        before = {rule for rule in surroundings()["rules"] if "docker0" in rule}  # others come and go
        assert b"DOCKER-USER" in subprocess.run([*enter, "iptables-save"], capture_output=True, check=True).stdout
        subprocess.run([*enter, "iptables", "-F"], check=True)
        assert not any(
            line.startswith(b"-A FORWARD")
            for line in subprocess.run([*enter, "iptables-save"], capture_output=True, check=True).stdout.splitlines()
        )
        assert surroundings()["rules"] >= before


def test_it_can_be_killed_and_started_again(log: UndoLog) -> None:
    with running(log) as own:
        first = own.process()
        first.send(signal.SIGKILL)
        assert first.wait(PATIENCE_S)
        with pytest.raises(EnvironmentLacks, match="no engine answers"):
            private.Engine.connect(own.address)
        own.start()
        assert own.process() != first
    assert left_of(own.label) == []


def test_when_the_harness_is_killed_it_goes_within_ten_seconds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path), "bf-test-private"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        own = PrivateEngine(owner.stdout.readline().strip())
        assert left_of(own.label)
        killed = time.monotonic()
        owner.kill()
    until(lambda: not left_of(own.label), "everything to be gone", PATIENCE_S)
    assert time.monotonic() - killed < PROMISED_S
    assert sweep() == []


def test_a_full_disk_of_the_engine_is_explained() -> None:
    own = PrivateEngine.new()
    own.folder.mkdir()
    mount(own.folder, 48 << 20)
    try:
        own.start()
        with own.connect() as engine, pytest.raises(EngineFailed, match=r"disk of the engine .* is full") as caught:
            images.make(engine)
        assert caught.value.kind == "full"
    finally:
        undo = own.undo_plan()
        private.end(own.label)
        unmount(str(own.folder))
        private.stop(**undo.arguments)
    assert left_of(own.label) == []


def test_one_that_cannot_start_says_why_and_leaves_nothing(log: UndoLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "_START_S", 3.0)
    monkeypatch.setattr(PrivateEngine, "_arguments", lambda _self: ["--no-such-option"])
    before = surroundings()["folders"]
    with pytest.raises(EnvironmentLacks, match="no-such-option"), running(log):
        pytest.fail("it has started")
    assert surroundings()["folders"] <= before


@pytest.mark.usefixtures("image")
def test_the_doctor_proves_it_and_says_what_it_saw() -> None:
    said: list[str] = []
    private.prove(said.append)
    assert said[-2:] == [
        "container ended with status 0",
        "stopped   nothing is left: no mount, cgroup, folder or process",
    ]
