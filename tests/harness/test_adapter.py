"""The harness's end of an adapter process: whatever the other end does, an answer or an error comes of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.adapter import AdapterProcess, Launch, last_words
from harness.errors import AdapterDied, ProtocolViolation, TargetFailed, TimedOut
from harness.processes import Process
from harness.wire import Answer, Emitted

PATIENCE_S = 10.0
Start = Callable[..., AdapterProcess]

ECHO = """
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "event":
        print(json.dumps({"event": "before", "data": {}}))
    print(json.dumps({"id": request["id"], "ok": {**request["args"], "protocol": 1, "label": os.environ.get("LABEL")}}))
    if request["op"] == "event":
        print(json.dumps({"event": "after", "data": {}}))
    sys.stdout.flush()
"""
SILENT = "import sys; sys.stdin.read()"
CLINGING = "import signal, sys; sys.stdin.read(); print(1, file=sys.stderr, flush=True); signal.pause()"
LATE = """
import json, sys
first = json.loads(sys.stdin.readline())
second = json.loads(sys.stdin.readline())
for request in (first, second):
    print(json.dumps({"id": request["id"], "ok": {"op": request["op"]}}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[AdapterProcess] = []

    def launch(code: str, role: str = "host", **environment: str) -> AdapterProcess:
        command = (sys.executable, "-c", code)
        made.append(AdapterProcess(Launch(command, tmp_path, environment), role, tmp_path / "adapter.log"))
        return made[-1]

    yield launch
    for process in made:
        process.kill()


def test_a_call_returns_the_answer(start: Start) -> None:
    adapter = start(ECHO, LABEL="x")
    answer = adapter.call("anything", {"a": [1, None, "\n"]}, PATIENCE_S)
    assert (answer.outcome, answer.result["a"], answer.result["label"]) == ("ok", [1, None, "\n"], "x")
    adapter.greet()


def test_events_around_an_answer_are_handed_on_in_order(start: Start) -> None:
    adapter = start(ECHO)
    heard: list[Emitted] = []
    adapter.on_event = heard.append
    adapter.call("event", {}, PATIENCE_S)
    adapter.call("quiet", {}, PATIENCE_S)
    assert [event.event for event in heard] == ["before", "after"]


def test_an_answer_that_does_not_come_times_out(start: Start) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut, match="the answer of the client adapter to 'probe'"):
        start(SILENT, role="client").call("probe", {}, 0.05)
    assert time.monotonic() - began < PATIENCE_S


def test_a_late_answer_is_not_taken_for_the_next_one(start: Start) -> None:
    adapter = start(LATE)
    with pytest.raises(TimedOut):
        adapter.call("first", {}, 0.05)
    assert adapter.call("second", {}, PATIENCE_S).result == {"op": "second"}


def test_a_death_is_told_with_the_status_and_the_last_words(start: Start) -> None:
    adapter = start("import sys; sys.stdin.readline(); print('one'); sys.exit('two\\nthree\\nfour')")
    with pytest.raises((AdapterDied, ProtocolViolation)):
        adapter.call("hello", {}, PATIENCE_S)
    adapter = start("import sys; sys.stdin.readline(); sys.exit('two\\nthree\\nfour')")
    with pytest.raises(AdapterDied, match="the host adapter ended with status 1; its last words: two / three / four"):
        adapter.call("hello", {}, PATIENCE_S)


def test_sending_to_the_dead_is_an_error_too(start: Start) -> None:
    adapter = start("raise SystemExit(3)")
    assert Process.of(adapter.process.pid).wait(PATIENCE_S)
    with pytest.raises(AdapterDied, match="ended with status 3"):
        adapter.send("probe", {})


def test_a_line_that_is_no_protocol_is_shown(start: Start) -> None:
    with pytest.raises(ProtocolViolation, match="listening on port 80"):
        start("print('listening on port 80', flush=True); input()").call("hello", {}, PATIENCE_S)


@pytest.mark.parametrize("answer", ['{"id": 1, "ok": {"protocol": 2}}', '{"id": 1, "ok": {}}', '{"id": 1, "fail": {}}'])
def test_a_host_that_does_not_accept_our_protocol_is_refused(start: Start, answer: str) -> None:
    with pytest.raises(ProtocolViolation, match="did not answer hello with protocol 1"):
        start(f"input(); print({answer!r}, flush=True); input()").greet()


def test_closing_lets_it_leave_by_itself(start: Start) -> None:
    adapter = start("import sys; sys.stdin.read(); sys.exit(7)")
    adapter.close()
    assert adapter.process.returncode == 7


def test_closing_one_that_clings_kills_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.adapter._FAREWELL_PATIENCE_S", 0.05)
    adapter = start(CLINGING)
    adapter.close()
    assert adapter.process.returncode == -9
    adapter.kill()  # a second end is none


def test_many_answers_at_once_are_received_together(start: Start) -> None:
    adapter = start(ECHO)
    asked = [adapter.send("op", {"n": n}) for n in range(20)]
    got: list[int] = []
    while len(got) < len(asked):
        got += [message.id for message in adapter.receive() if isinstance(message, Answer)]
    assert got == asked


def test_a_program_that_does_not_exist_is_the_targets_failure(tmp_path: Path) -> None:
    with pytest.raises(TargetFailed, match="adapter no-such-program x cannot be started"):
        AdapterProcess(Launch(("no-such-program", "x"), tmp_path), "host", tmp_path / "log")


def test_a_file_is_found_beside_the_scenario_and_a_package_anywhere(tmp_path: Path) -> None:
    assert Launch.python("./mine.py:adapter", tmp_path, {}).command[-1] == str(tmp_path / "mine.py:adapter")
    assert Launch.python("pkg.mod:adapter", tmp_path, {}).command[-1] == "pkg.mod:adapter"


def test_there_are_no_last_words_without_a_log(tmp_path: Path) -> None:
    assert last_words(tmp_path / "missing") == "(none)"
