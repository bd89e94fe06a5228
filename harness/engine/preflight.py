"""What must hold before anything is started: the variant, how to launch the target, the scope's lock, the contract."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from harness.adapter import Launch
from harness.errors import TargetFailed
from harness.faults._base import Equips, Prepares
from harness.record import TrialSpec
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.triggers import AtEvent, AtFailpoint
from harness.undo import UndoLog, state_directory
from harness.wire import Json


def choose_variant(path: Path, spec: TrialSpec) -> Scenario:
    """Load the scenario and return the variant that the trial is about. Raises `ScenarioError`."""
    variants = {variant.name: variant.scenario for variant in load(path, spec.params)}
    return variants[spec.variant]


def launch_of(scenario: Scenario, spec: TrialSpec, environment: Mapping[str, str]) -> Launch:
    """Return how to start the scenario's adapter; relative paths are relative to the scenario file."""
    folder = Path(spec.source).resolve().parent
    if scenario.command is not None:
        return Launch(scenario.command, folder, environment)
    return Launch.python(str(scenario.target), folder, environment)


def lock_scope(spec: TrialSpec) -> int:
    """Hold the host's lock for as long as this process lives: shared, or alone where faults may reach the host.

    `-n`, xdist and two developers on one machine all meet at the same lock.
    """
    folder = state_directory()
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "host.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX if "host" in spec.allow else fcntl.LOCK_SH)
    return lock


def prepare(scenario: Scenario, folder: Path, log: UndoLog) -> None:
    """Let faults make of the target's folder what they need; its undo is journaled first."""
    for fault in (step.parameters for step in scenario.faults):
        if isinstance(fault, Prepares):
            for undo in fault.preparation(folder):
                log.push(undo)
            fault.prepare(folder)


def equip(scenario: Scenario, folder: Path) -> dict[str, str]:
    """Return what faults want in the environment of every client; what they make for it is in `folder`."""
    faults = [step.parameters for step in scenario.faults]
    return {name: value for fault in faults if isinstance(fault, Equips) for name, value in fault.equip(folder).items()}


def check_description(scenario: Scenario, description: Json) -> None:
    """Raise `TargetFailed` naming everything that the scenario needs and the target does not offer."""
    needed = {
        "contracts": {scenario.workload.contract},
        "handles": {step.on for step in scenario.faults if step.on is not None} - scenario.workload.client_handles,
        "events": {step.at.name for step in scenario.faults if isinstance(step.at, AtEvent)},
        "failpoints": {step.at.name for step in scenario.faults if isinstance(step.at, AtFailpoint)},
    }
    lacking = [
        f"{member} {name!r} (offered: {', '.join(sorted(description.get(member, ()))) or 'none'})"
        for member, names in needed.items()
        for name in sorted(names - set(description.get(member, ())))
    ]
    if lacking:
        raise TargetFailed(f"the scenario needs what the target does not offer: {'; '.join(lacking)}")
