"""What is Redis's alone: its address, its connection, and what it forgets."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.waiting import until
from support.locks_kit import redis_server
from support.state_kit import Recorder
from targets.locking.backend import Blocked, Holder
from targets.locking.errors import BadRequest, CannotOpen, Held, OutcomeUnknown, StaleToken, Unavailable
from targets.locking.fencing import FencedResource
from targets.locking.manager import LockManager
from targets.locking.redis import RedisBackend
from targets.locking.resp import Address
from targets.locking.server import RedisServer, answers


@pytest.fixture
def server(tmp_path: Path, lacking: Callable[[str], None]) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", lacking, "always") as started:
        yield started


def restart(server: RedisServer, *, empty: bool) -> None:
    before = server.pid
    assert before is not None
    if empty:
        shutil.rmtree(server.folder)
    os.kill(before, signal.SIGKILL)
    until(lambda: server.pid not in {None, before} and answers(server.address), "the restart", 10)


@contextmanager
def pretending(*replies: bytes) -> Iterator[str]:
    """A server that answers the next commands so, whatever they are, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for reply in replies:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


class TestAddress:
    def test_two_forms_are_understood(self) -> None:
        assert Address.of("db:7") == Address("db", 7)
        assert Address.of("redis://ann:p%40ss@db/2") == Address("db", 6379, 2, "ann", "p@ss")
        assert Address.of("redis://ann:p%40ss@db/2").greetings() == [("AUTH", "ann", "p@ss"), ("SELECT", "2")]
        assert Address.of("redis://:pw@db").greetings() == [("AUTH", "pw")]
        assert "p@ss" not in repr(Address.of("redis://:p%40ss@db"))

    @pytest.mark.parametrize("text", ["", "http://db", "db:port", "redis://db/x"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(BadRequest, match="is no address of a Redis"):
            RedisBackend(text)


class TestConnection:
    def test_a_server_that_is_not_there_certainly_did_nothing(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match="cannot be reached") as error:
            RedisBackend(address).write("k", 1)
        assert error.value.certainly_not_done

    def test_a_write_whose_answer_is_lost_is_unknown_and_a_read_is_repeated(self) -> None:
        with pretending(b"") as address, pytest.raises(OutcomeUnknown, match="after the command was sent"):
            RedisBackend(address).write("k", 1)
        with pretending(b"", b"*5\r\n$1\r\n7\r\n$1\r\n2\r\n$0\r\n\r\n$1\r\n0\r\n$-1\r\n") as address:
            assert RedisBackend(address).read("k").value == 7
        with pretending(b"", b"*5\r") as address, pytest.raises(Unavailable):
            RedisBackend(address).read("k")

    def test_a_silent_server_is_waited_for_no_longer_than_the_socket_timeout(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(OutcomeUnknown, match="timed out"):
                RedisBackend(address, socket_timeout_s=0.05).write("k", "x" * 10, timeout_s=60)

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (b"-LOADING Redis is loading\r\n", Unavailable),
            (b"-MISCONF cannot persist\r\n", Unavailable),
            (b"-ERR user_script:7: wrong\r\n", OutcomeUnknown),
        ],
    )
    def test_a_refusal_is_certain_only_where_nothing_ran(self, reply: bytes, error: type[Exception]) -> None:
        with pretending(reply) as address, pytest.raises(error, match="refused"):
            RedisBackend(address).write("k", 1)

    def test_a_wrong_password_is_a_clear_error(self) -> None:
        with pretending(b"-WRONGPASS invalid\r\n") as address, pytest.raises(Unavailable, match="did not let us in"):
            RedisBackend(f"redis://:wrong@{address}").read("k")

    def test_another_database_is_another_memory(self, server: RedisServer) -> None:
        RedisBackend(f"redis://{server.address}/1").write("k", 1)
        assert RedisBackend(f"redis://{server.address}/0").read("k").version == 0
        assert RedisBackend(f"redis://{server.address}/1").read("k").version == 1

    def test_a_child_uses_connections_of_its_own(self, server: RedisServer) -> None:
        backend = RedisBackend(server.address)
        backend.write("k", 1)
        backend.bell().close()
        child = os.fork()
        if child == 0:
            os._exit(backend.write("k", 2).version)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        assert backend.read("k").value == 2


class TestMemory:
    def test_a_restart_keeps_what_was_acknowledged_and_clients_find_it_again(
        self, server: RedisServer, tmp_path: Path
    ) -> None:
        backend = RedisBackend(server.address)
        manager = LockManager(backend, FencedResource(tmp_path / "resource"), owner="ann")
        backend.write("k", "kept")
        hold = manager.acquire("lock")
        restart(server, empty=False)
        assert backend.read("k").value == "kept"
        with pytest.raises(Held):
            manager.acquire("lock", timeout_s=0)
        hold.release()
        assert manager.acquire("lock", timeout_s=0).token == hold.token + 1

    def test_empty_it_begins_a_new_epoch_and_the_resource_refuses_the_old_one(
        self, server: RedisServer, tmp_path: Path
    ) -> None:
        backend, resource = RedisBackend(server.address), FencedResource(tmp_path / "resource")
        ann, bob = (LockManager(backend, resource, owner=name) for name in ("ann", "bob"))
        ann.acquire("k").release()
        old = ann.acquire("k")
        restart(server, empty=True)
        new = bob.acquire("k", timeout_s=0)
        assert new.token > old.token
        assert resource.read("k", new.token) is None
        with pytest.raises(StaleToken):
            resource.write("k", 1, old.token)
        assert backend.status().epoch == 1

    def test_a_late_epoch_of_a_lost_memory_is_not_begun_in_its_successor(
        self, server: RedisServer, tmp_path: Path
    ) -> None:
        backend, resource = RedisBackend(server.address), FencedResource(tmp_path / "resource")

        class Slow:
            def epoch_of(self, incarnation: str) -> int:
                epoch = resource.epoch_of(incarnation)
                restart(server, empty=True)
                RedisBackend(server.address).begin(resource)
                return epoch

        backend.begin(Slow())
        assert backend.status().epoch == 1

    def test_an_update_notices_that_the_memory_was_lost_meanwhile(self, server: RedisServer) -> None:
        backend = RedisBackend(server.address)
        backend.write("k", "old")
        seen: list[object] = []

        def change(found: object) -> str:
            seen.append(getattr(found, "value", None))
            if len(seen) == 1:
                restart(server, empty=True)
                backend.write("k", "new")
            return "changed"

        assert backend.update("k", change, timeout_s=20).version == 2
        assert seen == ["old", "new"]

    def test_cut_off_a_waiter_hears_nothing_and_looks_by_itself(self, server: RedisServer) -> None:
        bell = RedisBackend(server.address).bell()
        restart(server, empty=False)
        blocked = Blocked(1, (Holder(key="k", owner="a", token=1, mode="exclusive", lease_s=1),))
        bell.wait(blocked, 0.01)
        bell.wait(blocked, 0.01)
        bell.close()


class TestServer:
    def test_without_redis_on_path_it_says_what_to_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(CannotOpen, match="install Redis"):
            RedisServer(tmp_path).start()

    def test_its_supervisors_events_are_passed_on(self, tmp_path: Path, lacking: Callable[[str], None]) -> None:
        if shutil.which("redis-server") is None:
            lacking("no redis-server on PATH")
        events = Recorder()
        server = RedisServer(tmp_path / "redis", "none", events)
        server.start()
        assert server.supervisor is not None
        server.stop()
        server.stop()
        assert events.names()[0] == "service.started"
        assert "service.exited" in events.names()
        assert server.pid is None
        assert not answers(server.address)

    @pytest.mark.chaos
    def test_a_server_that_cannot_start_fails_the_start(self, tmp_path: Path, lacking: Callable[[str], None]) -> None:
        if shutil.which("redis-server") is None:
            lacking("no redis-server on PATH")
        (tmp_path / "redis").write_text("in the way")
        with pytest.raises(CannotOpen, match="did not come up"):
            RedisServer(tmp_path / "redis").start()
