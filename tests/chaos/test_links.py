"""Whole trials on links and clocks: what the clients notice, and that nothing is left wherever the harness dies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.doctor import CAPABILITIES, probe
from harness.processes import command_line, labelled
from harness.record import Invoked, Record, Returned
from support.trials import PATIENCE_S, Trial

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(
        not all(probe(CAPABILITIES[name]).ok for name in ("toxiproxy-server", "faketime")),
        reason="these take a Toxiproxy server and libfaketime",
    ),
]
LINKED = Path(__file__).resolve().parents[1] / "harness" / "linked_adapter.py"


def scenario(faults: Sequence[str], *, more: str = "", expect: str = "no_orphans") -> str:
    lines = "".join(f"\n  - {fault}" for fault in faults)
    return f"""scenario: linked
feature: locking
summary: A toy at the other end of a link.
target: {LINKED}:adapter
runner: concurrent_writers
workload: {{mode: optimistic, writers: 2, rate: 50/s, keys: 2, until: faults_done + 300ms}}
faults:{lines}
expect:
  - {expect}
{more}"""


def events(trial: Trial, kind: str) -> list[Any]:
    lines = [msgspec.json.decode(line) for line in trial.folder.events.read_bytes().splitlines()]
    return [line for line in lines if line["type"] == kind]


def calls(trial: Trial, op: str) -> Iterator[tuple[Invoked, Returned]]:
    invoked: dict[int, Invoked] = {}
    for line in Record.load(trial.folder.path).history:
        if isinstance(line, Invoked) and line.op == op:
            invoked[line.n] = line
        elif isinstance(line, Returned) and line.n in invoked:
            yield invoked[line.n], line


def test_the_clients_notice_a_slow_link_while_it_lasts_and_not_afterwards(tmp_path: Path) -> None:
    fault = "{at: 200ms, fault: toxic.latency, on: link, for: 500ms, latency: 60ms}"
    trial = Trial(tmp_path / "run", scenario([fault]))
    assert trial.run().status == "PASS"
    assert trial.left() == []
    injected, undone = events(trial, "fault_injected")[0], events(trial, "fault_undone")[0]
    took = {call.t: answer.t - call.t for call, answer in calls(trial, "read")}
    held = [ns for began, ns in took.items() if injected["t"] < began < undone["t"] - 100_000_000]
    later = [ns for began, ns in took.items() if began > undone["t"]]
    assert held
    assert min(held) >= 60_000_000 > min(later)


def test_a_link_leads_to_its_backend_wherever_that_comes_back(tmp_path: Path) -> None:
    """It listens on another port each time; the clients know only the proxy's."""
    faults = [
        "{at: 200ms, fault: backend.kill, on: backend}",
        "{at: +300ms, fault: toxic.down, on: link, for: 200ms}",
        "{at: +300ms, fault: backend.restart, on: backend, empty: true}",
    ]
    trial = Trial(tmp_path / "run", scenario(faults, expect="recovered_within: 5s"))
    result = trial.run()
    assert result.status == "PASS", result
    addresses = {event["data"]["address"] for event in events(trial, "target_event")}
    assert len(addresses) == 3
    assert trial.left() == []


def test_a_target_that_does_not_use_its_link_proves_nothing(tmp_path: Path) -> None:
    fault = "{at: 100ms, fault: toxic.latency, on: link, for: 100ms}"
    trial = Trial(tmp_path / "run", scenario([fault], more="with: {stubborn: true}"))
    assert trial.run().status == "UNKNOWN"
    assert "nobody uses the link" in events(trial, "fault_unproven")[0]["reason"]


def test_without_a_fault_on_it_a_link_has_no_proxy(tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", scenario(["{at: 100ms, fault: noop}"]))
    trial.run()
    assert not (trial.folder.logs / "toxiproxy.log").exists()


def test_the_clock_of_one_client_jumps_and_the_history_does_not(tmp_path: Path) -> None:
    fault = "{at: 200ms, fault: clock.jump, on: client, by: +1h, for: 500ms}"
    trial = Trial(tmp_path / "run", scenario([fault]))
    assert trial.run().status == "PASS"
    jumped = events(trial, "fault_injected")[0]["evidence"]["client"]
    ahead: dict[int, list[float]] = {0: [], 1: []}
    for call, answer in calls(trial, "read"):
        ahead[call.client].append(answer.result["wall"] - answer.result["monotonic"])
        assert 0 <= answer.t - call.t < 10**10
    assert max(ahead[jumped]) - min(ahead[jumped]) == pytest.approx(3600, abs=5)
    assert ahead[jumped][-1] == pytest.approx(ahead[jumped][0], abs=5)
    other = ahead[1 - jumped]
    assert max(other) - min(other) < 5


def toxiproxies(trial: Trial) -> list[str]:
    found = (command_line(process.pid) for process in labelled(trial.label))
    return [command for command in found if "toxiproxy-server" in command]


@pytest.mark.parametrize("kind", ["toxic.timeout", "toxic.down"])
def test_no_server_is_left_when_the_harness_is_killed_while_a_toxic_holds(kind: str, tmp_path: Path) -> None:
    trial = Trial(tmp_path / "run", scenario([f"{{at: 100ms, fault: {kind}, on: link}}", "{at: 60s, fault: noop}"]))
    process = trial.start()
    trial.wait_for('"fault_proven"')
    assert len(toxiproxies(trial)) == 1
    process.kill()
    process.wait()
    trial.wait_until_clean()
    assert toxiproxies(trial) == []


@pytest.mark.parametrize("point", ["set_up", "undo.journaled", "fault.injected", "heal"])
def test_nothing_is_left_wherever_the_harness_dies(point: str, tmp_path: Path) -> None:
    faults = [
        "{at: 100ms, fault: toxic.latency, on: link, for: 100ms}",
        "{at: 100ms, fault: clock.jump, on: client, by: -10min, for: 100ms}",
    ]
    trial = Trial(tmp_path / "run", scenario(faults))
    trial.start(BIGFIVE_DIE_AT=point).wait(3 * PATIENCE_S)
    trial.wait_until_clean()
    assert not re.search('"run_ended"', trial.log())
