from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.runners._base import Until
from harness.scenario.load import Problem, ScenarioErrors, load
from harness.scenario.model import FaultStep, Scenario, SteadyState
from harness.scenario.triggers import AtEvent, AtFailpoint, AtOperations, AtTime

Load = Callable[..., Scenario]
Problems = Callable[..., list[str]]
Write = Callable[[str], Path]

DURATION = "expected a number with a unit (us, µs, ms, s, m, min, h) such as 5s"

EIGHT_MISTAKES = """\
scenario: Toy Story
feature: state
sumary: A toy.
target: toys:adapter
runner: toy_runner
workload: {clients: "10", rate: 50}
faults:
  - at: soon
    fault: toy.bit
  - fault: toy.bite
    on: service
    for: 1s
expect:
  - toy_within: 5
"""
EIGHT_MESSAGES = """\
1:11: scenario: expected lower-case words joined by - or _, got 'Toy Story'
3:1: sumary: unknown member, did you mean 'summary'?
6:21: workload.clients: expected a whole number from 1 to 20, got '10'
6:33: workload.rate: expected a number with a unit (/s, /min, /m, /h) such as 50/s, got 50
8:9: faults[0].at: expected a time such as 1s, +1s (after the fault before) or 1s..3s, got 'soon'
9:12: faults[0].fault: there is no such fault, got 'toy.bit', did you mean 'toy.bite'?
11:9: faults[1].on: expected a file such as state.json, got 'service', a process
12:5: faults[1].for: toy.bite is damage, which is never undone
14:17: expect[0].toy_within: expected a number with a unit (us, µs, ms, s, m, min, h) such as 5s, got 5
"""


def test_a_scenario_needs_little_and_the_rest_has_defaults(scenario: Load) -> None:
    loaded = scenario()
    assert (loaded.scenario, loaded.feature, loaded.target, loaded.command) == ("toy", "state", "toys:adapter", None)
    assert (loaded.faults, loaded.repeat, loaded.timeout, loaded.quiet) == ((), 1, 60, 0.5)
    assert loaded.steady_state == SteadyState(good_probes=3, within=loaded.steady_state.within)
    assert loaded.workload.until == Until(after_faults_s=1.0)
    assert [one.asked for one in loaded.expect] == ["toy_plain"]


def test_every_member_is_read(scenario: Load) -> None:
    loaded = scenario(
        "tags: [smoke, no]\nwith: {a: [1, 1.5, {b: yes}], c: null}\nworkload: {clients: 3, until: 10s}\nrepeat: 2\n"
        "steady_state: {good_probes: 1, within: 2s}\nwarm_up: 1s\nquiet: 1s\ntimeout: 2m\nconvicts: [toy_plain]\n"
    )
    assert loaded.tags == ("smoke", "no")
    assert loaded.with_ == {"a": [1, 1.5, {"b": "yes"}], "c": None}
    assert (loaded.workload.clients, loaded.workload.until) == (3, Until(seconds=10.0))
    assert (loaded.repeat, loaded.steady_state.good_probes, loaded.warm_up, loaded.timeout) == (2, 1, 1, 120)
    assert loaded.convicts == ("toy_plain",)


def test_a_command_may_stand_for_the_target(write: Write) -> None:
    head = "scenario: toy\nfeature: state\nsummary: A toy.\nrunner: toy_runner\n"
    (variant,) = load(write(head + "command: [node, adapter.js]\nexpect: [toy_plain]\n"))
    assert (variant.scenario.target, variant.scenario.command) == (None, ("node", "adapter.js"))


def step(scenario: Load, fault: str) -> FaultStep:
    (only,) = scenario(f"faults:\n  - {fault}\n").faults
    return only


@pytest.mark.parametrize(
    ("at", "trigger"),
    [
        ("1s", AtTime(1, 1)),
        ("+200ms", AtTime(0.2, 0.2, relative=True)),
        ("1s..3s", AtTime(1, 3)),
        ("+1.5s .. 3s", AtTime(1.5, 3, relative=True)),
        ("{operations: 200}", AtOperations(200)),
        ("{event: snapshot.begin}", AtEvent("snapshot.begin")),
        ("{event: snapshot.begin, nth: 2}", AtEvent("snapshot.begin", 2)),
        ("{failpoint: before_fsync, hit: 3}", AtFailpoint("before_fsync", 3)),
    ],
)
def test_a_fault_comes_at_a_time_or_on_a_condition(scenario: Load, at: str, trigger: object) -> None:
    assert step(scenario, f"{{at: {at}, fault: toy.bite, on: state.json}}").at == trigger


