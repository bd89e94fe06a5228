from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.scenario.load import ScenarioErrors, load
from harness.scenario.model import Variant

Problems = Callable[..., list[str]]
Write = Callable[[str], Path]

TEXT = """\
scenario: toy
feature: state
summary: At ${rate} operations a second, ${teeth} teeth.
target: toys:adapter
with: {literal: '$${teeth}', half: '${'}
runner: toy_runner
workload: {rate: '${rate}/s'}
params: {rate: 20, mode: soft}
matrix: {teeth: [1, 8]}
faults:
  - fault: toy.bite
    on: state.json
    teeth: ${teeth}
    mode: ${ mode }
expect: [toy_plain]
"""


def teeth(variant: Variant) -> object:
    return vars(variant.scenario.faults[0].parameters)["teeth"]


def test_there_is_a_variant_for_every_value_of_the_matrix(write: Write) -> None:
    one, eight = load(write(TEXT))
    assert (one.name, eight.name) == ("teeth=1", "teeth=8")
    assert (teeth(one), teeth(eight)) == (1, 8)
    assert eight.params == {"rate": 20, "mode": "soft", "teeth": 8}


def test_a_placeholder_alone_takes_the_type_of_its_value_and_within_a_text_it_is_text(write: Write) -> None:
    variant = load(write(TEXT))[1]
    assert variant.scenario.summary == "At 20 operations a second, 8 teeth."
    assert variant.scenario.workload.rate == 20
    assert vars(variant.scenario.faults[0].parameters)["mode"] == "soft"


def test_two_dollars_are_one_and_no_placeholder(write: Write) -> None:
    assert load(write(TEXT))[0].scenario.with_ == {"literal": "${teeth}", "half": "${"}


def test_a_matrix_with_two_axes_combines_them(write: Write) -> None:
    names = [variant.name for variant in load(write(TEXT.replace("[1, 8]", "[1, 8], x: [a, b]")))]
    assert names == ["teeth=1,x=a", "teeth=1,x=b", "teeth=8,x=a", "teeth=8,x=b"]


def test_the_command_line_replaces_a_parameter(write: Write) -> None:
    assert [variant.scenario.workload.rate for variant in load(write(TEXT), {"rate": "5"})] == [5, 5]


def test_the_command_line_pins_an_axis_of_the_matrix(write: Write) -> None:
    (only,) = load(write(TEXT), {"teeth": "3"})
    assert (only.name, teeth(only)) == ("teeth=3", 3)


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("'3'", "3"), ("yes", "yes"), ("true", True), ("a b", "a b")])
def test_the_command_line_is_read_as_yaml(write: Write, text: str, value: object) -> None:
    path = write(TEXT.replace("mode: soft", "mode: soft, said: a"))
    assert load(path, {"said": text})[0].params["said"] == value


def test_a_bad_value_is_reported_at_its_placeholder_once_for_each_value(write: Write) -> None:
    path = write(TEXT.replace("[1, 8]", "[1, 0, 33]").replace("mode: soft", "mode: sof"))
    with pytest.raises(ScenarioErrors) as caught:
        load(path)
    assert str(caught.value).replace(f"{path}:", "").splitlines() == [
        "13:12: faults[0].teeth: expected a whole number from 1 to 32, got 0 from ${teeth}",
        "13:12: faults[0].teeth: expected a whole number from 1 to 32, got 33 from ${teeth}",
        "14:11: faults[0].mode: expected one of 'hard', 'soft', got 'sof' from ${mode}",
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "timeout: ${tme}\nparams: {time: 5s}",
            "6:10: timeout: no such parameter, got ${tme}, did you mean 'time'?",
        ),
        ("timeout: ${a} ${b}\nparams: {a: 5s}", "6:10: timeout: no such parameter, got ${b}"),
        (
            "timeout: ${a}\nparams: {a: [5s]}",
            "7:13: params.a: expected text or a whole number or a number or true or false, got a list",
        ),
        (
            "timeout: ${a}\nparams: [5s]",
            "6:10: timeout: no such parameter, got ${a}\n7:9: params: expected a mapping, got a list",
        ),
        ("timeout: ${a}\nmatrix: {a: 5s}", "7:13: matrix.a: expected a list of 1 or more items, got '5s'"),
        ("timeout: ${a}\nmatrix: {a: []}", "7:13: matrix.a: expected a list of 1 or more items, got a list"),
        ("params: {a b: 1}", "6:15: params.a b: expected a name of letters, digits and _, got 'a b'"),
        ("params: {a: 1}\nmatrix: {a: [1]}", "7:14: matrix.a[0]: 'a' is in `params` too, keep one of them"),
        ("matrix: {a: [1, 2, 1, 1]}", "6:23: matrix.a[3]: given twice, got 1"),
        (
            f"matrix: {{a: {list(range(40))}, b: {list(range(40))}}}",
            "6:9: matrix: expected at most 1000 combinations, got 1600",
        ),
    ],
)
def test_one_mistake_is_one_message(problems: Problems, more: str, message: str) -> None:
    assert problems(f"{more}\n") == message.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "1:1: -p a: expected one value as in YAML (quotes make a text of it), got '[1]'"),
        ("*x", "1:1: -p a: expected one value as in YAML (quotes make a text of it), got '*x'"),
        ("", "1:1: -p a: expected one value as in YAML (quotes make a text of it), got ''"),
    ],
)
def test_the_command_line_gives_single_values(problems: Problems, text: str, message: str) -> None:
    assert problems("timeout: ${a}\nparams: {a: 1s}\n", a=text) == [message]


def test_the_command_line_names_parameters_that_exist(problems: Problems) -> None:
    found = problems("timeout: ${time}\nparams: {time: 1s}\n", tme="2s")
    assert found == ["1:1: -p tme: the scenario has no such parameter, did you mean 'time'?"]


def test_the_name_of_a_scenario_is_the_same_in_every_variant(problems: Problems) -> None:
    head = "scenario: toy-${a}\nfeature: state\nsummary: A toy.\ntarget: toys:adapter\nrunner: toy_runner\n"
    found = problems("params: {a: x}\n", head=head)
    assert found == ["1:11: scenario: expected lower-case words joined by - or _, got 'toy-${a}'"]


def test_a_plugin_may_be_named_by_a_parameter(write: Write) -> None:
    text = TEXT.replace("matrix: {teeth: [1, 8]}", "matrix: {fault: [toy.bite, toy.nothing]}")
    with pytest.raises(ScenarioErrors, match=r"got 'toy\.nothing' from \$\{fault\}") as caught:
        load(write(text.replace("fault: toy.bite", "fault: ${fault}").replace("${teeth}", "1")))
    assert len(caught.value.problems) == 1
