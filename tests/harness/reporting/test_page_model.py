"""The page model: what a reader is shown, as data, from suites that are known by heart."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from harness.record import Invoked, PhaseBegan, Record, Returned, WorkloadBegan
from harness.reporting._blocks import Distribution, Features, Findings, Items, Prose, Table, Timelines
from harness.reporting._material import MAX_STORIES, Source, gather
from harness.reporting._page import SECTIONS, Page, build
from harness.reporting._story import MAX_OPERATIONS, Story, tell
from harness.reporting._words import duration, listed, measurement, merged, percentile
from harness.result import Result
from support.pages import kill_at_second_one, material, recovered, written_suite
from support.records import MS, damage, held, told
from support.suites import fault, judged, result, suite

Kind = TypeVar("Kind")
CONVICTED = result("FAIL", convicts=("no_orphans",), convicted=True, checks=(judged("no_orphans", "FAIL"),))
LOST = "version 3 of k1 was acknowledged to operation 7 and again to 12"
FAILED = result("FAIL", attempt=1, checks=(judged("no_acknowledged_write_lost", "FAIL", LOST, lost=2),))


def bare(*results: Result, **differing: object) -> Page:
    """The page of a suite whose run folders are gone."""
    return build(gather([Source(suite(*results, **differing), Path("reports/x"))], Path("reports/x")))


def block(page: Page, section: str, kind: type[Kind]) -> Kind:
    blocks = next(each.blocks for each in page.sections if each.id == section)
    return next(each for each in blocks if isinstance(each, kind))


def cells(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def story(made: Record, came_to: Result | None = None) -> Story:
    told_ = tell(made, came_to or recovered(), 60)
    assert told_ is not None
    return told_


def test_the_banner_is_a_verdict_with_counts_seed_duration_date_and_version(tmp_path: Path) -> None:
    banner = build(material(tmp_path, recovered(), recovered(attempt=1))).banner
    assert (banner.verdict, banner.sentence) == ("PASS", "2 of 2 trials passed.")
    assert dict(banner.facts) == {
        "trials": "2",
        "root seed": "7",
        "took": "3 s",
        "began": "2026-11-22 19:32 UTC",
        "bigfive": "9.9.9",
    }


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["PASS", "FAIL", "UNKNOWN"], "FAIL"),
        (["PASS", "UNKNOWN"], "UNKNOWN"),
        (["PASS", "ERROR"], "UNKNOWN"),
        (["SKIPPED"], "UNKNOWN"),
        (["PASS", "SKIPPED"], "PASS"),
        ([], "UNKNOWN"),
    ],
)
def test_the_verdict_is_never_greener_than_the_exit_status(statuses: list[str], verdict: str) -> None:
    assert bare(*(result(status) for status in statuses)).banner.verdict == verdict  # type: ignore[arg-type]


def test_a_planted_bug_that_was_found_is_good_news_but_the_exit_status_stays() -> None:
    banner = bare(result(), CONVICTED).banner
    assert banner.verdict == "PASS"
    assert "1 of 1 trial passed." in banner.sentence
    assert "broken on purpose: convicted" in banner.sentence
    assert banner.exit.startswith("1 (failed: planted bugs")
    assert banner.counts == (("PASS", 1), ("CONVICTED", 1))


@pytest.mark.parametrize("status", ["UNKNOWN", "ERROR", "INTERRUPTED"])
def test_planted_bugs_hide_nothing_that_proved_nothing(status: str) -> None:
    assert bare(CONVICTED, result(status)).banner.verdict == "UNKNOWN"  # type: ignore[arg-type]


def test_a_feature_shows_each_criterion_with_its_worst_trial_and_its_numbers(tmp_path: Path) -> None:
    slow = recovered(
        attempt=1,
        checks=(judged("recovered_within", "FAIL", "too late", recovery_ms=6000, budget_ms=5000),),
        status="FAIL",
    )
    [card] = block(build(material(tmp_path, recovered(), slow)), "features", Features).cards
    [criterion] = card.criteria
    assert (card.name, card.status, card.count) == ("state", "FAIL", "2 trials: 1 FAIL, 1 PASS")
    assert (criterion.status, criterion.count, criterion.said) == ("FAIL", "1 of 2", "too late")
    assert criterion.measured.startswith("recovery 6 s")
    assert criterion.meter == pytest.approx(1.2)
    assert criterion.href == "#t2"


def test_planted_bugs_do_not_spoil_the_numbers_of_their_feature() -> None:
    planted = result("FAIL", convicts=("x",), convicted=True, checks=(judged("x", "FAIL", lost=42),))
    [card] = block(bare(result(checks=(judged("x", "PASS", lost=0),)), planted), "features", Features).cards
    assert (card.status, card.criteria[0].measured) == ("PASS", "lost 0")
    assert card.planted == "1 of 1 trial with a planted bug convicted it"


def test_features_without_trials_are_named() -> None:
    assert "locking, resources, network and mcp_tools" in block(bare(result()), "features", Prose).text


def test_a_finding_says_what_happened_in_english_with_the_smallest_replay(tmp_path: Path) -> None:
    short = msgspec.structs.replace(FAILED, attempt=2, duration_s=0.5)
    page = build(material(tmp_path, result(), FAILED, short))
    [finding] = block(page, "findings", Findings).cards
    assert finding.title == "flip failed: no_acknowledged_write_lost"
    assert f"Asked was no_acknowledged_write_lost: 5s; {LOST}." in finding.sentences
    assert "It happened in 2 of 3 trials." in finding.sentences
    assert "The first operation that is named, 7, was called before any fault." in finding.sentences
    assert finding.command == f"bigfive replay {tmp_path}/runs/flip/2"
    assert finding.timeline == "t3"
    assert finding.evidence == (("runs/flip/2/events.jsonl", "events.jsonl: fault 0"),)
    assert page.first_error == "#t2e"


def test_an_operation_that_is_named_after_a_fault_is_placed_behind_it(tmp_path: Path) -> None:
    late = result("FAIL", checks=(judged("x", "FAIL", "operation 12 read nonsense"),))
    [finding] = block(build(material(tmp_path, late)), "findings", Findings).cards
    assert (
        "The first operation that is named, 12, was called 200 ms after process.kill on service." in finding.sentences
    )


def test_findings_come_worst_first_and_skips_are_limits() -> None:
    page = bare(CONVICTED, result("UNKNOWN"), FAILED, result("SKIPPED", reason="docker: none", fix="install docker.io"))
    assert [card.status for card in block(page, "findings", Findings).cards] == ["FAIL", "UNKNOWN", "CONVICTED"]
    assert ("Skipped: flip. docker: none.", "install docker.io") in block(page, "limits", Items).entries


def test_a_suite_that_passed_has_no_findings() -> None:
    page = bare(result())
    assert "findings" not in {section.id for section in page.sections}
    assert page.first_error == ""


def test_recoveries_are_those_that_the_check_measured(tmp_path: Path) -> None:
    page = build(material(tmp_path, recovered(), recovered(attempt=1)))
    [spread] = block(page, "recovery", Distribution).spreads
    assert (spread.name, spread.budget_s, spread.never, spread.unnoticed) == ("process.kill", 5.0, 0, 0)
    assert spread.times_s == pytest.approx((0.301, 0.301))
    [row] = cells(block(page, "recovery", Table))
    assert row[:8] == ["process.kill", "2", "5 s", "301 ms", "301 ms", "301 ms", "0", "0"]


def test_a_recovery_that_never_came_counts_as_longer_than_any() -> None:
    never = kill_at_second_one()
    bad = [msgspec.structs.replace(probe, good=probe.t < 1000 * MS) for probe in never.probes]
    [back] = story(Record(never.spec, never.events, never.history, bad)).recoveries
    assert back.noticed is not None
    assert back.took_s is None


def test_never_is_in_the_percentiles(tmp_path: Path) -> None:
    made = kill_at_second_one()
    bad = [msgspec.structs.replace(probe, good=probe.t < 1000 * MS) for probe in made.probes]
    written = written_suite(tmp_path, recovered(), record=Record(made.spec, made.events, made.history, bad))
    [row] = cells(block(build(gather([Source(written, tmp_path)], tmp_path)), "recovery", Table))
    assert row[1:8] == ["1", "5 s", "never", "never", "never", "1", "0"]


def test_as_many_good_probes_in_a_row_count_as_the_scenario_asked_for() -> None:
    checks = (
        msgspec.structs.replace(judged("recovered_within", "PASS"), asked="recovered_within: {good_probes: 200}"),
    )
    [back] = story(kill_at_second_one(), recovered(checks=checks)).recoveries
    assert back.recovered is None  # there are not so many


def test_the_matrix_counts_trials_in_which_an_operation_met_a_fault(tmp_path: Path) -> None:
    page = build(material(tmp_path, recovered(), recovered(attempt=1)))
    table = block(page, "coverage", Table)
    assert [column.title for column in table.columns] == ["fault", "operation", "met", "recovered_within"]
    assert cells(table) == [
        ["process.kill", "read", "2", "PASS 2 of 2"],
        ["process.kill", "write", "6", "PASS 2 of 2"],
    ]
    assert "noop" in block(page, "coverage", Prose).text


def test_what_never_met_is_not_exercised(tmp_path: Path) -> None:
    made = kill_at_second_one()
    early = [entry for entry in made.history if entry.n < 9]
    late = [Invoked(n=99, client=0, t=2 * 1000 * MS, op="delete", args={})]
    written = written_suite(tmp_path, recovered(), record=Record(made.spec, made.events, [*early, *late], made.probes))
    table = block(build(gather([Source(written, tmp_path)], tmp_path)), "coverage", Table)
    assert {row[1]: row[3] for row in cells(table)} == dict.fromkeys(("delete", "read", "write"), "NOT EXERCISED")


def test_a_fault_that_proved_nothing_exercised_nothing(tmp_path: Path) -> None:
    made = kill_at_second_one()
    unproven = [event for event in made.events if type(event).__name__ != "FaultProven"]
    came_to = recovered(faults=(fault(proven=False),))
    written = written_suite(tmp_path, came_to, record=Record(made.spec, unproven, made.history, made.probes))
    page = build(gather([Source(written, tmp_path)], tmp_path))
    assert {row[3] for row in cells(block(page, "coverage", Table))} == {"NOT EXERCISED"}
    assert any("process.kill" in text for text, _ in block(page, "limits", Items).entries)


def test_a_story_counts_every_operation_once_in_its_column_and_by_its_outcome() -> None:
    told_ = story(kill_at_second_one())
    assert [sum(column) for column in zip(*told_.columns, strict=True)] == [29, 0, 1]
    assert told_.operations == 30
    assert (told_.begin, told_.end) == (0.0, 3.0)


def test_a_story_has_windows_outages_and_events() -> None:
    told_ = story(kill_at_second_one([*held(2000, 2500, fault=1), told(2100, "damage.detected", handle="x")]))
    assert [(each.kind, each.begin, each.end) for each in told_.windows] == [
        ("process.kill", 1.0, None),
        ("process.pause", 2.0, 2.5),
    ]
    [outage] = told_.outages
    assert (outage.begin, outage.end, outage.probes) == (1.0, 1.3, 15)
    assert [event.text for event in told_.events] == ["service.started pid 7", "damage.detected handle x"]


def test_the_first_error_is_an_accused_operation_else_an_unknown_one_else_a_bad_probe() -> None:
    made = kill_at_second_one()
    accused = result("FAIL", checks=(judged("x", "FAIL", "operation 20 is wrong"),))
    certain = [entry for entry in made.history if entry.n != 10]
    assert story(made, accused).first_error == 2.0
    assert story(made).first_error == 1.0
    assert story(Record(made.spec, made.events, certain, [])).first_error is None
    assert story(Record(made.spec, made.events, certain, made.probes)).first_error == 1.0


def test_reads_of_the_end_state_are_not_drawn() -> None:
    made = kill_at_second_one()
    final = [
        Invoked(n=99, client=0, t=2950 * MS, op="read", args={}, final=True),
        Returned(n=99, t=2951 * MS, outcome="ok", result={}),
    ]
    told_ = story(Record(made.spec, made.events, [*made.history, *final], made.probes))
    assert (told_.operations, told_.final, sum(map(sum, told_.columns))) == (31, 1, 30)


def test_a_story_of_very_many_operations_says_how_many_it_leaves_out() -> None:
    count = MAX_OPERATIONS + 5
    history = [Invoked(n=n, client=0, t=n, op="write", args={}) for n in range(count)]
    events = [WorkloadBegan(t=0), PhaseBegan(t=1000 * MS, phase="stop")]
    told_ = story(Record(kill_at_second_one().spec, events, history, []))
    assert (told_.left_out, sum(map(sum, told_.columns)), len(told_.columns)) == (5, MAX_OPERATIONS, 60)


def test_a_run_whose_workload_never_began_has_no_story() -> None:
    assert tell(Record(kill_at_second_one().spec, damage(1), [], []), result(), 60) is None


def test_a_record_that_cannot_be_read_leaves_a_note_and_the_verdict(tmp_path: Path) -> None:
    written = written_suite(tmp_path, recovered())
    (tmp_path / "runs/flip/0/events.jsonl").write_text("{}\n")
    page = build(gather([Source(written, tmp_path)], tmp_path))
    [card] = block(page, "timelines", Timelines).scenarios[0].trials
    assert "events.jsonl:1: not a record" in card.note
    assert card.status == "PASS"
    assert any("1 trial left no record" in text for text, _ in block(page, "limits", Items).entries)


def test_a_page_of_many_trials_draws_those_that_did_not_pass_first(tmp_path: Path) -> None:
    many = [result(attempt=n) for n in range(MAX_STORIES)]
    made = material(tmp_path, *many, msgspec.structs.replace(FAILED, attempt=500))
    assert made.trials[-1].story is not None
    assert sum(told_.story is None for told_ in made.trials) == 1
    assert any(str(MAX_STORIES) in text for text, _ in block(build(made), "limits", Items).entries)


def test_trials_that_never_began_are_limits_too() -> None:
    page = bare(result(), planned=3)
    assert "2 trials never began." in page.banner.sentence
    assert ("2 planned trials never began.", "") in block(page, "limits", Items).entries


def test_passes_say_how_much_they_exclude() -> None:
    page = bare(*(result(attempt=n) for n in range(3)))
    assert any("3 of 3" in text and "above 63%" in text for text, _ in block(page, "limits", Items).entries)


def test_several_suites_become_one_page_with_all_their_trials(tmp_path: Path) -> None:
    one = Source(written_suite(tmp_path / "a", recovered()), tmp_path / "a")
    other = Source(written_suite(tmp_path / "b", FAILED, planned=2), tmp_path / "b")
    made = gather([one, other], tmp_path / "joined")
    page = build(made)
    assert (made.planned, len(made.trials)) == (3, 2)
    assert page.banner.verdict == "FAIL"
    assert made.trials[1].files[""] == "../b/runs/flip/0/"
    assert len(block(page, "environment", Table).rows) == 2


def test_an_empty_suite_has_a_page_too() -> None:
    page = bare()
    assert page.banner.verdict == "UNKNOWN"
    assert {section.id for section in page.sections} >= {"environment", "limits"}


def test_every_section_has_a_name_of_its_own(tmp_path: Path) -> None:
    sections = [section for build_ in SECTIONS if (section := build_(material(tmp_path / build_.__module__, FAILED)))]
    assert len({section.id for section in sections}) == len(sections)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0.4 ms"),
        (0.2409, "241 ms"),
        (0.9999, "1 s"),
        (5, "5 s"),
        (12.34, "12.3 s"),
        (125, "2 min 5 s"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_percentiles_were_measured() -> None:
    assert percentile([1, 2, 3, 4], 0.5) == 2
    assert percentile([1, 2, 3, 4], 0.95) == 4
    assert percentile([1], 0.5) == 1


def test_of_durations_the_longest_counts_and_of_everything_else_the_sum() -> None:
    assert merged([{"recovery_ms": 1, "lost": 2, "budget_ms": 5}, {"recovery_ms": 3, "lost": 4, "budget_ms": 4}]) == {
        "recovery_ms": 3,
        "lost": 6,
        "budget_ms": 4,
    }
    assert [measurement("recovery_ms", 241), measurement("lost", 1200)] == ["recovery 241 ms", "lost 1,200"]


def test_long_lists_say_what_they_leave_out() -> None:
    assert [listed([]), listed(["a"]), listed(["a", "b", "c"])] == ["", "a", "a, b and c"]
    assert listed(list("abcd"), 2) == "a, b and 2 more"


def test_a_held_fault_is_noticed_from_its_injection_and_recovered_from_its_end() -> None:
    told_ = story(kill_at_second_one([*held(2000, 2500, fault=1), told(2100, "damage.detected", handle="service")]))
    [_, back] = told_.recoveries
    assert (back.injected, back.began) == (2.0, 2.5)
    assert back.noticed is not None
    assert 0 <= back.noticed - back.injected < 0.5


def test_faults_that_never_came_are_not_said_to_have_been_met() -> None:
    never = msgspec.structs.replace(fault(proven=False), began_s=None)
    [nothing] = block(bare(result("INTERRUPTED", faults=(never,))), "findings", Findings).cards
    [half] = block(bare(result("UNKNOWN", faults=(fault(proven=True), never))), "findings", Findings).cards
    assert nothing.sentences[0] == "No fault was injected."
    assert half.sentences[0] == "The target met process.kill on service at 1 s. 1 planned fault never came."
