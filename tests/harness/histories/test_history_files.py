"""Histories from anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.histories.files import judge_file

WRITE = '{"type": "invoke", "n": 1, "client": 0, "t": 0, "op": "write", "args": {"value": 5}}'
WRITTEN = '{"type": "return", "n": 1, "t": 3, "outcome": "ok", "result": {}}'
READ = '{"type": "invoke", "n": 2, "client": 1, "t": 4, "op": "read", "args": {}}'


def got(value: int) -> str:
    return f'{{"type": "return", "n": 2, "t": 5, "outcome": "ok", "result": {{"value": {value}}}}}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def test_a_file_is_judged_by_the_model_that_is_named(file: Path) -> None:
    file.write_text("\n".join([WRITE, WRITTEN, READ, got(5), ""]))
    assert judge_file(file, "register").status == "ok"
    file.write_text("\n".join([WRITE, WRITTEN, READ, got(6), ""]))
    assert judge_file(file, "register").status == "illegal"


def test_the_initial_value_is_given_as_json(file: Path) -> None:
    file.write_text(f"{READ}\n{got(9)}")
    assert judge_file(file, "register").status == "illegal"
    assert judge_file(file, "register", 9).status == "ok"


def test_the_order_of_lines_does_not_matter(file: Path) -> None:
    file.write_text("\n".join([got(5), READ, WRITTEN, WRITE, ""]))
    assert judge_file(file, "register").status == "ok"


def test_a_torn_last_line_is_cut_and_a_whole_one_without_newline_is_not(file: Path) -> None:
    file.write_text("\n".join([WRITE, WRITTEN, READ, got(6)]))
    assert judge_file(file, "register").status == "illegal"
    file.write_text("\n".join([WRITE, WRITTEN, READ, got(6)[:-9]]))
    assert judge_file(file, "register").status == "ok"


def test_all_bad_lines_are_told_with_their_places(file: Path) -> None:
    orphan = WRITTEN.replace('"n": 1', '"n": 8')
    early = got(1).replace('"t": 5', '"t": 1')
    push = WRITE.replace("write", "push").replace('"n": 1', '"n": 3')
    lines = [WRITE, "{oops", WRITE, READ, early, orphan, push]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(ScenarioError) as caught:
        judge_file(file, "register")
    told = [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()]
    assert [line.split(":")[0] for line in told] == ["2", "3", "5", "6", "7"]
    assert "not a record" in told[0]
    assert "operation 1 invoked before, on line 1" in told[1]
    assert "operation 2 returned before it was invoked" in told[2]
    assert "operation 8 returned but was never invoked" in told[3]
    assert "there is no operation 'push'; there are read, write" in told[4]


def test_a_member_that_is_missing_is_told_where_it_belongs(file: Path) -> None:
    file.write_text("\n".join([WRITE.replace("value", "val"), READ, got(5).replace("value", "val"), ""]))
    with pytest.raises(ScenarioError) as caught:
        judge_file(file, "register")
    assert str(caught.value).splitlines() == [
        f"{file}:1: args of write lacks 'value'",
        f"{file}:3: result of read lacks 'value'",
    ]


def test_many_problems_are_cut_short(file: Path) -> None:
    file.write_text("{\n" * 50)
    with pytest.raises(ScenarioError, match="and 30 more"):
        judge_file(file, "register")


def test_an_empty_file_proves_nothing_and_a_missing_one_is_an_error(file: Path) -> None:
    file.write_text("")
    assert judge_file(file, "register").status == "unknown"
    with pytest.raises(ScenarioError, match="No such file"):
        judge_file(file.with_name("none"), "register")
