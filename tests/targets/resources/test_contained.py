"""The service in a real container: its limits, its end, and what becomes of it when others are killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.resources_kit import LIMITS
from support.state_kit import Recorder, gone, kill
from targets.containers import EngineError
from targets.engine import Engine, default_image
from targets.resources import adapter, contained
from targets.resources.client import WorkClient
from targets.resources.host import Host
from targets.resources.limits import ContainerLimits
from targets.state.client import NotDone, Unknown

LABEL = os.environ.get("BIGFIVE_LABEL", "")


@pytest.fixture
def engine(lacking: Callable[[str], None]) -> Iterator[Engine]:
    try:
        engine = Engine.connect()
        engine.remove(engine.create(contained.Spec(image=default_image(), command=["true"], name="bigfive-probe")))
    except EngineError as error:
        lacking(str(error))
        raise
    with engine:
        yield engine


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def host(events: Recorder, request: pytest.FixtureRequest) -> Iterator[Host]:
    request.getfixturevalue("engine")
    host = adapter.host(events)
    yield host
    host.stop()


def start(host: Host, folder: Path, **options: object) -> WorkClient:
    given = {"container": True, "limits": {**LIMITS, "tmp": "8MiB", "open_files": 256}, **options}
    client = adapter.client()
    client.open(host.start(str(folder), LABEL, given)["connect"], "test", 10.0)
    return client


def containers(engine: Engine, folder: Path) -> list[str]:
    return engine.containers({contained.LABEL: str((folder / "service").resolve())})


pytestmark = pytest.mark.chaos


def test_it_serves_with_its_limits_in_force_and_leaves_nothing(
    host: Host, engine: Engine, events: Recorder, tmp_path: Path
) -> None:
    client = start(host, tmp_path)
    assert client.write("k", 1) == {"version": 1}
    assert client.work("k", 2, "1MiB") == {"version": 2}
    (container,) = containers(engine, tmp_path)
    asked = ["--memory", "256MiB", "--swap", "0B", "--pids", "200", "--open-files", "256", "--tmp", "8MiB"]
    status, said = engine.execute(container, ["python3", "-m", "targets.resources", "limits", *asked])
    assert status == 0, said
    assert events.wait("serving")["woken_by_kernel"] is True
    client.close()
    host.stop()
    assert events.wait("shutdown.finished")["signal"] == "SIGTERM"
    assert events.wait("container.ended")["status"] == 0
    assert containers(engine, tmp_path) == []


def test_as_fast_as_memory_can_be_taken_the_orderly_end_comes_first(
    host: Host, events: Recorder, tmp_path: Path
) -> None:
    client = start(host, tmp_path)
    version = client.write("k", 1)["version"]
    host.grow("600MiB", None, "shared")
    assert events.wait("service.exited")["status"] == 0
    assert events.wait("container.ended") == {**events.wait("container.ended"), "status": 0, "oom": False}
    events.wait("service.ready", 2, 60)
    assert events.wait("started.after_shutdown")["why"] == "pressure"
    assert client.read("k")["version"] == version
    client.close()


def test_where_the_kernel_wins_nothing_is_lost_and_the_next_life_says_so(
    host: Host, events: Recorder, tmp_path: Path
) -> None:
    client = start(host, tmp_path, fence=0)
    version = client.write("k", 1)["version"]
    with contextlib.suppress(Unknown):  # the answer may be lost with the service
        host.grow("600MiB", None, "one_call")
    assert events.wait("container.ended")["oom"] is True
    assert events.wait("service.exited")["status"] == 137
    events.wait("service.ready", 2, 60)
    assert events.wait("started.after_oom")["status"] == 137
    assert client.read("k")["version"] == version
    client.close()


def test_a_kill_that_was_not_the_kernels_is_not_called_one(host: Host, events: Recorder, tmp_path: Path) -> None:
    start(host, tmp_path).close()
    pid = host.describe()["handles"]["service"]["pid"]
    kill(pid)
    assert events.wait("container.ended")["oom"] is False
    events.wait("service.ready", 2, 60)
    assert events.wait("started.after_killed")["status"] == 137


def test_without_its_keeper_it_ends_in_order_and_the_next_life_clears_up(
    host: Host, engine: Engine, events: Recorder, tmp_path: Path
) -> None:
    start(host, tmp_path).close()
    keeper, service = events.wait("service.started")["pid"], host.describe()["handles"]["service"]["pid"]
    os.kill(int(str(keeper)), signal.SIGKILL)
    assert gone(service)
    events.wait("service.ready", 2, 60)
    assert events.wait("started.after_shutdown")["why"] == "orphaned"
    assert len(containers(engine, tmp_path)) == 1


@pytest.mark.usefixtures("engine")
def test_one_that_does_not_end_is_killed_at_its_deadline(events: Recorder, tmp_path: Path) -> None:
    """As PID 1 it is immune against its own alarm, so that its keeper has to watch the clock."""
    script = tmp_path / "stuck.py"
    script.write_text(
        "import ctypes, sys\n"
        "from targets.resources.service import Service, leave, main\n"
        "class Stuck(Service):\n"
        "    def _checkpoint(self):\n"
        "        ctypes.PyDLL(None).pause()\n"
        "leave(main(service=Stuck))\n"
    )
    host = Host(events, (sys.executable, str(script)))
    try:
        client = start(host, tmp_path, deadline_s="1s", drain_s="500ms")
        client.write("k", 1)
        os.kill(host.describe()["handles"]["service"]["pid"], signal.SIGTERM)
        ended = events.wait("container.ended")
        assert (ended["status"], ended["oom"]) == (137, False)
        client.close()
    finally:
        host.stop()


def test_where_there_is_no_engine_it_says_what_to_do(tmp_path: Path) -> None:
    order = contained.Order(folder=tmp_path, limits=ContainerLimits(), deadline_s=1, arguments=["serve"])
    done = subprocess.run(
        order.command(),
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none"},
    )
    assert done.returncode == 1
    assert "bigfive doctor --fix docker" in done.stderr


def test_its_order_survives_a_command_line(tmp_path: Path) -> None:
    order = contained.Order(
        folder=tmp_path,
        limits=ContainerLimits.parse(LIMITS),
        deadline_s=4,
        arguments=["serve"],
        script=tmp_path / "planted.py",
    )
    command = order.command()
    assert ContainerLimits.parse(json.loads(command[command.index("--limits") + 1])) == order.limits
    spec = order.spec(tmp_path / "events", tmp_path / "herald")
    assert spec.command[:2] == ["python3", "/opt/bigfive/scripts/planted.py"]
    assert spec.limits["MemorySwap"] == spec.limits["Memory"]


def test_clients_of_one_that_is_gone_certainly_did_nothing(host: Host, tmp_path: Path) -> None:
    client = start(host, tmp_path)
    host.stop()
    with pytest.raises(NotDone):
        client.write("k", 1)
    client.close()
