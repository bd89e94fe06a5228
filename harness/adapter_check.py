"""`bigfive adapter check`: drive a real adapter through the whole protocol, and tell its author what is missing.

Each rule quotes the words of `harness.wire` that it holds the adapter to, so that a failure says what to do. The
adapter is really started, in a folder and with a label of its own, and its service is paused and killed; nothing is
left behind, even if we are killed meanwhile.
"""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.adapter import HELLO_PATIENCE_S, AdapterProcess, Launch
from harness.adapter_bench import ANSWER_PATIENCE_S, Bench, Description, Handle, NotOffered, Rule, bench
from harness.adapter_contracts import AFTER_KILL, OPERATIONS
from harness.errors import BigfiveError, TargetFailed, TimedOut, UndoFailed
from harness.processes import Process, carries, command_line, labelled
from harness.registry import RUNNERS
from harness.waiting import until
from harness.wire import CONTRACTS, PROTOCOL, Answer

_RECOVERY_PATIENCE_S = 10.0
_STOP_PATIENCE_S = 15.0
_PIPELINED = 5


@dataclass(frozen=True)
class Step:
    """What came of one rule. `detail` is a remark, what to do, or why the rule could not be tried."""

    name: str
    status: Literal["PASS", "FAIL", "SKIP"]
    detail: str = ""


def check(launch: Launch, emit: Callable[[Step], None]) -> list[Step]:
    """Try every rule on the adapter, and return what came of each; `emit` gets each as soon as it is known.

    Raises `UndoFailed` where something of the adapter could not be removed.
    """
    steps: list[Step] = []
    failed_gate = ""
    with bench(launch) as prepared:
        for rule in _rules(prepared):
            step = Step(rule.name, "SKIP", f"cannot be tried: {failed_gate}") if failed_gate else _try(rule, prepared)
            if rule.gate and step.status == "FAIL":
                failed_gate = f"it is not so that {rule.name}"
            steps.append(step)
            emit(step)
    return steps


def _try(rule: Rule, bench: Bench) -> Step:
    try:
        return Step(rule.name, "PASS", rule.examine(bench))
    except NotOffered as reason:
        return Step(rule.name, "SKIP", str(reason))
    except UndoFailed:
        raise
    except BigfiveError as error:
        return Step(rule.name, "FAIL", f"{error}. The protocol says: {rule.says}")


def _rules(bench: Bench) -> Iterator[Rule]:
    """Yield the rules in their order; what contracts there are is known by the time it matters."""
    yield from BEFORE
    yield from (rule for name in _contracts(bench) for rule in OPERATIONS.get(name, ()))
    yield from FAULTS
    if bench.recovered:
        yield from (rule for name in _contracts(bench) for rule in AFTER_KILL.get(name, ()))
    yield from AFTER


def _contracts(bench: Bench) -> list[str]:
    return bench.description.contracts if bench.description else []


def _hello(bench: Bench) -> str:
    bench.host().greet()
    return ""


def _other_version(bench: Bench) -> str:
    process = bench.spawn("host")
    answer = process.call("hello", {"protocol": PROTOCOL + 1, "role": "host"}, HELLO_PATIENCE_S)
    if answer.outcome == "ok":
        raise TargetFailed(f"hello with protocol {PROTOCOL + 1} was answered ok: {answer.result}")
    _leave(process)
    return f"answered {answer.outcome}"


def _describes(bench: Bench) -> str:
    description = bench.description = bench.describe()
    if not description.contracts or not set(description.contracts) <= CONTRACTS.keys():
        raise TargetFailed(f"contracts are {description.contracts}; known are {', '.join(CONTRACTS)}")
    runners = [runner for runner in RUNNERS.all() if set(runner.contracts) & set(description.contracts)]
    known = {name: kind for runner in runners for name, kind in runner.handles.items()}
    for name, handle in description.handles.items():
        if known.get(name, handle.type) != handle.type:
            raise TargetFailed(f"the handle {name!r} is a {handle.type}; scenarios take it for a {known[name]}")
    unknown = description.handles.keys() - known.keys()
    return f"no runner knows the handles {', '.join(sorted(unknown))}" if unknown else ""


def _host_refuses(bench: Bench) -> str:
    return _refuses(bench.host())


def _starts(bench: Bench) -> str:
    bench.connect = bench.start(bench.host(), bench.target)
    return ""


