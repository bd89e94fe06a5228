"""The service on a real socket, under its real supervisor, killed for real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.state_kit import Failpoints, Recorder, contents, gone, kill
from targets.readiness import READY_VARIABLE
from targets.state import adapter, layout
from targets.state.client import NotDone, StateClient, Unknown
from targets.state.errors import BadRequest, CannotOpen
from targets.state.host import Host
from targets.state.recovery import recover
from targets.state.service import Listener, answer, main, write_event
from targets.state.settings import Settings
from targets.state.store import FAILPOINTS, StateStore


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def host(events: Recorder) -> Iterator[Host]:
    host = adapter.host(events)
    yield host
    host.stop()


@pytest.fixture
def client(host: Host, tmp_path: Path) -> Iterator[StateClient]:
    connect = host.start(str(tmp_path), os.environ.get("BIGFIVE_LABEL", ""), {"checkpoint_every": 3})["connect"]
    client = adapter.client()
    client.open(connect, "test", 10.0)
    yield client
    client.close()


def pid_of(host: Host, handle: str) -> int:
    pid = host.describe()["handles"][handle]["pid"]
    assert isinstance(pid, int)
    return pid


def ask(store: StateStore, **request: object) -> dict[str, dict[str, object]]:
    return json.loads(answer(store, json.dumps(request).encode()))


class TestAnswers:
    @pytest.fixture
    def store(self, tmp_path: Path) -> StateStore:
        return StateStore(tmp_path)

    def test_a_write_is_answered_with_its_version_and_read_back(self, store: StateStore) -> None:
        assert ask(store, op="write", key="k", value=[1], expected_version=0) == {"ok": {"version": 1}}
        assert ask(store, op="read", key="k") == {"ok": {"value": [1], "version": 1}}
        assert ask(store, op="probe") == {"ok": {}}

    def test_a_conflict_says_the_current_version(self, store: StateStore) -> None:
        ask(store, op="write", key="k", value=1)
        reply = ask(store, op="write", key="k", value=2, expected_version=7)["fail"]
        assert (reply["error"], reply["version"]) == ("conflict", 1)

    @pytest.mark.parametrize(
        "line", [b"", b"{}", b"no json", b'{"op": "fly"}', b'{"op": "read", "key": 3}', b'{"op": "\xff"}']
    )
    def test_nonsense_is_refused_and_certainly_not_done(self, store: StateStore, line: bytes) -> None:
        assert json.loads(answer(store, line))["fail"]["error"] == "BadRequest"

    def test_a_store_whose_journal_failed_fails_its_probe(self, store: StateStore) -> None:
        store._ledger.journal.failed = True
        assert ask(store, op="probe")["fail"]["error"] == "ReadOnly"


def test_an_event_is_one_line_that_fits_into_a_pipe_at_once(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_event("damage.detected", what="x" * 10_000)
    line = capfdbinary.readouterr().out
    assert len(line) < 4096
    assert json.loads(line)["event"] == "damage.detected"


def test_a_socket_path_that_the_kernel_refuses_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"cannot listen on .* bytes\)"):
        Listener(str(tmp_path / ("x" * 120)), lambda line: line)


def test_the_command_line_refuses_what_it_cannot_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert main(["serve", str(tmp_path / "file"), "--socket", str(tmp_path / "socket")]) == 1
    assert "cannot be used" in capsys.readouterr().err


class TestClient:
    def test_a_service_that_is_not_there_certainly_did_nothing(self, tmp_path: Path) -> None:
        client = StateClient()
        client.open({"socket": str(tmp_path / "none")}, "test", 1.0)
        with pytest.raises(NotDone, match="cannot be reached") as refusal:
            client.write("k", 1)
        assert refusal.value.certainly_not_done

    @pytest.mark.parametrize("reply", [b"", b'{"ok"', b'{"info":{"message":"disk failed"}}\n'])
    def test_after_the_request_was_sent_the_outcome_is_unknown(self, tmp_path: Path, reply: bytes) -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()

            def serve() -> None:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(reply)

            thread = threading.Thread(target=serve)
            thread.start()
            client = StateClient()
            client.open({"socket": path}, "test", 5.0)
            with pytest.raises(Unknown):
                client.write("k", 1)
            thread.join()
            client.close()

    def test_a_service_that_is_silent_is_waited_for_no_longer_than_promised(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen()
            client = StateClient()
            client.open({"socket": path}, "test", 0.05)
            with pytest.raises(Unknown, match="timed out"):
                client.write("k", "x" * 1_000_000)
            with pytest.raises(Unknown, match="timed out"):
                client.read("k")
            client.close()


class TestHost:
    def test_before_the_start_only_names_and_types_are_known(self, host: Host) -> None:
        described = host.describe()
        assert described["contracts"] == ["versioned_store"]
        assert described["handles"] == {
            "state.json": {"type": "file"},
            "journal": {"type": "file"},
            "journal.mirror": {"type": "file"},
            "snapshot": {"type": "file"},
            "folder": {"type": "folder"},
            "service": {"type": "process"},
            "supervisor": {"type": "process"},
        }
        with pytest.raises(BadRequest, match="has no records"):
            host.layout("journal")

    def test_started_it_serves_and_says_where_everything_is(self, host: Host, client: StateClient) -> None:
        assert client.probe() == {}
        assert client.write("k", {"a": 1}) == {"version": 1}
        assert client.read("k") == {"value": {"a": 1}, "version": 1}
        with pytest.raises(NotDone) as conflict:
            client.write("k", 2, 0)
        assert conflict.value.details["version"] == 1
        handles = host.describe()["handles"]
        assert all(Path(handles[name]["path"]).exists() for name in ("state.json", "journal", "snapshot", "folder"))
        offset, length = host.layout("journal")["records"][-1]
        assert offset + length == Path(handles["journal"]["path"]).stat().st_size
        with pytest.raises(BadRequest, match="has no records"):
            host.layout("state.json")

    def test_stopped_it_leaves_no_process_and_a_last_checkpoint(
        self, host: Host, client: StateClient, tmp_path: Path
    ) -> None:
        client.write("last", "words")
        pids = [pid_of(host, "service"), pid_of(host, "supervisor")]
        host.stop()
        assert all(gone(pid, 0) for pid in pids)
        assert b'"last":[1,"words"]' in (tmp_path / "store" / layout.STATE).read_bytes()
        assert not (tmp_path / "socket").exists()
        assert "pid" not in host.describe()["handles"]["service"]

    def test_an_unknown_option_is_refused_before_anything_starts(self, host: Host, tmp_path: Path) -> None:
        with pytest.raises(BadRequest, match="unknown option speed"):
            host.start(str(tmp_path), "", {"speed": 11})
        assert list(tmp_path.iterdir()) == []

    def test_a_label_other_than_the_environments_is_refused(
        self, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BIGFIVE_LABEL", "one")
        with pytest.raises(BadRequest, match="differs"):
            host.start(str(tmp_path), "two")

    def test_in_a_deep_folder_the_socket_is_put_elsewhere_and_removed(self, host: Host, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100)
        deep.mkdir()
        path = Path(host.start(str(deep), os.environ.get("BIGFIVE_LABEL", ""))["connect"]["socket"])
        assert path.exists()
        host.stop()
        assert not path.parent.exists()

    @pytest.mark.chaos
    def test_a_store_that_cannot_open_fails_the_start(self, host: Host, events: Recorder, tmp_path: Path) -> None:
        (tmp_path / "store").write_bytes(b"in the way")
        with pytest.raises(CannotOpen, match="did not come up"):
            host.start(str(tmp_path), os.environ.get("BIGFIVE_LABEL", ""))
        assert events.names()[-1] == "breaker.open"


def test_kill_9_loses_nothing_and_the_client_finds_the_successor(
    host: Host, client: StateClient, events: Recorder
) -> None:
    version = client.write("k", "before")["version"]
    victim = pid_of(host, "service")
    kill(victim)
    events.wait("service.ready", 2)
    assert pid_of(host, "service") != victim
    assert client.read("k") == {"value": "before", "version": version}
    assert client.write("k", "after") == {"version": 2}
    assert events.wait("service.exited")["signal"] == signal.SIGKILL
    assert events.names().count("damage.detected") == 0


def test_state_json_corrupted_by_hand_is_healed_without_a_restart(
    host: Host, client: StateClient, events: Recorder
) -> None:
    client.write("k", 1)
    path = Path(host.describe()["handles"]["state.json"]["path"])
    path.write_bytes(b"by hand")
    assert events.wait("damage.detected")["handle"] == "state.json"
    events.wait("restore.end", events.names().count("restore.end") or 1)
    assert events.names().count("service.exited") == 0
    assert client.read("k") == {"value": 1, "version": 1}


@pytest.mark.usefixtures("client")
def test_a_kill_of_the_supervisor_takes_the_service_along(host: Host) -> None:
    service, supervisor = pid_of(host, "service"), pid_of(host, "supervisor")
    os.kill(supervisor, signal.SIGKILL)
    assert gone(service)


@pytest.mark.chaos
@pytest.mark.usefixtures("host")
def test_a_service_whose_journal_failed_is_recovered_by_its_supervisor(
    client: StateClient, events: Recorder, tmp_path: Path
) -> None:
    """A repair that cannot be written (its temporary name is taken by a folder) is what fails the journal here."""
    client.write("k", 1)
    obstacle = tmp_path / "store" / f".{layout.snapshot(0)}.tmp"
    obstacle.mkdir()
    (tmp_path / "store" / layout.snapshot(0)).write_bytes(b"by hand")
    assert events.wait("service.exited")["status"] == 1
    obstacle.rmdir()
    events.wait("service.ready", 2)
    assert client.read("k") == {"value": 1, "version": 1}


# Writing makes the service pass every failpoint but those of a repair.
REPAIRS = [name for name in FAILPOINTS if name.startswith(("restore", "aside"))]


@contextlib.contextmanager
def service_that_dies_at(name: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a service; yield its socket once it serves, or died before."""
    path = str(folder.parent / "socket")
    failpoints = Failpoints(folder.parent / "failpoints", name, "die")
    ready, told = os.pipe()
    settings = Settings(snapshot_every=20, checkpoint_every=6, scrub_every_s=0.05)
    arguments = ["-m", "targets.state", "serve", str(folder), "--socket", path, *settings.arguments()]
    service = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        pass_fds=[told],
        env={**os.environ, **failpoints.environment, READY_VARIABLE: str(told)},
    )
    os.close(told)
    try:
        os.read(ready, 1)
        yield path, service
    finally:
        service.kill()
        service.wait()
        os.close(ready)
        failpoints.close()
    assert failpoints.reached == [name]


@pytest.mark.chaos
@pytest.mark.parametrize("name", FAILPOINTS)
def test_a_kill_at_any_failpoint_loses_no_acknowledged_write(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    StateStore(folder).close()
    if name in REPAIRS:
        (folder / layout.STATE).write_bytes(b"by hand")
    client = StateClient()
    acknowledged = 0
    with service_that_dies_at(name, folder) as (path, service):
        client.open({"socket": path}, "test", 5.0)
        with contextlib.suppress(NotDone, Unknown):
            while True:
                acknowledged = client.write("k", acknowledged + 1)["version"]
        assert service.wait(20) == -signal.SIGKILL
    client.close()
    version = recover(contents(folder)).entries.get("k", (0,))[0]
    assert version in {acknowledged, acknowledged + 1}
    store = StateStore(folder)
    assert store.read("k") == (version or None, version)
    assert store.scrub() == []
    store.close()
