"""Real pressure: a service in a cgroup of 256 MiB that grows as fast as it can, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from harness.waiting import until
from support.resources_kit import LIMITS, no_own_cgroup
from support.state_kit import Recorder
from targets.resources import adapter
from targets.resources.client import WorkClient
from targets.resources.host import Host
from targets.resources.limits import ContainerLimits
from targets.resources.units import MIB
from targets.state.client import Json, NotDone, Unknown

pytestmark = pytest.mark.chaos

LABEL = os.environ.get("BIGFIVE_LABEL", "")
WRITERS = 4
UNPROTECTED = {"on_warning": "log", "on_critical": "log", "on_emergency": "log", "fence": 0}


class Stage:
    """A service in a cgroup of its own, with writers that remember what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.events = Recorder()
        self.host: Host = adapter.host(self.events)
        self.acknowledged: dict[str, int] = {}
        self._folder = folder
        self._connect: Mapping[str, str] = {}
        self._over = threading.Event()
        self._writers: list[threading.Thread] = []

    def start(self, **options: object) -> None:
        started = self.host.start(str(self._folder), LABEL, {"cgroup": "own", "limits": LIMITS, **options})
        self._connect = started["connect"]
        self._writers = [threading.Thread(target=self._write, args=(f"k{n}",)) for n in range(WRITERS)]
        for writer in self._writers:
            writer.start()

    def client(self) -> WorkClient:
        client = adapter.client()
        client.open(self._connect, "test", 10.0)
        return client

    def oom_kills(self) -> int:
        folder = Path(self.host.describe()["handles"]["cgroup"]["path"])
        return int((folder / "memory.oom_control").read_text().split()[-1])

    def lost(self) -> dict[str, tuple[int, int]]:
        """Let the writers end; return for each key that went back what was acknowledged, and what is there."""
        self._over.set()
        for writer in self._writers:
            writer.join()
        client = self.client()
        found = {key: (version, int(client.read(key)["version"])) for key, version in self.acknowledged.items()}
        client.close()
        return {key: both for key, both in found.items() if both[1] < both[0]}

    def close(self) -> None:
        self._over.set()
        for writer in self._writers:
            writer.join()
        self.host.stop()

    def _write(self, key: str) -> None:
        client = self.client()
        while not self._over.is_set():
            with contextlib.suppress(NotDone, Unknown):
                self.acknowledged[key] = int(client.write(key, "x" * 100)["version"])
        client.close()


@pytest.fixture
def stage(tmp_path: Path, lacking: Callable[[str], None]) -> Iterator[Stage]:
    if why := no_own_cgroup():
        lacking(why)
    stage = Stage(tmp_path)
    yield stage
    stage.close()


@pytest.mark.parametrize("kind", ["private", "shared", "child"])
def test_as_fast_as_memory_can_be_taken_the_orderly_end_comes_first(stage: Stage, kind: str) -> None:
    stage.start()
    stage.host.grow("600MiB", None, kind)
    assert stage.events.wait("service.exited")["status"] == 0
    finished = stage.events.wait("shutdown.finished")
    assert (finished["why"], finished["resource"], finished["failed"]) == ("pressure", "memory", [])
    stage.events.wait("service.ready", 2)
    assert stage.events.wait("started.after_shutdown")["why"] == "pressure"
    assert stage.lost() == {}
    # A child has an end of its own: the service's supervisor kills it, unless the kernel does so first.
    assert stage.oom_kills() == 0 or kind == "child"


def test_slow_growth_is_warned_of_first_and_work_is_refused_from_then_on(stage: Stage) -> None:
    stage.start(horizon_s=0)
    stage.host.grow("190MiB", "200MiB/s", "private")
    stage.events.wait("pressure.warning")
    client = stage.client()
    with pytest.raises(NotDone) as refusal:
        client.work("w", 1, "1MiB")
    assert refusal.value.details["error"] in {"shedding", "full"}
    assert client.write("w", 1)["version"] == 1
    client.grow(0)
    stage.events.wait("pressure.eased")

    def worked() -> Json | None:
        try:
            return client.work("w", 2, "1MiB")
        except NotDone:  # what was freed is given back to the kernel bit by bit
            return None

    assert until(worked, "work to be taken again", 5.0)["version"] == 2
    client.close()
    assert "service.exited" not in stage.events.names()


