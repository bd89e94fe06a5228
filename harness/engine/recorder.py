"""The recorder: a process of its own that paces the clients, sends their operations and writes the history.

`invoke` is written before an operation is sent and `return` after its answer came, with the times of *this*
process: a killed client leaves an open invoke, and no clock fault in a client can touch the history. Each client
has a slot every `clients / rate` seconds; a client that is still busy skips its slots instead of catching up in
a burst. What follows after a pause of its own (`Call.after_s`) is sent then, and for `FINISH_S` after the stop, too:
what clients have begun, they finish.

Commands: open {connect}, start {}, stop {}, final {}, locate {handle, ask, draw}. Reports: ready, answered {count},
stopped, finished, located {ask, handle}, problem {message}.
"""

from __future__ import annotations

import heapq
import selectors
import time
from collections.abc import Iterator
from functools import partial
from typing import Literal

from harness import seeds
from harness.adapter import AdapterProcess, hello
from harness.clock import NS_PER_S, seconds
from harness.engine.worker import Commands, Task, load_task, report
from harness.errors import BigfiveError, TargetFailed
from harness.record import Invoked, Returned, Writer
from harness.runners._base import Call, Conversation, Reply
from harness.wire import Answer, Json

OPERATION_TIMEOUT_S = 5.0
FINISH_S = 10.0
ANY_CLIENT = "client"
_GRACE_S = 1.0  # after its own timeout an adapter has this long to say so, then it is replaced
_RETRY_S = 0.05
_CRASHES_IN_A_ROW = 5
_SETTLED_NS = 20_000_000  # who leaves a role sooner may have left it before a fault arrives


class Client:
    """One client: its adapter process, its conversation, and the operation it waits for.

    `seat` is its place among the clients. `number` is that of the first process there, `clients` more for each next.
    """

    def __init__(self, seat: int, task: Task) -> None:
        self.seat = seat
        self.number = seat
        self.waiting: int | None = None  # number of the operation under way
        self.request = 0  # wire id of its request
        self.deadline = 0
        self.due: int | None = None  # when its call is to be sent, if not in its next slot
        self._task = task
        self._crashes = 0
        self._introducing: list[int] = []
        self._begin()

    @property
    def ready(self) -> bool:
        """Return whether it has been introduced and can take operations."""
        return not self._introducing

    @property
    def idle(self) -> bool:
        """Return whether it has nothing under way: it waits for a slot."""
        return self.waiting is None and self.due is None

    def introduce(self, connect: object) -> None:
        """Send hello and open; answers come in order, so there is no need to wait in between."""
        arguments: Json = {"connect": connect, "client": self.number, "timeout_s": OPERATION_TIMEOUT_S}
        self._introducing = [
            self.adapter.send("hello", hello("client")),
            self.adapter.send("open", arguments),
        ]

    def replace(self, connect: object) -> None:
        """Put another client in this one's place. Raises `TargetFailed` when its adapters keep crashing."""
        self._crashes += 1
        if self._crashes > _CRASHES_IN_A_ROW:
            raise TargetFailed(f"client {self.number}: its adapter crashed {self._crashes} times in a row")
        self.adapter.kill()
        self.number += self._task.runner.clients
        self._begin()
        self.introduce(connect)

    def accept(self, answer: Answer) -> Reply | None:
        """Take an answer; return it if it belongs to the operation under way. Raises `TargetFailed`."""
        if answer.id in self._introducing:
            self._introducing.remove(answer.id)
            if answer.outcome != "ok":
                raise TargetFailed(f"client {self.number} could not open: {answer.result}")
            return None
        if self.waiting is None or answer.id != self.request:
            return None
        self._crashes = 0
        return Reply(answer.outcome, answer.result)

    def _begin(self) -> None:
        """Start the process and the conversation."""
        task = self._task
        self.talk: Conversation = task.runner.converse(self.number, seeds.stream(task.seed, "client", self.number))
        self.call: Call = next(self.talk)
        self.due = None
        log = task.logs / f"client-{self.number}.log"
        self.adapter = AdapterProcess(task.launch.for_client(self.number), "client", log)


