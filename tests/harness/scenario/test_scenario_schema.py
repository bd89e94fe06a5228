from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.scenario._problems import Problems as Collector
from harness.scenario._yaml import read
from harness.scenario.load import find, load
from harness.scenario.schema import schema

ROOT = Path(__file__).parents[3]
SCENARIOS = find([ROOT / "scenarios", ROOT / "scenarios" / "negative"])
DRAFT_7 = {
    *("$schema", "title", "description", "default", "examples", "definitions", "$ref", "type", "enum", "const"),
    *("properties", "patternProperties", "additionalProperties", "required", "dependencies", "items", "minItems"),
    *("maxItems", "uniqueItems", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum"),
    *("exclusiveMaximum", "multipleOf", "anyOf", "oneOf", "allOf", "if", "then", "format", "propertyNames"),
}

GOOD = """\
scenario: toy
feature: state
summary: A toy.
target: toys:adapter
runner: toy_runner
workload: {clients: "${n}", rate: "${n}/s"}
faults:
  - {at: 1s..2s, fault: toy.bite, on: state.json, crumbs: 1KiB}
  - {at: {event: x}, fault: toy.hold, on: service, for: 1s, every: 2s, times: 3}
expect: [toy_plain, toy_said: [a], toy_within: 5s, toy_within: {budget: 5s, by_name: {a: 1}}]
params: {n: 3}
"""


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    document = schema()
    jsonschema.Draft7Validator.check_schema(document)
    return jsonschema.Draft7Validator(document)


def accepts(validator: jsonschema.Draft7Validator, path: Path) -> bool:
    return bool(validator.is_valid(read(path, Collector(str(path))).data))


def test_the_file_is_what_the_installed_plugins_generate() -> None:
    made = subprocess.run([sys.executable, "-m", "harness.scenario.schema"], cwd=ROOT, capture_output=True, check=True)
    kept = (ROOT / "scenarios" / "schema.json").read_bytes()
    assert kept == made.stdout, "run: python -m harness.scenario.schema > scenarios/schema.json"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_of_ours_is_valid_for_editors_and_for_us(
    validator: jsonschema.Draft7Validator, path: Path
) -> None:
    assert load(path)
    assert accepts(validator, path)


def test_every_form_that_loads_is_accepted(validator: jsonschema.Draft7Validator, write: Callable[[str], Path]) -> None:
    assert load(path := write(GOOD))
    assert accepts(validator, path)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("scenario: toy", "scenario: Toy"),
        ("target: toys:adapter", "tags: []"),
        ("target: toys:adapter", "target: toys:adapter\ncommand: [x]"),
        ("runner: toy_runner", "runner: toy_runnr"),
        ("clients", "client"),
        ("toy.bite", "toy.bit"),
        ("on: state.json, ", ""),
        ("crumbs: 1KiB", "crumbs: 1"),
        ("crumbs: 1KiB", "crumb: 1KiB"),
        ("crumbs: 1KiB", "for: 1s"),
        (", times: 3", ""),
        ("event: x", "evnt: x"),
        ("toy_within: 5s", "toy_within: 5"),
        ("toy_within: 5s", "toy_within"),
        ("toy_plain", "toy_plan"),
        ("expect: [", "expect: []\nx: ["),
    ],
)
def test_what_editors_can_know_is_wrong_is_refused(
    validator: jsonschema.Draft7Validator, write: Callable[[str], Path], right: str, wrong: str
) -> None:
    assert right in GOOD
    assert not accepts(validator, write(GOOD.replace(right, wrong)))


def subschemas(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for name, value in node.items():
        named = name in {"properties", "patternProperties", "definitions"}
        parts = value.values() if named else value if name in {"anyOf", "oneOf", "allOf"} else [value]
        if named or name in {"anyOf", "oneOf", "allOf", "items", "additionalProperties", "if", "then"}:
            for part in parts:
                yield from subschemas(part) if isinstance(part, dict) else ()


def test_only_words_of_draft_7_are_used() -> None:
    document = schema()
    assert {word for part in subschemas(document) for word in part} <= DRAFT_7
    references = {part["$ref"].removeprefix("#/definitions/") for part in subschemas(document) if "$ref" in part}
    assert references <= document["definitions"].keys()


def test_every_member_is_documented() -> None:
    document = schema()
    plugins = [part for name, part in document["definitions"].items() if name != "placeholder"]
    assert all(part["description"] for part in plugins)
    assert [name for name, member in document["properties"].items() if "description" not in member] == []


def test_it_is_json_and_the_same_every_time() -> None:
    assert json.dumps(schema()) == json.dumps(schema())
