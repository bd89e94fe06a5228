"""What becomes of conflicts: both sides kept, refused with reasons, or dropped with a note; and how they end."""

from __future__ import annotations

import copy
import hashlib
import itertools
import pickle
import re
from typing import Any

import pytest

from targets.locking import merging, record
from targets.locking.edits import LONGEST_KEPT
from targets.locking.merging import Answer, Rules
from targets.locking.operations import submission
from targets.locking.record import Document, Json
from targets.locking.refusals import BadSubmission, BaseTooOld, Rejected


class Desk:
    """A document on which ann and ben work."""

    def __init__(self, content: Json | None = None, **rules: Any) -> None:  # noqa: ANN401  those of Rules
        self.rules = Rules(**rules)
        self.document = Document(content=content or {}, agents={"ann": 0, "ben": 0})
        self._numbers = itertools.count()

    def submit(self, agent: str, base: int, *operations: Json) -> Answer:
        asked = submission(agent, base, f"r{next(self._numbers)}", operations)
        before = copy.deepcopy(self.document)
        try:
            after, answer = merging.submit(self.document, asked, self.rules)
        finally:
            assert self.document == before
        self.document = after
        return answer

    @property
    def content(self) -> Any:  # noqa: ANN401  any JSON
        return self.document.content


def put(path: str, value: object, **more: object) -> Json:
    return {"op": "set", "path": path, "value": value, **more}


def count(path: str, by: float = 1) -> Json:
    return {"op": "increment", "path": path, "by": by}


def push(path: str, item: object) -> Json:
    return {"op": "append", "path": path, "item": item}


def drop(path: str, **more: object) -> Json:
    return {"op": "delete", "path": path, **more}


def resolve(conflict: str, **how: object) -> Json:
    return {"op": "resolve", "id": conflict, **how}


def dispute(**rules: Any) -> Desk:  # noqa: ANN401  those of Rules
    """Return a desk where ann set /t and ben's set of it is kept beside."""
    desk = Desk({"t": "old"}, **rules)
    desk.submit("ann", 0, put("/t", "ann's"))
    desk.submit("ben", 0, put("/t", "ben's"))
    return desk


def test_merge_keeps_both_sides_with_all_that_is_needed_to_decide() -> None:
    [conflict] = dispute().document.conflicts
    assert conflict == {
        "id": "2.0",
        "kind": "write/write",
        "path": "/t",
        "base": {"version": 0, "value": "old"},
        "theirs": {"version": 1, "writer": "ann", "value": "ann's"},
        "mine": {"writer": "ben", "request": "r1", "operation": put("/t", "ben's")},
    }


def test_what_does_not_conflict_in_a_submission_is_applied_and_the_rest_kept() -> None:
    desk = Desk({"a": 1, "b": 1})
    desk.submit("ann", 0, put("/a", 2))
    answer = desk.submit("ben", 0, put("/a", 3), put("/b", 3), count("/c"))
    assert [conflict["path"] for conflict in answer.conflicts] == ["/a"]
    assert desk.content == {"a": 2, "b": 3, "c": 1}


def test_what_builds_on_a_conflict_in_the_same_submission_is_kept_with_it() -> None:
    desk = Desk({"o": {"x": 1}})
    desk.submit("ann", 0, drop("/o"))
    answer = desk.submit("ben", 0, put("/o/x", 2), put("/o", {}), put("/o/y/z", 3))
    assert [conflict["kind"] for conflict in answer.conflicts] == ["path prefix"] + ["follows a conflict"] * 2
    assert [conflict["id"] for conflict in answer.conflicts] == ["2.0", "2.1", "2.2"]
    assert desk.content == {}


def test_an_index_that_counts_on_an_element_being_gone_is_kept_with_its_removal() -> None:
    desk = Desk({"l": ["a", "b", "c"]})
    desk.submit("ann", 0, put("/l/0", "A"))
    answer = desk.submit("ben", 0, drop("/l/0"), put("/l/1", "C"))
    assert [conflict["kind"] for conflict in answer.conflicts] == ["delete/write", "follows a conflict"]
    assert desk.content == {"l": ["A", "b", "c"]}


