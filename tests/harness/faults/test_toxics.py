"""Toxics on a real link: what somebody at its end notices, what is proven, and what is refused."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import Chaos
from harness.doctor import CAPABILITIES, probe
from harness.errors import FaultNotProven, ScenarioError
from harness.faults import _streams, _toxics
from harness.faults._base import Fault
from harness.scenario.load import load
from harness.units import Bandwidth, Seconds, Size
from support.faults import AnyFault, broken, executed, make, refusal
from support.links import Linked, echo, linked

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not probe(CAPABILITIES["toxiproxy-server"]).ok, reason="toxics take a Toxiproxy server"),
]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Linked]:
    with linked(tmp_path) as link:
        yield link


@pytest.fixture
def client(link: Linked) -> Iterator[socket.socket]:
    """Somebody who was connected before the fault."""
    with link.connect() as connection:
        assert exchanged(connection, b"hello") == b"hello"
        yield connection


def exchanged(connection: socket.socket, data: bytes, patience_s: float = 3) -> bytes:
    """What comes back of it, until all has, the connection ends, or patience does."""
    connection.settimeout(patience_s)
    back = b""
    with suppress(TimeoutError, ConnectionError):
        connection.sendall(data)
        while len(back) < len(data) and (more := connection.recv(1 << 16)):
            back += more
    return back


def timed(connection: socket.socket, data: bytes) -> float:
    began = time.monotonic()
    assert exchanged(connection, data) == data
    return time.monotonic() - began


def reads(connection: socket.socket) -> int:
    connection.sendall(bytes(100))
    count = got = 0
    while got < 100:
        got += len(connection.recv(1 << 16))
        count += 1
    return count


def fate(connection: socket.socket) -> str:
    """What becomes of a connection over which something is sent."""
    connection.settimeout(3)
    try:
        connection.sendall(b"x")
        return "data" if connection.recv(10) else "end"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "nothing"


NOTICED: dict[str, tuple[AnyFault, Callable[[socket.socket], bool]]] = {
    "latency": (make("toxic.latency", latency=Seconds(0.5), jitter=Seconds(0.05)), lambda c: timed(c, b"x") >= 0.45),
    "latency both ways": (
        make("toxic.latency", latency=Seconds(0.25), stream="both"),
        lambda c: timed(c, b"x") >= 0.5,
    ),
    "bandwidth": (make("toxic.bandwidth", rate=Bandwidth(10_000)), lambda c: timed(c, bytes(3000)) >= 0.25),
    "bandwidth upstream": (
        make("toxic.bandwidth", rate=Bandwidth(10_000), stream="upstream"),
        lambda c: timed(c, bytes(3000)) >= 0.25,
    ),
    "timeout": (make("toxic.timeout"), lambda c: exchanged(c, b"x", 0.3) == b""),
    "slicer": (make("toxic.slicer", average_size=Size(10), size_variation=Size(3)), lambda c: reads(c) >= 5),
    "limit_data": (make("toxic.limit_data", limit=Size(100)), lambda c: len(exchanged(c, bytes(1000))) == 100),
}


@pytest.mark.parametrize("name", NOTICED)
def test_whoever_is_connected_already_notices_and_others_do_too(
    name: str, link: Linked, client: socket.socket, tmp_path: Path
) -> None:
    fault, notices = NOTICED[name]
    site = link.site
    plan = fault.undo_plan(site)
    evidence = broken(fault, site)
    assert evidence["connections"] >= 1
    with link.connect() as other:
        assert notices(other)
    assert notices(client)
    executed(plan, tmp_path / "undo")
    assert fault.prove_undone(site, evidence)
    with link.connect() as later:
        assert timed(later, b"x") < 0.45


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_a_new_connection_is_reset_when_something_is_sent(stream: str, link: Linked, client: socket.socket) -> None:
    broken(make("toxic.reset_peer", stream=stream), link.site)
    with link.connect() as other:
        assert fate(other) == "reset"
    assert fate(client) in {"end", "reset"}


def test_a_connection_is_closed_when_it_was_silent_for_too_long(link: Linked, client: socket.socket) -> None:
    proof = make("toxic.timeout", timeout=Seconds(0.2), stream="both")
    broken(proof, link.site)
    assert fate(client) == "end"


def test_the_other_end_hears_late_that_a_connection_was_closed(link: Linked, client: socket.socket) -> None:
    broken(make("toxic.slow_close", delay=Seconds(0.3)), link.site)
    began = time.monotonic()
    client.shutdown(socket.SHUT_WR)  # the echo closes its end, and that takes its time to come back
    assert client.recv(1) == b""
    assert time.monotonic() - began >= 0.3


def test_a_link_that_is_down_refuses_and_is_up_again_at_the_same_address(
    link: Linked, client: socket.socket, tmp_path: Path
) -> None:
    fault, site = make("toxic.down"), link.site
    plan = fault.undo_plan(site)
    evidence = broken(fault, site)
    assert fate(client) in {"end", "reset"}
    with pytest.raises(ConnectionRefusedError):
        link.connect()
    assert "is down" in refusal(fault, site)
    executed(plan, tmp_path / "undo")
    assert fault.prove_undone(site, evidence)
    with link.connect() as other:
        assert exchanged(other, b"back") == b"back"


@pytest.mark.usefixtures("client")
def test_the_proof_holds_what_was_measured_with_and_without(link: Linked) -> None:
    fault = make("toxic.latency", latency=Seconds(0.4), stream="both", toxicity=0.5)
    proof = fault.prove(link.site, fault.inject(link.site))
    assert [measured["stream"] for measured in proof["measured"]] == ["upstream", "downstream"]
    for measured in proof["measured"]:
        assert measured["through"]["after_s"] >= 0.4 > measured["direct"]["after_s"]
    assert proof["link"]["listen"] == link.address
    assert proof["link"]["upstream"] == link.server.address


@pytest.mark.usefixtures("client")
def test_a_toxic_that_somebody_removed_proves_nothing(link: Linked, tmp_path: Path) -> None:
    fault, site = make("toxic.latency"), link.site
    plan, evidence = fault.undo_plan(site), fault.inject(site)
    executed(plan, tmp_path / "undo")
    with pytest.raises(FaultNotProven, match="should carry"):
        fault.prove(site, evidence)


@pytest.mark.usefixtures("client")
def test_a_toxic_without_effect_proves_nothing(link: Linked) -> None:
    class Bragging(type(make("toxic.latency"))):  # type: ignore[misc]
        def attributes(self) -> dict[str, Any]:
            return {"latency": 1, "jitter": 0}

    fault: Fault = Bragging(latency=Seconds(0.5))
    with pytest.raises(FaultNotProven, match="has no effect"):
        fault.prove(link.site, fault.inject(link.site))


@pytest.mark.usefixtures("client")
def test_a_toxic_that_was_not_removed_is_noticed(link: Linked) -> None:
    fault = make("toxic.latency")
    evidence = fault.inject(link.site)
    with pytest.raises(FaultNotProven, match="still carries latency_downstream"):
        fault.prove_undone(link.site, evidence)


@pytest.mark.usefixtures("client")
def test_a_second_toxic_of_the_kind_is_refused_and_another_kind_is_not(link: Linked) -> None:
    broken(make("toxic.latency"), link.site)
    assert "already" in refusal(make("toxic.latency", stream="both"), link.site)
    broken(make("toxic.latency", stream="upstream"), link.site)
    broken(make("toxic.slicer"), link.site)


def test_a_link_that_nobody_uses_is_no_place_for_a_fault(link: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_toxics, "_USE_PATIENCE_S", 0.1)
    for kind in ("toxic.latency", "toxic.down"):
        assert "nobody uses the link" in refusal(make(kind), link.site)


def test_a_client_that_comes_and_goes_uses_the_link_as_well(link: Linked) -> None:
    with link.connect() as connection:
        assert exchanged(connection, b"x") == b"x"
    assert broken(make("toxic.latency"), link.site)["connections"] >= 1


def test_a_connection_of_the_harness_is_nobody_s_use(link: Linked) -> None:
    assert _streams.opened(link.address) == "accepted"
    assert _streams.connections(link.address) == 0


@pytest.mark.usefixtures("client")
def test_an_undo_needs_no_server(link: Linked, tmp_path: Path) -> None:
    toxic, down = make("toxic.limit_data"), make("toxic.down")
    plans = [*toxic.undo_plan(link.site), *down.undo_plan(link.site)]
    broken(toxic, link.site)
    link.links.close()
    executed(plans, tmp_path / "undo")


@pytest.mark.usefixtures("client")
def test_a_proxy_follows_its_target_also_while_it_is_down(link: Linked, tmp_path: Path) -> None:
    fault, site = make("toxic.down"), link.site
    plan = fault.undo_plan(site)
    broken(fault, site)
    with echo() as successor:
        link.lead_to(successor)
        with pytest.raises(ConnectionRefusedError):
            link.connect()
        link.server.server_close()
        executed(plan, tmp_path / "undo")
        with link.connect() as other:
            assert exchanged(other, b"x") == b"x"


def test_a_proxy_that_is_told_the_same_by_many_at_once_stays_up(link: Linked) -> None:
    """Toxiproxy itself would leave it disabled now and then."""
    proxy = _toxics.proxy_of(link.site)
    with echo() as other:
        for number in range(60):
            upstream = (other, link.server)[number % 2].address
            threads = [threading.Thread(target=proxy.lead_to, args=(upstream,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert proxy.state() == {"listen": link.address, "upstream": upstream, "enabled": True}


@pytest.mark.usefixtures("client")
def test_a_toxic_outlives_a_target_that_now_listens_elsewhere(link: Linked) -> None:
    broken(make("toxic.latency", latency=Seconds(0.2)), link.site)
    with echo() as successor:
        link.lead_to(successor)
        with link.connect() as other:
            assert timed(other, b"x") >= 0.2


def test_a_toxic_acts_in_somebody_s_own_test_on_a_proxy_of_his_own(
    link: Linked, client: socket.socket, chaos: Chaos
) -> None:
    api = link.site.handle["api"]
    with chaos("toxic.latency", api=api, proxy="link", latency="500ms") as toxic:
        assert timed(client, b"x") >= 0.5
        assert toxic.proof["measured"][0]["through"]["after_s"] >= 0.5
    assert timed(client, b"x") < 0.5
    with pytest.raises(ScenarioError, match="acts on api, proxy, got proxy"):
        chaos("toxic.down", proxy="link")


def test_no_client_can_ever_be_given_the_address_of_a_link(link: Linked) -> None:
    with link.connect() as connection:
        assert connection.getsockname()[0] == "127.0.0.1" != connection.getpeername()[0]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("toxic.latency, latency: 10ms, jitter: 10ms", "a jitter below the latency"),
        ("toxic.slicer, average_size: 10B, size_variation: 20B", "a size_variation below the average_size"),
        ("toxic.bandwidth, rate: 10kB", "kB/s"),
        ("toxic.bandwidth, rate: 10B/s", "1000"),
        ("toxic.latency, toxicity: 1.5", "toxicity"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_scenario(written: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "scenario: s\nfeature: locking\nsummary: S.\ntarget: x:y\nrunner: concurrent_writers\nexpect: [no_orphans]\n"
        f"faults:\n  - {{at: 1s, on: link, for: 1s, fault: {written}}}\n"
    )
    with pytest.raises(Exception, match=complaint):
        load(path)
