"""The check `linearizable`."""

from __future__ import annotations

from typing import Any

from harness.checks.linearizable import Linearizable
from harness.record import Invoked, Record, Returned, TrialSpec


def record(*operations: tuple[str, dict[str, Any], str, dict[str, Any]]) -> Record:
    """A run in which the operations came one after the other; an outcome of "" was never answered."""
    history: list[Invoked | Returned] = []
    for n, (op, args, outcome, result) in enumerate(operations):
        history.append(Invoked(n=n, client=n, t=10 * n, op=op, args={"key": "k", **args}, final=n > 3))
        if outcome:
            history.append(Returned(n=n, t=10 * n + 5, outcome=outcome, result=result))
    spec = TrialSpec(scenario="s", source="s.yaml", root_seed=0, seed=0, label="l")
    return Record(spec=spec, events=[], history=history, probes=[])


WRITE = ("write", {"value": "a"}, "ok", {"version": 1})
LOST = ("write", {"value": "b"}, "", {})


def conflict(version: int) -> tuple[str, dict[str, Any], str, dict[str, Any]]:
    return "write", {"value": "c", "expected_version": 0}, "fail", {"error": "conflict", "version": version}


def read(value: str | None, version: int) -> tuple[str, dict[str, Any], str, dict[str, Any]]:
    return "read", {}, "ok", {"value": value, "version": version}


def test_a_store_that_keeps_its_word_passes() -> None:
    verdict = Linearizable().judge(record(read(None, 0), WRITE, conflict(1), LOST, read("b", 2)))
    assert verdict.status == "PASS"
    assert verdict.numbers["answers"] == 4


def test_a_read_that_goes_back_fails_with_the_lines_of_the_contradiction() -> None:
    verdict = Linearizable().judge(record(WRITE, LOST, read("b", 2), read("a", 1)))
    assert verdict.status == "FAIL"
    assert 'key "k": operation 3 read "a" as version 1 after operation 2 read "b" as version 2' in verdict.summary
    assert verdict.evidence == (
        'history.jsonl:4: operation 2 (client 2) read "b" as version 2',
        'history.jsonl:6: operation 3 (client 3) read "a" as version 1',
    )


def test_a_conflict_with_a_version_that_is_gone_fails() -> None:
    verdict = Linearizable().judge(record(WRITE, ("write", {"value": "b"}, "ok", {"version": 2}), conflict(1)))
    assert verdict.status == "FAIL"


def test_a_failure_that_is_no_conflict_says_nothing() -> None:
    refused = ("write", {"value": "c"}, "fail", {"error": "unavailable"})
    assert Linearizable().judge(record(WRITE, refused, read("a", 1))).status == "PASS"


def test_without_an_answer_or_with_one_that_makes_no_sense_nothing_is_known() -> None:
    assert Linearizable().judge(record()).status == "UNKNOWN"
    assert Linearizable().judge(record(LOST)).status == "UNKNOWN"
    odd = Linearizable().judge(record(("read", {}, "ok", {"value": "a"})))
    assert odd.status == "UNKNOWN"
    assert "operation 0: result of read lacks 'version'" in odd.summary
    assert Linearizable().judge(record(("delete", {}, "ok", {}))).status == "UNKNOWN"


def test_a_search_that_runs_out_of_steps_is_unknown() -> None:
    writes = [("write", {"value": n}, "", {}) for n in range(8)]
    operations = record(*writes, ("read", {}, "ok", {"value": 3}), ("read", {}, "ok", {"value": 4}))
    assert Linearizable(model="register").judge(operations).status == "PASS"
    assert Linearizable(model="register", max_steps=2).judge(operations).status == "UNKNOWN"


def acquire(token: int | None) -> tuple[str, dict[str, Any], str, dict[str, Any]]:
    terms = {"wait_s": 1.0, "lease_s": 1e-8}
    return ("acquire", terms, "ok", {"token": token}) if token else ("acquire", terms, "", {})


def store(token: int, outcome: str = "ok") -> tuple[str, dict[str, Any], str, dict[str, Any]]:
    return "store", {"value": "v", "token": token}, outcome, {"error": "stale"} if outcome == "fail" else {}


LOCKS = Linearizable(model="fenced_mutex")


def test_a_lock_whose_lease_ended_is_granted_anew_and_its_old_token_stores_nothing() -> None:
    assert LOCKS.judge(record(acquire(1), acquire(2), store(2), store(1, "fail"))).status == "PASS"


def test_a_store_with_an_old_token_after_one_with_a_new_one_fails() -> None:
    verdict = LOCKS.judge(record(acquire(1), acquire(2), store(2), store(1)))
    assert verdict.status == "FAIL"
    assert "wrote with token 1" in verdict.summary


def test_a_grant_that_nobody_was_told_of_ends_as_well_and_may_have_used_up_tokens() -> None:
    assert LOCKS.judge(record(acquire(1), acquire(None), acquire(3), store(3))).status == "PASS"


def test_a_batch_is_a_grant_of_every_key() -> None:
    terms = {"keys": ["a", "b"], "wait_s": 1.0, "lease_s": 10.0}
    batch = ("acquire_all", terms, "ok", {"tokens": {"a": 1, "b": 4}})
    back = ("release_all", {"tokens": {"a": 1, "b": 4}}, "ok", {})
    verdict = LOCKS.judge(record(batch))
    assert verdict.status == "PASS"
    assert verdict.numbers["answers"] == 2
    assert LOCKS.judge(record(batch, back)).status == "FAIL"  # it was another client's
