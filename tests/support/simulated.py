"""Histories of clients that really ran against an object: legal, because each operation took effect at one moment.

The objects are written apart from the checker's models, as plain mutable Python.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.histories.operations import Op, from_record
from harness.record import Operation
from harness.wire import Json, Outcome

Answer = tuple[Outcome, Json]


class Thing(Protocol):
    """An object and how its clients use it. `memory` is what one client remembers."""

    def draw(self, rng: random.Random, memory: Json) -> tuple[str, Json]: ...

    def apply(self, client: int, op: str, args: Json) -> Answer: ...


@dataclass
class Register:
    value: Any = None
    swaps: bool = False
    values: int = 5

    def draw(self, rng: random.Random, memory: Json) -> tuple[str, Json]:
        op = rng.choice(["read", "write", "cas"] if self.swaps else ["read", "write"])
        new, expected = rng.randrange(self.values), rng.randrange(self.values)
        return op, {"read": {}, "write": {"value": new}, "cas": {"expected": expected, "value": new}}[op]

    def apply(self, client: int, op: str, args: Json) -> Answer:
        if op == "read":
            return "ok", {"value": self.value}
        if op == "cas" and self.value != args["expected"]:
            return "fail", {"error": "conflict"}
        self.value = args["value"]
        return "ok", {}


@dataclass
class Store:
    keys: int = 3
    unique: bool = True
    data: dict[str, tuple[Any, int]] = field(default_factory=dict)
    count: int = 0

    def draw(self, rng: random.Random, memory: Json) -> tuple[str, Json]:
        key = f"k{rng.randrange(self.keys)}"
        if rng.random() < 0.4:
            return "read", {"key": key}
        self.count += 1
        expected = {"expected_version": memory.get("version", 0)} if rng.random() < 0.5 else {}
        return "write", {"key": key, "value": self.count if self.unique else rng.randrange(2), **expected}

    def apply(self, client: int, op: str, args: Json) -> Answer:
        value, version = self.data.get(args["key"], (None, 0))
        if op == "read":
            return "ok", {"value": value, "version": version}
        if args.get("expected_version", version) != version:
            return "fail", {"error": "conflict", "version": version}
        self.data[args["key"]] = args["value"], version + 1
        return "ok", {"version": version + 1}


@dataclass
class Texts:
    keys: int = 3
    mix: tuple[int, int, int] = (1, 2, 1)
    data: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def draw(self, rng: random.Random, memory: Json) -> tuple[str, Json]:
        op, key = rng.choices(["get", "append", "put"], self.mix)[0], f"k{rng.randrange(self.keys)}"
        self.count += 1
        return op, {"key": key} if op == "get" else {"key": key, "value": f"{self.count} "}

    def apply(self, client: int, op: str, args: Json) -> Answer:
        key = args["key"]
        if op == "get":
            return "ok", {"value": self.data.get(key, "")}
        self.data[key] = args["value"] if op == "put" else self.data.get(key, "") + args["value"]
        return "ok", {}


@dataclass
class Elements:
    held: set[int] = field(default_factory=set)

    def draw(self, rng: random.Random, memory: Json) -> tuple[str, Json]:
        op = rng.choice(["add", "remove", "contains", "read"])
        return op, {} if op == "read" else {"value": rng.randrange(6)}

    def apply(self, client: int, op: str, args: Json) -> Answer:
        if op == "read":
            return "ok", {"values": sorted(self.held, reverse=True)}
        if op == "contains":
            return "ok", {"present": args["value"] in self.held}
        (self.held.add if op == "add" else self.held.discard)(args["value"])
        return "ok", {}


@dataclass
class Count:
    value: int = 0

    def draw(self, rng: random.Random, memory: Json) -> tuple[str, Json]:
        return rng.choice([("read", {}), ("add", {}), ("add", {"by": rng.randrange(-2, 4)})])

    def apply(self, client: int, op: str, args: Json) -> Answer:
        if op == "add":
            self.value += args.get("by", 1)
        return "ok", {"value": self.value}


@dataclass
class Lock:
    """Every kind of lock: `owned` refuses a stranger's release, `depth` above 1 admits its owner again."""

    owned: bool = True
    most: int = 1
    fenced: bool = False
    owner: int | None = None
    depth: int = 0
    token: int = 0
    written: int = 0

    def draw(self, rng: random.Random, memory: Json) -> tuple[str, Json]:
        if self.fenced and "token" in memory:
            return rng.choice(["renew", "write", "release"]), {"token": memory["token"]}
        return rng.choice(["acquire", "release"] if not self.fenced else ["acquire"]), {}

    def apply(self, client: int, op: str, args: Json) -> Answer:
        if op == "acquire":
            return self._acquire(client)
        if op == "write":
            stale = args["token"] < self.written
            self.written = max(self.written, args["token"])
            return ("fail", {"error": "stale"}) if stale else ("ok", {})
        mine = self.owner == client if self.owned else self.owner is not None
        if not mine or args.get("token", self.token) != self.token:
            return "fail", {"error": "not_owner" if self.owned else "not_held"}
        if op == "release":
            self.depth -= 1
            self.owner = self.owner if self.depth else None
        return "ok", {}

    def _acquire(self, client: int) -> Answer:
        if self.owner is not None and (self.owner != client or self.depth == self.most):
            return "fail", {"error": "held" if self.most == 1 or self.owner != client else "too deep"}
        self.owner, self.depth, self.token = client, self.depth + 1, self.token + 1
        return "ok", {"token": self.token} if self.fenced else {}


