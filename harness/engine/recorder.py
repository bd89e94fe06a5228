"""The recorder: a process of its own that paces the clients, sends their operations and writes the history.

`invoke` is written before an operation is sent and `return` after its answer came, with the times of *this*
process: a killed client leaves an open invoke, and no clock fault in a client can touch the history. Each client
has a slot every `clients / rate` seconds; a client that is still waiting skips its slots instead of catching up in
a burst.

Commands: open {connect}, start {}, stop {}, final {}. Reports: ready, answered {count}, stopped, finished, problem
{message}.
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
_GRACE_S = 1.0  # after its own timeout an adapter has this long to say so, then it is replaced
_RETRY_S = 0.05
_CRASHES_IN_A_ROW = 5


class Client:
    """One client: its adapter process, its conversation, and the operation it waits for."""

    def __init__(self, number: int, task: Task) -> None:
        self.number = number
        self.talk: Conversation = task.runner.converse(number, seeds.stream(task.seed, "client", number))
        self.call: Call = next(self.talk)
        self.waiting: int | None = None  # number of the operation under way
        self.request = 0  # wire id of its request
        self.deadline = 0
        self._task = task
        self._crashes = 0
        self._introducing: list[int] = []
        self.adapter = self._spawn()

    @property
    def ready(self) -> bool:
        """Return whether it has been introduced and can take operations."""
        return not self._introducing

    def introduce(self, connect: object) -> None:
        """Send hello and open; answers come in order, so there is no need to wait in between."""
        arguments: Json = {"connect": connect, "client": self.number, "timeout_s": OPERATION_TIMEOUT_S}
        self._introducing = [
            self.adapter.send("hello", hello("client")),
            self.adapter.send("open", arguments),
        ]

    def replace(self, connect: object) -> None:
        """Start another adapter process in place of this one. Raises `TargetFailed` when it keeps crashing."""
        self._crashes += 1
        if self._crashes > _CRASHES_IN_A_ROW:
            raise TargetFailed(f"client {self.number}: its adapter crashed {self._crashes} times in a row")
        self.adapter.kill()
        self.adapter = self._spawn()
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

    def _spawn(self) -> AdapterProcess:
        return AdapterProcess(self._task.launch, "client", self._task.logs / f"client-{self.number}.log")


class Recorder:
    """Drives all clients in one thread."""

    def __init__(self, task: Task) -> None:
        self._runner = task.runner
        self._writer = Writer(task.output)
        self._selector = selectors.DefaultSelector()
        self._clients = [Client(number, task) for number in range(task.runner.clients)]
        self._connect: object = None
        self._slots: list[tuple[int, int]] = []
        self._period = round(task.runner.clients / task.runner.rate * NS_PER_S)
        self._sent = 0
        self._answered = 0
        self._state: Literal["opening", "running", "stopping", "final"] = "opening"
        self._final: Iterator[Call] = iter(())
        self._commands = Commands({"open": self.open, "start": self.start, "stop": self.stop, "final": self.final})

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
        self._slots = [(now + client.number * step, client.number) for client in self._clients]

    def stop(self) -> None:
        """Send nothing more; `stopped` is reported when the last answer is in."""
        self._state = "stopping"
        self._slots = []
        self._report_stopped()

    def final(self) -> None:
        """Let the first client ask the runner's final questions, each until it is answered."""
        self._state = "final"
        self._final = iter(self._runner.final())
        self._ask_final()

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
        moments += [self._slots[0][0]] if self._slots else []
        return max(0.0, seconds(min(moments) - time.monotonic_ns())) if moments else None

    def _send_due(self) -> None:
        now = time.monotonic_ns()
        while self._slots and self._slots[0][0] <= now:
            moment, number = heapq.heappop(self._slots)
            client = self._clients[number]
            if self._state == "running":
                missed = (now - moment) // self._period
                heapq.heappush(self._slots, (moment + (missed + 1) * self._period, number))
            if client.ready and client.waiting is None:
                self._send(client)

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
        if client.waiting is None:
            return
        n, client.waiting = client.waiting, None
        self._writer.write(Returned(n=n, t=time.monotonic_ns(), outcome=reply.outcome, result=reply.result))
        if self._state == "final":
            self._ask_final(again=reply.outcome != "ok")
            return
        client.call = client.talk.send(reply)
        self._answered += 1
        report(answered=self._answered)
        self._report_stopped()

    def _ask_final(self, *, again: bool = False) -> None:
        client = self._clients[0]
        if again:
            self._slots = [(time.monotonic_ns() + round(_RETRY_S * NS_PER_S), client.number)]
            return
        following = next(self._final, None)
        if following is None:
            report(finished=True)
        else:
            client.call = following
            self._slots = [(time.monotonic_ns(), client.number)]

    def _report_stopped(self) -> None:
        if self._state == "stopping" and all(client.waiting is None for client in self._clients):
            report(stopped=True)

    def _expire(self) -> None:
        now = time.monotonic_ns()
        for client in self._clients:
            if client.waiting is not None and client.deadline <= now:
                self._crashed(client, TargetFailed("the adapter did not answer in time"))

    def _crashed(self, client: Client, error: TargetFailed) -> None:
        """Replace the adapter process; the operation it had may still take effect at any time."""
        self._selector.unregister(client.adapter)
        client.replace(self._connect)
        self._watch(client)
        self._returned(client, Reply("info", {"error": type(error).__name__, "message": str(error)}))

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
