"""Properties of `check`, for every model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.histories.checking import Budget, Verdict, check
from harness.histories.models import MODELS, named
from harness.histories.models._base import Model
from harness.histories.operations import Op
from harness.histories.search import Search
from harness.histories.versions import Contradiction
from support.simulated import THINGS, Register, Store, Texts, World, history
from support.tiny import explains, histories, possible

NAMES = sorted(MODELS)


def witnessed(verdict: Verdict, operations: Sequence[Op], model: Model) -> bool:
    """Whether the orders of the verdict really explain every answer."""
    by_number = {op.n: op for op in operations}
    placed = {n for order in verdict.orders.values() for n in order}
    answered = {op.n for op in operations if model.informs(op) and op.ret is not None}
    orders = [[by_number[n] for n in order] for order in verdict.orders.values()]
    return answered <= placed and all(explains(order, model) for order in orders)


def op(n: int, name: str, call: int, ret: int | None, **members: object) -> Op:
    outcome = "ok" if ret is not None else "info"
    given = {"argument": members} if name in {"write", "append", "add"} else {"result": members}
    return Op(n=n, client=n, name=name, call=call, ret=ret, outcome=outcome, **given)


@pytest.mark.parametrize("crashes", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), clients=st.integers(1, 8))
def test_a_history_of_real_clients_is_ok_and_its_order_explains_it(
    name: str, crashes: float, seed: int, clients: int
) -> None:
    model = named(name)
    operations = history(name, operations=80, clients=clients, seed=seed, crashes=crashes)
    verdict = check(operations, model)
    assert verdict.status == ("ok" if verdict.answers else "unknown"), verdict.reason
    assert witnessed(verdict, operations, model)


def test_the_simulated_clients_meet_every_operation_every_failure_and_every_crash() -> None:
    for name in NAMES:
        model = named(name)
        operations = [
            each for seed in range(5) for each in history(name, operations=300, clients=6, seed=seed, crashes=0.05)
        ]
        seen = {(each.name, each.outcome) for each in operations if model.informs(each)}
        expected = {(form, "ok") for form in model.forms if form != "expire"}
        expected |= {(form, "info") for form in model.forms if not model.forms[form].reads and form != "expire"}
        if name in {"mutex", "owner_mutex", "reentrant_mutex"}:
            expected |= {("acquire", "fail"), ("release", "fail")}
        if name in {"cas_register", "versioned_register"}:
            expected |= {(form, "fail") for form in model.forms if model.forms[form].error}
        assert expected <= seen, name


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150)
@given(data=st.data())
def test_on_tiny_histories_the_verdict_is_that_of_trying_every_order(name: str, data: st.DataObject) -> None:
    model, operations = named(name), data.draw(histories(name))
    verdict = check(operations, model)
    if not verdict.answers:
        assert verdict.status == "unknown"
    elif possible(operations, model):
        assert verdict.status == "ok", verdict.reason
        assert witnessed(verdict, operations, model)
    else:
        assert verdict.status == "illegal"


@settings(max_examples=400)
@given(operations=histories("versioned_register", most=7))
def test_the_versions_and_the_search_agree(operations: list[Op]) -> None:
    model = named("versioned_register")
    known = [each for each in operations if model.informs(each)]
    decided = model.decide(known)
    assert decided is not None
    assert Search(known, model).advance(10**6, 10**6) is not isinstance(decided, Contradiction)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_stale_read_is_found(seed: int, data: st.DataObject) -> None:
    operations = World(Store(keys=1), 6, seed, 0.05).history(150)
    acknowledged = [each for each in operations if each.name == "write" and each.outcome == "ok"]
    reads = [each for each in operations if each.name == "read" and each.outcome == "ok" and each.result["version"] > 1]
    newer = [(read, write) for read in reads for write in acknowledged if (write.ret or 0) < read.call]
    older = [
        (read, write, each)
        for read, write in newer
        for each in reads
        if each.result["version"] < write.result["version"]
    ]
    if not older:
        return
    read, _, stale = data.draw(st.sampled_from(older))
    planted = [msgspec.structs.replace(each, result=stale.result) if each is read else each for each in operations]
    verdict = check(planted, named("versioned_register"))
    assert verdict.status == "illegal"
    assert len(verdict.window) <= 2


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_lost_update_is_found(seed: int, data: st.DataObject) -> None:
    operations = World(Store(keys=1), 6, seed).history(100)
    writes = [each for each in operations if each.name == "write" and each.outcome == "ok"]
    one, two = data.draw(st.lists(st.sampled_from(writes), min_size=2, max_size=2, unique_by=lambda each: each.n))
    planted = [msgspec.structs.replace(each, result=one.result) if each is two else each for each in operations]
    assert check(planted, named("versioned_register")).status == "illegal"


@pytest.mark.parametrize("name", ["register", "cas_register", "counter", "kv", "set"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_an_answer_from_nowhere_is_found(name: str, seed: int) -> None:
    operations = history(name, operations=60, clients=4, seed=seed, crashes=0.05)
    nowhere = {"value": "nowhere" if name == "kv" else 10**6, "values": (10**6,)}
    reads = [each for each in operations if each.name in {"read", "get"} and each.outcome == "ok"]
    if not reads:
        return
    read = reads[seed % len(reads)]
    result = {member: nowhere[member] for member in read.result}
    planted = [msgspec.structs.replace(each, result=result) if each is read else each for each in operations]
    verdict = check(planted, named(name))
    assert verdict.status == "illegal"
    assert verdict.impossible is not None
    assert [each.n for each in verdict.window] == [verdict.impossible.n] == [read.n]


def test_what_is_called_at_the_time_of_a_return_is_concurrent_with_it() -> None:
    write, read = op(1, "write", 0, 5, value=7), op(2, "read", 5, 6, value=None)
    assert check([write, read], named("register")).status == "ok"
    later = msgspec.structs.replace(read, call=6)
    assert check([write, later], named("register")).status == "illegal"


def test_a_write_of_the_value_that_is_there_may_have_to_wait_for_its_turn() -> None:
    operations = [
        op(1, "write", 0, 1, value=1),
        op(2, "write", 2, 9, value=1),  # changes nothing if it comes first, but must come after the next one
        op(3, "write", 3, 4, value=2),
        op(4, "read", 10, 11, value=1),
    ]
    assert check(operations, named("register")).orders == {None: (1, 3, 2, 4)}


def test_an_unanswered_write_may_take_effect_long_after_and_never_before_its_call() -> None:
    lost, read = op(1, "write", 5, None, value=3), op(2, "read", 900, 901, value=3)
    assert check([lost, read], named("register")).status == "ok"
    early = msgspec.structs.replace(read, call=1, ret=4)
    assert check([lost, early], named("register")).status == "illegal"


def test_a_timeout_is_no_failure_and_a_failure_is_no_timeout() -> None:
    read = op(2, "read", 10, 11, value=3)
    timed_out = op(1, "write", 0, None, value=3)
    failed = msgspec.structs.replace(timed_out, outcome="fail", ret=1, result={"error": "refused"})
    assert check([timed_out, read], named("register")).status == "ok"
    assert check([failed, read], named("register")).status == "illegal"


@pytest.mark.parametrize("budget", [Budget(steps=50), Budget(configurations=10)])
def test_a_budget_that_is_too_small_makes_it_unknown_and_never_ok(budget: Budget) -> None:
    operations = World(Register(values=2), 8, seed=3).history(200)
    assert check(operations, named("register")).status == "ok"
    verdict = check(operations, named("register"), budget)
    assert verdict.status == "unknown"
    assert "undecided" in verdict.reason


def test_one_illegal_key_ends_the_run_however_hard_the_others_are() -> None:
    hard = [
        each
        for key in range(3)
        for each in _moved(World(Texts(keys=1), 40, seed=key).history(400), f"hard {key}", 1000 * (key + 1))
    ]
    gets = [op(n, "get", n, n, value="nothing like it") for n in (1, 2)]
    planted = [msgspec.structs.replace(each, argument={"key": "easy"}) for each in gets]
    verdict = check([*hard, *planted], named("kv"), Budget(steps=10**6, configurations=10**5))
    assert verdict.status == "illegal"
    assert verdict.key == "easy"
    assert verdict.steps < 10**5


def _moved(operations: list[Op], key: str, by: int) -> list[Op]:
    return [msgspec.structs.replace(each, n=each.n + by, argument={**each.argument, "key": key}) for each in operations]


def test_nothing_answered_is_nothing_proven() -> None:
    assert check([], named("register")).status == "unknown"
    assert check([op(1, "write", 0, None, value=1)], named("register")).status == "unknown"


def test_what_the_model_does_not_know_is_refused_with_its_reason() -> None:
    pushed = msgspec.structs.replace(op(4, "write", 0, 1, value=1), name="push")
    with pytest.raises(ScenarioError, match=r"operation 4: there is no operation 'push'; there are read, write"):
        check([pushed], named("register"))
    with pytest.raises(ScenarioError, match=r"operation 5: result of read lacks 'value'"):
        check([op(5, "read", 0, 1)], named("register"))


def test_the_same_history_has_the_same_verdict_every_time() -> None:
    operations = history("kv", operations=200, clients=6, seed=9, crashes=0.1)
    assert check(operations, named("kv")) == check(operations, named("kv"))


def test_every_thing_is_simulated() -> None:
    assert sorted(THINGS) == NAMES