@pytest.mark.parametrize("text", ["0s", "+1s", "500ms..2s", "+1m..2m"])
def test_a_time_is_written_as_it_is_read(text: str) -> None:
    assert str(AtTime.parse(text)) == text


def test_a_fault_without_a_time_comes_at_the_start_and_once(scenario: Load) -> None:
    only = step(scenario, "{fault: toy.bite, on: state.json, teeth: 7, crumbs: 1KiB}")
    assert (only.at, only.kind, only.on) == (AtTime(0, 0), "toy.bite", "state.json")
    assert (only.hold_s, only.every_s, only.times) == (None, None, 1)
    assert (vars(only.parameters)["teeth"], vars(only.parameters)["crumbs"]) == (7, 1024)


def test_a_fault_may_be_held_and_come_again(scenario: Load) -> None:
    only = step(scenario, "{fault: toy.hold, on: service, for: 1s, every: 2s, times: 5}")
    assert (only.hold_s, only.every_s, only.times) == (1, 2, 5)


def test_a_fault_on_nothing_needs_no_handle(scenario: Load) -> None:
    assert step(scenario, "{fault: toy.shout, words: [a, b]}").on is None


@pytest.mark.parametrize(
    ("item", "asked"),
    [
        ("toy_plain", "toy_plain"),
        ("toy_plain:", "toy_plain: "),
        ("toy_within: 5s", "toy_within: 5s"),
        ('toy_within: {budget: 5s, by_name: {a: 1, "b": 2}}', "toy_within: {budget: 5s, by_name: {a: 1, b: 2}}"),
        ("toy_within:\n      budget: '5s'\n      probes: 1", "toy_within: {budget: 5s, probes: 1}"),
    ],
)
def test_a_check_is_asked_for_by_name_with_a_bare_value_or_with_its_members(
    scenario: Load, item: str, asked: str
) -> None:
    (only,) = scenario(expect=f"expect:\n  - {item}\n").expect
    assert only.asked == asked.removesuffix(": ")
    assert only.kind == asked.partition(":")[0]


def test_what_is_asked_keeps_the_quotes_that_make_a_text(scenario: Load) -> None:
    (only,) = scenario("params: {n: '5'}\n", expect="expect: [toy_said: ['5', \"no\", 5, ' ${n}']]\n").expect
    assert only.asked == 'toy_said: ["5", no, 5,  5]'


