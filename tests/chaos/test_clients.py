"""Clients as the recorder drives them: they keep their pauses, can be found by role, and are replaced by others."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.processes import Process
from harness.record import FaultInjected, FaultProven, FaultUndone, Operation, Record, WorkloadBegan
from support.source import ROOT
from support.trials import Trial

pytestmark = pytest.mark.chaos

SMALL = ROOT / "tests" / "support" / "small_locks.py"
MS = 1_000_000


def run(folder: Path, workload: str, *faults: str, target: str = f"{SMALL}:adapter") -> Record:
    steps = "".join(f"\n  - {fault}" for fault in faults) or " []"
    trial = Trial(
        folder / "run",
        f"""scenario: clients
feature: locking
summary: Clients.
target: {target}
runner: concurrent_writers
workload: {workload}
faults:{steps}
expect: [no_lost_updates]
quiet: 100ms
""",
    )
    result = trial.run()
    assert result.status == "PASS", result.reason
    assert not trial.left()
    return Record.load(trial.folder.path)


def struck(record: Record) -> list[int]:
    return [event.evidence["client"] for event in record.of(FaultInjected)]


def of(record: Record, client: int) -> list[Operation]:
    return [each for each in record.operations if each.client == client]


def test_a_writer_holds_its_lock_as_long_as_it_means_to_whatever_its_slots(tmp_path: Path) -> None:
    record = run(tmp_path, "{writers: 2, rate: 20/s, keys: 2, hold: 80ms, until: 1s}")
    pairs = [(first, then) for client in (0, 1) for first, then in zip(of(record, client), of(record, client)[1:])]  # noqa: B905
    holds = [then.called - (first.returned or 0) for first, then in pairs if (first.op, then.op) == ("fetch", "store")]
    assert len(holds) > 5
    assert all(40 * MS <= hold < 400 * MS for hold in holds)


def test_what_was_begun_is_finished_when_the_workload_ends(tmp_path: Path) -> None:
    record = run(tmp_path, "{writers: 4, rate: 40/s, keys: 4, hold: 300ms, until: 1s}")
    last = {each.client: each.op for each in record.operations if not each.final}
    assert set(last.values()) == {"release"}


def test_a_killed_holder_leaves_its_grant_and_another_client_takes_its_place(tmp_path: Path) -> None:
    kill = "{at: 300ms, fault: process.kill, on: holder}"
    record = run(tmp_path, "{writers: 4, rate: 40/s, keys: 2, hold: 60ms, lease: 300ms, until: faults_done + 1s}", kill)
    [dead] = struck(record)
    assert record.of(WorkloadBegan)[0].clients == 4
    assert of(record, dead)[-1].op in {"fetch", "store"}  # never released
    assert of(record, dead + 4)[0].op == "acquire"  # begins anew
    assert not of(record, dead + 8)


def test_a_killed_client_is_any_of_them_by_the_seed_of_the_fault(tmp_path: Path) -> None:
    kill = "{at: 200ms, fault: process.kill, on: client, every: 200ms, times: 3}"
    record = run(tmp_path, "{mode: collaborative, writers: 4, rate: 40/s, until: faults_done + 200ms}", kill)
    seats = [client % 4 for client in struck(record)]
    assert len(seats) == 3
    again = run(tmp_path / "again", "{mode: collaborative, writers: 4, rate: 40/s, until: faults_done}", kill)
    assert [client % 4 for client in struck(again)] == seats


def test_a_paused_holder_goes_on_as_the_same_client(tmp_path: Path) -> None:
    pause = "{at: 300ms, fault: process.pause, on: holder, for: 500ms}"
    record = run(
        tmp_path, "{writers: 4, rate: 40/s, keys: 1, hold: 60ms, lease: 200ms, until: faults_done + 500ms}", pause
    )
    [client] = struck(record)
    assert record.of(FaultUndone)
    late = [each for each in of(record, client) if (each.returned or 0) - each.called > 200 * MS]
    assert late
    assert of(record, client)[-1].called > record.of(FaultUndone)[0].t


def test_where_nobody_is_in_that_role_the_fault_is_not_proven(tmp_path: Path) -> None:
    text = f"""scenario: clients
feature: locking
summary: Clients.
target: {SMALL}:adapter
runner: concurrent_writers
workload: {{mode: optimistic, writers: 2, rate: 20/s, until: faults_done}}
faults:
  - {{at: 100ms, fault: process.kill, on: holder}}
expect: [no_lost_updates]
"""
    trial = Trial(tmp_path / "run", text)
    result = trial.run()
    assert result.status == "UNKNOWN"
    assert "no client was holder within 5 s" in result.faults[0].reason
    assert not Record.load(trial.folder.path).of(FaultProven)


def test_every_client_can_tell_its_number_from_its_environment(tmp_path: Path) -> None:
    path = tmp_path / "told.py"
    path.write_text(
        f"""
import importlib.util, os, sys
from types import SimpleNamespace
spec = importlib.util.spec_from_file_location("small_locks", {str(SMALL)!r})
small = sys.modules["small_locks"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small)

class Client(small.Client):
    def open(self, connect, client, timeout_s):
        assert os.environ["BIGFIVE_CLIENT"] == str(client)
        super().open(connect, client, timeout_s)

adapter = SimpleNamespace(host=small.Host, client=Client)
"""
    )
    kill = "{at: 200ms, fault: process.kill, on: client}"
    workload = "{mode: optimistic, writers: 3, rate: 60/s, until: faults_done + 500ms}"
    record = run(tmp_path, workload, kill, target=f"{path}:adapter")
    [dead] = struck(record)
    assert {0, 1, 2, dead + 3} == {each.client for each in record.operations}
    with pytest.raises(ProcessLookupError):
        Process.of(record.of(FaultInjected)[0].evidence["pid"])
