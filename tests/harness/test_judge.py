"""`bigfive judge`: histories of anybody, and recorded trials again."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from harness.cli import exit_code
from harness.engine.rejudging import differences
from harness.engine.suite import SuiteFolder
from harness.record import Folder
from harness.result import read
from support.recorded import SUITE, keeping, losing, save, write_suite, write_trial
from support.suites import judged, result

CALL = '{{"type": "invoke", "n": {n}, "client": {client}, "t": {t}, "op": "{op}", "args": {args}}}\n'
BACK = '{{"type": "return", "n": {n}, "t": {t}, "outcome": "ok", "result": {result}}}\n'


def write_history(path: Path, *operations: tuple[str, str, str]) -> Path:
    """Operations one after the other, of a client each."""
    text = ""
    for n, (op, args, answer) in enumerate(operations, 1):
        text += CALL.format(n=n, client=n, t=10 * n, op=op, args=args) + BACK.format(n=n, t=10 * n + 5, result=answer)
    path.write_text(text)
    return path


@pytest.fixture
def suite(tmp_path: Path) -> SuiteFolder:
    return SuiteFolder.create(tmp_path / "reports", SUITE)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_history_that_an_order_explains_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_history(tmp_path / "h.jsonl", ("write", '{"value": 5}', "{}"), ("read", "{}", '{"value": 5}'))
    assert exit_code(["judge", str(path), "--model", "register"]) == 0
    assert capsys.readouterr().out.startswith("ok: ")


def test_a_history_that_contradicts_itself_is_1_and_shows_the_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_history(
        tmp_path / "h.jsonl",
        ("write", '{"value": 5}', "{}"),
        ("write", '{"value": 6}', "{}"),
        ("read", "{}", '{"value": 5}'),
    )
    assert exit_code(["judge", str(path), "--model", "register"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("illegal: ")
    assert f"{path}:3: operation 2 (client 2, 20..25) wrote 6" in said
    assert f"{path}:5: operation 3 (client 3, 30..35) read 5" in said


def test_a_history_that_cannot_be_decided_is_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h.jsonl").write_text("")
    assert exit_code(["judge", str(tmp_path / "h.jsonl"), "--model", "mutex"]) == 5
    assert capsys.readouterr().out.startswith("unknown: ")


def test_the_initial_value_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_history(tmp_path / "h.jsonl", ("read", "{}", '{"value": [1, 2]}'))
    assert exit_code(["judge", str(path), "--model", "register"]) == 1
    assert exit_code(["judge", str(path), "--model", "register", "--initial", "[1, 2]"]) == 0
    capsys.readouterr()
    assert exit_code(["judge", str(path), "--model", "register", "--initial", "text"]) == 4
    assert "a text needs quotes" in capsys.readouterr().err


def test_json_has_the_order_that_explains_and_the_operations_that_contradict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_history(
        tmp_path / "h.jsonl",
        ("write", '{"key": "a", "value": {"x": true}}', '{"version": 1}'),
        ("read", '{"key": "a"}', '{"value": {"x": true}, "version": 1}'),
    )
    assert exit_code(["judge", str(path), "--model", "versioned_register", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["orders"]) == ("ok", [{"key": "a", "order": [1, 2]}])
    path.write_text(path.read_text().replace('"value": {"x": true}, "v', '"value": {"x": false}, "v'))
    assert exit_code(["judge", str(path), "--model", "versioned_register", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["key"] == "a"
    assert {"x": False} in [operation["result"].get("value") for operation in said["window"]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["h.jsonl"], "--model"),
        (["h.jsonl", "--model", "regster"], "regster"),
        (["h.jsonl", "--model", "register"], "h.jsonl:1: there is no operation 'launch'"),
        (["nowhere", "--model", "register"], "nowhere"),
        (["."], "not a run folder"),
        ([".", "--model", "register"], "leave out --model"),
    ],
)
def test_what_cannot_be_judged_is_4_and_said(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_history(tmp_path / "h.jsonl", ("launch", "{}", "{}"))
    assert exit_code(["judge", *arguments]) == 4
    said = capsys.readouterr()
    assert told in said.err
    assert not said.out


def test_a_trial_judged_again_comes_to_the_same_and_nothing_is_written(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_trial(suite, "loses", losing())
    before = contents(suite.path)
    for path in (folder.path, folder.result):
        assert exit_code(["judge", str(path)]) == 1
        said = capsys.readouterr().out
        assert said.startswith("FAIL        loses  no_acknowledged_write_lost: version 1 of k")
        assert said.splitlines()[-1] == "    the same as in result.json"
    assert contents(suite.path) == before


def test_what_differs_from_the_stored_result_is_said(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_trial(suite, "loses", losing())
    stored = read(folder.result)
    save(folder, msgspec.structs.replace(stored, status="PASS", reason="all well", checks=stored.checks[:1]))
    assert exit_code(["judge", str(folder.path)]) == 1
    said = capsys.readouterr().out
    assert "changed: status: PASS -> FAIL (no_acknowledged_write_lost: " in said
    assert "changed: no_acknowledged_write_lost: was not judged, now FAIL" in said
    assert read(folder.result).status == "PASS"


def test_a_suite_is_all_its_trials(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    loses, keeps = write_trial(suite, "loses", losing()), write_trial(suite, "keeps", keeping())
    write_suite(suite, **{"loses/0": read(loses.result), "keeps/0": read(keeps.result)})
    assert exit_code(["judge", str(suite.path), "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["result"]["status"] for line in lines] == ["FAIL", "PASS"]
    assert [line["differences"] for line in lines] == [[], []]


def test_a_trial_that_never_began_keeps_its_result_in_a_suite_and_is_4_alone(
    suite: SuiteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    keeps = write_trial(suite, "keeps", keeping())
    skipped = write_trial(suite, "skipped", keeping())
    skipped.events.unlink()
    save(skipped, result("SKIPPED", scenario="skipped"))
    write_suite(suite, **{"keeps/0": read(keeps.result), "skipped/0": read(skipped.result)})
    assert exit_code(["judge", str(suite.path)]) == 0
    assert "skipped: SKIPPED as it was" in capsys.readouterr().err
    assert exit_code(["judge", str(skipped.path)]) == 4
    assert "never began" in capsys.readouterr().err


def test_a_trial_without_a_result_is_judged_too(suite: SuiteFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder: Folder = write_trial(suite, "keeps", keeping())
    folder.result.unlink()
    assert exit_code(["judge", str(folder.path)]) == 0
    assert "there was no result before" in capsys.readouterr().out


def test_differences_name_numbers_words_and_checks_that_are_gone() -> None:
    before = result(checks=(judged("a", "PASS", ms=1.0), judged("b", "PASS", "was"), judged("c", "PASS")))
    now = result(checks=(judged("a", "PASS", ms=2.0), judged("b", "PASS", "is"), judged("b", "FAIL")))
    assert differences(before, now) == [
        "a: 5s: ms was 1.0, is 2.0",
        "b: 5s: PASS as before, but was 'was', is 'is'",
        "c: 5s: was PASS, is not judged any more",
        "b: 5s: was not judged, now FAIL (so it was seen)",
    ]
    assert differences(before, before) == []
