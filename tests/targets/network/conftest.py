"""A host with an outside of our own: a network namespace that holds every address which a probe can be sent to."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.containers.engine import Engine as Sweeper
from harness.doctor import CAPABILITIES, probe
from support.engines import fresh_label
from support.network_kit import ALLOWED, BEYOND, METADATA, OTHER, SETTINGS, TESTS, UPLINK, Answering, Lab, tool, traces
from targets.engine import LABEL_VARIABLE, Engine, default_image
from targets.network.networks import TaskNetworks


@pytest.fixture
def alone() -> Iterator[None]:
    """One such host at a time: its outside has fixed addresses."""
    TESTS.mkdir(exist_ok=True)
    with (TESTS / "alone").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def root(lacking: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        lacking("needs root: task networks are rules and routes of the host")
    for program in ("nft", "ip", "nsenter"):
        if shutil.which(program) is None:
            lacking(f"needs {program}: apt-get install nftables iproute2 util-linux")


@pytest.fixture
def engine(root: None, lacking: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:  # noqa: ARG001  for its effect
    if not (finding := probe(CAPABILITIES["docker"])).ok:
        lacking(f"{finding.detail}: bigfive doctor --fix docker")
    label = fresh_label()
    monkeypatch.setenv(LABEL_VARIABLE, label)
    with Engine.connect() as engine, Sweeper.connect() as sweeper:
        yield engine
        sweeper.sweep(label)


@pytest.fixture
def image(root: None, lacking: Callable[[str], None]) -> str:  # noqa: ARG001  for its effect
    """Any of our images: only its Python is used, so it may be an old one."""
    name = default_image()
    if subprocess.run(["docker", "image", "inspect", name], check=False, capture_output=True).returncode:
        lacking(f"there is no image {name}: bigfive doctor --fix image")
    return name


@pytest.fixture
def networks(engine: Engine, alone: None) -> Iterator[TaskNetworks]:  # noqa: ARG001  for its effect
    """Task networks of which nothing may be left at the end."""
    networks = TaskNetworks(engine, SETTINGS)
    for label in {each.label for each in networks.all()}:  # of a test that was killed
        networks.sweep(label)
    assert traces() == []
    yield networks
    for claim in networks.all():
        networks.sweep(claim.label)
    assert traces() == []


@pytest.fixture
def outside(alone: None, root: None, tmp_path: Path) -> Iterator[Path]:  # noqa: ARG001  for its effect
    """Servers in a namespace, to which each of the addresses has a route; yields the folder of what they say."""
    space = "bfnetout"
    with ExitStack() as undo:
        for leftover in (["link", "del", "bfnetup"], ["netns", "del", space]):  # of a killed test
            subprocess.run(["ip", *leftover], check=False, capture_output=True)
        tool("ip", "netns", "add", space)
        undo.callback(tool, "ip", "netns", "del", space)
        tool("ip", "link", "add", "bfnetup", "type", "veth", "peer", "name", "eth0", "netns", space)
        undo.callback(tool, "ip", "link", "del", "bfnetup")  # a dying namespace keeps it for a while
        tool("ip", "address", "add", f"{UPLINK}/30", "dev", "bfnetup")
        tool("ip", "link", "set", "bfnetup", "up")
        for command in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"]):
            tool("ip", "-n", space, *command)
        for address in (f"{BEYOND}/30", ALLOWED, OTHER, METADATA):
            tool("ip", "-n", space, "address", "add", address, "dev", "eth0")
        tool("ip", "-n", space, "route", "add", "default", "via", UPLINK)
        for address in (ALLOWED, OTHER, METADATA):
            tool("ip", "route", "add", f"{address}/32", "via", BEYOND)
        undo.enter_context(Answering("outside", tmp_path, (ALLOWED, OTHER, METADATA), ["ip", "netns", "exec", space]))
        yield tmp_path


@pytest.fixture
def lab(networks: TaskNetworks, engine: Engine, image: str, outside: Path) -> Lab:
    return Lab(networks, engine, image, outside)
