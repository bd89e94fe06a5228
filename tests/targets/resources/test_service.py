"""The service on a real socket, under its real supervisor; nothing here limits its memory."""

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

from support.state_kit import Recorder, gone, kill, python
from targets.resources import adapter
from targets.resources.client import WorkClient
from targets.resources.errors import BadLimits, BadRequest, CannotStart
from targets.resources.host import Host
from targets.resources.settings import Options, Settings
from targets.resources.shutdown import Deadlines, GracefulShutdown
from targets.resources.units import MIB
from targets.resources.worker import Worker
from targets.state.store import StateStore

LABEL = os.environ.get("BIGFIVE_LABEL", "")


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def host(events: Recorder) -> Iterator[Host]:
    host = adapter.host(events)
    yield host
    host.stop()


@pytest.fixture
def client(host: Host, tmp_path: Path) -> Iterator[WorkClient]:
    connect = host.start(str(tmp_path), LABEL, {"heartbeat_s": "50ms"})["connect"]
    client = adapter.client()
    client.open(connect, "test", 10.0)
    yield client
    client.close()


def pid_of(host: Host, handle: str) -> int:
    pid = host.describe()["handles"][handle]["pid"]
    assert isinstance(pid, int)
    return pid


class Bench:
    """A worker without a service around it, and with as much memory as a test says."""

    def __init__(self, folder: Path) -> None:
        self.used, self.ceiling = 0, 100 * MIB
        self.events = Recorder()
        self.shutdown = GracefulShutdown(Deadlines())
        self.store = StateStore(folder)
        self.worker = Worker(self.store, lambda: (self.used, self.ceiling), self.shutdown, self.events)

    def ask(self, **request: object) -> dict[str, dict[str, object]]:
        return json.loads(self.worker.answer(json.dumps(request).encode()))


