"""What each model allows, one operation after the other."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.histories.checking import check
from harness.histories.models import MODELS, ModelName, named
from harness.histories.operations import Op, freeze, show, unanswered

Step = tuple[str, dict[str, Any], dict[str, Any]]


def told(*steps: Step, initial: object = ..., model: str, clients: str = "") -> str:
    """The verdict on operations one after the other; an answer with an `error` is a failure."""
    operations = [
        Op(
            n=n,
            client=int(clients[n]) if clients else 0,
            name=name,
            argument={member: freeze(value) for member, value in argument.items()},
            result={member: freeze(value) for member, value in result.items()},
            call=2 * n,
            ret=2 * n + 1,
            outcome="fail" if "error" in result else "ok",
        )
        for n, (name, argument, result) in enumerate(steps)
    ]
    return check(operations, named(model, initial)).status


def test_every_model_has_a_name_a_literal_and_words_of_its_own() -> None:
    assert set(MODELS) == set(ModelName.__args__)
    for name, model in MODELS.items():
        text = model.__doc__ or ""
        assert all(form in text for form in model.forms), name
        assert all(form.error in text or name == "reentrant_mutex" for form in model.forms.values()), name


def test_a_cas_that_conflicted_saw_another_value_and_any_other_failure_saw_nothing() -> None:
    swap = {"expected": 1, "value": 2}
    assert told(("cas", swap, {"error": "conflict"}), initial=1, model="cas_register") == "illegal"
    assert told(("cas", swap, {"error": "conflict"}), initial=3, model="cas_register") == "ok"
    assert told(("cas", swap, {"error": "busy"}), ("read", {}, {"value": 1}), initial=1, model="cas_register") == "ok"


def test_only_what_is_free_is_acquired_and_only_what_is_held_released() -> None:
    assert told(("acquire", {}, {}), ("release", {}, {}), ("acquire", {}, {}), model="mutex") == "ok"
    assert told(("acquire", {}, {}), ("acquire", {}, {}), model="mutex") == "illegal"
    assert told(("release", {}, {"error": "not_held"}), model="mutex") == "ok"
    assert told(("acquire", {}, {"error": "held"}), model="mutex") == "illegal"


def test_only_the_owner_releases() -> None:
    acquire, release, refused = ("acquire", {}, {}), ("release", {}, {}), ("release", {}, {"error": "not_owner"})
    assert told(acquire, release, model="owner_mutex", clients="11") == "ok"
    assert told(acquire, release, model="owner_mutex", clients="12") == "illegal"
    assert told(acquire, refused, model="owner_mutex", clients="12") == "ok"
    assert told(acquire, refused, model="owner_mutex", clients="11") == "illegal"
    assert (
        told(("acquire", {"owner": "a"}, {}), ("release", {"owner": "a"}, {}), model="owner_mutex", clients="12")
        == "ok"
    )


def test_a_reentrant_lock_is_free_after_as_many_releases() -> None:
    acquire, release = ("acquire", {}, {}), ("release", {}, {})
    assert told(acquire, acquire, release, acquire, model="reentrant_mutex", clients="1112") == "illegal"
    assert told(acquire, acquire, release, release, acquire, model="reentrant_mutex", clients="11112") == "ok"


def test_tokens_rise_over_every_grant_and_the_resource_refuses_old_ones() -> None:
    first, second = ("acquire", {}, {"token": 4}), ("acquire", {}, {"token": 5})
    release, expire = ("release", {"token": 4}, {}), ("expire", {"token": 4}, {})
    assert told(first, release, second, model="fenced_mutex") == "ok"
    assert told(first, second, model="fenced_mutex", clients="12") == "illegal"
    assert told(first, expire, second, model="fenced_mutex", clients="192") == "ok"
    assert told(first, release, ("acquire", {}, {"token": 4}), model="fenced_mutex") == "illegal"
    assert told(first, model="fenced_mutex", initial=4) == "illegal"
    new, old = ("write", {"token": 5}, {}), ("write", {"token": 4}, {})
    assert told(first, expire, second, new, old, model="fenced_mutex", clients="19221") == "illegal"
    stale = ("write", {"token": 4}, {"error": "stale"})
    assert told(first, expire, second, new, stale, model="fenced_mutex", clients="19221") == "ok"
    late = ("renew", {"token": 4}, {"error": "not_owner"})
    assert told(first, expire, late, model="fenced_mutex", clients="191") == "ok"
    assert told(first, late, model="fenced_mutex", clients="11") == "illegal"


def test_a_set_holds_what_was_added_and_not_removed() -> None:
    add, remove = ("add", {"value": [1, 2]}, {}), ("remove", {"value": "x"}, {})
    assert told(add, remove, ("read", {}, {"values": [[1, 2]]}), initial=["x"], model="set") == "ok"
    assert told(add, ("read", {}, {"values": []}), model="set") == "illegal"
    assert told(add, ("read", {}, {"values": [[1, 2], [1, 2]]}), model="set") == "illegal"
    assert told(add, ("contains", {"value": [1, 2]}, {"present": False}), model="set") == "illegal"


def test_a_counter_may_answer_the_number_after_an_addition() -> None:
    assert (
        told(("add", {}, {"value": 8}), ("add", {"by": -3}, {}), ("read", {}, {"value": 5}), initial=7, model="counter")
        == "ok"
    )
    assert told(("add", {}, {"value": 7}), initial=7, model="counter") == "illegal"


def test_texts_are_appended_to_key_by_key() -> None:
    append, put = ("append", {"key": "a", "value": "x"}, {}), ("put", {"key": "b", "value": "y"}, {})
    assert told(append, put, append, ("get", {"key": "a"}, {"value": "xx"}), model="kv") == "ok"
    assert told(append, put, ("get", {"key": "b"}, {"value": "x"}), model="kv") == "illegal"
    assert told(("get", {"key": "a"}, {"value": "i"}), initial="i", model="kv") == "ok"


def test_true_is_not_one_and_objects_are_compared_by_content() -> None:
    assert freeze(True) != freeze(1)
    assert freeze([{"b": [1], "a": None}]) == freeze([{"a": None, "b": [1]}])
    assert freeze({"a": 1}) != freeze([["a", 1]])
    assert show(freeze([True, "x", {"a": None}])) == '[true, "x", {"a":null}]'


@pytest.mark.parametrize("model", ["register", "cas_register"])
def test_any_json_value_can_be_the_initial_one(model: str) -> None:
    for initial in (True, {"a": [1]}, [False], None, "x"):
        assert told(("read", {}, {"value": initial}), initial=initial, model=model) == "ok"
        assert told(("read", {}, {"value": 1}), initial=initial, model=model) == "illegal"


def test_an_unknown_model_or_an_initial_value_that_it_cannot_have_is_an_error() -> None:
    with pytest.raises(ScenarioError, match=r"there is no model 'regsiter'; there are cas_register, counter"):
        named("regsiter")
    with pytest.raises(ScenarioError, match=r'the initial value of this model cannot be "x"'):
        named("counter", "x")


def test_a_value_of_a_type_that_the_model_cannot_have_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="operation 0: value of get cannot be 5"):
        told(("get", {"key": "a"}, {"value": 5}), model="kv")


def test_an_operation_is_described_with_its_outcome() -> None:
    model, argument = named("register"), {"value": freeze({"a": True})}
    done = Op(n=1, client=1, name="write", argument=argument, call=0, ret=1)
    assert model.describe(done) == 'wrote {"a":true}'
    assert model.describe(unanswered(done)) == 'called write({"a":true}), outcome unknown,'


def test_a_renewal_settles_which_token_a_grant_of_unknown_answer_had() -> None:
    acquire = Op(n=0, client=0, name="acquire", argument={}, result={}, call=0, ret=None, outcome="info")
    expire = Op(n=1, client=0, name="expire", argument={"token": 2}, result={}, call=0, ret=0, outcome="ok")
    renew = Op(n=2, client=0, name="renew", argument={"token": 1}, result={}, call=0, ret=0, outcome="ok")
    assert check([acquire, expire, renew], named("fenced_mutex")).status == "illegal"
