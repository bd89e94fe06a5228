"""The engine: what is asked of it happens, everything made can be found and removed, every failure says what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from harness.containers._explained import Gone
from harness.containers.address import Address
from harness.containers.engine import Engine, Order, prefixed
from harness.errors import EngineFailed, EnvironmentLacks
from harness.processes import carries
from harness.waiting import until
from support.engines import fresh_label, http, relay, seen, server, ssh_stand_in

PATIENCE_S = 20.0
SLEEP = ("sleep", "60")


def sleeper(image: str, label: str, name: str = "sleeper", network: str = "none") -> Order:
    return Order(image=image, command=SLEEP, label=label, name=name, network=network)


def test_an_engine_that_is_absent_says_how_to_get_one() -> None:
    with pytest.raises(EnvironmentLacks, match="no engine answers at unix:///no/such/socket") as caught:
        Engine.connect(Address("unix:///no/such/socket"))
    assert "doctor --fix docker" in caught.value.fix


def test_an_engine_that_is_absent_is_waited_for_as_long_as_asked() -> None:
    with pytest.raises(EnvironmentLacks, match="No such file"):
        Engine.connect(Address("unix:///no/such/socket"), 0.05)


def test_an_engine_that_is_restarting_is_lacking_with_what_it_says(tmp_path: Path) -> None:
    with (
        server(http(b"starting up", b"503 Busy"), tmp_path) as url,
        pytest.raises(EnvironmentLacks, match="503: start"),
    ):
        Engine.connect(Address(url), 0.05)


def test_an_engine_that_hangs_is_lacking(tmp_path: Path) -> None:
    with server(None, tmp_path) as url, pytest.raises(EnvironmentLacks, match="timed out"):
        Engine.connect(Address(url))


def test_what_answers_but_is_no_engine_is_lacking(tmp_path: Path) -> None:
    with server(http(b"[]"), tmp_path) as url, pytest.raises(EnvironmentLacks, match="is no engine"):
        Engine.connect(Address(url))


def test_an_engine_that_is_too_old_is_lacking(tmp_path: Path) -> None:
    answer = http(b'{"ApiVersion": "1.40", "Version": "19.03"}')
    with server(answer, tmp_path) as url, pytest.raises(EnvironmentLacks, match=r"API 1\.40, and 1\.41"):
        Engine.connect(Address(url))


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (b"500 Oops", b'{"message": "write /x: no space left on device"}', "full", "docker system df"),
        (b"503 Busy", b'{"message": "daemon is shutting down"}', "away", "restarting"),
        (b"409 Conflict", b'{"message": "name is taken"}', "refused", "409: name is taken"),
        (b"404 Not Found", b'{"message": "No such container: x"}', "gone", "No such container"),
    ],
)
def test_what_an_engine_refuses_is_explained(tmp_path: Path, status: bytes, said: bytes, kind: str, words: str) -> None:
    with server(http(said, status), tmp_path) as url, pytest.raises(EngineFailed, match=words) as caught:
        connected(url).inspect("x")
    assert caught.value.kind == kind
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  our own
    assert (str(again), again.kind) == (str(caught.value), kind)


def test_an_engine_that_goes_away_in_the_middle_is_explained(tmp_path: Path) -> None:
    with server(b"", tmp_path) as url, pytest.raises(EngineFailed, match="died or is restarting") as caught:
        connected(url).inspect("x")
    assert caught.value.kind == "away"


def test_an_engine_that_becomes_slow_is_explained(tmp_path: Path) -> None:
    with server(None, tmp_path) as url, pytest.raises(EngineFailed, match="within 1 s: it is slow") as caught:
        connected(url).wait("x", 1.0)
    assert caught.value.kind == "slow"


def connected(url: str) -> Engine:
    """An engine that was all right when it was connected to."""
    return Engine(Address(url), Address(url), "1.41")


@pytest.mark.chaos
def test_a_container_lives_its_life(engine: Engine, image: str, label: str) -> None:
    container = engine.run(sleeper(image, label))
    assert container.name == prefixed(label, "sleeper")
    assert (container.status, container.pid > 0) == ("running", True)
    assert carries(container.pid, label)
    assert engine.execute(container.id, ["sh", "-c", "echo hello; exit 3"]) == (3, b"hello\n")
    assert engine.restart(container.id, 0).pid not in {0, container.pid}
    assert engine.stop(container.id, 0).exit_code == 137
    assert engine.wait(container.id, PATIENCE_S) == 137
    engine.remove(container.id)
    engine.remove(container.id)
    with pytest.raises(Gone):
        engine.inspect(container.id)


@pytest.mark.chaos
def test_limits_of_a_running_container_change_and_change_back(engine: Engine, image: str, label: str) -> None:
    container = engine.run(sleeper(image, label))
    limits = {"Memory": 64 << 20, "MemorySwap": 64 << 20, "PidsLimit": 32, "NanoCpus": 500_000_000}
    engine.update(container.id, limits)
    with engine.asked("look") as api:
        host = api.inspect_container(container.id)["HostConfig"]
    assert {name: host[name] for name in limits} == limits
    engine.remove(container.id)
    engine.restore(container.id, limits)


@pytest.mark.chaos
def test_a_sweep_finds_everything_paused_and_connected_and_nothing_else(engine: Engine, image: str, label: str) -> None:
    neighbour = fresh_label()
    try:
        other = engine.run(sleeper(image, neighbour))
        network = engine.create_network(label, "net")
        containers = [engine.run(sleeper(image, label, f"c{n}", network)) for n in range(3)]
        engine.pause(containers[0].id)
        assert seen(label) == sorted(prefixed(label, name) for name in ("c0", "c1", "c2", "net"))
        assert {found.label for found in engine.ours()} >= {label, neighbour}
        assert len(engine.sweep(label)) == 4
        assert seen(label) == []
        assert engine.sweep(label) == []
        assert engine.inspect(other.id).status == "running"
    finally:
        engine.sweep(neighbour)


@pytest.mark.chaos
def test_a_network_goes_with_a_stranger_still_in_it(engine: Engine, image: str, label: str) -> None:
    network = engine.create_network(label, "net")
    engine.run(sleeper(image, label, network=network))
    engine.remove_network(network)
    engine.remove_network(network)
    assert seen(label) == [prefixed(label, "sleeper")]


@pytest.mark.chaos
def test_a_container_that_cannot_start_is_not_left(engine: Engine, image: str, label: str) -> None:
    order = Order(image=image, command=["no-such-program"], label=label, name="bad")
    with pytest.raises(EngineFailed, match="no-such-program"):
        engine.run(order)
    assert seen(label) == []


@pytest.mark.chaos
def test_an_image_that_is_missing_is_never_fetched(engine: Engine, label: str) -> None:
    with pytest.raises(EnvironmentLacks, match="doctor --fix image"):
        engine.run(sleeper("bigfive-no-such-image:1", label))
    assert engine.image_id("bigfive-no-such-image:1") is None


@pytest.mark.chaos
def test_waiting_for_a_container_ends_at_the_deadline(engine: Engine, image: str, label: str) -> None:
    container = engine.run(sleeper(image, label))
    with pytest.raises(EngineFailed, match="did not see the end"):
        engine.wait(container.id, 1.0)
    engine.kill(container.id)
    until(lambda: engine.inspect(container.id).exit_code == 137, "the end", PATIENCE_S)


@pytest.mark.chaos
@pytest.mark.parametrize("way", ["tcp", "ssh"])
def test_a_remote_engine_is_used_like_the_one_here(
    engine: Engine, image: str, label: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = engine.address.url.removeprefix("unix://")
    monkeypatch.setenv("PATH", ssh_stand_in(tmp_path / "bin"))
    with relay(socket) as port:
        url = f"tcp://127.0.0.1:{port}" if way == "tcp" else f"ssh://here{socket}"
        with Engine.connect(Address(url)) as remote:
            assert remote.run(sleeper(image, label)).status == "running"
            assert len(remote.sweep(label)) == 1
