"""The parts below the fronts: loop, streams, processes, folder, history, standby."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.waiting import until
from support.state_kit import gone
from targets.durable import FolderInUse
from targets.mcp_tools import history, standby
from targets.mcp_tools.folder import Folder, claim, slots
from targets.mcp_tools.history import History, events, histogram, quantile
from targets.mcp_tools.lane import Options
from targets.mcp_tools.loop import READ, Loop
from targets.mcp_tools.processes import Identity, Server, kill_identity, kill_marked, vitals
from targets.mcp_tools.spares import Spares
from targets.mcp_tools.standard_error import BYTES_PER_S, StandardError
from targets.mcp_tools.status import describe, main, render
from targets.mcp_tools.streams import Inlet, Outlet, unblocked
from targets.mcp_tools.supervise import options_of, parser

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def turn_until(loop: Loop, condition: Callable[[], object]) -> None:
    """Turn the loop until something is so."""
    deadline = time.monotonic() + 20
    wake = loop.after(0, lambda: None)
    while not condition():
        assert time.monotonic() < deadline
        wake = loop.after(0.01, lambda: None)
        loop.turn()
    wake.cancel()


class TestLoop:
    def test_timers_fire_in_the_order_of_their_times_and_not_when_cancelled(self, loop: Loop) -> None:
        fired: list[str] = []
        loop.after(0.02, lambda: fired.append("late"))
        loop.after(0.01, lambda: fired.append("never")).cancel()
        loop.after(0.0, lambda: fired.append("soon"))
        turn_until(loop, lambda: len(fired) == 2)
        assert fired == ["soon", "late"]

    def test_a_descriptor_that_another_callback_gave_up_is_not_called(self, loop: Loop) -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        called: list[int] = []

        def take(index: int) -> None:
            called.append(index)
            for mine, _ in pairs:
                loop.watch(mine.fileno(), 0, lambda: None)

        for index, (mine, other) in enumerate(pairs):
            loop.watch(mine.fileno(), READ, lambda index=index: take(index))  # type: ignore[misc]
            other.send(b"x")
        loop.turn()
        assert len(called) == 1
        for pair in pairs:
            for sock in pair:
                sock.close()

    def test_the_end_of_a_turn_comes_after_everything_in_it(self, loop: Loop) -> None:
        order: list[str] = []
        loop.at_end_of_turn(lambda: order.append("end"))
        loop.after(0, lambda: order.append("timer"))
        loop.after(0, loop.stop)
        loop.run()
        assert order == ["timer", "end"]


class TestStreams:
    def test_what_does_not_fit_waits_and_arrives_in_order(self, loop: Loop) -> None:
        read, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(read, False)
        outlet = Outlet(loop, write, lambda: None)
        pieces = [bytes([n % 256]) * (n * 1000) for n in range(40)]
        for piece in pieces:
            outlet.put(piece)
        outlet.flush()
        assert outlet.size > 0
        got: list[bytes] = []
        ended: list[bool] = []
        Inlet(loop, read, got.append, lambda: ended.append(True))
        outlet.end()
        turn_until(loop, lambda: ended)
        assert b"".join(got) == b"".join(pieces)
        assert (outlet.size, outlet.taken) == (0, sum(map(len, pieces)))

    def test_a_reader_that_is_gone_is_told_once_and_then_forgotten(self, loop: Loop) -> None:
        read, write = os.pipe()
        os.close(read)
        broken: list[bool] = []
        outlet = Outlet(loop, write, lambda: broken.append(True))
        for _ in range(2):
            outlet.put(b"x")
            outlet.flush()
        assert broken == [True]
        assert outlet.size == 0

    def test_a_paused_inlet_reads_nothing_until_it_goes_on(self, loop: Loop) -> None:
        read, write = os.pipe()
        os.set_blocking(read, False)
        got: list[bytes] = []
        inlet = Inlet(loop, read, got.append, lambda: None)
        inlet.pause(paused=True)
        os.write(write, b"x")
        loop.after(0.01, lambda: None)
        loop.turn()
        assert got == []
        inlet.pause(paused=False)
        turn_until(loop, lambda: got)
        os.close(write)
        inlet.drain()

    def test_a_peer_that_resets_is_an_end_like_any_other(self, loop: Loop) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
        ours.setblocking(False)
        ended: list[bool] = []
        Inlet(loop, ours.detach(), lambda _: None, lambda: ended.append(True))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        turn_until(loop, lambda: ended)

    @pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
    def test_a_descriptor_of_our_own_leaves_the_other_ones_flags_alone(self, tmp_path: Path, kind: str) -> None:
        if kind == "pipe":
            given, other = os.pipe()
        elif kind == "socket":
            given, other = (sock.detach() for sock in socket.socketpair())
        else:
            given, other = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT), os.open(tmp_path, os.O_RDONLY)
        own = unblocked(given)
        assert not os.get_blocking(own)
        assert os.get_blocking(given) is (kind == "pipe")
        for descriptor in (given, other, own):
            os.close(descriptor)


class TestProcesses:
    def test_what_a_server_has_not_read_is_known(self) -> None:
        server = Server(SLEEPER, "test:1")
        server.launch()
        os.write(server.stdin, b"12345")
        assert server.unread() == 5
        assert server.bury() == -9
        assert server.unread() == 5
        os.close(server.stderr)
        server.close()

    def test_a_process_is_killed_by_pid_and_start_time_only(self) -> None:
        process = subprocess.Popen(SLEEPER)
        seen = vitals(process.pid)
        assert seen is not None
        assert not kill_identity(Identity(process.pid, seen.started + 1))
        assert process.poll() is None
        assert kill_identity(Identity(process.pid, seen.started))
        assert process.wait(20) == -9
        assert not kill_identity(Identity(process.pid, seen.started))
        assert vitals(process.pid) is None

    def test_a_process_is_found_by_its_mark(self) -> None:
        process = subprocess.Popen(SLEEPER, env={**os.environ, "BIGFIVE_SUPERVISED": "some-test:1"})
        assert kill_marked("other-test:") == 0
        until(lambda: kill_marked("some-test:") == 1, "it has its environment", 20)
        assert process.wait(20) == -9

    def test_a_command_that_cannot_be_run_leaks_no_descriptor(self, tmp_path: Path) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(FileNotFoundError):
            Server([str(tmp_path / "none")], "test:1").launch()
        assert len(list(Path("/proc/self/fd").iterdir())) == before


class TestSpares:
    def start(self, gated: bool) -> Server:  # noqa: FBT001  the shape that Spares calls
        return Server(self.command, "test:1", gated=gated)

    command = SLEEPER

    def test_a_spare_waits_until_it_is_taken(self, loop: Loop, tmp_path: Path) -> None:
        gated = "from targets.mcp_tools.standby import wait_for_turn; wait_for_turn(); import os; os.write(1, b'mine')"
        self.command = [sys.executable, "-c", gated]
        spares = Spares(loop, "gated", self.start, History(tmp_path))
        spares.refill()
        spares.refill()
        assert spares.server is not None
        taken = spares.take()
        assert taken is not None
        server, errors = taken
        assert spares.take() is None
        os.set_blocking(server.stdout, True)
        assert os.read(server.stdout, 10) == b"mine"
        server.bury()
        errors.drain()
        server.close()

    def test_a_spare_that_dies_is_replaced_and_given_up_in_the_end(self, loop: Loop, tmp_path: Path) -> None:
        self.command = [sys.executable, "-c", "raise SystemExit(3)"]
        spares = Spares(loop, "started", self.start, History(tmp_path))
        spares.refill()
        turn_until(loop, lambda: any(e["data"].get("given_up") for e in events(tmp_path)))  # type: ignore[attr-defined]
        assert spares.server is None
        spares.stop()

    def test_a_spare_that_cannot_be_started_is_noted(self, loop: Loop, tmp_path: Path) -> None:
        self.command = [str(tmp_path / "none")]
        Spares(loop, "started", self.start, History(tmp_path)).refill()
        assert [event["event"] for event in events(tmp_path)] == ["spare.failed"]

    def test_stopping_ends_the_spare(self, loop: Loop, tmp_path: Path) -> None:
        spares = Spares(loop, "started", self.start, History(tmp_path))
        spares.refill()
        assert spares.server is not None
        pid = spares.server.pid
        spares.stop()
        assert gone(pid, 0)
        spares.refill()
        assert spares.server is None

    def test_without_standby_the_next_is_forked_ahead(self, loop: Loop, tmp_path: Path) -> None:
        spares = Spares(loop, "off", self.start, History(tmp_path))
        spares.refill()
        assert spares.server is None
        taken = spares.take()
        assert taken is not None
        until(lambda: b"signal.pause" in Path(f"/proc/{taken[0].pid}/cmdline").read_bytes(), "it is launched", 20)
        taken[0].bury()
        taken[1].drain()
        taken[0].close()


class TestStandby:
    def test_without_a_supervisor_nothing_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (standby.TURN_VARIABLE, standby.HEARTBEAT_VARIABLE):
            monkeypatch.delenv(name, raising=False)
        standby.wait_for_turn()
        standby.Heartbeat().beat()

    def test_a_heartbeat_is_one_byte_and_never_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read, write = os.pipe()
        monkeypatch.setenv(standby.HEARTBEAT_VARIABLE, str(write))
        heart = standby.Heartbeat()
        heart.beat()
        assert os.read(read, 10) == b"."
        for _ in range(70_000):
            heart.beat()
        os.close(read)
        heart.beat()
        os.close(write)

    def test_a_turn_comes_with_a_byte_and_the_end_with_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read, write = os.pipe()
        monkeypatch.setenv(standby.TURN_VARIABLE, str(read))
        os.write(write, b"\n")
        standby.wait_for_turn()
        os.close(write)
        read, write = os.pipe()
        os.close(write)
        monkeypatch.setenv(standby.TURN_VARIABLE, str(read))
        with pytest.raises(SystemExit) as ended:
            standby.wait_for_turn()
        assert ended.value.code == 0
        os.close(read)


class TestStandardError:
    def test_what_is_too_much_is_dropped_and_told_later(self, loop: Loop) -> None:
        now = 0.0
        read, write = os.pipe()
        target_read, target_write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(target_read, False)
        relay = StandardError(loop, read, target_write, lambda: now)
        heard = b""
        for _ in range(3):
            os.write(write, b"x" * (BYTES_PER_S // 2))
            loop.turn()
            with suppress(BlockingIOError):
                heard += os.read(target_read, 1 << 20)
        assert len(heard) == BYTES_PER_S
        assert relay.dropped == BYTES_PER_S // 2
        now = 10.0
        os.write(write, b"again")
        loop.turn()
        assert os.read(target_read, 1 << 20) == b"[%d bytes of the server's standard error were dropped]\nagain" % (
            BYTES_PER_S // 2
        )
        assert relay.tail.endswith("xagain")
        for descriptor in (write, target_read, target_write):
            os.close(descriptor)
        relay.drain()

    def test_nobody_who_reads_is_nobodys_problem(self, loop: Loop) -> None:
        read, write = os.pipe()
        target_read, target_write = os.pipe()
        os.set_blocking(read, False)
        os.close(target_read)
        relay = StandardError(loop, read, target_write)
        os.write(write, b"unheard")
        loop.turn()
        assert (relay.dropped, relay.tail) == (7, "unheard")
        os.close(write)
        os.close(target_write)
        relay.drain()


class TestFolder:
    def test_it_is_private_and_has_one_owner(self, tmp_path: Path) -> None:
        folder = Folder(tmp_path / "a" / "b")
        assert folder.path.stat().st_mode & 0o777 == 0o700
        with pytest.raises(FolderInUse):
            claim([folder.path])
        other = claim([folder.path, tmp_path / "c"])
        assert other.path == tmp_path / "c"
        folder.release()
        other.release()

    def test_its_name_stays_and_its_lives_differ(self, tmp_path: Path) -> None:
        first = Folder(tmp_path)
        first.release()
        second = Folder(tmp_path)
        second.release()
        assert first.id == second.id
        assert first.life != second.life

    def test_what_is_recorded_there_is_killed_by_the_next_owner(self, tmp_path: Path) -> None:
        process = subprocess.Popen(SLEEPER)
        seen = vitals(process.pid)
        assert seen is not None
        folder = Folder(tmp_path)
        folder.record([Identity(process.pid, seen.started)])
        folder.release()
        later = Folder(tmp_path)
        assert later.killed == 1
        assert process.wait(20) == -9
        later.release()

    def test_a_folder_must_be_offered(self) -> None:
        with pytest.raises(ValueError, match="no folder"):
            claim([])

    def test_commands_have_folders_of_their_own(self) -> None:
        assert next(slots(["a"])) != next(slots(["b"]))


class TestHistory:
    def test_a_torn_line_is_skipped_and_old_events_go(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(history, "ROTATE_BYTES", 1000)
        written = History(tmp_path)
        for number in range(100):
            written.note("x", number=number)
        with (tmp_path / history.EVENTS).open("ab") as file:
            file.write(b'{"at": 1, "ev')
        numbers = [event["data"]["number"] for event in events(tmp_path)]  # type: ignore[index]
        assert numbers == list(range(numbers[0], 100))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4000

    def test_a_histogram_shows_the_buckets_between_the_first_and_the_last(self) -> None:
        assert histogram([3.0, 4.0, 15.0, 9999.0])[:3] == [("≤ 5 ms", 2), ("≤ 10 ms", 0), ("≤ 20 ms", 1)]
        assert histogram([9999.0]) == [("> 5000 ms", 1)]
        assert histogram([]) == []

    def test_quantiles_are_samples(self) -> None:
        samples = [float(n) for n in range(1, 101)]
        assert [quantile(samples, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
        assert quantile([7.0], 0.5) == 7


class TestStatus:
    def test_a_folder_that_nobody_used_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(tmp_path)]) == 1
        assert "no supervisor" in capsys.readouterr().err

    def test_recoveries_are_told_as_a_distribution(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = Folder(tmp_path)
        kept = History(folder.path)
        for answer_ms in (20.0, 30.0, 400.0):
            kept.note("server.died", pid=1, signal=9, why="blocked", served_s=1.0)
            kept.note(history.RECOVERED, how="warm", exec_ms=1.0, ready_ms=2.0, answer_ms=answer_ms)
        kept.status(
            {
                "command": ["x"],
                "lanes": [{"server": 1, "ready": True, "spare": 2, "breaker": "closed", "unanswered": 0}],
            }
        )
        kept.status({"command": ["x"], "lanes": []})
        found = describe(tmp_path)
        assert found["running"]
        assert found["recovery"]["warm"]["answer_ms"]["p50"] == 30.0
        text = render(found)
        assert "warm (3): p50 30.0, p95 400.0, p99 400.0, max 400.0 ms" in text
        assert "signal 9, blocked" in text
        assert main([str(tmp_path), "--json"]) == 0
        assert '"recovery":{"warm"' in capsys.readouterr().out
        folder.release()


def test_the_command_lines_defaults_are_those_of_the_options() -> None:
    assert options_of(parser().parse_args(["--", "x"])).patience == Options().patience
