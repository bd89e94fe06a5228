"""The targets' side of the engine: figures of both cgroup versions, errors that say what to do, a real life."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.containers import image as images
from harness.containers.engine import Engine as Sweeper
from harness.doctor import CAPABILITIES, probe
from harness.waiting import until
from support.engines import fresh_label, http, seen, server
from targets import engine as engines
from targets.containers import EngineError, Mount, Spec, Stats
from targets.engine import Engine

PATIENCE_S = 20.0
V1 = {
    "memory_stats": {"usage": 162529280, "limit": 268435456, "stats": {"total_inactive_file": 62914560, "cache": 1}},
    "cpu_stats": {"cpu_usage": {"total_usage": 5}, "throttling_data": {"throttled_time": 7}},
    "pids_stats": {"current": 3, "limit": 20},
}
V2: dict[str, Any] = {
    **V1,
    "memory_stats": {"usage": 162529280, "limit": 268435456, "stats": {"inactive_file": 62914560}},
}
EXPECTED = Stats(memory_bytes=95 << 20, memory_limit_bytes=256 << 20, cpu_ns=5, throttled_ns=7, pids=3, pids_limit=20)


@pytest.mark.parametrize("data", [V1, V2], ids=["version 1", "version 2"])
def test_figures_of_both_cgroup_versions_are_the_same(data: dict[str, Any]) -> None:
    assert Stats.read(data) == EXPECTED


def test_figures_of_a_container_that_has_ended_are_zero() -> None:
    assert Stats.read({"memory_stats": {}, "cpu_stats": {"cpu_usage": {}}}) == Stats(0, 0, 0, 0, 0, 0)


def test_the_image_is_that_of_the_run_or_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(engines.IMAGE_VARIABLE, raising=False)
    assert engines.default_image() == images.LATEST
    monkeypatch.setenv(engines.IMAGE_VARIABLE, "bigfive:1234")
    assert engines.default_image() == "bigfive:1234"


def test_both_sides_use_the_same_marks() -> None:
    from harness.containers.labels import LABEL  # noqa: PLC0415
    from harness.wire import LABEL_VARIABLE  # noqa: PLC0415

    assert (engines.LABEL, engines.LABEL_VARIABLE) == (LABEL, LABEL_VARIABLE)


def test_an_engine_that_is_absent_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    with pytest.raises(EngineError, match="doctor --fix docker") as caught:
        Engine.connect()
    assert caught.value.kind == "absent"


def test_a_context_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(EngineError, match="no context 'nowhere'"):
        Engine.connect()


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (b"500 Oops", b'{"message": "write /x: no space left on device"}', "full"),
        (b"503 Busy", b'{"message": "shutting down"}', "absent"),
        (b"409 Conflict", b'{"message": "name is taken"}', "refused"),
        (b"404 Not Found", b'{"message": "No such container: x"}', "gone"),
        (b"404 Not Found", b'{"message": "No such image: x:1"}', "no_image"),
    ],
)
def test_what_an_engine_refuses_has_a_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: bytes, said: bytes, kind: str
) -> None:
    with server(http(b'{"ApiVersion": "1.41"}'), tmp_path) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        engine = Engine.connect()
    (tmp_path / "engine").unlink()
    with server(http(said, status), tmp_path), engine, pytest.raises(EngineError) as caught:
        engine.inspect("x")
    assert caught.value.kind == kind


def test_an_engine_that_hangs_is_slow_and_one_that_is_old_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine'}")
    with server(None, tmp_path), pytest.raises(EngineError) as slow:
        Engine.connect(1.0)
    (tmp_path / "engine").unlink()
    with server(http(b'{"ApiVersion": "1.40"}'), tmp_path), pytest.raises(EngineError) as old:
        Engine.connect(1.0)
    assert (slow.value.kind, old.value.kind) == ("slow", "too_old")


@pytest.fixture
def label(lacking: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A run's label in the environment, the image made, and everything removed afterwards."""
    if not (finding := probe(CAPABILITIES["docker"])).ok:
        lacking(f"{finding.detail}: bigfive doctor --fix docker")
    label = fresh_label()
    monkeypatch.setenv(engines.LABEL_VARIABLE, label)
    with Sweeper.connect() as sweeper:
        monkeypatch.setenv(engines.IMAGE_VARIABLE, images.make(sweeper))
        yield label
        sweeper.sweep(label)


@pytest.fixture
def engine(label: str) -> Iterator[Engine]:
    assert os.environ[engines.LABEL_VARIABLE] == label
    with Engine.connect() as engine:
        yield engine


def spec(**differing: Any) -> Spec:  # noqa: ANN401  whatever a Spec takes
    fields: dict[str, Any] = {"image": engines.default_image(), "command": ["sleep", "60"], "name": "c", **differing}
    return Spec(**fields)


