"""`python -m harness.serve`: a plain Python object as an adapter."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.serve import Server, resolve
from harness.wire import Answer, Emitted, Request, decode_message, encode_request


class Refusal(Exception):
    certainly_not_done = True
    details = {"error": "conflict", "version": 5}  # noqa: RUF012  what an author would write


class Host:
    def __init__(self, emit: Any) -> None:  # noqa: ANN401
        self.emit = emit

    def describe(self) -> dict[str, Any]:
        self.emit("described", by="host")
        return {"name": "mine"}


class Client:
    closed = 0
    setting = "no operation"

    def probe(self) -> None:
        return None

    def read(self, key: str) -> dict[str, Any]:
        return {"value": key, "version": 1}

    def refuse(self) -> None:
        raise Refusal("not like this")

    def crash(self) -> None:
        raise OSError("the line went dead")

    def unspeakable(self) -> dict[str, Any]:
        return {"value": object()}

    def close(self) -> None:
        type(self).closed += 1


class Mine:
    host, client = Host, Client


def talk(*requests: tuple[str, dict[str, Any]], role: str = "client") -> list[Answer | Emitted]:
    """Say hello, send the requests, and return what comes back after the answer to hello."""
    hello = ("hello", {"protocol": 1, "role": role})
    lines = [encode_request(Request(n, op, args)) for n, (op, args) in enumerate((hello, *requests))]
    out = io.BytesIO()
    Server(Mine, out).serve(io.BytesIO(b"".join(lines)))
    first, *rest = [decode_message(line) for line in out.getvalue().splitlines()]
    assert first == Answer(0, "ok", {"protocol": 1})
    return rest


def test_an_operation_is_a_method_and_its_arguments_are_keywords() -> None:
    assert talk(("read", {"key": "k"})) == [Answer(1, "ok", {"value": "k", "version": 1})]


def test_nothing_returned_is_an_empty_answer() -> None:
    assert talk(("probe", {})) == [Answer(1, "ok", {})]


def test_an_exception_that_knows_is_fail_with_its_details() -> None:
    expected = {"error": "conflict", "version": 5, "message": "not like this"}
    assert talk(("refuse", {})) == [Answer(1, "fail", expected)]


def test_any_other_exception_is_info_and_the_next_request_is_answered() -> None:
    crashed, probed = talk(("crash", {}), ("probe", {}))
    assert crashed == Answer(1, "info", {"error": "OSError", "message": "the line went dead"})
    assert probed == Answer(2, "ok", {})


def test_a_result_that_json_does_not_know_is_info_and_the_next_request_is_answered() -> None:
    unspeakable, probed = talk(("unspeakable", {}), ("probe", {}))
    assert isinstance(unspeakable, Answer)
    assert unspeakable.outcome == "info"
    assert probed == Answer(2, "ok", {})


@pytest.mark.parametrize("op", ["brew", "_ask", "__init__", "setting"])
def test_what_is_no_operation_is_refused(op: str) -> None:
    (answer,) = talk((op, {}))
    assert isinstance(answer, Answer)
    assert answer.outcome != "ok"


def test_wrong_arguments_are_an_answer_too() -> None:
    (answer,) = talk(("read", {"name": "k"}))
    assert isinstance(answer, Answer)
    assert answer.outcome == "info"
    assert "unexpected keyword argument" in answer.result["message"]


def test_events_go_out_between_the_answers() -> None:
    expected = [Emitted("described", {"by": "host"}), Answer(1, "ok", {"name": "mine"})]
    assert talk(("describe", {}), role="host") == expected


def test_another_protocol_is_refused() -> None:
    out = io.BytesIO()
    Server(Mine, out).serve(io.BytesIO(encode_request(Request(1, "hello", {"protocol": 99, "role": "host"}))))
    answer = decode_message(out.getvalue())
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.result["message"]) == ("fail", "this adapter speaks protocol 1, not 99")


def test_the_end_of_the_input_closes_what_is_open() -> None:
    before = Client.closed
    talk()
    assert Client.closed == before + 1


ADAPTER = """
import subprocess, sys

class Client:
    def probe(self):
        print("noise from the target")
        return {"child": subprocess.run(["cat"], capture_output=True, text=True, check=True).stdout}

class adapter:
    client = Client

instance = Client()
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "served.py"
    path.write_text(ADAPTER)
    return path


def test_neither_the_targets_prints_nor_its_children_disturb_the_conversation(module: Path) -> None:
    requests = [
        Request(0, "hello", {"protocol": 1, "role": "client"}),
        Request(1, "probe", {}),
        Request(2, "probe", {}),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "harness.serve", "served.py:adapter"],
        cwd=module.parent,
        input=b"".join(map(encode_request, requests)),
        capture_output=True,
        check=True,
    )
    answers = [decode_message(line) for line in run.stdout.splitlines()]
    assert answers[1:] == [Answer(1, "ok", {"child": ""}), Answer(2, "ok", {"child": ""})]
    assert run.stderr == b"noise from the target\n" * 2


def test_a_reference_leads_into_a_file_or_a_package(module: Path) -> None:
    assert resolve(f"{module}:adapter.client").__name__ == "Client"
    assert resolve("harness.wire:PROTOCOL") == 1
    assert resolve("harness.faults:noop").__name__ == "harness.faults.noop"


@pytest.mark.parametrize(
    "reference", ["harness.wire", ":adapter", "harness.wire:", "no_such_package:adapter", "missing.py:adapter", "", ":"]
)
def test_a_reference_that_leads_nowhere_says_so(reference: str) -> None:
    with pytest.raises(ScenarioError, match=r"is not of the form|cannot be imported"):
        resolve(reference)


@pytest.mark.parametrize("name", ["missing", "instance.missing", "adapter.missing"])
def test_a_name_that_is_not_in_the_module_says_so(module: Path, name: str) -> None:
    with pytest.raises(ScenarioError, match="cannot be imported"):
        resolve(f"{module}:{name}")


def test_a_wrong_command_line_says_what_is_right() -> None:
    for arguments in ([], ["no_such_package:adapter"]):
        run = subprocess.run(
            [sys.executable, "-m", "harness.serve", *arguments], capture_output=True, text=True, check=False, input=""
        )
        assert run.returncode == 1
        assert ("usage" in run.stderr) != bool(arguments)
        assert "Traceback" not in run.stderr
