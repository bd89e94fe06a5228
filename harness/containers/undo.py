"""Undoing what was made or changed in an engine, from data alone: for the trial, its guardian and `bigfive sweep`.

Each undo names the engine that it is about, and waits for one that is just being restarted. Importing this module
imports the SDK as well, so that a guardian that has learned it needs no disk later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.containers.address import Address
from harness.containers.engine import Engine, preload
from harness.faults._base import Undo
from harness.undo import undoer
from harness.wire import Json

_PATIENCE_S = 8.0  # within the ten seconds in which a guardian has to be done

preload()


def sweep_plan(label: str, address: Address | None = None) -> Undo:
    """Return the undo of everything that a run will make in an engine: journal it before anything is made."""
    return _plan("engine.sweep", address or Address.current(), label=label)


def container_removal(container: str, address: Address) -> Undo:
    """Return the undo of a container, by name or id; the name is known before it is made."""
    return _plan("container.remove", address, container=container)


def unpausing(container: str, address: Address) -> Undo:
    """Return the undo of a pause."""
    return _plan("container.unpause", address, container=container)


def update_reversal(container: str, limits: Json, address: Address) -> Undo:
    """Return the undo of changed limits: members of the API's HostConfig as they were before."""
    return _plan("container.update", address, container=container, limits=limits)


def network_removal(network: str, address: Address) -> Undo:
    """Return the undo of a network, by name or id."""
    return _plan("network.remove", address, network=network)


def _plan(kind: str, address: Address, **arguments: object) -> Undo:
    return Undo(kind, {**arguments, "url": address.url, "tls": address.tls})


@undoer("engine.sweep")
def sweep(label: str, url: str, tls: str | None) -> None:
    """Remove every container, network and volume that carries the label."""
    with _engine(url, tls) as engine:
        engine.sweep(label)


@undoer("container.remove")
def remove_container(container: str, url: str, tls: str | None) -> None:
    """Remove a container; one that is gone needs nothing."""
    with _engine(url, tls) as engine:
        engine.remove(container)


@undoer("container.unpause")
def unpause(container: str, url: str, tls: str | None) -> None:
    """Let a paused container go on; one that is not paused, or gone, needs nothing."""
    with _engine(url, tls) as engine:
        engine.unpause(container)


@undoer("container.update")
def restore_limits(container: str, limits: Json, url: str, tls: str | None) -> None:
    """Give a container its limits back; one that is gone needs none."""
    with _engine(url, tls) as engine:
        engine.restore(container, limits)


@undoer("network.remove")
def remove_network(network: str, url: str, tls: str | None) -> None:
    """Remove a network; one that is gone needs nothing."""
    with _engine(url, tls) as engine:
        engine.remove_network(network)


@contextmanager
def _engine(url: str, tls: str | None) -> Iterator[Engine]:
    with Engine.connect(Address(url, tls, "the undo log"), _PATIENCE_S) as engine:
        yield engine