def _says_where(bench: Bench) -> str:
    before, now = bench.description, bench.describe()
    if before is None or _offered(now) != _offered(before):
        raise TargetFailed(f"before `start` it was {before and _offered(before)}, now it is {_offered(now)}")
    missing = [name for name, handle in now.handles.items() if not handle.there]
    for name, handle in now.handles.items():
        if name not in missing:
            _check_handle(name, handle)
    return f"not there yet: {', '.join(missing)}" if missing else ""


def _offered(description: Description) -> dict[str, object]:
    types = {name: handle.type for name, handle in description.handles.items()}
    return {"contracts": description.contracts, "handles": types, "events": description.events}


def _check_handle(name: str, handle: Handle) -> None:
    """Raise `TargetFailed` unless the handle leads to something of its type."""
    path = Path(handle.path or "")
    found = {
        "process": lambda: handle.pid is not None and _lives(handle.pid),
        "file": lambda: path.is_absolute() and path.is_file(),
        "folder": lambda: path.is_absolute() and path.is_dir(),
        "link": lambda: _listens(handle.address or ""),
    }
    if not found[handle.type]():
        place = handle.pid or handle.path or handle.address
        raise TargetFailed(f"the {handle.type} {name!r} is said to be {place!r}, and there is no such {handle.type}")


def _lives(pid: int) -> bool:
    try:
        return Process.of(pid).alive()
    except ProcessLookupError:
        return False


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER_PATIENCE_S).close()
    except (OSError, ValueError):
        return False
    return True


def _keeps_label(bench: Bench) -> str:
    pids = [handle.pid for handle in bench.describe().handles.values() if handle.pid is not None]
    for pid in pids:
        if not carries(pid, bench.label):
            raise TargetFailed(f"process {pid} ({command_line(pid)}) has no BIGFIVE_LABEL={bench.label}")
    return ""


def _keeps_below_folder(bench: Bench) -> str:
    for name, handle in bench.describe().handles.items():
        if handle.path is not None and not Path(handle.path).resolve().is_relative_to(bench.target.resolve()):
            raise TargetFailed(f"{name!r} is {handle.path}, which is not below {bench.target}")
    return ""


def _opens(bench: Bench) -> str:
    for _ in range(2):
        bench.open(bench.spawn("client"))
    return ""


def _probes(bench: Bench) -> str:
    for client in bench.clients:
        bench.ask(client, "probe", {})
    return ""


def _answers_in_order(bench: Bench) -> str:
    client = bench.clients[0]
    asked = [client.send("probe", {}) for _ in range(_PIPELINED)]
    answered: list[int] = []
    while len(answered) < len(asked):
        if not select.select([client], [], [], ANSWER_PATIENCE_S)[0]:
            raise TimedOut(f"the answers to requests {asked}, sent at once", ANSWER_PATIENCE_S, f"answers {answered}")
        answered += [message.id for message in client.receive() if isinstance(message, Answer)]
    if answered != asked:
        raise TargetFailed(f"requests {asked} were answered in the order {answered}")
    return ""


def _client_refuses(bench: Bench) -> str:
    return _refuses(bench.clients[0])


def _refuses(process: AdapterProcess) -> str:
    answer = process.call("no_such_operation", {}, ANSWER_PATIENCE_S)
    if answer.outcome == "ok":
        raise TargetFailed(f"`no_such_operation` was answered ok: {answer.result}")
    return f"answered {answer.outcome}"


def _opens_while_down(bench: Bench) -> str:
    with bench.service_paused():
        bench.open(bench.spawn("client"))
    _await_probe(bench)
    return ""


def _answers_while_down(bench: Bench) -> str:
    with bench.service_paused():
        answer = bench.call(bench.clients[0], "probe")
    _await_probe(bench)
    return f"answered {answer.outcome} while the service was paused"


def _comes_back(bench: Bench) -> str:
    killed = bench.kill_service()
    _await_probe(bench)
    what = f"`describe` to say the pid of the service that follows {killed}"
    until(lambda: bench.service().handle["pid"] not in {None, killed}, what, _RECOVERY_PATIENCE_S)
    bench.recovered = True
    return ""


def _await_probe(bench: Bench) -> None:
    what = "good probes of all clients"
    until(lambda: all(bench.call(each, "probe").outcome == "ok" for each in bench.clients), what, _RECOVERY_PATIENCE_S)