def test_a_plain_name_and_its_pointer_are_one_place() -> None:
    desk = Desk({"t": 0})
    desk.submit("ann", 0, put("t", 1))
    assert desk.submit("ben", 0, put("/t", 2)).conflicts[0]["kind"] == "write/write"


def test_an_expectation_that_fails_is_a_conflict_even_if_nobody_else_wrote() -> None:
    desk = Desk({"n": 4, "refs": {"main": "c0"}})
    move = {"op": "move_ref", "path": "/refs/main", "from": "c9", "to": "c1"}
    answer = desk.submit("ben", 0, put("/n", 6, expected=5), drop("/refs", expected={}), move)
    assert [conflict["kind"] for conflict in answer.conflicts] == ["expected another value"] * 2 + [
        "follows a conflict"
    ]
    assert answer.conflicts[0]["theirs"] == {"value": 4}
    assert not desk.submit("ben", 0, put("/n", 6, expected=4), put("/new", 1, expected=None)).conflicts


def test_refs_come_and_go_by_null() -> None:
    desk = Desk()
    desk.submit("ann", 0, {"op": "move_ref", "path": "refs/heads/main", "from": None, "to": "c1"})
    assert desk.content == {"refs/heads/main": "c1"}
    desk.submit("ann", 0, {"op": "move_ref", "path": "refs/heads/main", "from": "c1", "to": None})
    assert desk.content == {}


def test_files_are_kept_with_their_digest_and_changed_as_a_whole() -> None:
    desk = Desk()
    desk.submit("ann", 0, {"op": "write_file", "path": "src/ä.py", "content": "ü"})
    assert desk.content == {"src/ä.py": {"content": "ü", "sha256": hashlib.sha256("ü".encode()).hexdigest()}}
    with pytest.raises(BadSubmission, match="is a file, whose parts cannot be changed; use write_file"):
        desk.submit("ann", 1, put("/src~1ä.py/content", "x"))


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (count("/t"), "/t is text, which cannot be incremented"),
        (count("/yes"), "/yes is true or false, which cannot be incremented"),
        (count("/n", (1 << 63) - 1), "more than 64 bits hold"),
        (push("/o", 1), "/o is an object, to which nothing can be appended"),
        (put("/t/x", 1), "/t is text, so that it has no 'x'"),
        (put("/l/7", 1), "/l is a list of 2 and has no element '7'; append makes it longer"),
        (put("/l/01", 1), "has no element '01'"),
        (put("/l/-", 1), "has no element '-'"),
        (drop("/gone"), "there is nothing at /gone"),
        (drop("/l/5/x"), "/l is a list of 2"),
        (resolve("9.9", choice="mine"), "there is no open conflict '9.9'"),
    ],
)
def test_what_does_not_fit_even_as_its_writer_saw_it_is_a_mistake_and_nothing_is_applied(
    operation: Json, said: str
) -> None:
    for policy in merging.POLICIES:
        desk = Desk({"t": "text", "yes": True, "n": 1, "o": {}, "l": [1, 2]}, policy=policy)
        with pytest.raises(BadSubmission) as error:
            desk.submit("ann", 0, put("/fine", 1), operation)
        assert said in str(error.value)
        assert error.value.certainly_not_done
        assert desk.document.version == 0


def test_what_does_not_fit_any_more_because_of_another_is_a_conflict() -> None:
    desk = Desk({"l": [1]})
    desk.submit("ann", 0, count("/m/x"))
    [conflict] = desk.submit("ben", 0, push("/m", 1)).conflicts
    assert conflict["kind"] == "no longer fits"
    assert conflict["theirs"] == {"version": 1, "writer": "ann", "value": {"x": 1}}


def test_a_base_that_is_not_yet_is_refused() -> None:
    with pytest.raises(BadSubmission, match="base_version 3 is not yet: the document has version 0"):
        Desk().submit("ann", 3, count("/n"))


