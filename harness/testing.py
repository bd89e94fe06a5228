"""For authors of plug-ins and adapters: a clock to hold in the hand, and tests of every contract.

    from harness.testing import check_fault

    def test_my_fault_keeps_its_contract() -> None:
        check_fault("disk.slow", delay="20ms")

Parameters are given as in YAML; required ones without a value get an example. What breaks a contract is an
`AssertionError` that says why it matters. `check_fault` really injects, into a file, folder or process of its own, and
`check_adapter` really starts the adapter; both leave nothing behind.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import pickle
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, get_args

import msgspec
from pydantic import ValidationError

from harness import seeds
from harness.adapter import Launch
from harness.adapter_check import Step
from harness.adapter_check import check as check_every_rule
from harness.checks._base import Verdict
from harness.clock import NS_PER_S
from harness.engine.observers import OBSERVERS
from harness.record import AnyEvent, Record, RunBegan, RunEnded, TrialSpec, WorkloadBegan
from harness.registry import CHECKS, FAULTS, RUNNERS, Registry
from harness.runners._base import Call, Reply, Until
from harness.scenario._shapes import adapter, shape
from harness.testing_faults import check_life
from harness.units import Rate
from harness.wire import CONTRACTS, HandleType, Json, Outcome

_WORLD = {"asyncio", "datetime", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}
_QUANTITY = re.compile(r"(^|_)(s|ms|us|ns|bytes|kb|mb|timeout|duration|delay|interval|period|size|budget)$")
_CALLS = 200
_MANY_CALLS = 1_000_000


class FakeClock:
    """A clock that stands still until it is told to `advance` (see `harness.clock.Clock`)."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_ns = 0

    def monotonic_ns(self) -> int:
        """Nanoseconds that it was advanced by."""
        return self._elapsed_ns

    def utc_now(self) -> datetime:
        """Where it started, plus what it was advanced by."""
        return self._start + timedelta(microseconds=self._elapsed_ns // 1000)

    def advance(self, duration_s: float) -> None:
        """Let time pass; never backwards."""
        if duration_s < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-duration_s} s")
        self._elapsed_ns += round(duration_s * NS_PER_S)


def check_fault(kind: str, *, living: bool = False, **parameters: object) -> None:
    """Hold a fault to `harness.faults._base`. Raises `EnvironmentLacks` where this machine lacks what it `needs`.

    With `living` it acts on a file that a process appends to meanwhile: for a fault that waits for a write.
    """
    plugin, fault = _built(FAULTS, kind, parameters)
    types = get_args(HandleType)
    _demand(plugin.on is None or plugin.on in types, f"{kind}: `on` is {plugin.on!r}; it may be None or one of {types}")
    _demand(isinstance(plugin.lasts, bool), f"{kind}: `lasts` must say whether it is held and undone (True) or damage")
    check_life(fault, living=living)


def check_check(kind: str, **parameters: object) -> None:
    """Hold a check to `harness.checks._base`."""
    plugin, check = _built(CHECKS, kind, parameters)
    names = [field.name for field in dataclasses.fields(plugin)]
    known = plugin.shorthand is None or plugin.shorthand in names
    _demand(known, f"{kind}: `shorthand` is {plugin.shorthand!r}, which is none of its fields {names}")
    unknown = set(plugin.observes) - OBSERVERS.keys()
    _demand(not unknown, f"{kind}: observes {sorted(unknown)}, which nobody samples; there are {sorted(OBSERVERS)}")
    touched = _imported(sys.modules[plugin.__module__]) & _WORLD
    _demand(not touched, f"{kind}: imports {sorted(touched)}; `judge` must be pure, or old runs cannot be judged again")
    for events in ((), _uneventful()):
        _check_judgment(kind, check, Record(_SPEC, list(events), [], []))


