"""The continuity of one conversation while servers come and go: lines and deaths in, actions out. No input, no output.

The rules, in one place:

- A request that may have effects is journaled before it is forwarded. Order is that of the client.
- What a dead server had not read of its input was certainly not executed, and is sent to the next one.
- What it had read is sent again where that is safe (`replay`); if not, the client gets an error that says
  `maybe_executed`. Where the tools are not known yet, the replacement is asked for them first.
- A replacement is brought to where the client believes the server to be: handshake, log level, subscriptions.
- A cancelled request is forgotten: not sent again and not answered, not even if the server does.
- Progress of a replayed request is heard only where it is news.
- A request whose blame reaches the limit is quarantined. Before that, suspects are sent one at a time, so that the
  next death tells which of them it is.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator

from msgspec import UNSET, Raw

from targets.mcp_tools import messages
from targets.mcp_tools.actions import Action, Begun, Ended, Forward, Note, Replace, Reply
from targets.mcp_tools.calls import Call, Death, limit
from targets.mcp_tools.messages import Id, Malformed, Message
from targets.mcp_tools.quarantine import Quarantine
from targets.mcp_tools.replay import CALL, CALL_META, LIST, Replay, Tools, key_of
from targets.mcp_tools.standing import CONFIRMATION, INITIALIZE, INITIALIZED, Standing

LISTEN = "subscriptions/listen"
_OWN = "bigfive:"


class Session:
    """One client's conversation with a succession of servers. Every method returns what is to be done, in order.

    `name` turns a call's number into an identity that stays the same over replays and never comes back; it is given to
    the server in `_meta` of every tool call, so that a tool which resumes can.
    """

    def __init__(
        self,
        quarantine: Quarantine,
        deaths_allowed: int = 3,
        numbers: Iterator[int] | None = None,
        name: Callable[[int], str] = str,
    ) -> None:
        self.tools = Tools()
        self.calls: dict[Id, Call] = {}
        self.unanswered_probes = 0
        self._quarantine = quarantine
        self._limit = limit(deaths_allowed)
        self._warning = limit(max(1, deaths_allowed - 1))
        self._numbers = numbers or itertools.count(1)
        self._name = name
        self._own_ids = itertools.count(1)
        self._out: list[Action] = []
        self._queue: deque[Call | bytes] = deque()
        self._standing = Standing()
        self._outage: str | None = None
        self._deaths: list[Death] = []
        self._up = False
        self._reset()

    def _reset(self) -> None:
        """Forget what concerned one server only."""
        self._ready = self._learning = False
        self._own: dict[Id, Callable[[Message], None]] = {}
        self._asked: set[Id] = set()
        self._given = 0
        self.unanswered_probes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are kept for requests without an answer and for messages not sent yet."""
        notifications = sum(len(item) for item in self._queue if isinstance(item, bytes))
        return notifications + sum(len(call.line) for call in self.calls.values())

    @property
    def running(self) -> list[Call]:
        """The requests that the current server was given and is expected to answer."""
        return [call for call in self.calls.values() if call.end and call.method != LISTEN]

    def client(self, line: bytes) -> list[Action]:
        """Take a line from the client."""
        try:
            message = messages.decode(line)
        except Malformed as error:
            return [Reply(messages.failure(None, error.code, str(error)))]
        if message.request_id is not None:
            self._request(message.request_id, message, line)
        elif message.method is not UNSET:
            self._notification(message, line)
        elif message.answered_id in self._asked:
            self._asked.discard(message.answered_id)
            self._submit(line + b"\n")
        return self._done()

    def server(self, line: bytes) -> list[Action]:
        """Take a line from the current server."""
        try:
            message = messages.decode(line)
        except Malformed as error:
            excerpt = line[:200].decode(errors="replace")
            return [Note("server.garbage", {"why": str(error)[:200], "excerpt": excerpt})]
        if message.answered_id is not None:
            self._answer(message.answered_id, message, line)
        elif message.name == "notifications/progress":
            self._progress(message, line)
        elif message.method is not UNSET:
            if message.request_id is not None:
                self._asked.add(message.request_id)
            if message.name == "notifications/tools/list_changed":
                self.tools.changed()
            self._out.append(Reply(line + b"\n"))
        return self._done()

    def server_up(self) -> list[Action]:
        """A server was started and takes messages."""
        self._up, self._outage = True, None
        handshake = self._standing.handshake
        if handshake is not None:
            self._ask(INITIALIZE, handshake, self._greeted)
        else:
            self._ready = True
            self._pump()
        return self._done()

    def server_down(self, death: Death, consumed: int) -> list[Action]:
        """The server died after it had read `consumed` bytes of what it was given.

        Its last lines must have been passed to `server` before: an answer counts even if its sender is dead.
        """
        self._deaths = [*self._deaths, death][-8:]
        sent = [call for call in self.calls.values() if call.end]
        for id_ in self._asked:
            told = {"requestId": id_, "reason": "the server that asked has died"}
            self._out.append(Reply(messages.request("notifications/cancelled", told)))
        self._up = False
        self._reset()
        again = [call for call in sent if self._survives(call, death, reached=call.end <= consumed)]
        for call in reversed(again):
            if call.method == INITIALIZE and self._standing.confirmed:  # it was sent along, before the answer
                self._queue.appendleft(CONFIRMATION)
            self._queue.appendleft(call)
        return self._done()

    def outage(self, why: str) -> list[Action]:
        """There will be no server for a while: answer everything at once, until the next `server_up`."""
        self._outage = why
        for call in list(self.calls.values()):
            self._fail_unavailable(call)
        self._queue.clear()
        return self._done()

    def probe(self) -> list[Action]:
        """Ask the server for any sign of life, in the way of its era. Any answer is one, an error too."""
        if self._ready and self._standing.known:
            self._ask(self._standing.probe, self._standing.params(), self._alive)
            self.unanswered_probes += 1
        return self._done()

    def too_long(self, head: bytes) -> list[Action]:
        """The server sent a line above the limit, of which this is the beginning."""
        id_ = messages.id_within(head)
        if id_ is not None and id_ in self.calls:
            why = f"the server's answer is longer than {messages.LIMIT_BYTES} bytes"
            self._fail(self.calls[id_], messages.INVALID_REQUEST, why, {"maybe_executed": True})
            self._pump()
        return [*self._done(), Note("server.too_long", {"head": head[:200].decode(errors="replace")})]

    def _done(self) -> list[Action]:
        out, self._out = self._out, []
        return out

    # --- from the client

    def _request(self, id_: Id, message: Message, line: bytes) -> None:
        if id_ in self.calls:
            why = f"id {id_!r} is in use by a request that has no answer yet"
            self._out.append(Reply(messages.failure(None, messages.INVALID_REQUEST, why)))
            return
        params = messages.parameters(message)
        number = next(self._numbers)
        self._standing.asked(id_, message, params)
        if message.name == CALL:
            line = messages.with_meta(message, {CALL_META: self._name(number)})[:-1]
        call = Call(
            id=id_,
            method=message.name,
            tool=params.name if message.name == CALL else params.uri,
            keyed=bool(key_of(params)),
            token=params.meta.token,
            line=line + b"\n",
            number=number,
        )
        self.calls[id_] = call
        if not self._refused(call):
            self._submit(call)

    def _refused(self, call: Call) -> bool:
        if self._outage is not None:
            self._fail_unavailable(call)
        elif (sentence := self._quarantine.sentence(call.line)) is not None:
            self._fail_quarantined(call, sentence.deaths, executed=False)
        return call.id not in self.calls

    def _notification(self, message: Message, line: bytes) -> None:
        if message.name == "notifications/cancelled":
            cancelled = messages.parameters(message).request_id
            call = None if cancelled is UNSET else self.calls.get(cancelled)
            given = call is not None and bool(call.end)
            if call is not None:
                self._forget(call, "cancelled")
            if not given:
                return  # the server has never heard of it
        if message.name == INITIALIZED:
            self._standing.confirmed = True
            if self._standing.handshake is not None and not self._ready:
                return  # the replay of the handshake says it
        self._submit(line + b"\n")

    def _submit(self, item: Call | bytes) -> None:
        self._queue.append(item)
        self._pump()

    def _pump(self) -> None:
        """Send what may be sent, in order."""
        while self._queue and self._up and self._ready and not self._learning:
            item = self._queue[0]
            if isinstance(item, Call):
                if self._must_wait(item):
                    return
                if item.deaths and not self._may_repeat(item):
                    continue
            self._queue.popleft()
            self._give(item)

    def _must_wait(self, call: Call) -> bool:
        """While somebody is close to being convicted, suspects run alone."""
        running = self.running
        tense = any(other.blame >= self._warning for other in self.calls.values())
        return tense and bool(running) and (call.blame > 0 or any(other.blame for other in running))

    def _may_repeat(self, call: Call) -> bool:
        """Decide over a call that a dead server had read: go on, fail it, or learn about its tool first."""
        verdict = self.tools.judge(call.method, call.tool, keyed=call.keyed)
        if verdict is Replay.UNKNOWN:
            self._learning = True
            self._ask(LIST, self._standing.params(), self._learn)
        elif verdict is Replay.UNSAFE:
            self._fail_interrupted(call)
        return verdict is Replay.SAFE

    def _give(self, item: Call | bytes) -> None:
        if isinstance(item, bytes):
            self._forward(item)
            return
        if not item.journaled and self.tools.may_act(item.method, item.tool):
            self._out.append(Begun(item.number, {"method": item.method, "tool": item.tool, "id": item.id}))
            item.journaled = True
        self._forward(item.line)
        item.end = self._given

    def _forward(self, line: bytes) -> None:
        self._given += len(line)
        self._out.append(Forward(line))

    # --- from the server

    def _answer(self, id_: Id, message: Message, line: bytes) -> None:
        if (own := self._own.pop(id_, None)) is not None:
            own(message)
            return
        call = self.calls.get(id_)
        if call is None or not call.end:
            self._out.append(Note("server.unexpected_answer", {"id": id_}))
            return
        if message.result:
            self._note_result(call, message.result)
        self._out.append(Reply(line + b"\n"))
        self._forget(call, "answered")
        self._pump()

    def _note_result(self, call: Call, result: Raw) -> None:
        self._standing.answered(call)
        if call.method in {INITIALIZE, "server/discover"}:
            self.tools.greeted(result)
        elif call.method == LIST:
            self.tools.listed(result)

    def _progress(self, message: Message, line: bytes) -> None:
        params = messages.parameters(message)
        call = next((c for c in self.calls.values() if c.token == params.token and c.token is not UNSET), None)
        if call is None or call.progressed(params.progress):
            self._out.append(Reply(line + b"\n"))

    # --- our own questions

    def _ask(self, method: str, params: Raw | dict[str, object], then: Callable[[Message], None]) -> None:
        id_ = f"{_OWN}{next(self._own_ids)}"
        self._own[id_] = then
        self._forward(messages.request(method, params, id_))

    def _alive(self, _: Message) -> None:
        self.unanswered_probes = 0

    def _greeted(self, message: Message) -> None:
        """The replacement has answered the handshake: bring it to where the client left the last one."""
        if not message.result:
            self._out.append(Replace("the replacement refused the handshake"))
            return
        self.tools.greeted(message.result)
        if self._standing.confirmed:
            self._forward(CONFIRMATION)
        for method, params in self._standing.settled():
            self._ask(method, params, self._alive)
        self._ready = True
        self._pump()

    def _learn(self, message: Message) -> None:
        cursor = self.tools.listed(message.result)
        if cursor is not None:
            self._ask(LIST, self._standing.params({"cursor": cursor}), self._learn)
            return
        self._learning = False
        self._pump()

    # --- after a death

    def _survives(self, call: Call, death: Death, *, reached: bool) -> bool:
        """Decide what a death means for a call that the server was given; return whether it is to be sent again."""
        call.end = 0
        if not reached:
            return True
        call.died(death)
        if call.method != LISTEN and call.blame >= self._limit:
            self._quarantine.convict(call)
            self._fail_quarantined(call, tuple(call.deaths), executed=True)
        elif self.tools.judge(call.method, call.tool, keyed=call.keyed) is Replay.UNSAFE:
            self._fail_interrupted(call)
        return call.id in self.calls

    def _fail_interrupted(self, call: Call) -> None:
        data: dict[str, object] = {"maybe_executed": True, "deaths": [death.told() for death in call.deaths]}
        why = "the server died while it worked on this, and doing it twice may not be safe"
        self._fail(call, messages.INTERRUPTED, why, data)

    def _fail_unavailable(self, call: Call) -> None:
        deaths = [death.told() for death in self._deaths]
        data: dict[str, object] = {"maybe_executed": bool(call.deaths), "deaths": deaths}
        self._fail(call, messages.UNAVAILABLE, f"there is no server at the moment: {self._outage}", data)

    def _fail_quarantined(self, call: Call, deaths: tuple[Death, ...], *, executed: bool) -> None:
        evidence: dict[str, object] = {"deaths": [death.told() for death in deaths]}
        if executed:
            about = {"method": call.method, "tool": call.tool, "request": call.line[:4096].decode(errors="replace")}
            self._out.append(Note("call.quarantined", {**about, **evidence}))
        why = f"quarantined: this request killed the server {len(deaths)} times"
        self._fail(call, messages.QUARANTINED, why, {"maybe_executed": executed, **evidence})

    def _fail(self, call: Call, code: int, why: str, data: dict[str, object]) -> None:
        self._out.append(Reply(messages.failure(call.id, code, why, data)))
        self._forget(call, "failed")

    def _forget(self, call: Call, outcome: str) -> None:
        self.calls.pop(call.id, None)
        if call in self._queue:
            self._queue.remove(call)
        if call.journaled:
            self._out.append(Ended(call.number, outcome))