def test_reject_tells_what_changed_by_whom_and_what_to_do() -> None:
    desk = Desk({"t": "old", "l": []}, policy="reject")
    desk.submit("ann", 0, put("/t", "ann's"), push("/l", 1))
    desk.submit("ann", 1, put("/t", "ann's again"))
    with pytest.raises(Rejected) as caught:
        desk.submit("ben", 0, count("/n"), put("/t", "ben's"))
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  our own bytes
    assert (
        str(error) == "'/t': decided on version 0, but the document has version 2, changed by ann; nothing was applied"
    )
    assert error.certainly_not_done
    assert error.details == {
        "error": "conflict",
        "version": 2,
        "retryable": True,
        "hint": "inspect the document, decide on its newest version, and submit under a new request",
        "writers": ["ann"],
        "conflicts": [
            {
                "kind": "write/write",
                "path": "/t",
                "base": {"version": 0, "value": "old"},
                "theirs": {"version": 2, "writer": "ann", "value": "ann's again"},
                "mine": {"writer": "ben", "request": "r2", "operation": put("/t", "ben's")},
            }
        ],
        "diff": [
            {
                "path": "/t",
                "base": {"value": "old"},
                "now": {"value": "ann's again"},
                "edits": [{"version": 1, "writer": "ann"}, {"version": 2, "writer": "ann"}],
            },
            {"path": "/l", "base": {"value": []}, "now": {"value": [1]}, "edits": [{"version": 1, "writer": "ann"}]},
        ],
    }
    assert desk.content == {"t": "ann's again", "l": [1]}


def test_reject_names_no_writer_where_only_an_expectation_failed() -> None:
    desk = Desk({"n": 1}, policy="reject")
    with pytest.raises(Rejected, match="has version 0; nothing was applied"):
        desk.submit("ben", 0, put("/n", 6, expected=5))


def test_last_write_wins_notes_what_it_dropped() -> None:
    desk = Desk({"o": {}, "n": 1}, policy="last_write_wins")
    desk.submit("ann", 0, count("/o/n"), count("/o/n"), put("/t", "ann's"))
    assert not desk.submit("ben", 0, put("/o", {}), count("/t2"), put("/n", 3, expected=2)).conflicts
    assert desk.content == {"o": {}, "n": 3, "t": "ann's", "t2": 1}
    lost = {"path": "/o/n", "version": 1, "writer": "ann", "value": 2, "by": "ben", "at": 2}
    assert desk.document.dropped == {
        "count": 3,
        "entries": [lost, lost, {"path": "/n", "value": 1, "by": "ben", "at": 2}],
    }


def test_last_write_wins_counts_on_top_of_what_others_wrote() -> None:
    desk = Desk({"n": 1}, policy="last_write_wins")
    desk.submit("ann", 0, put("/n", 10))
    desk.submit("ben", 0, count("/n"))
    assert desk.content == {"n": 11}
    assert desk.document.dropped["count"] == 0


def test_last_write_wins_notes_its_own_edit_where_there_is_no_place_for_it_any_more() -> None:
    desk = Desk({"l": [1]}, policy="last_write_wins")
    desk.submit("ann", 0, put("/l", "text"))
    desk.submit("ben", 0, push("/l", 2))
    [entry] = desk.document.dropped["entries"]
    assert entry["operation"] == push("/l", 2)
    assert (entry["writer"], entry["version"], "why" in entry) == ("ben", 2, True)


def test_a_write_that_was_overwritten_knowingly_is_not_dropped_again() -> None:
    desk = Desk(policy="last_write_wins")
    desk.submit("ann", 0, put("/t", 1))
    desk.submit("ben", 0, put("/t", 2))
    desk.submit("ben", 0, put("/t", 3))
    assert desk.document.dropped["count"] == 1


def test_writes_that_lists_moved_apart_are_told_apart() -> None:
    desk = Desk({"l": ["a", "b", "c"]}, policy="last_write_wins")
    desk.submit("ann", 0, put("/l/1", "B"))
    desk.submit("ann", 1, drop("/l/0"))
    desk.submit("ann", 2, put("/l/1", "C"))
    desk.submit("ben", 0, put("/l", []))
    assert [entry["version"] for entry in desk.document.dropped["entries"]] == [3, 2, 1]


def test_dropped_entries_are_bounded_and_their_count_is_not() -> None:
    desk = Desk(policy="last_write_wins", dropped=2)
    for number, agent in enumerate(["ann", "ben"] * 3):
        desk.submit(agent, 0, put("/t", number))
    assert desk.document.dropped["count"] == 5
    assert [entry["at"] for entry in desk.document.dropped["entries"]] == [5, 6]