def check_runner(kind: str, **parameters: object) -> None:
    """Hold a runner to `harness.runners._base`, with answers of every outcome."""
    plugin, runner = _built(RUNNERS, kind, parameters)
    for contract in (*plugin.contracts, runner.contract):
        _demand(contract in CONTRACTS, f"{kind}: contract {contract!r} is none of {sorted(CONTRACTS)}")
    _demand(runner.contract in plugin.contracts, f"{kind}: drives {runner.contract}, which is not in `contracts`")
    operations, types = CONTRACTS[runner.contract], get_args(HandleType)
    for name, handle in plugin.handles.items():
        _demand(handle in types, f"{kind}: handle {name!r} is a {handle!r}; it may be one of {types}")
    odd = {name for name in plugin.client_handles if plugin.handles.get(name) != "process"}
    _demand(not odd, f"{kind}: `client_handles` must name handles of type process, not {odd}")
    foreign = set(runner.writes) - operations.keys()
    _demand(runner.writes and not foreign, f"{kind}: `writes` must name operations of {runner.contract}, not {foreign}")
    _demand(runner.clients >= 1, f"{kind}: {runner.clients} clients do no work")
    _demand(isinstance(runner.rate, Rate) and runner.rate > 0, f"{kind}: `rate` must be a Rate above 0")
    _demand(isinstance(runner.until, Until), f"{kind}: `until` must be an Until")
    _demand(pickle.loads(pickle.dumps(runner)) == runner, f"{kind}: is sent to the recorder by pickle")  # noqa: S301
    _check_conversation(plugin, runner)
    _check_final(kind, runner)


def check_adapter(launch: Launch) -> list[Step]:
    """Hold an adapter to `harness.wire`, by every rule of `bigfive adapter check`; return what came of each."""
    steps = check_every_rule(launch, lambda _step: None)
    failed = "\n".join(f"{step.name}: {step.detail}" for step in steps if step.status == "FAIL")
    _demand(not failed, failed)
    return steps


def example(registry: Registry, kind: str) -> Json:
    """Return an example of every required parameter of a plug-in, as in YAML."""
    described = shape(registry.get(kind))
    return {name: _example(kind, name, described.at([name]).schema) for name in described.schema.get("required", ())}


def _example(kind: str, name: str, schema: Json) -> Any:  # noqa: ANN401  any value of YAML
    for given in ("examples", "enum", "const", "minimum"):
        if given in schema:
            return schema[given][0] if isinstance(schema[given], list) else schema[given]
    simplest = {"integer": 1, "number": 1.0, "string": "x", "boolean": True, "array": [], "object": {}}
    known = schema.get("type") in simplest
    _demand(known, f"{kind}: no example can be made up for `{name}`; give it a value: check_…({kind!r}, {name}=…)")
    return simplest[schema["type"]]


def _built(registry: Registry, kind: str, parameters: Json) -> tuple[Any, Any]:
    """Return the class of a plug-in, its form checked, and one of its kind with these parameters."""
    plugin = registry.get(kind)
    _demand(plugin.kind == kind, f"{plugin.__name__} is registered as {plugin.kind!r} too, not only as {kind!r}")
    _check_form(plugin)
    written = json.dumps({**example(registry, kind), **parameters})
    try:
        built = adapter(plugin).validate_json(written)
    except ValidationError as error:
        _fail(f"{kind} cannot be built from {written}, as a scenario would: {error}")
    return plugin, built


def _check_form(plugin: Any) -> None:  # noqa: ANN401
    kind = plugin.kind
    _demand(dataclasses.is_dataclass(plugin), f"{kind}: must be a dataclass; its fields are the members of the YAML")
    _demand(plugin.__dataclass_params__.frozen, f"{kind}: must be frozen; one object serves every occurrence")
    undocumented = not plugin.__doc__ or plugin.__doc__.startswith(f"{plugin.__name__}(")
    _demand(not undocumented, f"{kind}: the class needs a docstring; `bigfive explain {kind}` shows it")
    for name, method in inspect.getmembers(plugin, inspect.isfunction):
        public = not name.startswith("_")
        _demand(not public or method.__doc__, f"{kind}: `{name}` needs a docstring that says exactly what it promises")
    described = shape(plugin)
    for field in dataclasses.fields(plugin):
        _demand(field.kw_only, f"{kind}: `{field.name}` must be keyword-only (kw_only=True); YAML knows no positions")
        part = described.at([field.name.rstrip("_")]).schema
        _demand(part.get("description"), f"{kind}: `{field.name}` needs a docstring on the line below it")
        bare = {"integer", "number"} & {branch.get("type") for branch in (part, *part.get("anyOf", ()))}
        unit = "is a bare number; make it a type of `harness.units`, so that nobody has to guess its unit"
        _demand(not (bare and _QUANTITY.search(field.name)), f"{kind}: `{field.name}` {unit}")