class TestWorker:
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        bench = Bench(tmp_path)
        yield bench
        bench.worker.appetite.release()
        bench.worker.stop()
        bench.store.close()

    def test_it_answers_as_the_store_does(self, bench: Bench) -> None:
        assert bench.ask(op="write", key="k", value=1) == {"ok": {"version": 1}}
        assert bench.ask(op="read", key="k") == {"ok": {"value": 1, "version": 1}}
        assert bench.ask(op="probe") == {"ok": {}}
        assert bench.ask(op="write", key="k", value=2, expected_version=7)["fail"]["error"] == "conflict"

    def test_work_that_fits_is_done_and_kept(self, bench: Bench) -> None:
        assert bench.ask(op="work", key="k", value=1, bytes="1MiB", hold_s="1ms") == {"ok": {"version": 1}}
        assert bench.ask(op="read", key="k")["ok"]["value"] == 1

    def test_work_that_does_not_fit_is_refused_and_certainly_not_done(self, bench: Bench) -> None:
        bench.used = 90 * MIB
        assert bench.ask(op="work", key="k", value=1, bytes="11MiB")["fail"]["error"] == "full"
        assert bench.ask(op="read", key="k")["ok"]["version"] == 0
        assert bench.ask(op="write", key="k", value=1) == {"ok": {"version": 1}}

    def test_while_load_is_shed_work_is_refused_and_the_rest_served(self, bench: Bench) -> None:
        bench.worker.shed("memory at 71%")
        refusal = bench.ask(op="work", key="k", value=1)["fail"]
        assert refusal == {"error": "shedding", "message": "no new work: memory at 71%"}
        assert bench.ask(op="write", key="k", value=1) == {"ok": {"version": 1}}
        bench.worker.shed("")
        assert bench.ask(op="work", key="k", value=1) == {"ok": {"version": 2}}

    def test_paused_work_waits_and_goes_on(self, bench: Bench) -> None:
        bench.worker.pause("memory at 71%")
        answers: list[dict[str, dict[str, object]]] = []
        thread = threading.Thread(target=lambda: answers.append(bench.ask(op="work", key="k", value=1)))
        thread.start()
        assert bench.ask(op="read", key="k")["ok"]["version"] == 0
        bench.worker.pause("")
        thread.join(10)
        assert answers == [{"ok": {"version": 1}}]

    def test_on_the_way_out_what_waits_is_let_go(self, bench: Bench) -> None:
        bench.worker.pause("memory at 71%")
        answers: list[dict[str, dict[str, object]]] = []
        work = {"op": "work", "key": "k", "value": 1, "hold_s": "1h"}
        thread = threading.Thread(target=lambda: answers.append(bench.ask(**work)))
        thread.start()
        bench.worker.hurry()
        thread.join(10)
        assert answers == [{"ok": {"version": 1}}]

    def test_once_closed_everything_is_refused(self, bench: Bench) -> None:
        bench.shutdown.work.close()
        for op in ("read", "write", "work", "grow", "probe"):
            assert bench.ask(op=op, key="k")["fail"]["error"] == "draining"

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{}",
            b'{"op": "fly"}',
            b'{"op": "read", "key": 3}',
            b'{"op": "\xff"}',
            b'{"op": "work", "key": "k", "bytes": "lots"}',
            b'{"op": "grow", "bytes": "1MiB", "kind": "cancer"}',
            b'{"op": "grow", "bytes": "1MiB", "rate": "fast"}',
        ],
    )
    def test_nonsense_is_refused_and_certainly_not_done(self, bench: Bench, line: bytes) -> None:
        assert json.loads(bench.worker.answer(line))["fail"]["error"] == "BadRequest"

    def test_a_lack_of_memory_in_the_middle_is_unknown_and_ends_the_service(self, bench: Bench) -> None:
        def lack() -> tuple[int, int]:
            raise MemoryError

        bench.worker = Worker(bench.store, lack, bench.shutdown, bench.events)
        assert bench.ask(op="work", key="k", value=1)["info"]["error"] == "MemoryError"
        assert bench.shutdown.wait().why == "out of memory"
        assert bench.worker.doubtful

    def test_work_that_the_system_has_no_memory_for_is_refused_and_nothing_is_in_doubt(self, bench: Bench) -> None:
        bench.ceiling = 1 << 60
        assert bench.ask(op="work", key="k", value=1, bytes=1 << 50)["fail"]["error"] == "full"
        assert not bench.shutdown.requested
        assert bench.ask(op="write", key="k", value=1) == {"ok": {"version": 1}}

    @pytest.mark.parametrize("kind", ["private", "shared", "one_call"])
    def test_it_grows_as_asked_and_gives_everything_back(self, bench: Bench, kind: str) -> None:
        bench.ask(op="grow", bytes="9MiB", kind=kind)
        appetite = bench.worker.appetite
        assert appetite._thread is not None
        appetite._thread.join(10)
        assert appetite.held == 9 * MIB
        bench.ask(op="grow", bytes=0)
        assert appetite.held == 0

    def test_growth_with_a_rate_takes_its_time_and_can_be_called_off(self, bench: Bench) -> None:
        bench.ask(op="grow", bytes="1GiB", rate="1MiB/s")
        bench.ask(op="grow", bytes=0)
        assert bench.worker.appetite.held == 0

    def test_growth_that_the_system_refuses_is_an_event(self, bench: Bench) -> None:
        bench.ask(op="grow", bytes=1 << 60, kind="one_call")
        assert bench.events.wait("growth.refused") == {"held": 0}

    def test_a_child_grows_in_a_process_of_its_own(self, bench: Bench) -> None:
        bench.ask(op="grow", bytes="2MiB", rate="1GiB/s", kind="child")
        child = bench.worker.appetite._child
        assert child is not None
        assert child.poll() is None
        bench.worker.appetite.release()
        assert gone(child.pid)

    def test_a_checkpoint_is_written_by_a_thread_of_its_own_and_a_failure_is_an_event(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        bench.ask(op="write", key="k", value=1)
        (tmp_path / ".state.json.tmp").mkdir()  # in the way of the temporary file
        bench.worker.checkpoint()
        assert "IsADirectoryError" in str(bench.events.wait("checkpoint.failed")["what"])
        (tmp_path / ".state.json.tmp").rmdir()

    def test_what_actions_ask_becomes_events_and_requests(self, bench: Bench) -> None:
        bench.worker.notify("pressure.warning", {"share": 0.7})
        assert bench.events.events == [("pressure.warning", {"share": 0.7})]
        bench.worker.shut_down("pressure", {"share": 0.9}, at_once=False)
        assert bench.shutdown.wait().details == {"share": 0.9}


class TestHost:
    def test_before_the_start_only_names_and_types_are_known(self, host: Host) -> None:
        described = host.describe()
        assert described["contracts"] == ["versioned_store"]
        assert described["handles"] == {
            "service": {"type": "process"},
            "supervisor": {"type": "process"},
            "folder": {"type": "folder"},
            "cgroup": {"type": "folder"},
        }

    def test_started_it_serves_says_where_everything_is_and_that_it_lives(
        self, host: Host, client: WorkClient, events: Recorder
    ) -> None:
        assert client.probe() == {}
        assert client.write("k", {"a": 1}) == {"version": 1}
        assert client.work("k", 2, "1MiB", "1ms") == {"version": 2}
        assert client.read("k") == {"value": 2, "version": 2}
        assert events.names()[0] == "service.started"
        assert events.wait("started.first") == {}
        assert "memory" in events.wait("heartbeat", 2)
        assert Path(host.describe()["handles"]["folder"]["path"]).is_dir()

    def test_stopped_it_ended_in_order_and_left_nothing_running(
        self, host: Host, client: WorkClient, events: Recorder
    ) -> None:
        client.write("k", 1)
        pids = [pid_of(host, "service"), pid_of(host, "supervisor")]
        host.stop()
        assert all(gone(pid, 0) for pid in pids)
        assert events.wait("shutdown.began")["signal"] == "SIGTERM"
        assert events.wait("shutdown.finished")["drained"] is True
        assert events.wait("service.exited")["status"] == 0

    def test_every_mistake_in_the_options_is_said_at_once_and_nothing_starts(self, host: Host, tmp_path: Path) -> None:
        wrong = {"speed": 11, "warning": "hot", "cgroup": "mine", "container": 3, "limits": {"tea": 1}}
        with pytest.raises(BadRequest) as refusal:
            host.start(str(tmp_path), LABEL, wrong)
        assert all(each in str(refusal.value) for each in ("speed", "warning", "cgroup", "container", "tea"))
        with pytest.raises(BadLimits, match="processors"):
            host.start(str(tmp_path), LABEL, {"limits": {"cpus": 10**6}})
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
        path = Path(host.start(str(deep), LABEL)["connect"]["socket"])
        assert path.exists()
        host.stop()
        assert not path.parent.exists()

    @pytest.mark.chaos
    def test_a_store_that_cannot_open_fails_the_start(self, host: Host, tmp_path: Path) -> None:
        (tmp_path / "service").mkdir()
        (tmp_path / "service" / "store").write_bytes(b"in the way")
        with pytest.raises(CannotStart, match="did not come up"):
            host.start(str(tmp_path), LABEL)


def test_kill_9_loses_nothing_and_the_next_life_says_that_it_was_killed(
    host: Host, client: WorkClient, events: Recorder
) -> None:
    version = client.write("k", "before")["version"]
    victim = pid_of(host, "service")
    kill(victim)
    events.wait("service.ready", 2)
    assert events.wait("started.after_killed")["pid"] == victim
    assert client.read("k") == {"value": "before", "version": version}


def test_the_host_can_let_it_grow_and_shrink(host: Host, client: WorkClient) -> None:
    assert host.grow("1MiB", "1GiB/s", "shared") == {"bytes": MIB}
    assert client.grow(0) == {"bytes": 0}


DOOR = """
import resource, signal, sys, threading
from targets.state.service import Listener
usual = resource.getrlimit(resource.RLIMIT_NOFILE)
signal.signal(signal.SIGUSR1, lambda *_: resource.setrlimit(resource.RLIMIT_NOFILE, usual))
door = Listener(sys.argv[1], lambda line: line)
threading.Thread(target=door.serve).start()
resource.setrlimit(resource.RLIMIT_NOFILE, (20, usual[1]))
print("open", flush=True)
sys.stdin.read()
door.stop()
"""


def test_out_of_descriptors_the_door_lets_who_comes_wait_and_hears_them_when_there_are_some(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    process = python("-c", DOOR, path)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    with contextlib.ExitStack() as crowd:
        for _ in range(20):
            newcomer = crowd.enter_context(socket.socket(socket.AF_UNIX))
            newcomer.settimeout(1.0)
            newcomer.connect(path)
            newcomer.sendall(b"hello\n")
            try:
                assert newcomer.recv(10) == b"hello\n"
            except TimeoutError:
                break
        else:
            pytest.fail("nobody had to wait")
        process.send_signal(signal.SIGUSR1)
        newcomer.settimeout(10.0)
        assert newcomer.recv(10) == b"hello\n"
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_the_command_line_refuses_what_it_cannot_serve(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    serve = [sys.executable, "-m", "targets.resources", "serve", str(tmp_path), "--socket", str(tmp_path / "socket")]
    for more, said in (([], "cannot be used"), (["--warning", "hot"], "option warning: expected per cent")):
        done = subprocess.run([*serve, *more], check=False, capture_output=True, text=True)
        assert done.returncode == 1
        assert said in done.stderr


def test_a_socket_that_cannot_be_gives_the_folder_up_again(tmp_path: Path) -> None:
    serve = [sys.executable, "-m", "targets.resources", "serve", str(tmp_path), "--socket", str(tmp_path / ("x" * 120))]
    done = subprocess.run(serve, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    StateStore(tmp_path / "store").close()


def test_without_anybody_who_reads_its_events_it_ends_in_order(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "events")
    reader = os.open(tmp_path / "events", os.O_RDONLY | os.O_NONBLOCK)
    arguments = [str(tmp_path), "--socket", str(tmp_path / "socket"), "--events", str(tmp_path / "events")]
    service = subprocess.Popen([sys.executable, "-m", "targets.resources", "serve", *arguments])
    said = b""
    while b'"serving"' not in said:
        os.set_blocking(reader, True)
        said += os.read(reader, 4096)
    os.close(reader)
    assert service.wait(20) == 0
    record = json.loads((tmp_path / "lives" / "shutdown.json").read_bytes())
    assert (record["why"], record["finished"]) == ("orphaned", True)


class TestSettings:
    def test_they_survive_a_command_line(self) -> None:
        settings = Settings.of({"warning": "60%", "critical": 80, "on_warning": "log", "drain_s": "100ms"})
        assert (settings.warning, settings.drain_s, settings.on_warning) == (0.6, 0.1, "log")
        pairs = zip(*[iter(settings.arguments())] * 2, strict=True)
        options = {name.removeprefix("--").replace("-", "_"): text for name, text in pairs}
        numbers = {name: text if name.startswith("on_") else float(text) for name, text in options.items()}
        assert Settings.of(numbers) == settings

    @pytest.mark.parametrize(
        "wrong",
        [
            {"warning": 101},
            {"warning": True},
            {"warning": 99},
            {"drain_s": 9},
            {"calm_s": "x"},
            {"on_warning": "panic"},
        ],
    )
    def test_what_cannot_be_is_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(BadRequest):
            Settings.of(wrong)

    def test_a_container_needs_no_cgroup_of_its_own(self) -> None:
        with pytest.raises(BadRequest, match="leave one of both out"):
            Options.of({"container": True, "cgroup": "own"})
        assert Options.of({"container": "true", "limits": {"pids": 5}}).limits.pids == 5
        with pytest.raises(BadRequest, match="unknown limit"):
            Options.of({"limits": 7})