@pytest.mark.parametrize(
    ("how", "content"),
    [
        ({"choice": "mine"}, "ben's"),
        ({"choice": "theirs"}, "ann's"),
        ({"value": "both"}, "both"),
        ({"value": None}, None),
    ],
)
def test_a_conflict_is_resolved_by_an_operation(how: Json, content: object) -> None:
    for policy in merging.POLICIES:
        desk = dispute()
        desk.rules = Rules(policy=policy)
        assert not desk.submit("ann", 2, resolve("2.0", **how)).conflicts
        assert desk.content == {"t": content}
        assert not desk.document.conflicts


@pytest.mark.parametrize("how", [{"choice": "mine"}, {"choice": "theirs"}, {"value": "both"}])
def test_two_resolutions_of_one_conflict_conflict_too(how: Json) -> None:
    desk = dispute()
    desk.submit("ann", 2, resolve("2.0", choice="mine"))
    [conflict] = desk.submit("ben", 2, resolve("2.0", **how)).conflicts
    assert conflict["kind"] == "two resolutions"
    wanted = {"mine": "ben's", "theirs": "ann's"}.get(str(how.get("choice")), "both")
    assert conflict["mine"]["operation"] == put("/t", wanted)
    assert desk.content == {"t": "ben's"}
    desk.submit("ben", 4, resolve("4.0", choice="mine"))
    assert desk.content == {"t": wanted}
    with pytest.raises(BadSubmission, match="no open conflict"):
        desk.submit("ben", 4, resolve("4.0", choice="mine"))


def test_a_resolution_decided_before_another_write_leaves_both_open() -> None:
    desk = dispute()
    desk.submit("ann", 2, put("/t", "ann's newest"))
    desk.submit("ben", 2, resolve("2.0", choice="mine"))
    assert [conflict["id"] for conflict in desk.document.conflicts] == ["2.0", "4.0"]
    assert desk.content == {"t": "ann's newest"}


def test_a_conflict_cannot_be_resolved_twice_in_one_submission() -> None:
    desk = dispute()
    with pytest.raises(BadSubmission, match="no open conflict"):
        desk.submit("ben", 2, resolve("2.0", choice="mine"), resolve("2.0", choice="theirs"))


@pytest.mark.parametrize(
    ("start", "theirs", "mine", "how", "after"),
    [
        ({"t": 1}, drop("/t"), drop("/t"), {"choice": "mine"}, {}),
        ({"t": 1}, put("/t", 2), drop("/t"), {"choice": "mine"}, {}),
        ({"t": 1}, put("/t", 2), count("/t"), {"choice": "mine"}, {"t": 3}),
        (
            {"r": "a"},
            put("/r", "b"),
            {"op": "move_ref", "path": "r", "from": "a", "to": "c"},
            {"choice": "mine"},
            {"r": "c"},
        ),
        ({"r": "a"}, put("/r", "b"), {"op": "move_ref", "path": "r", "from": "a", "to": None}, {"choice": "mine"}, {}),
        ({}, put("/f", 1), {"op": "write_file", "path": "f", "content": "x"}, {"value": 5}, {"f": 5}),
        ({"t": 1}, put("/t", 2), put("/t", 3, expected=1), {"choice": "mine"}, {"t": 3}),
    ],
)
def test_mine_of_every_kind_can_be_chosen(start: Json, theirs: Json, mine: Json, how: Json, after: Json) -> None:
    desk = Desk(start)
    desk.submit("ann", 0, theirs)
    [conflict] = desk.submit("ben", 0, mine).conflicts
    desk.submit("ben", 2, resolve(conflict["id"], **how))
    assert desk.content == after
    assert not desk.document.conflicts


def test_a_file_is_resolved_as_a_file() -> None:
    desk = Desk()
    for agent in ("ann", "ben"):
        desk.submit(agent, 0, {"op": "write_file", "path": "f", "content": agent})
    desk.submit("ben", 2, resolve("2.0", value="both"))
    assert desk.content["f"] == {"content": "both", "sha256": hashlib.sha256(b"both").hexdigest()}


def test_choosing_theirs_second_where_they_had_deleted_it_keeps_it_deleted() -> None:
    desk = Desk({"t": 1})
    desk.submit("ann", 0, drop("/t"))
    desk.submit("ben", 0, put("/t", 2))
    desk.submit("ben", 2, resolve("2.0", choice="mine"))
    [conflict] = desk.submit("ann", 2, resolve("2.0", choice="theirs")).conflicts
    assert conflict["mine"]["operation"] == drop("/t")