def _check_judgment(kind: str, check: Any, record: Record) -> None:  # noqa: ANN401
    before = msgspec.json.encode(record.events)
    verdict, again = check.judge(record), check.judge(record)
    _demand(isinstance(verdict, Verdict), f"{kind}: `judge` must return a Verdict, not {verdict!r}")
    _demand(verdict == again, f"{kind}: judged one record twice and said {verdict} and {again}; it must be pure")
    _demand(before == msgspec.json.encode(record.events), f"{kind}: `judge` must not change the record")
    unknown = f"{kind}: nothing happened in this record, so nothing is proven: the verdict must be UNKNOWN"
    _demand(verdict.status == "UNKNOWN", f"{unknown}, not {verdict.status} ({verdict.summary})")
    _demand(verdict.summary.strip(), f"{kind}: a verdict needs a summary that people can read")


def _check_conversation(plugin: Any, runner: Any) -> None:  # noqa: ANN401
    kind = plugin.kind
    first = list(itertools.islice(_talk(runner, 0, 1), _CALLS))
    _demand(len(first) == _CALLS, f"{kind}: a client stopped after {len(first)} calls; the recorder says when to stop")
    again = list(itertools.islice(_talk(runner, 0, 1), _CALLS))
    _demand(first == again, f"{kind}: the same seed and the same answers led to other calls; draw from `rng` only")
    _demand(first[0].after_s is None, f"{kind}: the first call must wait for its slot; the rate is kept by slots")
    for call in first:
        _check_call(kind, runner, call)
        pause, role = call.after_s or 0.0, call.role or "client"
        _demand(pause >= 0, f"{kind}: {call.op!r} cannot be sent {-pause} s before the answer that it follows")
        _demand(role in plugin.client_handles, f"{kind}: role {role!r} is none of its client handles")


def _talk(runner: Any, client: int, seed: int) -> Iterator[Call]:  # noqa: ANN401
    """Yield what a client asks when the answers are drawn from a seed: done, refused or unknown."""
    answers = seeds.stream(seed, "answers")
    conversation = runner.converse(client, seeds.stream(seed, "client", client))
    call = next(conversation, None)
    while call is not None:
        yield call
        outcome: Outcome = answers.choice(["ok", "ok", "fail", "info"])
        returns = CONTRACTS[runner.contract][call.op].returns if outcome == "ok" else ()
        try:
            call = conversation.send(Reply(outcome, {name: answers.randrange(5) for name in returns}))
        except StopIteration:
            return


def _check_call(kind: str, runner: Any, call: Call) -> None:  # noqa: ANN401
    operation = CONTRACTS[runner.contract].get(call.op)
    if operation is None:
        _fail(f"{kind}: {call.op!r} is no operation of {runner.contract}")
    given, needed = call.args.keys(), set(operation.arguments)
    fits = needed <= given <= needed | set(operation.optional)
    allowed = f"{', '.join(operation.arguments)} and may have {', '.join(operation.optional) or 'nothing else'}"
    _demand(fits, f"{kind}: {call.op!r} was called with {', '.join(given)}; it takes {allowed}")
    back = json.loads(json.dumps(call.args))
    _demand(back == call.args, f"{kind}: the arguments of {call.op!r} do not survive JSON: {call.args}")


def _check_final(kind: str, runner: Any) -> None:  # noqa: ANN401
    final = list(itertools.islice(runner.final(), _MANY_CALLS))
    _demand(len(final) < _MANY_CALLS, f"{kind}: `final` never ends")
    _demand(final == list(runner.final()), f"{kind}: `final` must ask the same every time")
    for call in final:
        _check_call(kind, runner, call)
        _demand(call.op not in runner.writes, f"{kind}: `final` writes ({call.op}); it must only look at the end state")


def _imported(module: object) -> set[str]:
    """Return the top-level names of what a module's own source imports."""
    nodes = list(ast.walk(ast.parse(inspect.getsource(module))))  # type: ignore[arg-type]
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    members = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in (*plain, *members)}


_SPEC = TrialSpec(scenario="nothing", source="nothing.yaml", root_seed=0, seed=0, label="nothing")


def _uneventful() -> Sequence[AnyEvent]:
    return RunBegan(t=1, environment={}), WorkloadBegan(t=2), RunEnded(t=3, left=[])


def _demand(condition: object, message: str) -> None:
    if not condition:
        _fail(message)


def _fail(message: str) -> NoReturn:
    raise AssertionError(message)
