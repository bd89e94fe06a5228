"""From the tree of a file to a scenario: each part by the plug-in that it names, and the rules between the parts."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from harness.registry import CHECKS, RUNNERS
from harness.scenario._build import build, is_missing, plugin
from harness.scenario._problems import Problems, nearest
from harness.scenario._shapes import members
from harness.scenario._steps import fault_step
from harness.scenario._tree import Mapping, Node, Scalar, Sequence, one_line
from harness.scenario._written import Document
from harness.scenario.model import Expectation, Frame, Scenario


def assemble(root: Mapping, problems: Problems) -> Scenario | None:
    """Return the scenario, or None after all its problems were added."""
    document = build(Document, root, problems)
    _check_system(root, problems)
    runner = plugin(RUNNERS, root.get("runner"), problems)
    workload = _workload(runner, root, problems)
    faults = [fault_step(node, runner, problems) for node in _items(root, "faults")]
    expect = [_expectation(node, problems) for node in _items(root, "expect")]
    _check_convicts(root, problems)
    if document is None or workload is None or None in faults or None in expect:
        return None
    return Scenario(
        **{field.name: getattr(document, field.name) for field in fields(Frame)},
        runner=document.runner,
        workload=workload,
        faults=tuple(filter(None, faults)),
        expect=tuple(filter(None, expect)),
    )


def _items(root: Mapping, name: str) -> tuple[Node, ...]:
    node = root.get(name)
    return node.items if isinstance(node, Sequence) else ()


def _check_system(root: Mapping, problems: Problems) -> None:
    """Exactly one thing is tested."""
    given = [root.members[name].key for name in ("target", "command") if name in root.members]
    known = members(Document)
    if len(given) > 1:
        problems.add(max(given, key=lambda key: key.line), "`target` and `command` exclude each other")
    elif not given and is_missing("target", root, known) and is_missing("command", root, known):
        problems.add(root.lacking("target"), "missing (the system under test: either this or `command`)")


def _workload(runner: type[Any] | None, root: Mapping, problems: Problems) -> Any:  # noqa: ANN401  the runner's
    if runner is None:
        return None
    node = root.get("workload")
    if node is None:
        place = root.lacking("workload")
        node = Mapping(line=place.line, column=place.column, where=place.where, members={})
    return build(runner, node, problems) if isinstance(node, Mapping) else None


def _expectation(node: Node, problems: Problems) -> Expectation | None:
    """Read `linearizable`, `recovered_within: 5s` or a check with its members."""
    key, value = node, None
    if isinstance(node, Mapping) and len(node.members) == 1:
        ((key, value),) = ((member.key, member.value) for member in node.members.values())
    if not isinstance(key, Scalar) or not isinstance(key.data, str):
        what = "expected the name of one check, alone or with its members indented below it"
        problems.add(node, what, f"{len(node.members)} names" if isinstance(node, Mapping) else node.shown)
        return None
    check = plugin(CHECKS, key, problems)
    written = _parameters(check, key, value, problems) if check else None
    parameters = build(check, written, problems) if check and written else None
    if parameters is None:
        return None
    asked = key.data if value is None or value.data is None else f"{key.data}: {one_line(value)}"
    return Expectation(kind=key.data, parameters=parameters, asked=asked)


def _parameters(check: type[Any], key: Scalar, value: Node | None, problems: Problems) -> Mapping | None:
    """Return the members of a check; a bare value is the member that the check says it is."""
    where = value.where if value else key.inside(key.text)
    none = Mapping(line=key.line, column=key.column, where=where, members={})
    if isinstance(value, Mapping):
        return value
    if value is None or (value.data is None and not value.hole):
        return none
    if check.shorthand is not None:
        return none.adding(check.shorthand, value)
    names = ", ".join(members(check))
    problems.add(value, f"expected members ({names})" if names else "expected nothing after it", value.shown)
    return None


def _check_convicts(root: Mapping, problems: Problems) -> None:
    """What a broken target is convicted by must be among what is checked."""
    convicts = [node for node in _items(root, "convicts") if isinstance(node, Scalar) and isinstance(node.data, str)]
    kinds = CHECKS.kinds() if convicts else []
    meant = {nearest(name, kinds) or name for node in _items(root, "expect") for name in _names(node)}
    for node in convicts:
        if node.data not in meant:
            problems.add(node, "is not in `expect`", node.shown, nearest(node.text, meant))


def _names(node: Node) -> list[str]:
    if isinstance(node, Mapping):
        return list(node.members)
    return [node.text] if isinstance(node, Scalar) else []
