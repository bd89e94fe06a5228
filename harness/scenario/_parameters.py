"""`${name}` placeholders: where their values come from, and filling them in."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping as Values
from dataclasses import dataclass, replace
from typing import Any

from harness.scenario._problems import Problems, ScenarioErrors, nearest
from harness.scenario._tree import Mapping, Member, Node, Scalar, Sequence
from harness.scenario._yaml import parse

MOST_VARIANTS = 1000

# They name the scenario and define the values, so they mean the same in every variant.
_FIXED_MEMBERS = {"scenario", "params", "matrix"}
_PLACEHOLDER = re.compile(r"\$(\$?)\{\s*([^{}]*?)\s*\}")


@dataclass(frozen=True)
class Choice:
    """One combination of values; `name` tells it from the others of the matrix."""

    name: str
    values: dict[str, Scalar]

    @property
    def params(self) -> dict[str, Any]:
        """The values as Python has them."""
        return {name: value.data for name, value in self.values.items()}


def choices(root: Mapping, overrides: Values[str, str], problems: Problems) -> list[Choice]:
    """Return one choice for every combination of `matrix`, on top of `params`; overrides pin either to one value."""
    fixed = {name: _known(value) for name, value in _members(root, "params").items()}
    axes = {name: _axis(value) for name, value in _members(root, "matrix").items()}
    _check(root, fixed, axes, problems)
    for name, text in overrides.items():
        value = _override(name, text, [*fixed, *axes], problems)
        if name in axes:
            axes[name] = [value]
        else:
            fixed[name] = value
    combinations = itertools.islice(itertools.product(*axes.values()), MOST_VARIANTS)
    return [_choice(fixed, dict(zip(axes, values, strict=True))) for values in combinations]


def fill(root: Mapping, values: Values[str, Scalar], problems: Problems) -> Mapping:
    """Return the tree with every placeholder filled in, at the positions of the placeholders.

    A text that is nothing but a placeholder takes the type of the value; `$${name}` stands for the text `${name}`.
    """
    filled = {
        name: member if name in _FIXED_MEMBERS else Member(member.key, _fill(member.value, values, problems))
        for name, member in root.members.items()
    }
    return replace(root, members=filled)


def _members(root: Mapping, name: str) -> dict[str, Node]:
    """Return the members of a member; its form is checked with the rest of the file."""
    node = root.get(name)
    return {key: member.value for key, member in node.members.items()} if isinstance(node, Mapping) else {}


def _axis(node: Node) -> list[Scalar]:
    return [_known(item) for item in node.items] if isinstance(node, Sequence) and node.items else [_known(node)]


def _known(node: Node) -> Scalar:
    """Return a single value as it is, and a hole for anything else, which is reported where it stands."""
    if isinstance(node, Scalar) and node.data is not None:
        return node
    return Scalar(line=node.line, column=node.column, where=node.where, text="", hole=True)


def _check(root: Mapping, fixed: Values[str, Scalar], axes: Values[str, list[Scalar]], problems: Problems) -> None:
    matrix = root.get("matrix")
    for name, values in axes.items():
        if name in fixed:
            problems.add(values[0], f"{name!r} is in `params` too, keep one of them")
        texts = Counter(value.text for value in values)
        for value in {value.text: value for value in values if texts[value.text] > 1}.values():
            problems.add(value, "given twice", value.shown)
    if matrix and (count := math.prod(map(len, axes.values()))) > MOST_VARIANTS:
        problems.add(matrix, f"expected at most {MOST_VARIANTS} combinations", str(count))


def _override(name: str, text: str, known: list[str], problems: Problems) -> Scalar:
    place = Scalar(line=1, column=1, where=f"-p {name}", text=text)
    if name not in known:
        problems.add(place, "the scenario has no such parameter", suggestion=nearest(name, known))
    try:
        value = parse(text, Problems(problems.file))
    except ScenarioErrors:
        value = None
    if not isinstance(value, Scalar) or value.data is None:
        problems.add(place, "expected one value as in YAML (quotes make a text of it)", repr(text))
        return replace(place, hole=True)
    return value


def _choice(fixed: Values[str, Scalar], varied: Values[str, Scalar]) -> Choice:
    return Choice(",".join(f"{name}={value.text}" for name, value in varied.items()), {**fixed, **varied})


def _fill(node: Node, values: Values[str, Scalar], problems: Problems) -> Node:
    if isinstance(node, Mapping):
        members = node.members.items()
        filled = {name: Member(member.key, _fill(member.value, values, problems)) for name, member in members}
        return replace(node, members=filled)
    if isinstance(node, Sequence):
        return replace(node, items=tuple(_fill(item, values, problems) for item in node.items))
    return _filled(node, values, problems) if "${" in node.text else node


def _filled(node: Scalar, values: Values[str, Scalar], problems: Problems) -> Scalar:
    names = [match[2] for match in _PLACEHOLDER.finditer(node.text) if not match[1]]
    if unknown := [name for name in names if name not in values]:
        for name in unknown:
            problems.add(node, "no such parameter", f"${{{name}}}", nearest(name, values))
        return replace(node, hole=True)
    if any(values[name].hole for name in names):
        return replace(node, hole=True)
    origin = names[0] if names else ""
    if (whole := _PLACEHOLDER.fullmatch(node.text)) and names:
        return replace(values[whole[2]], line=node.line, column=node.column, where=node.where, origin=origin)
    text = _PLACEHOLDER.sub(lambda match: match[0][1:] if match[1] else values[match[2]].text, node.text)
    return replace(node, text=text, plain=False, origin=origin)