def test_every_mistake_is_reported_at_once_at_its_place(write: Write) -> None:
    path = write(EIGHT_MISTAKES)
    with pytest.raises(ScenarioErrors) as caught:
        load(path)
    assert str(caught.value) + "\n" == "".join(f"{path}:{line}\n" for line in EIGHT_MESSAGES.splitlines())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("workload: {rat: 5/s}", "6:12: workload.rat: unknown member, did you mean 'rate'?"),
        ("workload: {xyz: 5}", "6:12: workload.xyz: unknown member (known: clients, rate, until)"),
        ("workload:", "6:10: workload: expected a mapping, got nothing"),
        ("workload: 5", "6:11: workload: expected a mapping, got 5"),
        ("workload: {clients: yes}", "6:21: workload.clients: expected a whole number from 1 to 20, got 'yes'"),
        ("workload: {clients: 012}", "6:21: workload.clients: expected a whole number from 1 to 20, got '012'"),
        ("workload: {clients: 1.0}", "6:21: workload.clients: expected a whole number from 1 to 20, got 1.0"),
        ("workload: {clients: [1]}", "6:21: workload.clients: expected a whole number from 1 to 20, got a list"),
        ("workload: {clients: 0}", "6:21: workload.clients: expected a whole number from 1 to 20, got 0"),
        ("tags: smoke", "6:7: tags: expected a list, got 'smoke'"),
        ("tags: [1]", "6:8: tags[0]: expected lower-case words joined by - or _, got 1"),
        ("command: [node]", "6:1: command: `target` and `command` exclude each other"),
        ("timeout: 0s", "6:10: timeout: expected a value above 0 such as 5s, got '0s'"),
        ("steady_state: {with: 1s}", "6:16: steady_state.with: unknown member, did you mean 'within'?"),
        ("convicts: [toy_plan]", "6:12: convicts[0]: is not in `expect`, got 'toy_plan', did you mean 'toy_plain'?"),
        ("convicts: [5]", "6:12: convicts[0]: expected text (put it in quotes), got 5"),
        ("faults: {}", "6:9: faults: expected a list, got a mapping"),
        ("faults: [toy.bite]", "6:10: faults[0]: expected a mapping with at least `fault`, got 'toy.bite'"),
        ("faults: [{on: service}]", "6:10: faults[0].fault: missing (what)"),
        ("faults: [{falt: toy.bite}]", "6:11: faults[0].falt: unknown member, did you mean 'fault'?"),
        ("faults: [{fault: 5}]", "6:18: faults[0].fault: expected text (put it in quotes), got 5"),
    ],
)
def test_one_mistake_is_one_message(problems: Problems, more: str, message: str) -> None:
    assert problems(f"{more}\n") == [message]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("toy.bite", "7:5: faults[0].on: missing (toy.bite acts on a file such as state.json)"),
        ("toy.bite, onn: state.json", "7:23: faults[0].onn: unknown member, did you mean 'on'?"),
        ("toy.bite, on: state.jsn", "7:27: faults[0].on: expected a file, got 'state.jsn', did you mean 'state.json'?"),
        ("toy.bite, on: x", "7:27: faults[0].on: expected a file such as state.json, got 'x'"),
        ("toy.bite, on: service", "7:27: faults[0].on: expected a file such as state.json, got 'service', a process"),
        ("toy.bite, on: 5", "7:27: faults[0].on: expected text (put it in quotes), got 5"),
        ("toy.bite, on: ", "7:27: faults[0].on: expected text, got nothing"),
        ("toy.bite, on: state.json, mode: had", "7:45: faults[0].mode: expected one of 'hard', 'soft', got 'had'"),
        ("toy.bite, on: state.json, teth: 1", "7:39: faults[0].teth: unknown member, did you mean 'teeth'?"),
        ("toy.hold, on: service, share: no", "7:43: faults[0].share: expected a number above 0, got 'no'"),
        ("toy.hold, on: service, cores: [1, x]", "7:43: faults[0].cores: expected a list or 'all', got a list"),
        ("toy.hold, on: service, share: .inf", "7:43: faults[0].share: expected a number above 0, got '.inf'"),
        ("toy.hold, on: service, share: 1e999", "7:43: faults[0].share: expected a number above 0, got '1e999'"),
        ("toy.shout, words: [a, 5]", "7:35: faults[0].words[1]: expected text (put it in quotes), got 5"),
        ("toy.shout", "7:5: faults[0].words: missing (what is shouted)"),
        ("toy.shout, words: [], on: service", "7:35: faults[0].on: toy.shout acts on nothing of the target"),
        ("toy.shout, words: [], for: 1s", "7:35: faults[0].for: toy.shout is damage, which is never undone"),
        ("toy.shout, words: [], every: 1s", "7:35: faults[0].every: needs `times` beside it"),
        ("toy.shout, words: [], times: 2", "7:35: faults[0].times: needs `every` beside it"),
        ("toy.shout, words: [], every: 1s, tims: 2", "7:46: faults[0].tims: unknown member, did you mean 'times'?"),
        ("toy.hold, on: service, for: 0s", "7:41: faults[0].for: expected a value above 0 such as 5s, got '0s'"),
        (
            "toy.hold, on: service, every: 1s, times: 2",
            "7:36: faults[0].every: needs `for` beside it, shorter than itself",
        ),
        (
            "toy.hold, on: service, every: 1s, times: 2, for: 1s",
            "7:62: faults[0].for: expected less than `every`, which is 1s, got 1s",
        ),
        ("toy.shout, words: [], at: 3s..1s", "7:39: faults[0].at: expected the earlier time first, got '3s..1s'"),
        (
            "toy.shout, words: [], at: {evnt: x}",
            "7:39: faults[0].at: expected one of operations, event, failpoint, got 'evnt', did you mean 'event'?",
        ),
        (
            "toy.shout, words: [], at: {event: x, nht: 2}",
            "7:50: faults[0].at.nht: unknown member, did you mean 'nth'?",
        ),
        (
            "toy.shout, words: [], at: {operations: 0}",
            "7:52: faults[0].at.operations: expected a whole number of at least 1, got 0",
        ),
    ],
)
def test_one_mistake_in_a_fault_is_one_message(problems: Problems, fault: str, message: str) -> None:
    assert problems(f"faults:\n  - {{fault: {fault}}}\n") == [message]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("toy_plan", "7:5: expect[0]: there is no such check, got 'toy_plan', did you mean 'toy_plain'?"),
        ("toy_plain: 5", "7:16: expect[0].toy_plain: expected nothing after it, got 5"),
        ("toy_plain: {x: 5}", "7:17: expect[0].toy_plain.x: unknown member (known: none)"),
        ("toy_within", "7:5: expect[0].toy_within.budget: missing (how soon)"),
        (
            "toy_within: [5s]",
            f"7:17: expect[0].toy_within: {DURATION}, got a list",
        ),
        ("toy_within: {buget: 5s}", "7:18: expect[0].toy_within.buget: unknown member, did you mean 'budget'?"),
        (
            "toy_within: {budget: 5s, between: {low: 11}}",
            "7:39: expect[0].toy_within.between: expected `low` below `high`, got a mapping",
        ),
        (
            "toy_within: {budget: 5s, between: {low: 1, hgh: 11}}",
            "7:48: expect[0].toy_within.between.hgh: unknown member, did you mean 'high'?",
        ),
        (
            "toy_within: {budget: 5s, by_name: {a: x}}",
            "7:43: expect[0].toy_within.by_name.a: expected a whole number, got 'x'",
        ),
        (
            "toy_within: 5s\n    probes: 1",
            "7:5: expect[0]: expected the name of one check, alone or with its members indented below it, got 2 names",
        ),
        (
            "[toy_plain]",
            "7:5: expect[0]: expected the name of one check, alone or with its members indented below it, got a list",
        ),
    ],
)
def test_one_mistake_in_a_check_is_one_message(problems: Problems, item: str, message: str) -> None:
    assert problems(expect=f"expect:\n  - {item}\n") == [message]