def test_one_call_in_c_is_refused_at_the_fence_and_the_service_lives(stage: Stage) -> None:
    stage.start()
    stage.host.grow("600MiB", None, "one_call")
    assert stage.events.wait("growth.refused")["held"] == 0
    client = stage.client()
    assert client.probe() == {}
    client.close()
    assert stage.lost() == {}
    assert "service.exited" not in stage.events.names()
    assert stage.oom_kills() == 0


def test_where_the_kernel_wins_nothing_acknowledged_is_lost_and_the_next_life_says_so(stage: Stage) -> None:
    stage.start(fence=0)
    with contextlib.suppress(Unknown):  # the answer may be lost with the service
        stage.host.grow("600MiB", None, "one_call")
    assert stage.events.wait("service.exited")["signal"] == signal.SIGKILL
    stage.events.wait("service.ready", 2)
    assert stage.events.wait("started.after_oom")["oom_kills"] == 1
    assert stage.lost() == {}
    assert stage.oom_kills() == 1


def test_what_grows_beside_the_service_is_the_kernels_first_choice(stage: Stage) -> None:
    """Unprotected, so that the kernel has to choose: the child asked for it, the service lives."""
    stage.start(**UNPROTECTED)
    stage.host.grow("600MiB", None, "child")
    group = Path(stage.host.describe()["handles"]["cgroup"]["path"]) / "memory.oom_control"
    client = stage.client()
    while "oom_kill 0" in group.read_text():
        client.probe()
    client.close()
    assert stage.lost() == {}
    assert "service.exited" not in stage.events.names()


def test_a_limit_that_is_lowered_while_it_runs_ends_it_in_order(stage: Stage) -> None:
    stage.start()
    stage.host.grow("120MiB", None, "shared")
    client = stage.client()
    stage.events.wait("heartbeat", 2)
    client.close()
    group = stage.host._group
    assert group is not None
    group.set(ContainerLimits(memory=160 * MIB, swap=0))
    assert stage.events.wait("shutdown.finished")["resource"] == "memory"
    stage.events.wait("service.ready", 2)
    assert stage.lost() == {}
    assert stage.oom_kills() == 0


def test_starved_of_its_processor_it_still_says_that_it_lives_and_ends_in_order(stage: Stage) -> None:
    """A twentieth of a processor, with writers who want all of it."""
    stage.start(heartbeat_s="200ms", drain_s=10, deadline_s=20)
    group = stage.host._group
    assert group is not None
    group.set(ContainerLimits(cpus=0.05))
    beats = stage.events.names().count("heartbeat")
    while not any(name.startswith("pressure.") and data["resource"] == "cpu" for name, data in stage.events.events):
        beats += 1
        stage.events.wait("heartbeat", beats)
    os.kill(stage.host.describe()["handles"]["service"]["pid"], signal.SIGTERM)
    assert stage.events.wait("shutdown.finished", timeout_s=30)["drained"] is True
    assert stage.events.wait("service.exited", timeout_s=30)["status"] == 0
    group.set(ContainerLimits(cpus=2))
    stage.events.wait("service.ready", 2)
    assert stage.lost() == {}


def test_out_of_processes_it_sheds_load_and_hears_again_who_comes_when_there_are_some(stage: Stage) -> None:
    stage.start()
    group, client = stage.host._group, stage.client()
    assert group is not None
    group.set(ContainerLimits(pids=10))
    assert stage.events.wait("pressure.emergency")["resource"] == "pids"
    with pytest.raises((Unknown, NotDone)):  # there is no thread for one more client: it is hung up on
        client.probe()
    group.set(ContainerLimits(pids=200))
    assert client.probe() == {}
    client.close()
    assert "service.exited" not in stage.events.names()
    assert stage.lost() == {}


def test_stopped_nothing_of_the_cgroup_is_left(stage: Stage) -> None:
    stage.start()
    folder = Path(stage.host.describe()["handles"]["cgroup"]["path"])
    assert folder.is_dir()
    stage.close()
    assert not folder.exists()
    assert stage.host.describe()["handles"]["cgroup"] == {"type": "folder"}
