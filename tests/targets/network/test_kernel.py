"""Routes, links and nft: what the kernel refuses is an error that says what to do, and what is gone needs nothing."""

from __future__ import annotations

import pickle
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from targets.network import kernel, nft
from targets.network.claims import Claim
from targets.network.errors import KernelRefused
from targets.network.settings import Settings

NOWHERE = Claim(task="one", label="", subnet="10.218.0.16/28", network="task-one")


def test_the_networks_in_use_are_those_that_the_host_routes() -> None:
    assert IPv4Network("127.0.0.0/8") in set(kernel.networks_in_use())


def test_a_bridge_that_is_not_there_needs_no_removal() -> None:
    assert not kernel.has_bridge(NOWHERE)
    kernel.remove_bridge(NOWHERE)


def test_a_bridge_that_is_not_there_cannot_be_closed() -> None:
    with pytest.raises(KernelRefused, match="needs root on the engine's host"):
        kernel.close_bridge(Settings(), NOWHERE)


def test_an_address_that_a_process_does_not_have_is_said() -> None:
    with pytest.raises(KernelRefused, match=r"nsenter|no interface with 10\.218\.0\.18"):
        kernel.interface(1, "10.218.0.18")


def test_without_the_tools_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelRefused, match="install iproute2"):
        list(kernel.networks_in_use())
    with pytest.raises(KernelRefused, match="apt-get install nftables"):
        nft.Nft(by_program=True)


def test_what_is_missing_survives_a_pickle() -> None:
    again = pickle.loads(pickle.dumps(KernelRefused("nft refused", missing=True)))  # noqa: S301  our own
    assert (str(again), again.missing) == ("nft refused", True)
