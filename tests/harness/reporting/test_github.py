"""Annotations: what GitHub's runner understands, and no more than it shows."""

from __future__ import annotations

from pathlib import Path

from harness.reporting.github import MOST, GithubReport, annotate
from support.pages import HOSTILE
from support.suites import result, suite


def test_each_scenario_that_did_not_pass_has_one_annotation_at_its_file() -> None:
    failed = result("FAIL", reason="it never recovered")
    [line] = annotate(suite(failed, result(attempt=1), result(scenario="fine")))
    command, message = line.rsplit("::", 1)
    assert command == "::error file=scenarios/flip.yaml,line=1,title=FAIL 1 of 2%3A flip"
    assert message == "it never recovered%0Arun: runs/flip/0, root seed 7"


def test_errors_come_first_then_warnings_then_notices() -> None:
    made = suite(
        result("SKIPPED", scenario="a", fix="install docker.io"),
        result("UNKNOWN", scenario="b"),
        result("ERROR", scenario="c"),
    )
    kinds = [line.split(" ")[0] for line in annotate(made)]
    assert kinds == ["::error", "::warning", "::notice"]
    assert annotate(made)[2].endswith("%0Afix: install docker.io")


def test_a_planted_bug_that_was_found_is_no_annotation() -> None:
    assert annotate(suite(result("FAIL", convicts=("x",), convicted=True))) == []


def test_no_more_than_ten_of_a_kind_are_written_and_the_last_says_how_many_there_are() -> None:
    lines = annotate(suite(*(result("FAIL", scenario=f"s{n}") for n in range(MOST + 3))))
    assert len(lines) == MOST
    assert lines[-1] == "::error title=bigfive::4 more, all of them in summary.md"


def test_exactly_ten_are_all_written() -> None:
    assert not any("more" in line for line in annotate(suite(*(result("FAIL", scenario=f"s{n}") for n in range(MOST)))))


def test_hostile_text_is_one_line_and_no_command_of_its_own() -> None:
    [line] = annotate(suite(result("FAIL", reason=HOSTILE, variant=HOSTILE, source=f"a,title=x:{HOSTILE}")))
    assert "\n" not in line
    head, _, _ = line.partition("::<script>")
    assert head.count(",") == 2


def test_an_absolute_path_becomes_one_of_the_repository() -> None:
    [line] = annotate(suite(result("FAIL", source="/home/ci/build/scenarios/state/flip.yaml")))
    assert "file=scenarios/state/flip.yaml," in line


def test_the_annotations_are_a_file_too(tmp_path: Path) -> None:
    path = GithubReport().write(suite(result("FAIL"), result()), tmp_path)
    assert path.read_text().startswith("::error file=scenarios/flip.yaml")