class Recorder:
    """Drives all clients in one thread."""

    def __init__(self, task: Task) -> None:
        self._runner = task.runner
        self._writer = Writer(task.output)
        self._selector = selectors.DefaultSelector()
        self._clients = [Client(seat, task) for seat in range(task.runner.clients)]
        self._connect: object = None
        self._slots: list[tuple[int, int]] = []  # moment and seat, each client's next
        self._later: list[tuple[int, int]] = []  # moment and seat, where a client's `due` is that moment
        self._period = round(task.runner.clients / task.runner.rate * NS_PER_S)
        self._last_due: int | None = None  # what is due later is not sent any more
        self._sought: list[tuple[str, int]] = []
        self._sent = 0
        self._answered = 0
        self._state: Literal["opening", "running", "stopping", "final"] = "opening"
        self._final: Iterator[Call] = iter(())
        self._commands = Commands(
            {"open": self.open, "start": self.start, "stop": self.stop, "final": self.final, "locate": self.locate}
        )

    def open(self, connect: object) -> None:
        """Connect all clients; `ready` is reported when the last one is."""
        self._connect = connect
        for client in self._clients:
            client.introduce(connect)
            self._watch(client)

    def start(self) -> None:
        """Begin: the clients' slots are spread evenly over the period."""
        self._state = "running"
        now = time.monotonic_ns()
        step = self._period // len(self._clients)
        self._slots = [(now + client.seat * step, client.seat) for client in self._clients]

    def stop(self) -> None:
        """Give out no slots any more; `stopped` is reported when all that was begun is over."""
        self._state = "stopping"
        self._slots = []
        self._last_due = time.monotonic_ns() + round(FINISH_S * NS_PER_S)
        for client in self._clients:
            if client.due is not None and client.due > self._last_due:
                client.due = None
        self._report_stopped()

    def final(self) -> None:
        """Let the first client ask the runner's final questions, each until it is answered."""
        self._state = "final"
        self._last_due = None
        self._final = iter(self._runner.final())
        self._ask_final()

    def locate(self, handle: str, ask: int, draw: float) -> None:
        """Report a client in that role: one who stays in it for a while, or else the next who comes into it."""
        found = [client for client in self._clients if self._has(client, handle)]
        if found:
            self._found(found[int(draw * len(found))], ask)
        else:
            self._sought.append((handle, ask))

    def run(self) -> None:
        """Work until the end of the commands."""
        self._selector.register(0, selectors.EVENT_READ, self._commands.receive)
        while self._turn():
            self._send_due()
            self._expire()
        for client in self._clients:
            client.adapter.kill()

    def _turn(self) -> bool:
        results = [key.data() for key, _ in self._selector.select(self._pause())]
        return False not in results

    def _pause(self) -> float | None:
        moments = [client.deadline for client in self._clients if client.waiting is not None]
        moments += [queue[0][0] for queue in (self._slots, self._later) if queue]
        return max(0.0, seconds(min(moments) - time.monotonic_ns())) if moments else None

    def _send_due(self) -> None:
        now = time.monotonic_ns()
        while self._later and self._later[0][0] <= now:
            moment, seat = heapq.heappop(self._later)
            client = self._clients[seat]
            if client.due != moment:
                continue  # the client was replaced, or put off
            if client.ready:
                client.due = None
                self._send(client)
            else:
                self._schedule(client, now + round(_RETRY_S * NS_PER_S))
        while self._slots and self._slots[0][0] <= now:
            moment, seat = heapq.heappop(self._slots)
            missed = (now - moment) // self._period
            heapq.heappush(self._slots, (moment + (missed + 1) * self._period, seat))
            client = self._clients[seat]
            if client.ready and client.idle:
                self._send(client)

    def _schedule(self, client: Client, moment: int) -> None:
        """Let the client send its call at that moment, unless that is too late."""
        if self._last_due is None or moment <= self._last_due:
            client.due = moment
            heapq.heappush(self._later, (moment, client.seat))
        else:
            client.due = None

    def _send(self, client: Client) -> None:
        self._sent += 1
        client.waiting = self._sent
        now = time.monotonic_ns()
        client.deadline = now + round((OPERATION_TIMEOUT_S + _GRACE_S) * NS_PER_S)
        call, final = client.call, self._state == "final"
        self._writer.write(Invoked(n=self._sent, client=client.number, t=now, op=call.op, args=call.args, final=final))
        try:
            client.request = client.adapter.send(call.op, call.args)
        except TargetFailed as error:
            self._crashed(client, error)

    def _receive(self, client: Client) -> None:
        try:
            answers = [message for message in client.adapter.receive() if isinstance(message, Answer)]
        except TargetFailed as error:
            self._crashed(client, error)
            return
        for answer in answers:
            reply = client.accept(answer)
            if reply is not None:
                self._returned(client, reply)
        if self._state == "opening" and all(each.ready for each in self._clients):
            report(ready=len(self._clients))

    def _returned(self, client: Client, reply: Reply) -> None:
        self._note(client, reply)
        if self._state == "final":
            self._ask_final(again=reply.outcome != "ok")
        else:
            client.call = client.talk.send(reply)
            self._go_on(client)

    def _note(self, client: Client, reply: Reply) -> None:
        """Write what came of the operation under way."""
        n, client.waiting = client.waiting, None
        if n is None:
            return
        self._writer.write(Returned(n=n, t=time.monotonic_ns(), outcome=reply.outcome, result=reply.result))
        if self._state != "final":
            self._answered += 1
            report(answered=self._answered)

    def _go_on(self, client: Client) -> None:
        """Arrange for the client's next call."""
        if client.call.after_s is not None:
            self._schedule(client, time.monotonic_ns() + round(client.call.after_s * NS_PER_S))
        for handle, ask in self._sought:
            if handle == client.call.role and not client.idle:
                self._sought.remove((handle, ask))
                self._found(client, ask)
                break
        self._report_stopped()

    def _ask_final(self, *, again: bool = False) -> None:
        client = self._clients[0]
        now = time.monotonic_ns()
        if again:
            self._schedule(client, now + round(_RETRY_S * NS_PER_S))
            return
        following = next(self._final, None)
        if following is None:
            report(finished=True)
        else:
            client.call = following
            self._schedule(client, now)

    def _report_stopped(self) -> None:
        if self._state == "stopping" and all(client.idle for client in self._clients):
            report(stopped=True)

    def _has(self, client: Client, handle: str) -> bool:
        """Return whether the client has that role, and will have it when a fault arrives."""
        if handle == ANY_CLIENT:
            return True
        settled = client.due is not None and client.due >= time.monotonic_ns() + _SETTLED_NS
        return client.call.role == handle and settled

    @staticmethod
    def _found(client: Client, ask: int) -> None:
        report(located=ask, handle={"type": "process", "pid": client.adapter.process.pid, "client": client.number})

    def _expire(self) -> None:
        now = time.monotonic_ns()
        for client in self._clients:
            if client.waiting is not None and client.deadline <= now:
                self._crashed(client, TargetFailed("the adapter did not answer in time"))

    def _crashed(self, client: Client, error: TargetFailed) -> None:
        """Replace the client; the operation it had may still take effect at any time."""
        self._note(client, Reply("info", {"error": type(error).__name__, "message": str(error)}))
        asked = client.call
        self._selector.unregister(client.adapter)
        client.replace(self._connect)
        self._watch(client)
        if self._state != "final":
            self._go_on(client)
        elif client is self._clients[0]:
            client.call = asked
            self._ask_final(again=True)

    def _watch(self, client: Client) -> None:
        self._selector.register(client.adapter, selectors.EVENT_READ, partial(self._receive, client))


def main() -> None:
    """Record as the task says; what goes wrong is reported, not raised."""
    task = load_task()
    try:
        Recorder(task).run()
    except BigfiveError as error:
        report(problem=str(error), error=type(error).__name__)


if __name__ == "__main__":
    main()
