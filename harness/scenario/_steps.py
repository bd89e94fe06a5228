"""The faults of a scenario: the members that all faults share, and how they fit the kind and the target."""

from __future__ import annotations

from typing import Any

from harness.registry import FAULTS
from harness.runners._base import Runner
from harness.scenario._build import build, is_missing, misspelt, plugin
from harness.scenario._problems import Problems, nearest
from harness.scenario._shapes import members
from harness.scenario._tree import Mapping, Node, Scalar, clip
from harness.scenario._written import MOMENT, START, TRIGGERS, Step
from harness.scenario.model import FaultStep
from harness.scenario.triggers import AtTime, Trigger

_SHARED = frozenset(members(Step))


def fault_step(node: Node, runner: type[Runner] | None, problems: Problems) -> FaultStep | None:
    """Return one item of `faults`, or None after its problems were added; handles are checked against the runner."""
    if not isinstance(node, Mapping):
        problems.add(node, "expected a mapping with at least `fault`", node.shown)
        return None
    node = _with_kind(node, problems)
    step = build(Step, node.only(_SHARED - {"at"}), problems)
    trigger = _trigger(node, problems)
    kind = plugin(FAULTS, node.get("fault"), problems)
    _check_times(node, problems)
    if kind is None:
        return None
    parameters = build(kind, node.without(_SHARED), problems, also=_SHARED)
    _check_handle(node, kind, runner, problems)
    _check_hold(node, kind, step, problems)
    if step is None or parameters is None or trigger is None:
        return None
    return FaultStep(
        at=trigger,
        kind=step.fault,
        on=step.on,
        parameters=parameters,
        hold_s=None if step.for_ is None else float(step.for_),
        every_s=None if step.every is None else float(step.every),
        times=step.times or 1,
    )


def _with_kind(node: Mapping, problems: Problems) -> Mapping:
    """Return `node`, with a hole as `fault` where only that name is misspelt."""
    if "fault" in node.members or not (wrong := misspelt("fault", node, _SHARED)):
        return node
    key = node.members[wrong].key
    problems.add(key, "unknown member", suggestion="fault")
    return node.adding("fault", Scalar(line=key.line, column=key.column, where=key.where, text="", hole=True))


def _trigger(node: Mapping, problems: Problems) -> Trigger | None:
    at = node.get("at")
    if at is None:
        return START
    if isinstance(at, Mapping):
        return _condition(at, problems)
    try:
        time: AtTime = MOMENT.parse(at.data)
    except ValueError as error:
        problems.add(at, str(error), at.shown)
        return None
    return time


def _condition(at: Mapping, problems: Problems) -> Trigger | None:
    named = next((name for name in TRIGGERS if name in at.members), None)
    if named is None:
        guess = next((guess for name in at.members if (guess := nearest(name, TRIGGERS))), None)
        got = clip(repr(", ".join(at.members)))
        problems.add(at, f"expected one of {', '.join(TRIGGERS)}", got, guess)
        return None
    written = build(TRIGGERS[named], at, problems)
    return written and written.trigger()


def _check_times(node: Mapping, problems: Problems) -> None:
    """A plan is finite: what is repeated says how often."""
    for given, needed in (("every", "times"), ("times", "every")):
        if given in node.members and is_missing(needed, node, _SHARED):
            problems.add(node.members[given].key, f"needs `{needed}` beside it")


def _check_handle(node: Mapping, kind: type[Any], runner: type[Runner] | None, problems: Problems) -> None:
    """Check `on` against the type that the fault acts on, and against the handles of the runner's contract."""
    on = node.get("on")
    if kind.on is None:
        if on is not None:
            problems.add(node.members["on"].key, f"{kind.kind} acts on nothing of the target")
        return
    handles = runner.handles if runner else {}
    fitting = [name for name, sort in handles.items() if sort == kind.on]
    choice = f" such as {', '.join(fitting)}" if fitting else ""
    if is_missing("on", node, {*_SHARED, *members(kind)}):
        problems.add(node.lacking("on"), f"missing ({kind.kind} acts on a {kind.on}{choice})")
    elif runner and isinstance(on, Scalar) and isinstance(on.data, str) and on.data not in fitting:
        guess = nearest(on.data, fitting)
        sort = f", a {handles[on.data]}" if on.data in handles else ""
        problems.add(on, f"expected a {kind.on}{'' if guess else choice}", f"{on.shown}{sort}", guess)


def _check_hold(node: Mapping, kind: type[Any], step: Step | None, problems: Problems) -> None:
    """Only what is undone can be held, and it must be undone before it comes again."""
    if not kind.lasts:
        if "for" in node.members:
            problems.add(node.members["for"].key, f"{kind.kind} is damage, which is never undone")
    elif "every" in node.members and is_missing("for", node, {*_SHARED, *members(kind)}):
        problems.add(node.members["every"].key, "needs `for` beside it, shorter than itself")
    elif step and step.every and step.for_ and step.for_ >= step.every:
        problems.add(node.members["for"].value, f"expected less than `every`, which is {step.every}", str(step.for_))
