"""What a dataclass looks like in YAML: its JSON Schema, walked by path and put into words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import PydanticSerializationError

Kind = TypeVar("Kind")
Json = dict[str, Any]

_CONFIG = ConfigDict(
    strict=True,
    extra="forbid",
    allow_inf_nan=False,
    alias_generator=lambda name: name.rstrip("_"),
)
_DOCUMENTED = ConfigDict(**_CONFIG, use_attribute_docstrings=True)  # reads the source: slow
_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
# JSON Schema's names of bounds, and pydantic's where a type of ours has a form of its own (a duration above 0).
_BOUNDS = {
    "minimum": "of at least {}",
    "ge": "of at least {}",
    "maximum": "of at most {}",
    "le": "of at most {}",
    "exclusiveMinimum": "above {}",
    "gt": "above {}",
    "exclusiveMaximum": "below {}",
    "lt": "below {}",
    "minLength": "of {} or more characters",
    "maxLength": "of at most {} characters",
    "minItems": "of {} or more items",
    "maxItems": "of at most {} items",
}
_adapters: dict[type[Any], TypeAdapter[Any]] = {}
_shapes: dict[type[Any], Shape] = {}


class JsonSchemas(GenerateJsonSchema):
    """Leaves out, silently, the defaults that have no form in YAML."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing of a default that is left out."""

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401  whatever a field may have
        """Return a default as it would be written in a scenario: most of our types have a text of their own."""
        if any("__str__" in vars(base) for base in type(dft).__mro__[:-1]):
            return str(dft)
        if is_dataclass(dft):
            raise PydanticSerializationError("its members have defaults of their own")
        return super().encode_default(dft)


class Shape:
    """A JSON Schema, or a part of one."""

    def __init__(self, schema: Json, definitions: Json) -> None:
        name = schema.get("$ref", "").rpartition("/")[2]
        self.schema: Json = {**definitions.get(name, {}), **schema}
        self._definitions = definitions
        if len(self.branches) == 1:
            self.schema = {**self.branches[0].schema, **self.schema}
            del self.schema["anyOf"]

    def at(self, path: Iterable[int | str]) -> Shape:
        """Return the part that describes the value at `path`; an empty one where nothing is said of it."""
        found = self
        for step in path:
            found = found.inside(step)
        return found

    def inside(self, step: int | str) -> Shape:
        """Return the part that describes a member or an item."""
        if isinstance(step, int):
            return Shape(self.schema.get("items", {}), self._definitions)
        others = (self.schema.get("additionalProperties"), *self.schema.get("patternProperties", {}).values())
        other = next((other for other in others if isinstance(other, dict)), {})
        return Shape(self.schema.get("properties", {}).get(step, other), self._definitions)

    @property
    def members(self) -> list[str]:
        """Names of the members of a mapping."""
        return list(self.schema.get("properties", ()))

    @property
    def branches(self) -> list[Shape]:
        """What it may be, if more than one thing. Null is none of them: who has no value leaves out the member."""
        branches = (Shape(branch, self._definitions) for branch in self.schema.get("anyOf", ()))
        return [branch for branch in branches if branch.schema.get("type") != "null"]

    @property
    def purpose(self) -> str:
        """First sentence of its documentation, to go on with in mid-sentence."""
        first = str(self.schema.get("description", "")).partition(". ")[0].strip().removesuffix(".")
        return first[:1].lower() + first[1:]

    @property
    def is_text(self) -> bool:
        """Whether it takes text only."""
        return self.schema.get("type") == "string"

    def describe(self) -> str:
        """Say what it accepts: `a whole number from 1 to 200`."""
        if branches := self.branches:
            return " or ".join(dict.fromkeys(branch.describe() for branch in branches))
        if values := self.schema.get("enum", [self.schema["const"]] if "const" in self.schema else []):
            return f"{'one of ' if len(values) > 1 else ''}{', '.join(map(repr, values))}"
        if examples := self.schema.get("examples"):
            return f"a value{self._bounds()} such as {examples[0]}"
        return _WORDS.get(self.schema.get("type", ""), "another value") + self._bounds()

    def _bounds(self) -> str:
        if self.schema.keys() >= {"minimum", "maximum"}:
            return f" from {self.schema['minimum']} to {self.schema['maximum']}"
        parts = [words.format(self.schema[name]) for name, words in _BOUNDS.items() if name in self.schema]
        return f" {' and '.join(parts)}" if parts else ""


def adapter(kind: type[Kind]) -> TypeAdapter[Kind]:
    """Return the validator of a dataclass."""
    if kind not in _adapters:
        _adapters[kind] = _configured(kind, _CONFIG)
    return _adapters[kind]


def shape(kind: type[Any]) -> Shape:
    """Return the shape of a dataclass."""
    if kind not in _shapes:
        schema = _configured(kind, _DOCUMENTED).json_schema(schema_generator=JsonSchemas)
        for base in filter(is_dataclass, kind.__bases__):  # pydantic reads the docstrings of the class itself only
            for name, member in shape(base).schema.get("properties", {}).items():
                schema["properties"][name] = {**member, **schema["properties"][name]}
        _shapes[kind] = Shape(schema, schema.get("$defs", {}))
    return _shapes[kind]


def members(kind: type[Any]) -> list[str]:
    """Return the names that the fields of a dataclass have in YAML."""
    return [field.name.rstrip("_") for field in fields(kind)]


def _configured(kind: type[Kind], config: ConfigDict) -> TypeAdapter[Kind]:
    """Return a new adapter: pydantic takes the configuration of a dataclass from the class, once."""
    type.__setattr__(kind, "__pydantic_config__", config)
    return TypeAdapter(kind)
