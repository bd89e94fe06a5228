"""Tools that resume: each step once, each effect once where that is possible, and honesty where it is not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from support.mcp_kit import Client
from support.state_kit import ROOT, Failpoints, kill
from targets.mcp_tools.messages import INTERRUPTED, INVALID_PARAMS
from targets.mcp_tools.work import FAILPOINTS, Call, Fenced, KeyConflict, OutcomeUnknown, Sink, Work

JOB = """
import sys, uuid
from pathlib import Path
from targets.mcp_tools.work import Sink, Work
folder, keyed = Path(sys.argv[1]), sys.argv[2] == "keyed"
call = Work(folder).open("k", "job", [1, 2, 3])
sink = Sink(folder / "sink")
for line in "abc":
    call.step(lambda key: sink.append(key if keyed else uuid.uuid4().hex, line), keyed=keyed)
call.finish("done")
"""


def run(call: Call, sink: Sink, lines: str = "abc") -> list[int]:
    return [call.step(lambda key, line=line: sink.append(key, line), keyed=True) for line in lines]  # type: ignore[misc]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", FAILPOINTS)
@pytest.mark.parametrize("sort", ["keyed", "unkeyed"])
def test_wherever_a_process_dies_no_effect_is_lost_or_repeated(
    tmp_path: Path, sort: str, name: str, count: int
) -> None:
    patch = (
        f"from targets import durable\nfrom targets.mcp_tools import work\nleft = {count}\ndef at(place):\n"
        f"    global left\n    left -= place == {name!r}\n    left or durable.failpoint(place)\nwork.failpoint = at\n"
    )
    dying = JOB.replace("folder, keyed", patch + "folder, keyed", 1)
    controller = Failpoints(tmp_path / "control", name, "die")
    try:
        died = subprocess.run(
            [sys.executable, "-c", dying, str(tmp_path), sort], cwd=ROOT, env=controller.environment, check=False
        )
    finally:
        controller.close()
    assert died.returncode == -9
    again = subprocess.run(
        [sys.executable, "-c", JOB, str(tmp_path), sort], cwd=ROOT, env={}, capture_output=True, check=False
    )
    lines = Sink(tmp_path / "sink").lines()
    if sort == "keyed" or name == "step.after_done":
        assert (again.returncode, lines) == (0, ["a", "b", "c"])
    else:
        assert b"OutcomeUnknown" in again.stderr
        assert lines == list("abc")[: count - (name == "step.before_effect")]


def test_a_finished_call_gives_its_result_and_does_nothing(tmp_path: Path) -> None:
    work, sink = Work(tmp_path), Sink(tmp_path / "sink")
    call = work.open("k", "job", {"a": 1, "b": 2})
    assert not call.finished
    numbers = run(call, sink)
    call.finish(numbers)
    again = Work(tmp_path).open("k", "job", {"b": 2, "a": 1})
    assert (again.finished, again.result) == (True, numbers)
    assert work.unfinished() == []
    work.close()
    sink.close()


def test_effects_that_are_awaited_are_steps_like_others(tmp_path: Path) -> None:
    done: list[str] = []

    async def effect(key: str) -> str:
        done.append(key)
        return key

    async def job() -> list[str]:
        call = Work(tmp_path).open("k", "job", [])
        return [await call.step_async(effect, keyed=True) for _ in range(2)]

    assert asyncio.run(job()) == asyncio.run(job()) == done == ["k/1", "k/2"]


def test_a_key_belongs_to_one_call(tmp_path: Path) -> None:
    work = Work(tmp_path)
    first = work.open("k", "job", [1])
    for tool, arguments in (("job", [2]), ("other", [1])):
        with pytest.raises(KeyConflict, match="use another key"):
            work.open("k", tool, arguments)
    first.finish("still ours")


def test_a_call_goes_on_behind_its_last_done_step(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "sink")
    first = Work(tmp_path).open("k", "job", [])
    run(first, sink, "ab")
    later = Work(tmp_path)
    assert later.unfinished() == ["k"]
    call = later.open("k", "job", [])
    assert run(call, sink) == [1, 2, 3]
    assert call.resumed == 2
    assert sink.lines() == ["a", "b", "c"]


def test_one_that_wakes_up_after_it_was_replaced_is_refused_at_its_next_step(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "sink")
    zombie = Work(tmp_path).open("k", "job", [])
    run(zombie, sink, "a")
    call = Work(tmp_path).open("k", "job", [])
    with pytest.raises(Fenced):
        run(zombie, sink, "b")
    with pytest.raises(Fenced):
        zombie.finish("mine")
    assert run(call, sink, "ab") == [1, 2]


def test_an_unknown_outcome_stays_unknown(tmp_path: Path) -> None:
    def dies(_: str) -> None:
        raise RuntimeError("as if the process had died here")

    with pytest.raises(RuntimeError):
        Work(tmp_path).open("k", "job", []).step(dies, keyed=False)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="step 1 of 'k'"):
            Work(tmp_path).open("k", "job", []).step(dies, keyed=False)


def test_what_ended_long_ago_is_forgotten_and_what_did_not_is_kept(tmp_path: Path) -> None:
    now = 1000.0
    work = Work(tmp_path, 60.0, lambda: now)
    work.open("ended", "job", []).finish("x")
    work.open("open", "job", [])
    now += 61
    work.open("new", "job", [])
    assert work.unfinished() == ["open", "new"]
    assert not work.open("ended", "job", ["other arguments"]).finished


@pytest.mark.chaos
@pytest.mark.parametrize("standby", ["off", "gated"])
def test_a_job_resumes_where_it_was_kill_after_kill(tmp_path: Path, standby: str) -> None:
    command = [sys.executable, "-m", "targets.mcp_tools", "serve", str(tmp_path / "work")]
    lines = [f"line {number}" for number in range(12)]
    with Client(tmp_path / "supervisor", "--standby", standby, "--backoff", "0.01", command=command) as client:
        id_ = client.begin_tool("run_job", {"progressToken": "t"}, lines=lines, pause_s=0.05)
        heard: list[float] = []
        while "result" not in (message := client.read()):
            heard.append(message["params"]["progress"])
            if heard[-1] in {3, 6, 9}:
                kill(client.status()["lanes"][0]["server"])
        assert message["id"] == id_
        assert message["result"]["structuredContent"]["resumed"] == 9
        assert heard == list(range(1, 13))
    assert Sink(tmp_path / "work" / "ledger.sqlite").lines() == lines


@pytest.mark.chaos
def test_a_key_joins_and_other_arguments_are_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "targets.mcp_tools", "serve", str(tmp_path / "work")]
    key = {"bigfive/idempotencyKey": "k"}
    with Client(tmp_path / "supervisor", command=command) as client:
        ids = [client.begin_tool("run_job", key, lines=["a", "b"], pause_s=0.1) for _ in range(5)]
        answers = {message["id"]: message for message in (client.read() for _ in ids)}
        assert {str(answer["result"]["structuredContent"]["lines"]) for answer in answers.values()} == {"[1, 2]"}
        kill(client.status()["lanes"][0]["server"])
        again = client.answer(client.begin_tool("run_job", key, lines=["a", "b"], pause_s=0.1))[0]
        assert again["result"]["structuredContent"]["lines"] == [1, 2]
        refused = client.answer(client.begin_tool("run_job", key, lines=["c"]))[0]
        assert refused["error"]["code"] in {INVALID_PARAMS, INTERRUPTED}
    assert Sink(tmp_path / "work" / "ledger.sqlite").lines() == ["a", "b"]