def busy(desk: Desk, versions: int, path: str = "/busy") -> None:
    for number in range(versions):
        desk.submit("ann", desk.document.version, put(path, number))


def test_a_base_older_than_the_log_still_commutes_with_what_it_does_not_touch() -> None:
    desk = Desk({"l": []}, log=3)
    desk.submit("ann", 0, push("/l", "ann's"), count("/n"))
    busy(desk, 50)
    assert desk.document.reaches_back_to == 48
    assert not desk.submit("ben", 0, push("/l", "ben's"), count("/n"), put("/own", 1)).conflicts
    assert desk.content == {"l": ["ann's", "ben's"], "n": 2, "busy": 49, "own": 1}


def test_a_base_older_than_the_log_conflicts_with_what_was_touched_since() -> None:
    desk = Desk({"l": [0], "t": 0}, log=3)
    desk.submit("ann", 0, push("/l", "ann's"), put("/t", 1))
    desk.submit("ann", 1, put("/t", 2))
    busy(desk, 50)
    [first, second] = desk.submit("ben", 0, put("/t", 5), put("/l/0", 5)).conflicts
    assert first["theirs"] == {"version": 2, "writer": "ann", "value": 2}
    assert first["base"] == {"version": 0}
    assert second["path"] == "/l/0"  # which of the list's elements are new is forgotten


def test_what_an_agent_had_seen_or_made_does_not_conflict_beyond_the_log() -> None:
    desk = Desk(log=1)
    desk.submit("ann", 0, put("/t", 1))
    desk.submit("ben", 1, put("/t", 2))
    busy(desk, 5)
    assert not desk.submit("ben", 2, put("/t", 3)).conflicts


def test_where_nothing_can_be_proven_everything_is_kept_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "PLACES", 4)
    desk = Desk(log=2)
    for number in range(10):
        busy(desk, 1, f"/busy/{number}")
    assert desk.document.known_since == 4
    [conflict] = desk.submit("ben", 3, count("/n")).conflicts
    assert conflict["kind"] == "base too old"
    assert desk.submit("ben", 4, count("/n")).conflicts  # ben committed since: this may be a repetition
    assert not desk.submit("ben", 11, count("/n")).conflicts
    with pytest.raises(BaseTooOld) as error:
        desk.submit("ben", 3, resolve("77.0", choice="mine"))
    assert error.value.details["error"] == "conflict"


@pytest.mark.parametrize("policy", ["reject", "last_write_wins"])
def test_a_policy_that_keeps_nothing_beside_refuses_what_it_cannot_judge(policy: merging.Policy) -> None:
    desk = Desk(policy=policy, log=2)
    desk.submit("ben", 0, count("/n"))
    busy(desk, 10)
    with pytest.raises(BaseTooOld) as error:
        desk.submit("ben", 0, count("/n"))
    assert error.value.certainly_not_done
    assert error.value.details["version"] == 11
    assert "base_version 0 is older than the log, which goes back to 9" in str(error.value)


def test_the_log_ends_early_rather_than_grow_without_bound() -> None:
    desk = Desk(log=1000)
    desk.submit("ann", 0, put("/t", "x"))
    for number in range(100):
        desk.submit("ben", 0, put("/t", f"{number:02}" * 8_000))
    assert len(desk.document.log) < 100
    assert sum(len(commit) for _, commit in desk.document.log) < record.LOG_BYTES + 100_000
    assert len(desk.document.conflicts) == 100


def test_of_a_large_value_that_was_overwritten_the_log_keeps_the_digest() -> None:
    desk = Desk({"o": {"big": "x" * LONGEST_KEPT}})
    desk.submit("ann", 0, put("/o/inner", 1))
    desk.submit("ann", 0, put("/o", {"small": 1}))
    [inner, outer] = record.changes(desk.document, 0)
    assert re.fullmatch(r"\(\d+ bytes, SHA-256 [0-9a-f]{64}\)", outer["base"]["value"])
    assert outer["now"] == {"value": {"small": 1}}
    assert inner["base"] == {}
