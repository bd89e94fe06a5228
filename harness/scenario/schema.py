"""JSON Schema of scenario files, for editors: every fault, check and runner that is installed, with its documentation.

    python -m harness.scenario.schema > scenarios/schema.json

Kept to what draft 7 knows, which is what editors read. `harness.scenario.load` is stricter: it also knows the
parameters, the handles of the runner, and what must not stand beside each other.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable
from typing import Any

from harness.registry import CHECKS, FAULTS, RUNNERS
from harness.scenario._shapes import Json, Shape, shape
from harness.scenario._written import Document, Step

_NOISE = {"title", "$defs", "$ref", "gt", "ge", "lt", "le"}  # pydantic's, and resolved references
_DOCUMENTATION = ("description", "default", "examples")
_PLACEHOLDER = {"type": "string", "pattern": r"\$\{\s*[A-Za-z_][A-Za-z0-9_]*\s*\}"}
_TOGETHER = {"every": ["times"], "times": ["every"]}


def schema() -> Json:
    """Return the schema; it is the same as long as the same plug-ins are installed."""
    faults, checks, runners = list(FAULTS.all()), list(CHECKS.all()), list(RUNNERS.all())
    document = _draft7(shape(Document))
    members = document["properties"]
    members["runner"]["enum"] = [kind.kind for kind in runners]
    members["faults"]["items"] = {"anyOf": [*(_reference("fault", kind) for kind in faults), _any_fault()]}
    members["expect"]["items"] = {"anyOf": [form for kind in checks for form in _expectation_forms(kind)]}
    members["convicts"]["items"] = {"enum": [kind.kind for kind in checks]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "bigfive scenario",
        **document,
        "oneOf": [{"required": ["target"]}, {"required": ["command"]}],
        "allOf": [_workload_of(kind) for kind in runners],
        "definitions": {
            "placeholder": {"description": "Text with the value of a parameter in it.", **_PLACEHOLDER},
            **{f"step.{name}": _draft7(shape(Step).inside(name)) for name in shape(Step).members},
            **{f"fault.{kind.kind}": _fault(kind) for kind in faults},
            **{f"check.{kind.kind}": _documented(kind) for kind in checks},
            **{f"runner.{kind.kind}": _documented(kind) for kind in runners},
        },
    }


def text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _draft7(part: Shape) -> Json:
    """Return a part in the words of draft 7. A value that is no plain text may be a placeholder instead."""
    plain = _plain(part)
    if not plain.keys() - _DOCUMENTATION or plain.get("type") in {"object", "array"} or _takes_any_text(plain):
        return plain
    documentation = {name: plain.pop(name) for name in _DOCUMENTATION if name in plain}
    return {**documentation, "anyOf": [*plain.get("anyOf", [plain]), {"$ref": "#/definitions/placeholder"}]}


def _plain(part: Shape) -> Json:
    found = {name: value for name, value in part.schema.items() if name not in _NOISE and value is not None}
    if "properties" in found:
        found["properties"] = {name: _draft7(part.inside(name)) for name in part.members}
    if "items" in found:
        found["items"] = _draft7(part.inside(0))
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = _draft7(part.inside(""))
    if "patternProperties" in found:
        found["patternProperties"] = {name: _draft7(part.inside("")) for name in found["patternProperties"]}
    if "anyOf" in found:
        found["anyOf"] = [_plain(branch) for branch in part.branches]
    return found


def _takes_any_text(schema: Json) -> bool:
    return schema.get("type") == "string" and not schema.keys() & {"pattern", "enum", "const", "maxLength"}


def _documented(kind: type[Any]) -> Json:
    """Return the schema of a plug-in's members, with what the plug-in says of itself."""
    return {**_draft7(shape(kind)), "description": inspect.getdoc(kind)}


def _fault(kind: type[Any]) -> Json:
    """Return the schema of a fault: its own members, and those of every fault that make sense for it."""
    own = _documented(kind)
    senseless = {"fault"} | ({"on"} if kind.on is None else set()) | (set() if kind.lasts else {"for"})
    shared = {name: _reference_to(f"step.{name}") for name in shape(Step).members if name not in senseless}
    required = ["fault", *([] if kind.on is None else ["on"]), *own.get("required", ())]
    members = {"fault": {"const": kind.kind, "description": own["description"]}, **shared, **own["properties"]}
    return {**own, "properties": members, "required": required, "dependencies": _TOGETHER}


def _any_fault() -> Json:
    """Return the schema of a fault whose kind is a parameter's: its own members are known only when it is filled in."""
    shared = {name: _reference_to(f"step.{name}") for name in shape(Step).members}
    placeholder = {"fault": _reference_to("placeholder")}
    return {"type": "object", "properties": {**shared, **placeholder}, "required": ["fault"]}


def _expectation_forms(kind: type[Any]) -> Iterable[Json]:
    """Return the forms in which a check can be asked for: by its name alone, with a bare value, with its members."""
    part = shape(kind)
    with_members: list[Json] = [_reference("check", kind)]
    if not part.schema.get("required"):
        yield {"const": kind.kind, "description": inspect.getdoc(kind)}
        with_members.append({"type": "null"})
    if kind.shorthand is not None:
        with_members.insert(0, _draft7(part.inside(kind.shorthand)))
    yield {
        "type": "object",
        "properties": {kind.kind: {"anyOf": with_members, "description": inspect.getdoc(kind)}},
        "required": [kind.kind],
        "additionalProperties": False,
    }


def _workload_of(runner: type[Any]) -> Json:
    return {
        "if": {"properties": {"runner": {"const": runner.kind}}},
        "then": {"properties": {"workload": _reference("runner", runner)}},
    }


def _reference(noun: str, kind: type[Any]) -> Json:
    return _reference_to(f"{noun}.{kind.kind}")


def _reference_to(name: str) -> Json:
    return {"$ref": f"#/definitions/{name}"}


if __name__ == "__main__":
    sys.stdout.write(text())
