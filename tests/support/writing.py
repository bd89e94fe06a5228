"""The runner `concurrent_writers` against systems that live in virtual time: right ones, and ones with a flaw.

The clients are the real runner's generators. Messages take a while, some a very long one, as from a paused client;
clients are killed and replaced, as the recorder does it. What comes out is the record that a trial would have left.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness import seeds
from harness.record import (
    AnyEvent,
    FaultInjected,
    FaultInjecting,
    Invoked,
    Record,
    Returned,
    TrialSpec,
    WorkloadBegan,
)
from harness.runners._base import Call, Conversation, Reply
from harness.runners.concurrent_writers import ConcurrentWriters
from harness.wire import Json

MS = 1_000_000
MEMORY = 20  # versions
Answer = Callable[[Reply], None]


@dataclass
class Waiter:
    client: int
    args: Json
    keys: list[str]
    answer: Answer
    got: list[str] = field(default_factory=list)
    over: bool = False


class Locks:
    """Fair locks with leases and tokens, and what they guard. Flaws: see `FLAWS`."""

    def __init__(self, world: World, flaw: str) -> None:
        self.world, self.flaw = world, flaw
        self.tokens: dict[str, int] = defaultdict(int)
        self.until: dict[str, int] = defaultdict(int)
        self.owner: dict[str, int] = {}
        self.seen: dict[str, int] = defaultdict(int)
        self.values: Json = {}
        self.queue: list[Waiter] = []

    def acquire(self, client: int, args: Json, answer: Answer) -> None:
        waiter = Waiter(client, args, args.get("keys") or [args["key"]], answer)
        self.queue.append(waiter)
        self.world.at(self.world.now + round(args["wait_s"] * 1e9), lambda: self._give_up(waiter))
        self._dispatch()

    acquire_all = acquire

    def release(self, client: int, args: Json, answer: Answer) -> None:
        tokens = args.get("tokens") or {args["key"]: args["token"]}
        mine = all(self._holds(client, key, token) for key, token in tokens.items())
        for key in tokens if mine else ():
            self.until[key] = 0
        answer(Reply("ok", {}) if mine else Reply("fail", {"error": "not_owner"}))
        self._dispatch()

    release_all = release

    def renew(self, client: int, args: Json, answer: Answer) -> None:
        if not self._holds(client, args["key"], args["token"]):
            return answer(Reply("fail", {"error": "not_owner"}))
        self._lease(args["key"], self.world.lease_ns)
        return answer(Reply("ok", {}))

    def fetch(self, client: int, args: Json, answer: Answer) -> None:
        key = args["key"]
        if self.owner.get(key) == client:
            self.seen[key] = self.tokens[key]
        answer(Reply("ok", {"value": self.values.get(key)}))

    def store(self, client: int, args: Json, answer: Answer) -> None:
        key = args["key"]
        if args["token"] < self.seen[key] and self.flaw != "lease_without_fencing":
            return answer(Reply("fail", {"error": "stale"}))
        if self.flaw == "refuses" and self.world.rng.random() < 0.1:
            return answer(Reply("fail", {"error": "busy"}))
        self.seen[key] = max(args["token"], self.seen[key])
        if self.flaw != "forgets" or self.world.rng.random() < 0.9:
            self.values[key] = args["value"]
        return answer(Reply("ok", {}))

    def _holds(self, client: int, key: str, token: int) -> bool:
        return self.until[key] > self.world.now and self.owner[key] == client and self.tokens[key] == token

    def _free(self, key: str) -> bool:
        if self.flaw == "check_then_act" and self.world.rng.random() < 0.2:
            return True
        return self.until[key] <= self.world.now

    def _lease(self, key: str, duration_ns: int) -> None:
        until = self.until[key] = self.world.now + (duration_ns if self.flaw != "never_freed" else 1 << 60)
        self.world.at(until, self._dispatch)

    def _dispatch(self) -> None:
        """Serve those in line: nobody overtakes another who wants the same key."""
        wanted: set[str] = set()
        for waiter in self._line():
            if self.flaw == "deadlock":
                self._take_one(waiter)
            elif not wanted & set(waiter.keys) and all(map(self._free, waiter.keys)):
                self._grant(waiter)
            wanted |= set(waiter.keys)

    def _take_one(self, waiter: Waiter) -> None:
        """Take the keys one after the other, in the order in which they were asked for, and keep what one has."""
        following = next(key for key in waiter.keys if key not in waiter.got)
        if self._free(following):
            waiter.got.append(following)
            self._lease(following, 1 << 60)
            if len(waiter.got) == len(waiter.keys):
                self._grant(waiter)
            self.world.at(self.world.now + MS, self._dispatch)

    def _line(self) -> list[Waiter]:
        return sorted(self.queue, key=lambda each: each.client == 1) if self.flaw == "starves" else list(self.queue)

    def _grant(self, waiter: Waiter) -> None:
        waiter.over = True
        self.queue.remove(waiter)
        for key in waiter.keys:
            reset = self.flaw == "token_reset" and self.tokens[key] == 5
            self.tokens[key] = 1 if reset else self.tokens[key] + 1
            self.owner[key] = waiter.client
            self._lease(key, round(waiter.args["lease_s"] * 1e9))
        tokens = {key: self.tokens[key] for key in waiter.keys}
        one = {"token": tokens[waiter.keys[0]]}
        waiter.answer(Reply("ok", {"tokens": tokens} if "keys" in waiter.args else one))

    def _give_up(self, waiter: Waiter) -> None:
        if waiter.over:
            return
        waiter.over = True
        self.queue.remove(waiter)
        for key in waiter.got:
            self.until[key] = 0
        waiter.answer(Reply("fail", {"error": "held"}))
        self._dispatch()


class Store:
    """A versioned store."""

    def __init__(self, world: World, flaw: str) -> None:
        self.world, self.flaw = world, flaw
        self.data: dict[str, tuple[Any, int]] = defaultdict(lambda: (None, 0))

    def read(self, client: int, args: Json, answer: Answer) -> None:
        value, version = self.data[args["key"]]
        answer(Reply("ok", {"value": value, "version": version}))

    def write(self, client: int, args: Json, answer: Answer) -> None:
        version = self.data[args["key"]][1]
        if args["expected_version"] != version and self.flaw != "blind":
            return answer(Reply("fail", {"error": "conflict", "version": version}))
        self.data[args["key"]] = args["value"], version + 1
        return answer(Reply("ok", {"version": version + 1}))


class Documents:
    """Documents under the policy `merge`: both sides of a conflict are kept.

    One decided on a version not long ago wins, and the other is shown beside it; one decided long ago is kept aside.
    """

    def __init__(self, world: World, flaw: str) -> None:
        self.world, self.flaw = world, flaw
        self.documents: dict[str, Json] = defaultdict(lambda: {"content": {}, "version": 0, "conflicts": []})
        self.made: dict[tuple[str, str], int] = defaultdict(int)
        self.answers: dict[str, Json] = {}

    def attach(self, client: int, args: Json, answer: Answer) -> None:
        answer(Reply("ok", {"version": self.documents[args["document"]]["version"]}))

    def inspect(self, client: int, args: Json, answer: Answer) -> None:
        shown = self.documents[args["document"]]
        answer(Reply("ok", {**shown, "content": {name: _copy(each) for name, each in shown["content"].items()}}))

    def submit(self, client: int, args: Json, answer: Answer) -> None:
        shown = self.documents[args["document"]]
        if args["request"] not in self.answers or self.flaw == "applies_again":
            shown["version"] += 1
            aside = shown["version"] - args["base_version"] > MEMORY
            conflicts = [_conflict(shown, operation) for operation in args["operations"]] if aside else []
            if aside:
                shown["conflicts"] += conflicts if self.flaw != "keeps_nothing" else []
            elif self.flaw != "forgets" or self.world.rng.random() < 0.9:
                for operation in args["operations"]:
                    self._apply(args, shown, operation)
            told = [{"path": each["path"]} for each in conflicts] if self.flaw == "keeps_nothing" else conflicts
            self.answers[args["request"]] = {"version": shown["version"], "conflicts": told}
        answer(Reply("ok", self.answers[args["request"]]))

    def _apply(self, args: Json, shown: Json, operation: Json) -> None:
        content, path, place = shown["content"], operation["path"], (args["document"], operation["path"])
        if operation["op"] == "append":
            content.setdefault(path, []).append(operation["item"])
        elif operation["op"] == "increment":
            content[path] = content.get(path, 0) + operation["by"]
        else:
            if self.made[place] > args["base_version"] and self.flaw != "overwrites":
                shown["conflicts"].append({"path": path, "replaced": content[path]})
            content[path], self.made[place] = operation.get("value", operation.get("content")), shown["version"]


def _conflict(shown: Json, operation: Json) -> Json:
    path = operation["path"]
    return {"path": path, "mine": operation, "theirs": _copy(shown["content"].get(path))}


SYSTEMS = {"locks": Locks, "versioned_store": Store, "documents": Documents}


@dataclass
class Client:
    number: int
    talk: Conversation
    call: Call
    waiting: int | None = None
    due: bool = False


class World:
    """Virtual time, the clients, and the record of what they did."""

    def __init__(
        self, runner: ConcurrentWriters, seed: int, flaw: str = "", *, kills: int = 0, stalls: float = 0
    ) -> None:
        self.runner = runner
        self.rng = random.Random(seed)
        self.now = 0
        self.lease_ns = round(runner.lease * 1e9)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._n = itertools.count(1)
        self._seed, self._stalls = seed, stalls
        self._system = SYSTEMS[runner.contract](self, flaw)
        self._clients = [self._client(number) for number in range(runner.clients)]
        self.events: list[AnyEvent] = [WorkloadBegan(t=0, clients=runner.clients)]
        self.history: list[Invoked | Returned] = []
        self._period = round(runner.clients / runner.rate * 1e9)
        self._end = 0
        self._kills = kills

    def record(self, duration_s: float = 1.5) -> Record:
        """Run, finish what has begun, look at the end state."""
        self._end = round(duration_s * 1e9)
        for seat in range(len(self._clients)):
            self._slot(seat, seat * self._period // len(self._clients))
        for fault in range(self._kills):
            self.at(self.rng.randrange(self._end // 4, self._end * 3 // 4), lambda fault=fault: self._kill(fault))
        self._turn()
        for call in self.runner.final():
            self._send(self._clients[0], call, final=True)
            self._turn()
        spec = TrialSpec(scenario="s", source="s.yaml", root_seed=1, seed=self._seed, label="l")
        return Record(spec, self.events, self.history, [])

    def at(self, moment: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (moment, next(self._order), act))

    def _turn(self) -> None:
        while self._heap:
            self.now, _, act = heapq.heappop(self._heap)
            act()

    def _client(self, number: int) -> Client:
        talk = self.runner.converse(number, seeds.stream(self._seed, "client", number))
        return Client(number, talk, next(talk))

    def _slot(self, seat: int, moment: int) -> None:
        def come() -> None:
            client = self._clients[seat]
            if client.waiting is None and not client.due:
                self._send(client, client.call)
            self._slot(seat, moment + self._period)

        if moment < self._end:
            self.at(moment, come)

    def _send(self, client: Client, call: Call, *, final: bool = False) -> None:
        client.due, client.waiting = False, next(self._n)
        n = client.waiting
        self.history.append(Invoked(n=n, client=client.number, t=self.now, op=call.op, args=call.args, final=final))
        operation = getattr(self._system, call.op)

        def answered(reply: Reply) -> None:
            self.at(self.now + self._delay(), lambda: self._return(client, n, reply, final=final))

        stalled = not final and self.rng.random() < self._stalls
        delay = 2 * self.lease_ns if stalled else self._delay()
        self.at(self.now + delay, lambda: operation(client.number, call.args, answered))

    def _delay(self) -> int:
        return self.rng.randrange(MS)

    def _return(self, client: Client, n: int, reply: Reply, *, final: bool) -> None:
        if client.waiting != n:
            return
        client.waiting = None
        lost = self.rng.random() < self._stalls and not final
        reply = Reply("info", {"error": "lost"}) if lost else reply
        self.history.append(Returned(n=n, t=self.now, outcome=reply.outcome, result=_copy(reply.result)))
        if final:
            return
        client.call = client.talk.send(reply)
        if client.call.after_s is not None and client in self._clients:
            client.due = True
            call = client.call
            moment = self.now + round(call.after_s * 1e9)
            self.at(moment, lambda: self._send(client, call) if client in self._clients else None)

    def _kill(self, fault: int) -> None:
        seats = [seat for seat, each in enumerate(self._clients) if each.call.role == "holder"]
        seat = self.rng.choice(seats or range(len(self._clients)))
        dead = self._clients[seat]
        on, who = "holder", {"client": dead.number}
        self.events += [
            FaultInjecting(t=self.now, fault=fault, kind="process.kill", on=on, due=self.now),
            FaultInjected(t=self.now, fault=fault, began=self.now, evidence=who),
        ]
        if dead.waiting is not None:
            self.history.append(Returned(n=dead.waiting, t=self.now, outcome="info", result={"error": "AdapterDied"}))
            dead.waiting = None
        self._clients[seat] = self._client(dead.number + len(self._clients))


def _copy(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, list):
        return list(value)
    return dict(value) if isinstance(value, dict) else value
