"""`bigfive adapter check`: passes good adapters, convicts each bad one by the rule that it breaks, leaves nothing."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness import adapter_check, wire
from harness.adapter import Launch
from harness.adapter_check import Step, check
from harness.adapter_contracts import AFTER_KILL, OPERATIONS
from harness.engine.host import sandbox_of
from harness.processes import labelled
from harness.testing import check_adapter
from harness.undo import Pointer, state_directory
from harness.waiting import until

TESTS = Path(__file__).parents[1]
SUPPORT, TOYS = TESTS / "support", TESTS / "harness"
NODE_STORE = TESTS.parent / "scenarios" / "adapters" / "node_store.js"
CONTRACT_RULES = [rule for table in (OPERATIONS, AFTER_KILL) for rules in table.values() for rule in rules]
RULES = [*adapter_check.BEFORE, *adapter_check.FAULTS, *adapter_check.AFTER, *CONTRACT_RULES]

BAD_OBJECTS = {
    "NoEvents": "describe is answered before start",
    "ForeignContract": "describe is answered before start",
    "WrongType": "describe is answered before start",
    "YesMan": "the host refuses what it does not offer",
    "NoConnect": "the system starts",
    "MissingFile": "describe says where things are",
    "ShiftingHandles": "describe says where things are",
    "Unlabelled": "its processes carry the label",
    "OutsideFolder": "what it keeps is in the folder",
    "SickProbe": "a probe is ok",
    "YesClient": "a client refuses what it does not offer",
    "NullVersion": "a key never written has version 0",
    "CountsFromZero": "versions count the writes of a key",
    "LastWriterWins": "a write on another version is a conflict",
    "MuteConflict": "a write on another version is a conflict",
    "NeverOnAVersion": "a write on the current version is done",
    "Stringly": "any JSON value comes back as it was",
    "Caching": "clients see each other's writes",
    "EagerClient": "a client opens while the system is down",
    "PatientClient": "no call outlasts its timeout",
    "NotRestarted": "the service comes back from kill -9",
    "Forgetful": "acknowledged writes survive the kill",
    "ForgetsVersions": "acknowledged writes survive the kill",
    "Chatty": "events are declared, and the host's",
    "Unclosable": "close is answered",
    "ClingingClient": "clients leave when their input ends",
    "LeavesService": "stop leaves nothing behind",
    "ClingingHost": "the host leaves when its input ends",
}
BAD_LOCKS = {
    "SameToken": "tokens increase",
    "Generous": "a held lock is refused",
    "Impatient": "a waiter gets what is released",
    "Endless": "a lease ends",
    "Anybody": "only its holder renews and releases",
    "Unguarded": "what a lock guards is kept",
    "Unfenced": "a stale token stores nothing",
    "OneByOne": "a batch is granted whole",
    "LastWriterWins": "edits of many are all there",
    "Again": "a repeated request does nothing",
}
BAD_SERVERS = {
    "Printing": "hello is answered",
    "Crashing": "hello is answered",
    "AnyProtocol": "another protocol is refused",
    "Swapped": "answers come in order",
    "Abrupt": "the end of input is enough to clean up",
}


class Convicted(Exception):
    """Ends a check at the first failure, as Ctrl-C would."""


def object_of(name: str) -> Launch:
    return Launch.python(f"{SUPPORT / 'bad_adapters.py'}:{name}", TOYS, {})


def server_of(name: str) -> Launch:
    paths = os.pathsep.join(map(str, (TOYS, SUPPORT)))
    return Launch((sys.executable, str(SUPPORT / "bad_servers.py"), name), TOYS, {"PYTHONPATH": paths})


def first_failure(launch: Launch) -> Step | None:
    failed: list[Step] = []

    def stop_at_failure(step: Step) -> None:
        if step.status == "FAIL":
            failed.append(step)
            raise Convicted

    try:
        check(launch, stop_at_failure)
    except Convicted:
        return failed[0]
    return None


def pending_runs() -> list[Path]:
    return list((state_directory() / "runs").glob("*.json"))


@pytest.mark.chaos
def test_a_good_adapter_passes_every_rule() -> None:
    assert {step.status for step in check_adapter(object_of("Good"))} == {"PASS"}
    assert not pending_runs()


@pytest.mark.chaos
def test_the_adapter_in_node_passes_every_rule(lacking: Callable[[str], None]) -> None:
    if shutil.which("node") is None:
        lacking("there is no node on PATH: apt-get install nodejs")
    steps = check_adapter(Launch(("node", str(NODE_STORE)), NODE_STORE.parent, {}))
    assert {step.status for step in steps} == {"PASS"}


@pytest.mark.chaos
@pytest.mark.parametrize(("name", "rule"), BAD_OBJECTS.items())
def test_a_bad_adapter_is_convicted_by_the_rule_that_it_breaks(name: str, rule: str) -> None:
    failure = first_failure(object_of(name))
    assert failure
    assert failure.name == rule, failure.detail
    assert not pending_runs()


@pytest.mark.chaos
@pytest.mark.parametrize(("name", "rule"), BAD_LOCKS.items())
def test_bad_locks_and_documents_are_convicted_by_the_rule_that_they_break(name: str, rule: str) -> None:
    failure = first_failure(Launch.python(f"{SUPPORT / 'bad_locks.py'}:{name}", SUPPORT, {}))
    assert failure
    assert failure.name == rule, failure.detail
    assert not pending_runs()


@pytest.mark.chaos
def test_small_right_locks_pass_every_rule_that_does_not_need_a_service() -> None:
    steps = check_adapter(Launch.python(f"{SUPPORT / 'bad_locks.py'}:Good", SUPPORT, {}))
    assert {step.status for step in steps} == {"PASS", "SKIP"}
    assert sum(step.status == "SKIP" for step in steps) == len(adapter_check.FAULTS)


@pytest.mark.chaos
@pytest.mark.parametrize(("name", "rule"), BAD_SERVERS.items())
def test_a_bad_speaker_of_the_protocol_is_convicted_by_the_rule_that_it_breaks(name: str, rule: str) -> None:
    failure = first_failure(server_of(name))
    assert failure
    assert failure.name == rule, failure.detail
    assert not pending_runs()


def test_every_rule_but_one_has_convicted_somebody() -> None:
    convicting = {*BAD_OBJECTS.values(), *BAD_LOCKS.values(), *BAD_SERVERS.values()}
    assert {rule.name for rule in RULES} - convicting == {"two clients open", "versions go on where they were"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_quotes_the_protocol_word_for_word(rule: adapter_check.Rule) -> None:
    protocol = re.sub(r"[\s#]+", " ", inspect.getsource(wire))
    assert rule.says in protocol


@pytest.mark.chaos
def test_a_failure_says_what_was_seen_and_what_the_protocol_says() -> None:
    failure = first_failure(server_of("Crashing"))
    assert failure
    assert "ended with status 1; its last words: no licence found" in failure.detail
    assert 'The protocol says: {"protocol": 1, "role": "host" | "client"}' in failure.detail


def test_a_command_that_does_not_exist_fails_the_first_rule_and_skips_the_others(tmp_path: Path) -> None:
    steps = check(Launch(("no-such-program",), tmp_path), lambda _step: None)
    assert [step.status for step in steps] == ["FAIL", *["SKIP"] * (len(steps) - 1)]
    assert "no-such-program cannot be started" in steps[0].detail
    assert steps[1].detail == "cannot be tried: it is not so that hello is answered"


@pytest.mark.chaos
def test_a_check_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    launch = object_of("Good")
    code = f"""
from pathlib import Path
from harness.adapter import Launch
from harness.adapter_check import check
check(Launch({launch.command!r}, Path({str(TOYS)!r})), lambda step: print(step.name, flush=True))
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as examiner:
        assert examiner.stdout is not None
        assert any(line == "two clients open\n" for line in examiner.stdout)
        pointer = msgspec.json.decode(pending_runs()[0].read_bytes(), type=Pointer)
        assert sandbox_of(pointer.label).exists()
        assert list(labelled(pointer.label))
        examiner.send_signal(signal.SIGKILL)
    until(lambda: not pending_runs(), "the guardian to have undone everything", 5)
    assert not sandbox_of(pointer.label).exists()
    assert not list(labelled(pointer.label))
