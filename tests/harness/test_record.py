"""The record: what is written reads back, a crash costs the last line at most, and anything else wrong is an error."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.record import (
    FORMAT,
    Event,
    FaultProven,
    Folder,
    Invoked,
    Observed,
    PhaseBegan,
    Probed,
    Problem,
    Record,
    Returned,
    RunBegan,
    RunEnded,
    TargetEvent,
    TrialSpec,
    Writer,
)

SPEC = TrialSpec(scenario="s", source="s.yaml", root_seed=1, seed=2, label="bf-test")
EVENTS = [
    RunBegan(t=1, environment={"cpus": 2}),
    PhaseBegan(t=2, phase="workload"),
    TargetEvent(t=3, name="damage.detected", data={"handle": "journal", "text": "two\nlines"}),
    FaultProven(t=4, fault=0, proof={}),
    Observed(t=5, name="left_processes", data={"processes": []}),
    Problem(t=6, phase="quiet", error="TimedOut", message="…"),
    RunEnded(t=7, left=[]),
]
HISTORY = [
    Invoked(n=1, client=0, t=10, op="write", args={"key": "k", "value": 1}),
    Invoked(n=2, client=1, t=11, op="read", args={"key": "k"}),
    Returned(n=1, t=12, outcome="ok", result={"version": 1}),
    Invoked(n=3, client=0, t=13, op="write", args={"key": "k", "value": 2}),
    Returned(n=3, t=14, outcome="info", result={}),
    Invoked(n=4, client=0, t=15, op="read", args={"key": "k"}, final=True),
    Returned(n=4, t=16, outcome="fail", result={"error": "no"}),
]
PROBES = [Probed(t=1, end=2, good=True), Probed(t=3, end=4, good=False, error="refused")]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.trial.write_bytes(msgspec.json.encode(SPEC))
    for path, records in ((folder.events, EVENTS), (folder.history, HISTORY), (folder.probes, PROBES)):
        writer = Writer(path)
        writer.write(*records)
        writer.sync()
        writer.close()
    return folder


def test_a_record_reads_back_as_it_was_written(folder: Folder) -> None:
    assert Record.load(folder.path) == Record(SPEC, EVENTS, HISTORY, PROBES)


@given(data=st.data())
def test_a_reader_cuts_a_torn_last_line_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = Folder(tmp_path_factory.mktemp("run"))
    folder.trial.write_bytes(msgspec.json.encode(SPEC))
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in EVENTS)
    kept = data.draw(st.integers(0, len(lines)))
    folder.events.write_bytes(lines[:kept])
    assert Record.load(folder.path).events == EVENTS[: lines[:kept].count(b"\n")]


@pytest.mark.parametrize(
    "bad", [b"", b"{}", b'{"type":"no_such_event","t":1}', b'{"type":"run_ended","t":"now"}', b"\xff"]
)
def test_a_bad_line_before_the_last_is_an_error_with_its_place(folder: Folder, bad: bytes) -> None:
    first, rest = folder.events.read_bytes().split(b"\n", 1)
    folder.events.write_bytes(first + b"\n" + bad + b"\n" + rest)
    with pytest.raises(ScenarioError, match=r"events\.jsonl:2: not a record"):
        Record.load(folder.path)


def test_a_run_that_was_killed_early_has_an_empty_record(tmp_path: Path) -> None:
    Folder(tmp_path).trial.write_bytes(msgspec.json.encode(SPEC))
    assert Record.load(tmp_path) == Record(SPEC, [], [], [])


def test_an_operation_without_a_known_outcome_never_ends(folder: Folder) -> None:
    operations = Record.load(folder.path).operations
    assert [(each.n, each.outcome, each.returned) for each in operations] == [
        (1, "ok", 12),
        (2, "info", None),  # open: the client was killed
        (3, "info", None),  # answered, but with a shrug
        (4, "fail", 16),
    ]
    assert [each.acknowledged for each in operations] == [True, False, False, False]
    assert [each.final for each in operations] == [False, False, False, True]


def test_events_are_found_by_type_and_by_the_targets_name(folder: Folder) -> None:
    record = Record.load(folder.path)
    assert record.of(RunEnded) == [EVENTS[-1]]
    assert record.reported("damage.detected") == [EVENTS[2]]
    assert record.reported("restore.end") == []


def test_every_event_type_is_read() -> None:
    kinds = {type(event) for event in EVENTS}
    assert kinds < set(Event.__subclasses__())


def test_two_writers_of_one_file_never_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    writers = [Writer(path), Writer(path)]
    for n in range(50):
        writers[n % 2].write(*[Probed(t=n, end=n, good=True)] * 3)
    for writer in writers:
        writer.close()
    Folder(tmp_path).trial.write_bytes(msgspec.json.encode(SPEC))
    assert [probe.t for probe in Record.load(tmp_path).probes] == [n for n in range(50) for _ in range(3)]


def test_a_folder_without_a_trial_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="is not a run folder"):
        Folder(tmp_path).spec()


def test_a_record_of_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    newer = msgspec.structs.replace(SPEC, format=FORMAT + 1)
    Folder(tmp_path).trial.write_bytes(msgspec.json.encode(newer))
    with pytest.raises(ScenarioError, match=f"reads up to {FORMAT}: upgrade it"):
        Folder(tmp_path).spec()