def test_what_is_missing_says_what_it_is_for(problems: Problems) -> None:
    assert problems(head="scenario: toy\n", expect="") == [
        "1:1: feature: missing (feature that it tests, as the reports group them)",
        "1:1: summary: missing (what happens and what must hold, in one sentence)",
        "1:1: runner: missing (who drives the target)",
        "1:1: expect: missing (what must hold)",
        "1:1: target: missing (the system under test: either this or `command`)",
    ]


def test_a_misspelt_target_is_not_missing_as_well(problems: Problems) -> None:
    head = "scenario: toy\nfeature: state\nsummary: A toy.\nrunner: toy_runner\ntarge: toys:adapter\n"
    assert problems(head=head) == ["5:1: targe: unknown member, did you mean 'target'?"]


def test_an_unknown_runner_hides_no_other_mistake(problems: Problems) -> None:
    head = "scenario: toy\nfeature: state\nsummary: A toy.\nrunner: toy_runnr\ntarget: toys\n"
    assert problems("faults: [{fault: toy.bite, on: anything, teeth: 0}]\n", head=head) == [
        "4:9: runner: there is no such runner, got 'toy_runnr', did you mean 'toy_runner'?",
        "5:9: target: expected a Python object such as package.module:adapter, got 'toys'",
        "6:49: faults[0].teeth: expected a whole number from 1 to 32, got 0",
    ]


def test_a_kind_like_no_other_is_answered_with_all_that_are_known(problems: Problems) -> None:
    (message,) = problems("faults: [{fault: earthquake}]\n")
    assert "there is no such fault (known: " in message
    assert "toy.bite, toy.hold, toy.shout), got 'earthquake'" in message


def test_a_misspelt_check_may_be_convicted_by_its_right_name(problems: Problems) -> None:
    (message,) = problems("convicts: [toy_plain]\n", expect="expect: [toy_plan]\n")
    assert "did you mean 'toy_plain'?" in message
    (message,) = problems("convicts: [earthquake]\n", expect="expect: [earthquake]\n")
    assert "there is no such check" in message


def test_a_hundred_mistakes_are_enough(problems: Problems) -> None:
    found = problems("".join(f"x{number}: 1\n" for number in range(5000)))
    assert len(found) == 101
    assert "100 problems so far, the rest is not looked at" in found[-1]


def test_the_errors_survive_pickling_with_their_positions() -> None:
    errors = ScenarioErrors([Problem("b.yaml", 2, 1, "y", "wrong", "'x'"), Problem("b.yaml", 1, 1, "x", "wrong")])
    copy = pickle.loads(pickle.dumps(errors))  # noqa: S301  our own bytes
    assert isinstance(copy, ScenarioError)
    assert copy.problems == errors.problems
    assert str(copy) == "b.yaml:1:1: x: wrong\nb.yaml:2:1: y: wrong, got 'x'"