@pytest.mark.chaos
def test_a_container_has_what_its_spec_says(engine: Engine, label: str, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("hello\n")
    tmp_path.chmod(0o755)
    made = engine.run(
        spec(
            limits={"Memory": 64 << 20, "MemorySwap": 64 << 20, "PidsLimit": 20, "NanoCpus": 500_000_000},
            mounts=[Mount(source=str(tmp_path), target="/given")],
            labels={"role": "agent"},
            environment={"COLOUR": "blue"},
            user="1000",
        )
    )
    assert made.running
    assert made.name == engine.full_name("c") == f"bigfive-{label}-c"
    assert engine.execute(made.id, ["sh", "-c", "id -u; echo $COLOUR; cat /given/given; touch /given/x 2>/dev/null"])[
        1
    ].splitlines()[:3] == ["1000", "blue", "hello"]
    assert not (tmp_path / "x").exists()
    assert engine.containers({"role": "agent"}) == [made.id]
    assert engine.containers({"role": "other"}) == []
    stats = engine.stats(made.id)
    assert (stats.memory_limit_bytes, stats.pids_limit) == (64 << 20, 20)
    assert 0 < stats.memory_bytes < 64 << 20
    engine.update(made.id, {"PidsLimit": 30})
    assert engine.stats(made.id).pids_limit == 30
    assert f"{engines.LABEL_VARIABLE}={label}".encode() in Path(f"/proc/{made.pid}/environ").read_bytes().split(b"\0")
    engine.remove(made.id)
    engine.remove(made.id)
    assert seen(label) == []


@pytest.mark.chaos
def test_the_kernel_kills_what_grows_beyond_its_limit_and_an_event_says_so(engine: Engine) -> None:
    grow = ["python3", "-c", "held = []\nwhile True: held.append(bytearray(1 << 20))"]
    limits = {"Memory": 32 << 20, "MemorySwap": 32 << 20}
    with engine.events() as events:
        made = engine.run(spec(command=grow, limits=limits))
        actions: list[str] = []
        for event in events:
            actions.append(event.action)
            if event.action == "die":
                assert (event.container, event.attributes["exitCode"]) == (made.id, "137")
                break
    assert "oom" in actions
    assert engine.wait(made.id, PATIENCE_S) == 137
    assert engine.inspect(made.id).oom_killed


@pytest.mark.chaos
def test_containers_of_one_network_reach_each_other_by_address(engine: Engine, label: str) -> None:
    network = engine.create_network("net", subnet="10.219.77.0/28")
    serve = ["sh", "-c", "while true; do echo hello | nc -l -p 9000; done"]
    server = engine.run(spec(name="server", command=serve, network=network))
    address = server.addresses[f"bigfive-{label}-net"]
    client = engine.run(spec(name="client", network=network))
    until(lambda: "hello" in engine.execute(client.id, ["nc", "-w", "1", address, "9000"])[1], "hello", PATIENCE_S)
    with pytest.raises(EngineError, match="active endpoints"):
        engine.remove_network(network)
    for container in (server.id, client.id):
        engine.stop(container, 0)
        engine.remove(container)
    engine.remove_network(network)
    engine.remove_network(network)
    assert seen(label) == []


@pytest.mark.chaos
def test_a_stop_is_graceful_before_it_is_not(engine: Engine) -> None:
    polite = "trap 'echo bye; exit 5' TERM; echo up; while true; do sleep 0.1; done"
    made = engine.run(spec(command=["sh", "-c", polite]))
    until(lambda: "up" in engine.logs(made.id), "the trap to be set", PATIENCE_S)
    ended = engine.stop(made.id, 10)
    assert (ended.exit_code, ended.running, engine.logs(made.id).splitlines()) == (5, False, ["up", "bye"])
    engine.start(made.id)
    engine.kill(made.id)
    assert engine.wait(made.id, PATIENCE_S) == 137


@pytest.mark.chaos
def test_what_cannot_start_is_not_left_and_an_image_is_never_fetched(engine: Engine, label: str) -> None:
    with pytest.raises(EngineError, match="no-such-program"):
        engine.run(spec(command=["no-such-program"]))
    with pytest.raises(EngineError, match="doctor --fix image") as caught:
        engine.run(spec(image="bigfive-no-such-image:1"))
    assert caught.value.kind == "no_image"
    assert seen(label) == []


@pytest.mark.chaos
def test_the_host_says_what_it_has_to_give(engine: Engine) -> None:
    host = engine.host()
    assert host.cpus == os.cpu_count()
    assert host.memory_bytes > 1 << 30
    assert host.cgroup_version == (2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1)


@pytest.mark.chaos
@pytest.mark.usefixtures("label")
def test_without_a_run_nothing_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(engines.LABEL_VARIABLE)
    with Engine.connect() as unmarked:
        name = fresh_label()
        made = unmarked.create(spec(name=name))
        try:
            assert unmarked.inspect(made).name == name
        finally:
            unmarked.remove(made)
