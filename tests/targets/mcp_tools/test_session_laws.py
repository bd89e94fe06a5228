"""The laws of continuity, over random conversations with servers that die at random places."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from targets.mcp_tools.actions import Action, Begun, Ended, Forward, Reply
from targets.mcp_tools.calls import Death
from targets.mcp_tools.quarantine import Quarantine
from targets.mcp_tools.session import Session

Json = dict[str, Any]
SAFE, UNSAFE = "read", "write"
TOOLS = [{"name": SAFE, "annotations": {"readOnlyHint": True}}, {"name": UNSAFE}]


def line(**message: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode()


class World(RuleBasedStateMachine):
    """A client, and servers that read their input piece by piece, execute what they read, and die in between."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(Quarantine(), deaths_allowed=10**6)
        self.up = False
        self.given: list[bytes] = []
        self.read = 0
        self.open: list[Json] = []
        self.tools: dict[int, str] = {}
        self.cancelled: set[int] = set()
        self.answers: dict[int, Json] = {}
        self.executed: list[int] = []
        self.first_forwards: list[int] = []
        self.begun = self.ended = 0

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Forward):
                self.given.append(action.line)
                self._note_forward(json.loads(action.line))
            elif isinstance(action, Reply):
                self._note_reply(json.loads(action.line))
            self.begun += isinstance(action, Begun)
            self.ended += isinstance(action, Ended)

    def _note_forward(self, message: Json) -> None:
        id_ = message.get("id")
        if isinstance(id_, int) and id_ not in self.first_forwards:
            self.first_forwards.append(id_)
            acting = sum(self.tools.get(known) == UNSAFE for known in self.first_forwards)
            assert self.begun >= acting, "forwarded before it was journaled"

    def _note_reply(self, message: Json) -> None:
        assert message["id"] not in self.answers, "answered twice"
        assert message["id"] not in self.cancelled, "answered after it was cancelled"
        self.answers[message["id"]] = message

    @rule(tool=st.sampled_from([SAFE, UNSAFE]))
    def call(self, tool: str) -> None:
        id_ = len(self.tools) + 1
        self.tools[id_] = tool
        self.perform(self.session.client(line(id=id_, method="tools/call", params={"name": tool})))

    @precondition(lambda self: self.tools)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.tools)))
        if id_ not in self.answers:
            self.cancelled.add(id_)
            self.perform(self.session.client(line(method="notifications/cancelled", params={"requestId": id_})))

    @precondition(lambda self: not self.up)
    @rule()
    def start(self) -> None:
        self.up, self.given, self.read, self.open = True, [], 0, []
        self.perform(self.session.server_up())

    @precondition(lambda self: self.up and self.read < len(self.given))
    @rule(count=st.integers(1, 4))
    def read_some(self, count: int) -> None:
        """The server reads whole lines, and executes the calls among them at once."""
        for raw in self.given[self.read : self.read + count]:
            message = json.loads(raw)
            if message["method"] != "notifications/cancelled":
                self.open.append(message)
            if message["method"] == "tools/call":
                self.executed.append(message["id"])
        self.read = min(len(self.given), self.read + count)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def respond(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self.open))
        self.open.remove(message)
        result = {"tools": TOOLS} if message["method"] == "tools/list" else {"content": []}
        self.perform(self.session.server(line(id=message["id"], result=result)))

    @precondition(lambda self: self.up)
    @rule(part=st.floats(0, 1))
    def die(self, part: float) -> None:
        """It has read, besides what it executed, some of the next line, but not its end."""
        self.up = False
        consumed = sum(map(len, self.given[: self.read]))
        following = self.given[self.read : self.read + 1]
        consumed += int(part * (len(following[0]) - 1)) if following else 0
        self.perform(self.session.server_down(Death(pid=1, status=-9), consumed))

    @precondition(lambda self: not self.up)
    @rule()
    def give_up(self) -> None:
        self.perform(self.session.outage("breaker"))
        assert set(self.tools) == set(self.answers) | self.cancelled
        self.start()

    @invariant()
    def an_unsafe_call_is_executed_once_at_most(self) -> None:
        for id_, tool in self.tools.items():
            assert tool == SAFE or self.executed.count(id_) <= 1

    @invariant()
    def who_is_told_that_nothing_was_executed_can_rely_on_it(self) -> None:
        for id_, told in self.answers.items():
            if "error" in told and not told["error"]["data"]["maybe_executed"]:
                assert id_ not in self.executed

    @invariant()
    def calls_reach_servers_in_the_order_of_the_client(self) -> None:
        assert self.first_forwards == sorted(self.first_forwards)

    def teardown(self) -> None:
        """In the end, with a server that lives, every call is answered once, and a safe one never with an error."""
        if not self.up:
            self.start()
        while self.read < len(self.given) or self.open:
            if self.read < len(self.given):
                self.read_some(100)
            for message in list(self.open):
                self.open.remove(message)
                self.perform(self.session.server(line(id=message["id"], result={"tools": TOOLS})))
        assert set(self.tools) == set(self.answers) | self.cancelled
        assert self.begun == self.ended
        assert not self.session.calls
        assert self.session.waiting_bytes == 0


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
