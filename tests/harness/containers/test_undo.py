"""What was made in the engine goes when the harness is killed: by its guardian within ten seconds, else by a sweep."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from harness.containers import undo
from harness.containers.address import Address
from harness.containers.engine import Engine, Found, Order, prefixed
from harness.containers.labels import LABEL, OWNER, Owner
from harness.errors import EnvironmentLacks
from harness.processes import Process
from harness.undo import Pointer, UndoLog, state_directory, sweep
from harness.waiting import until
from support.engines import seen

pytestmark = pytest.mark.chaos

PATIENCE_S = 30.0
PROMISED_S = 10.0
CONTAINERS = 3

# Makes containers, one of them paused, and a network, says so, and waits to be killed.
OWNER_PROGRAM = """
import signal, sys
from pathlib import Path
from harness.containers import undo
from harness.containers.engine import Engine, Order, prefixed
from harness.guardian import Guardian
from harness.undo import UndoLog

folder, label, image = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
log = UndoLog(folder / "undo.jsonl")
guardian = Guardian(log, label)
guardian.learn(undo.__name__)
log.push(undo.sweep_plan(label))
with Engine.connect() as engine:
    network = engine.create_network(label, "net")
    for number in range(int(sys.argv[4])):
        order = Order(image=image, command=["sleep", "600"], label=label, name=f"c{number}", network=network)
        container = engine.run(order)
    log.push(undo.unpausing(container.id, engine.address))
    engine.pause(container.id)
print("made", flush=True)
signal.pause()
"""


class Owning:
    """A harness process that owns containers."""

    def __init__(self, folder: Path, label: str, image: str) -> None:
        self.label = label
        command = [sys.executable, "-c", OWNER_PROGRAM, str(folder), label, image, str(CONTAINERS)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"made\n"
        assert len(seen(label)) == CONTAINERS + 1
        pointer = state_directory() / "runs" / f"{label}.json"
        guardian = msgspec.json.decode(pointer.read_bytes(), type=Pointer).guardian
        assert guardian is not None
        self.guardian = Process(*guardian)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.guardian.wait(PATIENCE_S)


@pytest.fixture
def owning(tmp_path: Path, label: str, image: str) -> Iterator[Owning]:
    made = Owning(tmp_path, label, image)
    yield made
    made.close()


def test_after_a_kill_nothing_is_left_within_ten_seconds(owning: Owning) -> None:
    killed = time.monotonic()
    owning.process.kill()
    until(lambda: not seen(owning.label), "everything to be gone", PATIENCE_S)
    assert time.monotonic() - killed < PROMISED_S
    assert owning.guardian.wait(PATIENCE_S)
    assert sweep() == []


def test_when_the_guardian_is_killed_too_the_next_sweep_removes_everything(owning: Owning) -> None:
    owning.guardian.send(9)
    assert owning.guardian.wait(PATIENCE_S)
    owning.process.kill()
    owning.process.wait()
    assert len(seen(owning.label)) == CONTAINERS + 1
    assert {line.split()[1].partition("(")[0] for line in sweep()} == {"engine.sweep", "container.unpause"}
    assert seen(owning.label) == []


def test_what_a_dead_owner_left_without_any_log_is_an_orphan(engine: Engine, image: str, label: str) -> None:
    mine = engine.run(Order(image=image, command=["sleep", "60"], label=label, name="mine"))
    with engine.asked("make an orphan") as api:
        here = Owner.current()
        dead = str(Owner(Process(2**22 + 1, 1), here.boot, here.namespace))
        orphan = api.create_container(image, ["true"], name=prefixed(label, "x"), labels={LABEL: label, OWNER: dead})

    def mine_only(found: list[Found]) -> list[str]:
        return [each.id for each in found if each.label == label]

    assert mine_only(engine.orphans()) == [orphan["Id"]]
    engine.remove_all([each for each in engine.orphans() if each.label == label])
    assert mine_only(engine.ours()) == [mine.id]


def test_each_undo_twice_equals_once_and_needs_nothing_to_be_there(
    engine: Engine, image: str, label: str, tmp_path: Path
) -> None:
    network = engine.create_network(label, "net")
    container = engine.run(Order(image=image, command=["sleep", "60"], label=label, name="c"))
    engine.pause(container.id)
    engine.update(container.id, {"PidsLimit": 10})
    log = UndoLog(tmp_path / "undo.jsonl")
    for _ in range(2):
        log.push(undo.network_removal(network, engine.address))
        log.push(undo.container_removal(container.name, engine.address))
        log.push(undo.update_reversal(container.id, {"PidsLimit": 100}, engine.address))
        log.push(undo.unpausing(container.id, engine.address))
    latest = log.pending()[-2:]
    for entry in reversed(latest):
        log.execute(entry)
    assert engine.inspect(container.id).status == "running"
    assert log.execute_all() == []
    assert seen(label) == []


def test_an_undo_says_which_engine_it_could_not_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "_PATIENCE_S", 0.0)
    plan = undo.sweep_plan("x", Address("unix:///no/such/socket"))
    log = UndoLog(tmp_path / "undo.jsonl")
    log.push(plan)
    assert "no engine answers at unix:///no/such/socket" in log.execute_all()[0]
    with pytest.raises(EnvironmentLacks):
        undo.sweep(**plan.arguments)
