"""The supervisor on standard input and output, with real processes that really die. Servers are foreign."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.waiting import until
from support.mcp_kit import BEATING, FOREIGN, HANDSHAKE, MODERN_META, STATELESS, TIMEOUT_S, Client, supervise
from support.state_kit import gone, kill
from targets.mcp_tools import messages
from targets.mcp_tools.processes import vitals
from targets.mcp_tools.status import render

ERAS = pytest.mark.parametrize("command", [HANDSHAKE, STATELESS], ids=["handshake", "stateless"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "supervisor"


@ERAS
@pytest.mark.parametrize("standby", ["off", "started"])
def test_a_client_does_not_notice_that_servers_are_killed(folder: Path, command: list[str], standby: str) -> None:
    with Client(folder, "--standby", standby, "--backoff", "0.01", command=command) as client:
        if command is HANDSHAKE:
            client.greet()
        pids = [client.text("pid")]
        for _ in range(5):
            os.kill(int(pids[-1]), signal.SIGKILL)
            pids.append(client.text("pid"))
        assert len(set(pids)) == 6


@ERAS
def test_the_call_that_a_server_died_of_is_answered_by_the_next(folder: Path, command: list[str]) -> None:
    with Client(folder, command=command) as client:
        if command is HANDSHAKE:
            client.greet()
        answer = client.tool("die_once", file=str(folder / "died"))
        assert "result" in answer
        assert client.event("server.died")["status"] == 3


def test_an_effect_that_may_have_happened_is_not_repeated(folder: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with Client(folder) as client:
        error = client.tool("append", file=str(ledger), die=True)["error"]
        assert error["code"] == messages.INTERRUPTED
        assert error["data"]["maybe_executed"] is True
        assert error["data"]["deaths"][0]["signal"] == signal.SIGKILL
        assert ledger.read_text() == "x"
        assert "result" in client.tool("append", file=str(ledger))
        assert ledger.read_text() == "xx"


def test_unsafe_calls_behind_the_one_that_kills_are_not_lost_and_not_repeated(folder: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with Client(folder) as client:
        client.ask("tools/list", {"_meta": MODERN_META})
        waiting = client.begin_tool("wait", started=str(tmp_path / "started"))
        until((tmp_path / "started").exists, "the call runs", TIMEOUT_S)
        behind = [client.begin_tool("append", file=str(ledger)) for _ in range(2)]
        client.send(method="notifications/cancelled", params={"requestId": waiting})
        first = int((tmp_path / "started").read_text())
        kill(first)
        answers = {message["id"]: message for message in (client.read(), client.read())}
        executed = sum("result" in answers[id_] for id_ in behind)
        maybe = sum(answers[id_].get("error", {}).get("data", {}).get("maybe_executed", False) for id_ in behind)
        assert executed + maybe == 2
        assert executed <= len(ledger.read_text() if ledger.exists() else "") <= executed + maybe


def test_progress_never_goes_back(folder: Path) -> None:
    with Client(folder) as client:
        id_ = client.begin_tool("steps", {"progressToken": "t"}, count=6, die_at=3, file=str(folder / "died"))
        answer, before = client.answer(id_)
        assert "result" in answer
        assert [message["params"]["progress"] for message in before] == [1, 2, 3, 4, 5, 6]


def test_a_replacement_is_where_the_last_server_was(folder: Path) -> None:
    with Client(folder, command=HANDSHAKE) as client:
        client.greet()
        client.ask("logging/setLevel", {"level": "debug"})
        kill(int(client.text("pid")))
        assert "'level': 'debug'" in client.text("meta")


def test_calls_carry_an_identity_that_is_never_given_twice(folder: Path) -> None:
    seen = []
    for _ in range(2):
        with Client(folder) as client:
            seen += [client.text("meta").partition("bigfive/call': '")[2].partition("'")[0] for _ in range(3)]
    assert len(set(seen)) == 6


def test_a_call_that_kills_its_server_three_times_is_quarantined(folder: Path) -> None:
    with Client(folder, "--backoff", "0.01") as client:
        error = client.tool("poison")["error"]
        assert error["code"] == messages.QUARANTINED
        assert [death["status"] for death in error["data"]["deaths"]] == [3, 3, 3]
        assert client.event("call.quarantined")["tool"] == "poison"
        assert client.tool("poison")["error"]["data"]["maybe_executed"] is False
        assert client.text("pid")
        assert "quarantined: tools/call poison" in render(client.status())


def test_deaths_before_readiness_open_the_breaker_and_calls_fail_at_once(folder: Path) -> None:
    dying = [sys.executable, "-c", "import sys; sys.stderr.write('no such database'); sys.exit(7)"]
    with Client(folder, "--breaker", "3", "--backoff", "0.01", "--cool-down", "1000", command=dying) as client:
        for _ in range(2):
            error = client.ask("tools/list")["error"]
            assert error["code"] == messages.UNAVAILABLE
            assert error["data"]["maybe_executed"] is False
        assert error["data"]["deaths"][-1]["status"] == 7
        assert "no such database" in error["data"]["deaths"][-1]["stderr"]
        assert client.event("breaker.open")
        until(lambda: "breaker open" in render(client.status()), "status says so", TIMEOUT_S)


@pytest.mark.chaos
def test_after_the_cool_down_a_server_that_works_again_is_used(folder: Path, tmp_path: Path) -> None:
    healthy = tmp_path / "healthy"
    code = f"import os, sys\nif not os.path.exists({str(healthy)!r}): sys.exit(7)\n" + FOREIGN
    command = [sys.executable, "-c", code]
    with Client(folder, "--breaker", "2", "--backoff", "0.01", "--cool-down", "0.2", command=command) as client:
        assert client.ask("tools/list")["error"]["code"] == messages.UNAVAILABLE
        healthy.touch()

        def works() -> bool:
            return "result" in client.tool("pid")

        until(works, "the server works again", TIMEOUT_S)


def test_a_server_that_was_stopped_is_replaced_and_can_never_wake_up(folder: Path) -> None:
    with Client(folder, "--stopped", "0.3") as client:
        pid = int(client.text("pid"))
        os.kill(pid, signal.SIGSTOP)
        assert client.text("pid") != str(pid)
        assert client.event("server.stopped")["pid"] == pid
        assert vitals(pid) is None


def test_a_server_whose_event_loop_is_blocked_is_replaced(folder: Path) -> None:
    with Client(folder, "--heartbeat", "0.5", "--quarantine", "1", command=BEATING) as client:
        pid = int(client.text("pid"))
        assert client.tool("spin")["error"]["code"] == messages.QUARANTINED
        assert client.event("server.blocked")["pid"] == pid
        assert client.text("pid")


@pytest.mark.chaos
def test_a_server_that_computes_is_left_alone_until_its_time_is_up(folder: Path) -> None:
    limits = ["--quiet", "0.2", "--confirm", "0.2", "--busy", "1.5", "--quarantine", "1"]
    with Client(folder, *limits) as client:
        client.text("pid")
        error = client.tool("spin")["error"]
        assert error["code"] == messages.QUARANTINED
        assert "longer than a call may take" in error["data"]["deaths"][0]["why"]


@pytest.mark.parametrize("options", ["", ", start_new_session=True"], ids=["", "with-a-session-of-its-own"])
def test_descendants_of_a_dead_server_are_killed(folder: Path, tmp_path: Path, options: str) -> None:
    note = tmp_path / "grandchild"
    child = f"import subprocess; p = subprocess.Popen(['sleep', '1000']{options}); "
    code = f"{child}open({str(note)!r}, 'a').write('%d\\n' % p.pid)\n{FOREIGN}"
    with Client(folder, command=[sys.executable, "-c", code]) as client:
        pid = int(client.text("pid"))
        first = int(note.read_text().split()[0])
        kill(pid)
        assert client.text("pid") != str(pid)
        assert gone(first)
        second = int(note.read_text().split()[1])
    assert gone(second)


@pytest.mark.chaos
def test_everything_dies_with_the_supervisor_and_the_next_one_cleans_up(folder: Path, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    child = "import subprocess; p = subprocess.Popen(['sleep', '1000'], start_new_session=True); "
    code = f"{child}open({str(note)!r}, 'a').write('%d\\n' % p.pid)\n{FOREIGN}"
    command = [sys.executable, "-c", code]
    with Client(folder, "--standby", "started", command=command) as client:
        pid = int(client.text("pid"))
        client.begin_tool("append", file=str(tmp_path / "ledger"))
        waiting = client.begin_tool("wait", started=str(tmp_path / "started"))
        until((tmp_path / "started").exists, "the call runs", TIMEOUT_S)
        client.process.kill()
        assert gone(pid)
        assert not client.status()["running"]
    orphans = [int(line) for line in note.read_text().split()]
    with Client(folder, command=command) as client:
        assert client.text("pid") != str(pid)
        assert all(gone(orphan) for orphan in orphans)
        assert client.event("supervisor.started", 2)["killed"] >= 1
        told = client.event("call.interrupted")
        assert (told["tool"], told["id"], told["maybe_executed"]) == ("wait", waiting, True)


def test_a_folder_has_one_supervisor_at_a_time(folder: Path) -> None:
    with Client(folder) as client:
        client.text("pid")
        second = supervise(folder, command=STATELESS, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        _, said = second.communicate(timeout=TIMEOUT_S)
        assert second.returncode == 73
        assert str(client.process.pid).encode() in said


@pytest.mark.chaos
def test_without_a_folder_each_supervisor_takes_a_free_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    program = [sys.executable, "-m", "targets.mcp_tools"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [subprocess.Popen([*program, "supervise", "--", *STATELESS], **pipes) for _ in range(2)]  # type: ignore[call-overload]
    until(lambda: len(list(tmp_path.glob("bigfive/mcp/*/*/status.json"))) == 2, "both have a folder", TIMEOUT_S)
    told = subprocess.run([*program, "status", "--json"], capture_output=True, check=True)
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert {each["pid"] for each in found} == {process.pid for process in started}
    for process in started:
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0


class TestBounds:
    def test_a_message_of_many_megabytes_goes_through_both_ways(self, folder: Path) -> None:
        with Client(folder) as client:
            text = "a" * (8 << 20)
            assert client.text("pid", text=text)
            assert len(client.text("big", bytes=8 << 20)) == 8 << 20

    @pytest.mark.chaos
    def test_one_that_is_too_long_is_refused_and_memory_stays_bounded(self, folder: Path) -> None:
        with Client(folder) as client:
            client.write(b'{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"')
            for _ in range(200):
                client.write(b"a" * (1 << 20))
            client.write(b'"}}\n')
            error = client.read()
            assert (error["id"], error["error"]["code"]) == (77, messages.INVALID_REQUEST)
            assert error["error"]["data"] == {"maybe_executed": False}
            assert client.text("pid")
            peak = Path(f"/proc/{client.process.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
            assert int(peak) < 250_000

    @pytest.mark.chaos
    def test_an_answer_that_is_too_long_fails_its_call_only(self, folder: Path) -> None:
        with Client(folder) as client:
            error = client.tool("big", bytes=65 << 20)["error"]
            assert error["code"] == messages.INVALID_REQUEST
            assert client.text("pid")

    def test_garbage_on_standard_output_is_dropped(self, folder: Path) -> None:
        with Client(folder) as client:
            assert client.text("garbage")
            assert client.event("server.garbage", 3)

    def test_half_an_answer_is_no_answer(self, folder: Path) -> None:
        with Client(folder) as client:
            error = client.tool("half")["error"]
            assert error["code"] == messages.INTERRUPTED
            assert client.text("pid")

    def test_a_flood_of_standard_error_holds_nobody_up(self, folder: Path) -> None:
        with Client(folder) as client:
            assert client.text("flood", bytes=4 << 20)
            assert client.text("pid")
        assert client.errors.stat().st_size < 1 << 20

    def test_what_is_no_json_is_answered_by_us(self, folder: Path) -> None:
        with Client(folder) as client:
            client.write(b"hello\n")
            assert client.read()["error"]["code"] == messages.PARSE_ERROR
            client.write(b"[]\n")
            assert client.read()["error"]["code"] == messages.INVALID_REQUEST
            assert client.text("pid")

    def test_a_client_that_leaves_in_the_middle_of_a_message_ends_everything(self, folder: Path) -> None:
        with Client(folder) as client:
            pid = int(client.text("pid"))
            client.write(b'{"jsonrpc": "2.0", "id"')
        assert client.process.returncode == 0
        assert gone(pid, 0)
        assert client.event("client.half_message")["bytes"] == 23

    def test_a_client_that_does_not_read_is_waited_for_and_loses_nothing(self, folder: Path) -> None:
        with Client(folder) as client:
            ids = [client.begin_tool("big", bytes=1 << 20) for _ in range(20)]
            assert [client.read()["id"] for _ in ids] == ids


def test_a_client_that_closes_only_its_output_is_gone(folder: Path) -> None:
    with Client(folder) as client:
        pid = int(client.text("pid"))
        assert client.process.stdout is not None
        client.process.stdout.close()
        client.begin_tool("pid")
        assert client.process.wait(TIMEOUT_S) == 0
        assert gone(pid, 0)


def test_sigterm_ends_everything_and_answers_what_was_open(folder: Path, tmp_path: Path) -> None:
    with Client(folder, "--grace", "0.2") as client:
        client.ask("tools/list", {"_meta": MODERN_META})
        id_ = client.begin_tool("wait", started=str(tmp_path / "started"))
        until((tmp_path / "started").exists, "the call runs", TIMEOUT_S)
        client.process.terminate()
        assert client.answer(id_)[0]["error"]["code"] == messages.UNAVAILABLE
        assert client.process.wait(TIMEOUT_S) == 0


def test_input_may_be_a_file(folder: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text('{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    with lines.open("rb") as stream:
        supervised = supervise(folder, command=STATELESS, stdin=stream, stdout=subprocess.PIPE)
        said, _ = supervised.communicate(timeout=TIMEOUT_S)
    assert json.loads(said)["id"] == 1


@pytest.mark.parametrize("arguments", [["--standby", "hot", "--", "true"], ["--http", "0.0.0.0:0", "--", "true"], []])
def test_wrong_usage_is_told(folder: Path, arguments: list[str]) -> None:
    program = [sys.executable, "-m", "targets.mcp_tools", "supervise", "--state-dir", str(folder), *arguments]
    assert subprocess.run(program, capture_output=True, check=False).returncode == 64


def test_a_command_that_cannot_be_run_is_told(folder: Path, tmp_path: Path) -> None:
    supervised = supervise(folder, command=[str(tmp_path / "none")], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    _, said = supervised.communicate(timeout=TIMEOUT_S)
    assert (supervised.returncode, b"none" in said) == (127, True)


def test_a_start_waits_for_no_slow_import() -> None:
    code = (
        "import sys; import targets.mcp_tools.__main__, targets.mcp_tools.supervise, targets.mcp_tools.stdio_front; "
        "print(*{'mcp', 'asyncio', 'pydantic', 'h11', 'anyio', 'harness'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b""


@pytest.mark.chaos
def test_a_next_process_that_somebody_stopped_holds_nobody_up(folder: Path) -> None:
    with Client(folder, "--stopped", "0.3") as client:
        pid = int(client.text("pid"))
        supervisor = client.process.pid
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
        until(lambda: len(children.read_text().split()) == 2, "the next one is forked", TIMEOUT_S)
        (following,) = {int(child) for child in children.read_text().split()} - {pid}
        os.kill(following, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        assert int(client.text("pid")) not in {pid, following}
