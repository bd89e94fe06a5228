"""Task networks: a bridge per task, its rules before its first container, and nothing left behind.

Promised:

- What no entry of the allow-list and no link names is unreachable, from the first packet of a container to its last:
  peers, other tasks, the host and its gateways on every address, metadata services, everything outside.
- A change of the allow-list is one transaction. What stays allowed sees no gap; what is revoked ends with its next
  packet, in both directions.
- When the rules are flushed, or whoever made them dies, tasks are cut off. `repair` brings the rules back.
- `destroy` and `sweep` need the claim alone: they also remove what a kill in the middle of anything has left.

Not promised: names (they are refused: there is no resolver yet). A container that `attach` has not seen since its start
reaches nothing, or what it reached before a restart; until then, if it may send raw packets, frames of protocols other
than IP and ARP may pass from it to peers. Containers cannot be reached from outside: published ports are refused.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any, get_args

from targets.containers import Spec, State
from targets.durable import failpoint
from targets.engine import LABEL_VARIABLE, Engine
from targets.network import kernel, rules
from targets.network.claims import Claim, Claims, Link, Member
from targets.network.errors import BadPolicy, BadRequest, KernelRefused, Problem
from targets.network.nft import Nft
from targets.network.policy import AllowList, Protocol
from targets.network.pool import pick
from targets.network.settings import Settings

TASK_LABEL = "bigfive.task"
DROPPED = ("NET_RAW", "NET_ADMIN")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,47}")
_PORT_LAST = 65535
_UNDOING = {
    "Privileged": "a privileged container can undo every rule",
    "NetworkMode": "the task's network is the only one",
    "PortBindings": "nothing reaches a task from outside",
    "PublishAllPorts": "nothing reaches a task from outside",
}


@dataclass(frozen=True, kw_only=True)
class Denial:
    """Packets that were dropped: from which container (its address where none is known), where to, and how many.

    `port` is None for protocols without ports. `ago_s` is the time since the last of them.
    """

    source: str
    target: str
    protocol: str
    port: int | None
    packets: int
    ago_s: float


class TaskNetworks:
    """The task networks of this host. Any number of processes may use the same settings at once."""

    def __init__(self, engine: Engine, settings: Settings | None = None) -> None:
        self._engine = engine
        self._settings = settings or Settings()
        self._claims = Claims(self._settings.folder)
        self._nft = Nft()
        self._label = os.environ.get(LABEL_VARIABLE, "")

    def create(self, task: str, allow: Iterable[str] = ()) -> Claim:
        """Make a task's network; `allow` as in `policy`.

        Raises `BadPolicy`, `BadRequest`, `PoolExhausted`, `KernelRefused` or `EngineError`; then nothing is left of it.
        """
        if not _NAME.fullmatch(task):
            raise BadRequest(f"a task's name is up to 48 of a-z, 0-9, '_', '.' and '-', got {task!r}; rename it")
        claim = self._claim(task, self._policy(allow))
        try:
            failpoint("network.claimed")
            self._engine.create_network(
                f"task-{task}", subnet=claim.subnet, com__docker__network__bridge__name=claim.bridge
            )
            failpoint("network.created")
            kernel.close_bridge(self._settings, claim)
        except BaseException:
            self._undo(claim)
            raise
        return claim

    def run(self, task: str, spec: Spec) -> State:
        """Create and start a container in a task's network, and attach it. Its `network` and capabilities are ours.

        A `CapDrop` of its own replaces ours (NET_RAW and NET_ADMIN). Raises `BadRequest` for limits that would undo the
        isolation; a container that cannot be attached is removed.
        """
        claim = self.find(task)
        if undoing := [f"{name}: {why}" for name, why in _UNDOING.items() if spec.limits.get(name)]:
            raise BadRequest(f"container {spec.name} cannot be isolated ({'; '.join(undoing)}); leave that out")
        limits = {"CapDrop": list(DROPPED), "Dns": [claim.gateway], **spec.limits}
        labels = {**spec.labels, TASK_LABEL: claim.network}
        container = self._engine.create(replace(spec, network=claim.network, limits=limits, labels=labels))
        try:
            self._engine.start(container)
            self.attach(task, container)
            return self._engine.inspect(container)
        except BaseException:
            self._engine.remove(container)
            raise

    def attach(self, task: str, container: str) -> Member:
        """Let a running container of a task's network use what the task may: until then it reaches nothing.

        To be called again after a restart, which may have changed its addresses.
        """
        claim = self.find(task)
        kernel.isolate_ports(claim)
        state = self._engine.inspect(container)
        address = state.addresses.get(claim.network)
        if address is None:
            raise BadRequest(f"container {state.name} does not run in task {task}; start it in network {claim.network}")
        member = Member(container=state.id, address=address, mac=kernel.interface(state.pid, address))
        with self._changing(task) as claim:
            others = [each for each in claim.members if each.container != member.container and each.address != address]
            if any(each.mac == member.mac for each in others):
                raise BadRequest(f"container {state.name} has the hardware address of another; give it its own")
            self._put(replace(claim, members=(*others, member)))
        return member

    def link(self, task: str, source: str, target: str, port: int, protocol: str = "tcp") -> None:
        """Let one container (its id) open connections to a port of another; not the reverse."""
        if protocol not in get_args(Protocol) or protocol == "icmp" or not 1 <= port <= _PORT_LAST:
            raise BadRequest(f"a link is to a port of tcp or udp, from 1 to {_PORT_LAST}, got {port}/{protocol}")
        with self._changing(task) as claim:
            members = {each.container for each in claim.members}
            if missing := [each for each in (source, target) if each not in members]:
                raise BadRequest(f"task {task} has no container {', '.join(missing)}; attach it, and give its whole id")
            made = Link(source=source, target=target, protocol=protocol, port=port)
            self._put(replace(claim, links=tuple(dict.fromkeys((*claim.links, made)))))

    def unlink(self, task: str, source: str, target: str, port: int, protocol: str = "tcp") -> None:
        """Take a link away; its connections end with their next packet. One that is not there needs nothing."""
        gone = Link(source=source, target=target, protocol=protocol, port=port)
        with self._changing(task) as claim:
            self._put(replace(claim, links=tuple(each for each in claim.links if each != gone)))

    def allow(self, task: str, texts: Iterable[str]) -> None:
        """Let a task reach more, from now on. Raises `BadPolicy` with all that is wrong."""
        with self._changing(task) as claim:
            before = self._policy(claim.allow)
            after = before.with_(self._policy(texts))
            self._claims.save(_allowing(claim, after))  # first: nothing is ever open that no claim explains
            try:
                self._change(claim, after)
            except KernelRefused:
                self._claims.save(claim)
                raise

    def revoke(self, task: str, texts: Iterable[str]) -> None:
        """Take entries away, as they were allowed; connections that only they allowed end with their next packet.

        Raises `BadRequest` for an entry that the task does not have.
        """
        with self._changing(task) as claim:
            before, gone = self._policy(claim.allow), self._policy(texts)
            if unknown := sorted(set(gone.texts()) - set(before.texts())):
                has = ", ".join(before.texts()) or "nothing"
                raise BadRequest(f"task {task} is not allowed {', '.join(unknown)}; it is allowed {has}")
            after = before.without(gone)
            self._change(claim, after)
            self._claims.save(_allowing(claim, after))

    def destroy(self, task: str) -> None:
        """Remove a task's containers, network and rules; with the last task, everything that tasks share."""
        self._undo(self.find(task))

    def sweep(self, label: str) -> list[str]:
        """Remove all that a run has made, however it ended; return the names of its tasks."""
        mine = [each for each in self._claims.all() if each.label == label]
        for claim in mine:
            self._undo(claim)
        return [each.task for each in mine]

    def repair(self) -> None:
        """Bring back the rules and routes of every task, whoever took them away; what holds is left as it is."""
        with self._claims.locked():
            for claim in self._claims.all():
                kernel.open_routing(self._settings)
                self._nft.apply(rules.task(self._settings, claim))
                if kernel.has_bridge(claim):
                    kernel.close_bridge(self._settings, claim)
                    kernel.isolate_ports(claim)

    def all(self) -> list[Claim]:
        """Return the tasks of every run on this host."""
        return self._claims.all()

    def find(self, task: str) -> Claim:
        """Return what is known of a task of this run. Raises `BadRequest` when there is none."""
        tasks = [each for each in self._claims.all() if each.label == self._label]
        for claim in tasks:
            if claim.task == task:
                return claim
        known = ", ".join(each.task for each in tasks) or "none"
        raise BadRequest(f"there is no task {task}; there are: {known}; create it first")

    def denials(self, task: str) -> list[Denial]:
        """Return what was refused in the last hour, the latest first: up to 4096 different ones with ports and without.

        Packets with a forged source are dropped before this list: `spoofed` counts them.
        """
        claim = self.find(task)
        known = {each.address: each.container for each in claim.members}
        sets = (self._nft.read(rules.listing(self._settings, claim, name)) for name in rules.DENIALS)
        found = [_denial(each["elem"], known) for objects in sets for each in _elements(objects)]
        return sorted(found, key=lambda each: each.ago_s)

    def spoofed(self, task: str) -> int:
        """Return how many packets were dropped because their source was not their sender's."""
        name = f"spoofed_{self.find(task).key}"
        found = self._nft.read(f"list counter inet {self._settings.table} {name}")
        return sum(int(each["counter"]["packets"]) for each in found if "counter" in each)

    def _claim(self, task: str, policy: AllowList) -> Claim:
        """Take a subnet and shut it: from here on the task exists, and can do nothing."""
        with self._claims.locked():
            claims = self._claims.all()
            if any((each.task, each.label) == (task, self._label) for each in claims):
                raise BadRequest(f"task {task} exists already; destroy it first, or choose another name")
            used = [*kernel.networks_in_use(), *(IPv4Network(each.subnet) for each in claims)]
            subnet = pick(self._settings.pool, self._settings.prefix, used)
            network = self._engine.full_name(f"task-{task}")
            claim = Claim(task=task, label=self._label, subnet=str(subnet), network=network)
            claim = _allowing(claim, policy)
            self._claims.save(claim)
            try:
                kernel.open_routing(self._settings)
                self._nft.apply(rules.task(self._settings, claim))
            except BaseException:
                self._shut(claim)
                raise
        return claim

    def _undo(self, claim: Claim) -> None:
        """Remove everything of a task, in the reverse order of its making; whatever is gone already needs nothing."""
        for container in self._engine.containers({TASK_LABEL: claim.network}):
            self._engine.remove(container)
        self._engine.remove_network(claim.network)
        kernel.remove_bridge(claim)
        failpoint("network.removed")
        with self._claims.locked():
            self._shut(claim)

    def _shut(self, claim: Claim) -> None:
        self._nft.apply(rules.removal(self._settings, claim))
        failpoint("network.shut")
        self._claims.forget(claim)
        if not self._claims.all():
            self._nft.apply(rules.base_removal(self._settings))
            kernel.close_routing(self._settings)

    @contextlib.contextmanager
    def _changing(self, task: str) -> Iterator[Claim]:
        with self._claims.locked():
            yield self.find(task)

    def _put(self, claim: Claim) -> None:
        self._claims.save(claim)
        self._nft.apply(rules.task(self._settings, claim))

    def _change(self, claim: Claim, after: AllowList) -> None:
        try:
            self._nft.apply(rules.change(self._settings, claim, after))
        except KernelRefused as error:
            if not error.missing:
                raise
            self._nft.apply(rules.task(self._settings, _allowing(claim, after)))  # somebody has flushed the sets

    def _policy(self, texts: Iterable[str]) -> AllowList:
        policy = AllowList.of(texts, [self._settings.pool])
        if names := policy.names():
            do = "write its addresses: there is no resolver yet that would follow the name"
            raise BadPolicy([Problem(str(each), "a name cannot be granted", each.host, do) for each in names])
        return policy


def _allowing(claim: Claim, policy: AllowList) -> Claim:
    return replace(claim, allow=tuple(policy.texts()))


def _elements(objects: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for found in objects:
        yield from found.get("set", {}).get("elem", [])


def _denial(element: dict[str, Any], known: dict[str, str]) -> Denial:
    source, target, protocol, *port = element["val"]["concat"]
    return Denial(
        source=known.get(source, source),
        target=target,
        protocol=str(protocol),
        port=int(port[0]) if port else None,
        packets=int(element["counter"]["packets"]),
        ago_s=float(rules.DENIALS_KEPT_S - element["expires"]),
    )