def _reports(bench: Bench) -> str:
    declared = set(bench.describe().events)
    if undeclared := {event.event for event in bench.events} - declared:
        raise TargetFailed(f"events that `describe` does not name: {', '.join(sorted(undeclared))}")
    if bench.strays:
        raise TargetFailed(f"a client sent the event {bench.strays[0].event!r}")
    return f"seen: {', '.join(sorted({event.event for event in bench.events})) or 'none'}"


def _closes(bench: Bench) -> str:
    for client in bench.clients:
        bench.ask(client, "close", {})
    return ""


def _clients_leave(bench: Bench) -> str:
    for client in bench.clients:
        _leave(client)
    return ""


def _stops(bench: Bench) -> str:
    bench.ask(bench.host(), "stop", {}, _STOP_PATIENCE_S)
    left = [process for process in labelled(bench.label) if process.pid != bench.host().process.pid]
    if left:
        named = ", ".join(f"{process.pid} ({command_line(process.pid)})" for process in left)
        raise TargetFailed(f"after `stop` these processes are left: {named}")
    return ""


def _host_leaves(bench: Bench) -> str:
    _leave(bench.host())
    return ""


def _cleans_up(bench: Bench) -> str:
    """The harness may die at any moment; then the end of its input is all that an adapter hears."""
    host = bench.spawn("host")
    host.greet()
    bench.start(host, bench.target.with_name("again"))
    _leave(host)
    left = [command_line(process.pid) for process in labelled(bench.label)]
    if left:
        raise TargetFailed(f"the input ended without `stop`, and these processes are left: {', '.join(left)}")
    return ""


def _leave(process: AdapterProcess) -> None:
    """End the input of an adapter process. Raises `TargetFailed` where it does not leave by itself."""
    process.close()
    if process.process.returncode == -signal.SIGKILL:
        raise TargetFailed(f"the {process.role} did not exit at the end of its input and had to be killed")


_NOT_OFFERED = "an operation that is not offered is answered with `fail` or `info`"
_WHERE = "`describe` is asked before `start` (names and types) and again before each fault (where things are *now*)"
_LABEL = "`label` is in the environment as BIGFIVE_LABEL too and must stay there for children"
_END = "End of input means: clean up, exit."

BEFORE = (
    Rule("hello is answered", '{"protocol": 1, "role": "host" | "client"} -> {"protocol": 1}', _hello, gate=True),
    Rule("another protocol is refused", "must be answered with the same protocol version", _other_version),
    Rule(
        "describe is answered before start",
        '{"name", "contracts": [..], "handles": {name: handle}, "events": [..], "failpoints": [..]}',
        _describes,
        gate=True,
    ),
    Rule("the host refuses what it does not offer", _NOT_OFFERED, _host_refuses),
    Rule("the system starts", '{"connect": anything} ready to serve; passed on to clients', _starts, gate=True),
    Rule("describe says where things are", _WHERE, _says_where),
    Rule("its processes carry the label", _LABEL, _keeps_label),
    Rule("what it keeps is in the folder", "whatever the system keeps goes below it", _keeps_below_folder),
    Rule("two clients open", '{"connect", "client", "timeout_s"} -> {}', _opens, gate=True),
    Rule("a probe is ok", "a cheap real operation; ok only if the system serves", _probes, gate=True),
    Rule("answers come in order", "Requests are answered in order, one at a time", _answers_in_order),
    Rule("a client refuses what it does not offer", _NOT_OFFERED, _client_refuses),
)

FAULTS = (
    Rule("a client opens while the system is down", "must succeed even while the system is down", _opens_while_down),
    Rule("no call outlasts its timeout", "No call may take longer than `timeout_s`", _answers_while_down),
    Rule("the service comes back from kill -9", "Restarting a killed service is the target's own job.", _comes_back),
)

AFTER = (
    Rule("events are declared, and the host's", "at any time, host role only", _reports),
    Rule("close is answered", "close {} -> {}", _closes),
    Rule("clients leave when their input ends", _END, _clients_leave),
    Rule("stop leaves nothing behind", "what it made outside `folder` is gone", _stops),
    Rule("the host leaves when its input ends", _END, _host_leaves),
    Rule("the end of input is enough to clean up", _END, _cleans_up),
)
