"""The check `no_lost_updates` on documents: who had seen what, and what stands in a conflict."""

from __future__ import annotations

from typing import Any

from harness.checks.no_lost_updates import NoLostUpdates
from harness.record import Invoked, Record, Returned, TrialSpec

Json = dict[str, Any]


class Document:
    """A history of submits to one document, each answered with the next version, and a last look at it."""

    def __init__(self) -> None:
        self.history: list[Invoked | Returned] = []
        self.version = 0

    def submit(self, client: int, base: int, operation: Json, *conflicts: Json) -> None:
        self.version += 1
        args = {"base_version": base, "request": f"{client}:{self.version}.0", "operations": [operation]}
        self._add(client, "submit", args, {"version": self.version, "conflicts": list(conflicts)})

    def judge(self, content: Json, *conflicts: Json) -> str:
        self._add(0, "inspect", {}, {"content": content, "conflicts": list(conflicts)}, final=True)
        spec = TrialSpec(scenario="s", source="s.yaml", root_seed=0, seed=0, label="l")
        return NoLostUpdates().judge(Record(spec=spec, events=[], history=self.history, probes=[])).status

    def _add(self, client: int, op: str, args: Json, result: Json, *, final: bool = False) -> None:
        n, t = len(self.history), 10 * len(self.history)
        self.history += [
            Invoked(n=n, client=client, t=t, op=op, args={"document": "d", **args}, final=final),
            Returned(n=n, t=t + 5, outcome="ok", result=result),
        ]


def put(text: str) -> Json:
    return {"op": "set", "path": "shared", "value": text}


def append(text: str) -> Json:
    return {"op": "append", "path": "log", "item": text}


COUNT: Json = {"op": "increment", "path": "count", "by": 1}


def test_what_a_writer_replaced_itself_is_not_lost_however_old_its_base() -> None:
    document = Document()
    document.submit(0, 0, put("0:1 shared"))
    document.submit(0, 0, put("0:2 shared"))
    assert document.judge({"shared": "0:2 shared"}) == "PASS"


def test_what_another_replaced_is_lost_unless_that_one_had_seen_it() -> None:
    for base, status in ((0, "FAIL"), (1, "PASS")):
        document = Document()
        document.submit(0, 0, put("0:1 shared"))
        document.submit(1, base, put("1:2 shared"))
        assert document.judge({"shared": "1:2 shared"}) == status


def test_who_was_told_of_a_conflict_with_an_edit_replaced_nothing() -> None:
    kept = {"id": "2.0", "path": "/shared", "mine": put("1:2 shared"), "theirs": "0:1 shared"}
    for base, status in ((2, "PASS"), (0, "FAIL")):
        document = Document()
        document.submit(0, 0, put("0:1 shared"))
        document.submit(1, 0, put("1:2 shared"), kept)
        document.submit(2, base, put("2:3 shared"))
        assert document.judge({"shared": "2:3 shared"}, kept) == "PASS", "the conflict shows both sides"
        document.history = document.history[:-2]
        assert document.judge({"shared": "2:3 shared"}) == status


def test_an_appended_item_is_there_or_in_a_conflict_that_its_writer_was_told_of() -> None:
    kept = {"id": "1.0", "path": "log", "mine": append("0:1 log")}
    for told, status in (((kept,), "PASS"), (({"id": "1.0", "path": "log"},), "FAIL"), ((), "FAIL")):
        document = Document()
        document.submit(0, 0, append("0:1 log"), *told)
        assert document.judge({"log": []}, kept) == status


def test_an_increment_in_a_conflict_may_be_missing_and_no_other_may() -> None:
    for count, status in ((2, "PASS"), (1, "PASS"), (0, "FAIL"), (3, "FAIL")):
        document = Document()
        document.submit(0, 0, COUNT)
        document.submit(1, 0, COUNT, {"id": "2.0", "path": "/count"})
        assert document.judge({"count": count}) == status