THINGS = {
    "register": Register,
    "cas_register": lambda: Register(swaps=True),
    "versioned_register": Store,
    "kv": Texts,
    "set": Elements,
    "counter": Count,
    "mutex": lambda: Lock(owned=False),
    "owner_mutex": Lock,
    "reentrant_mutex": lambda: Lock(most=3),
    "fenced_mutex": lambda: Lock(fenced=True),
}


@dataclass
class _Run:
    n: int
    client: int
    op: str
    args: Json
    called: int
    crashes: bool
    answer: Answer = ("info", {})


class World:
    """A heap of what happens next. Times are small integers, so many things happen at the same one."""

    def __init__(self, thing: Thing, clients: int, seed: int, crashes: float = 0.0) -> None:
        self._thing = thing
        self._rng = random.Random(seed)
        self._crashes = crashes
        self._heap: list[tuple[int, float, str, Any]] = []
        self._memory: dict[int, Json] = {client: {} for client in range(clients)}
        self._n = 0
        for client in range(clients):
            self._later(0, 5, "call", client)

    def history(self, operations: int) -> list[Op]:
        return list(self._events(operations))

    def _events(self, operations: int) -> Iterator[Op]:
        while self._heap:
            now, _, kind, what = heapq.heappop(self._heap)
            if kind == "call" and self._n < operations:
                self._call(now, what)
            elif kind == "effect":
                what.answer = self._thing.apply(what.client, what.op, what.args)
            elif kind == "return":
                yield _op(what, None if what.crashes else now)
                if not what.crashes:
                    self._remember(what)
                self._later(now, 5, "call", what.client)

    def _call(self, now: int, client: int) -> None:
        op, args = self._thing.draw(self._rng, self._memory[client])
        run = _Run(self._n, client, op, args, now, self._rng.random() < self._crashes)
        self._n += 1
        if run.crashes:
            if self._rng.random() < 0.6:  # it takes effect, perhaps long after it was given up
                self._later(now, 200, "effect", run)
            heapq.heappush(self._heap, (now, self._rng.random(), "return", run))
            return
        effect = self._later(now, 20, "effect", run)
        self._later(effect, 20, "return", run)

    def _remember(self, run: _Run) -> None:
        memory = self._memory[run.client]
        if run.op == "release":
            memory.pop("token", None)
        elif run.answer[0] == "ok" or "version" in run.answer[1]:
            memory.update(run.answer[1])

    def _later(self, now: int, most: int, kind: str, what: int | _Run) -> int:
        """Schedule; at equal times effects must follow calls and precede returns, hence the order by kind."""
        then = now + self._rng.randrange(most)
        heapq.heappush(self._heap, (then, {"call": 0, "effect": 1, "return": 2}[kind] + self._rng.random(), kind, what))
        return then


def _op(run: _Run, returned: int | None) -> Op:
    outcome, result = run.answer if returned is not None else ("info", {})
    return from_record(
        Operation(
            n=run.n, client=run.client, op=run.op, args=run.args, called=run.called, final=False,
            returned=returned, outcome=outcome, result=result,
        )
    )  # fmt: skip


def history(name: str, *, operations: int, clients: int, seed: int, crashes: float = 0.0) -> list[Op]:
    """A legal history of the model `name`."""
    return World(THINGS[name](), clients, seed, crashes).history(operations)
