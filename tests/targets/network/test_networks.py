"""Real tasks on a real engine: what is allowed passes, everything else is silence, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from harness.waiting import until
from support.engines import seen
from support.network_kit import (
    ALLOWED,
    ASK,
    METADATA,
    OTHER,
    PATIENCE_S,
    PORT,
    SETTINGS,
    UPLINK,
    Answering,
    Lab,
    address_of,
    both,
    docker_gateway,
    tool,
    traces,
)
from support.state_kit import Failpoints
from targets.containers import EngineError, Spec
from targets.engine import LABEL_VARIABLE, Engine
from targets.network.errors import BadPolicy, BadRequest, PoolExhausted
from targets.network.networks import TaskNetworks

pytestmark = pytest.mark.chaos

SILENT = "!"
_TESTS = os.pathsep.join(map(str, (Path(__file__).parents[2], Path(__file__).parents[3])))
_LIFE = """
from support.network_kit import SETTINGS
from targets.engine import Engine
from targets.network.networks import TaskNetworks
networks = TaskNetworks(Engine.connect(), SETTINGS)
networks.create("killed", ["198.51.100.10:80"])
networks.destroy("killed")
"""


def silent(said: list[str]) -> bool:
    return all(each.startswith(SILENT) for each in said)


def test_a_task_reaches_what_it_may_and_nothing_else(lab: Lab) -> None:
    one = lab.networks.create("one", [f"{ALLOWED}:{PORT}"])
    two = lab.networks.create("two", [f"{ALLOWED}:{PORT}"])
    a, b, c = lab.run("one", "a"), lab.run("one", "b"), lab.run("two", "c")
    published = lab.plain(PortBindings={f"{PORT}/tcp": [{"HostPort": "19000"}]})
    bare = lab.plain()
    gateways = (one.gateway, two.gateway, docker_gateway(), UPLINK)
    with Answering("host", lab.folder, gateways):
        forbidden = [
            *both(OTHER, METADATA, *gateways),
            *both(address_of(b), address_of(c), address_of(bare), address_of(published)),
            (ALLOWED, PORT, "udp"),
            (UPLINK, 19000, "tcp"),
        ]
        said = lab.ask(a, (ALLOWED, PORT, "tcp"), *forbidden)
        assert said[0] == "outside"
        assert silent(said[1:]), said
        control = lab.ask(bare, *both(ALLOWED, OTHER, METADATA, *gateways))
        assert set(control) == {"outside", "host"}
        assert lab.ask(b, *both(address_of(b))) == ["b", "b"]
        assert lab.ask(c, *both(address_of(c)), (ALLOWED, PORT, "tcp")) == ["c", "c", "outside"]
        assert lab.ask(published, *both(address_of(published))) == ["plain-1"] * 2
    denied = {(each.source, each.target, each.protocol, each.port) for each in lab.networks.denials("one")}
    assert {(a.id, address, protocol, port) for address, port, protocol in forbidden} == denied
    assert lab.networks.denials("two") == []


def test_a_change_applies_to_a_running_task_and_a_revocation_ends_live_connections(lab: Lab) -> None:
    lab.networks.create("one")
    a = lab.run("one", "a")
    asked = [(ALLOWED, PORT, "tcp"), *both(OTHER), (OTHER, PORT, "udp")]
    assert silent(lab.ask(a, *asked))
    lab.networks.allow("one", [f"{ALLOWED}:{PORT}", f"203.0.113.0/24:{PORT - 5}-{PORT + 5}/udp"])
    said = lab.ask(a, *asked)
    assert (said[0], said[2]) == ("outside", "outside")
    assert silent(said[1:2])
    with lab.conversation(a, ALLOWED) as talk:
        assert talk("one") == "one"
        lab.networks.allow("one", [f"{OTHER}:{PORT}"])
        assert talk("two") == "two"
        lab.networks.revoke("one", [f"{ALLOWED}:{PORT}"])
        assert talk("three") == SILENT
        assert lab.ask(a, (OTHER, PORT, "tcp"), (OTHER, PORT, "udp")) == ["outside"] * 2
        lab.networks.allow("one", [f"{ALLOWED}:{PORT}"])
        assert lab.ask(a, (ALLOWED, PORT, "tcp")) == ["outside"]


def test_what_was_not_allowed_cannot_be_revoked(networks: TaskNetworks) -> None:
    networks.create("one", ["198.51.100.10:80"])
    with pytest.raises(BadRequest, match=r"not allowed 198\.51\.100\.10:81; it is allowed 198\.51\.100\.10:80"):
        networks.revoke("one", ["198.51.100.10:81"])


def test_a_link_opens_one_direction_of_one_port(lab: Lab) -> None:
    lab.networks.create("one")
    a, b = lab.run("one", "a"), lab.run("one", "b")
    assert silent(lab.ask(a, *both(address_of(b))))
    lab.networks.link("one", a.id, b.id, PORT)
    assert lab.ask(a, (address_of(b), PORT, "tcp")) == ["b"]
    assert silent(lab.ask(a, (address_of(b), PORT, "udp")))
    assert silent(lab.ask(b, *both(address_of(a))))
    with lab.conversation(a, address_of(b)) as talk:
        assert talk("one") == "one"
        lab.networks.unlink("one", a.id, b.id, PORT)
        assert talk("two") == SILENT
    with pytest.raises(BadRequest, match="has no container nobody"):
        lab.networks.link("one", a.id, "nobody", PORT)
    with pytest.raises(BadRequest, match="got 0/tcp"):
        lab.networks.link("one", a.id, b.id, 0)


def test_a_ping_passes_only_where_it_may(lab: Lab) -> None:
    lab.networks.create("one", [f"{ALLOWED}/icmp"])
    lab.networks.create("two", [f"{OTHER}/icmp"])
    a, b, c = lab.run("one", "a"), lab.run("one", "b"), lab.run("two", "c")
    assert lab.pings(a, ALLOWED)
    assert lab.pings(c, OTHER)
    assert lab.pings(b, address_of(b))
    for address in (OTHER, METADATA, address_of(b), address_of(c), UPLINK, docker_gateway()):
        assert not lab.pings(a, address), address
    lab.networks.revoke("one", [f"{ALLOWED}/icmp"])
    assert not lab.pings(a, ALLOWED)
    assert {(each.target, each.protocol, each.port) for each in lab.networks.denials("one")} >= {(OTHER, "icmp", None)}


def test_nobody_reaches_a_task_from_the_host_or_from_outside(lab: Lab) -> None:
    lab.networks.create("one", [f"{ALLOWED}:{PORT}"])
    a, bare = lab.run("one", "a"), lab.plain()
    here, there = [sys.executable], ["ip", "netns", "exec", "bfnetout", sys.executable]
    for asking in (here, there):
        assert silent(json.loads(tool(*asking, "-c", ASK, json.dumps(both(address_of(a))))))
    assert json.loads(tool(*here, "-c", ASK, json.dumps(both(address_of(bare))))) == ["plain-1"] * 2
    assert lab.ask(a, *both(address_of(a))) == ["a"] * 2


def test_without_its_rules_a_task_is_cut_off_until_they_are_repaired(lab: Lab) -> None:
    one = lab.networks.create("one", [f"{ALLOWED}:{PORT}"])
    a, b, bare = lab.run("one", "a"), lab.run("one", "b"), lab.plain()
    everything = [*both(ALLOWED, OTHER, METADATA, one.gateway, UPLINK, docker_gateway(), address_of(b))]
    with Answering("host", lab.folder, (one.gateway, UPLINK, docker_gateway())):
        assert "outside" in lab.ask(a, *everything)
        for family in ("inet", "arp", "bridge"):
            tool("nft", "delete", "table", family, SETTINGS.table)
        assert silent(lab.ask(a, *everything))
        assert set(lab.ask(bare, *everything[:-2])) == {"outside", "host"}
        lab.networks.repair()
        assert lab.ask(a, (ALLOWED, PORT, "tcp")) == ["outside"]
        assert silent(lab.ask(a, *everything[1:]))


def test_a_change_after_the_rules_were_flushed_brings_them_back(lab: Lab) -> None:
    lab.networks.create("one", [f"{ALLOWED}:{PORT}", f"{OTHER}:{PORT}"])
    a = lab.run("one", "a")
    tool("nft", "delete", "table", "inet", SETTINGS.table)
    lab.networks.revoke("one", [f"{OTHER}:{PORT}"])
    said = lab.ask(a, (ALLOWED, PORT, "tcp"), (OTHER, PORT, "tcp"))
    assert said[0] == "outside"
    assert silent(said[1:])


def test_a_forged_source_reaches_nobody(lab: Lab) -> None:
    lab.networks.create("one", [f"{ALLOWED}:{PORT}/udp"])
    b = lab.run("one", "b")
    hostile = lab.run("one", "a", CapDrop=["NET_ADMIN"])
    lab.send_raw(hostile, address_of(b), ALLOWED, "forged")
    lab.send_raw(hostile, address_of(hostile), ALLOWED, "honest")
    until(lambda: "honest" in lab.heard(), "the honest packet", PATIENCE_S)
    assert "forged" not in lab.heard()
    assert lab.networks.spoofed("one") == 1


def test_raw_frames_do_not_pass_between_peers(lab: Lab) -> None:
    one = lab.networks.create("one")
    a, b = lab.run("one", "a", CapDrop=["NET_ADMIN"]), lab.run("one", "b", CapDrop=["NET_ADMIN"])
    assert lab.frames(a, b) == 0
    for port in Path("/sys/class/net", one.bridge, "brif").iterdir():
        (port / "isolated").write_text("0")
    assert lab.frames(a, b) > 0


def test_a_container_has_no_ipv6_and_may_not_send_raw_packets(lab: Lab) -> None:
    one = lab.networks.create("one")
    a = lab.run("one", "a")
    assert lab.engine.execute(a.id, ["cat", "/proc/net/if_inet6"])[1] == ""
    assert one.bridge not in Path("/proc/net/if_inet6").read_text()
    with pytest.raises(AssertionError, match="PermissionError"):
        lab.send_raw(a, address_of(a), ALLOWED, "raw")


@pytest.mark.parametrize("limit", [{"Privileged": True}, {"NetworkMode": "host"}, {"PublishAllPorts": True}])
def test_a_container_that_could_undo_the_rules_is_refused(networks: TaskNetworks, limit: dict[str, object]) -> None:
    networks.create("one")
    with pytest.raises(BadRequest, match="cannot be isolated"):
        networks.run("one", Spec(image="any", command=["any"], name="a", limits=limit))


@pytest.mark.parametrize("place", ["network.claimed", "network.created", "network.removed", "network.shut"])
def test_what_a_kill_in_the_middle_leaves_is_swept_by_another_process(
    networks: TaskNetworks, tmp_path: Path, place: str
) -> None:
    failpoints = Failpoints(tmp_path / "failpoints", place, "die")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LIFE],
            env={**os.environ, **failpoints.environment, "PYTHONPATH": _TESTS},
            check=False,
            timeout=60,
        )
    finally:
        failpoints.close()
    assert (done.returncode, failpoints.reached) == (-signal.SIGKILL, [place])
    label = os.environ[LABEL_VARIABLE]
    assert [each.task for each in networks.all()] == ["killed"]
    assert networks.sweep(label) == ["killed"]
    assert traces() == []
    assert seen(label) == []
    assert networks.sweep(label) == []


def test_a_destroyed_task_leaves_nothing_while_others_stay(lab: Lab) -> None:
    lab.networks.create("one", [f"{ALLOWED}:{PORT}"])
    two = lab.networks.create("two", [f"{ALLOWED}:{PORT}"])
    a, _ = lab.run("two", "a"), lab.run("one", "b")
    lab.networks.destroy("one")
    assert lab.ask(a, (ALLOWED, PORT, "tcp")) == ["outside"]
    assert [each for each in traces() if "0ad30000" in each or "10.211.0.0/28" in each] == []
    assert any(two.bridge in each for each in traces())
    lab.networks.destroy("two")
    assert traces() == []


def test_tasks_that_are_made_at_once_share_nothing(networks: TaskNetworks) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda number: networks.create(f"task-{number}"), range(12)))
    assert len({each.subnet for each in claims}) == 12
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda claim: networks.destroy(claim.task), claims))
    assert traces() == []


def test_a_task_that_cannot_be_made_leaves_nothing(networks: TaskNetworks) -> None:
    networks.create("one")
    with pytest.raises(BadRequest, match="exists already"):
        networks.create("one")
    with pytest.raises(BadPolicy, match="IPv6"):
        networks.create("two", ["::1"])
    with pytest.raises(BadPolicy, match="a name cannot be granted"):
        networks.create("two", ["api.example.test:443"])
    with pytest.raises(BadRequest, match="a task's name"):
        networks.create("no spaces")
    with pytest.raises(BadRequest, match="there are: one"):
        networks.find("two")
    assert [each.task for each in networks.all()] == ["one"]


def test_an_exhausted_pool_is_said_and_what_there_is_stays(engine: Engine, networks: TaskNetworks) -> None:
    small = TaskNetworks(engine, replace(SETTINGS, pool=IPv4Network("10.211.255.248/29"), prefix=29))
    small.create("one")
    with pytest.raises(PoolExhausted, match="destroy tasks that are over"):
        small.create("two")
    assert [each.task for each in networks.all()] == ["one"]
    small.destroy("one")
    small.create("two")


def test_a_network_that_the_engine_refuses_leaves_nothing(engine: Engine, networks: TaskNetworks) -> None:
    blocking = engine.create_network("task-one", subnet="10.218.77.0/28")
    with pytest.raises(EngineError, match="already exists"):
        networks.create("one")
    assert traces() == []
    engine.remove_network(blocking)


def test_a_container_elsewhere_cannot_be_attached(lab: Lab) -> None:
    lab.networks.create("one")
    with pytest.raises(BadRequest, match=r"does not run in task one; start it in network bigfive-.*-task-one"):
        lab.networks.attach("one", lab.plain().id)


def test_a_restarted_container_reaches_no_more_than_before_and_all_of_it_once_attached(lab: Lab) -> None:
    lab.networks.create("one", [f"{ALLOWED}:{PORT}"])
    a = lab.run("one", "a")
    lab.engine.stop(a.id, 0)
    b = lab.run("one", "b")  # may have taken over the address
    lab.engine.start(a.id)
    assert silent(lab.ask(a, *both(OTHER, METADATA, UPLINK, address_of(b))))
    lab.networks.attach("one", a.id)
    assert lab.ask(a, (ALLOWED, PORT, "tcp")) == lab.ask(b, (ALLOWED, PORT, "tcp")) == ["outside"]
