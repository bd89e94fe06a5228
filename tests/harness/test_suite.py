"""Which trials a suite has, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness import seeds
from harness.engine.suite import (
    Selection,
    SuiteFolder,
    Terms,
    collect,
    recorded_trials,
    reproduced,
    sources,
)
from harness.errors import ScenarioError
from harness.record import Folder
from harness.reporting._base import write_all
from support.suites import judged, result, suite, write_scenario

TERMS = Terms(root_seed=7)


def ids(folder: Path, **selection: object) -> list[str]:
    chosen = msgspec.convert({"paths": [folder], **selection}, Selection)
    return [candidate.id for candidate in collect(chosen)]


def test_a_folder_means_its_files_variants_and_attempts_in_order(tmp_path: Path) -> None:
    write_scenario(tmp_path, "b", more="repeat: 2")
    write_scenario(tmp_path / "a", "z", more="matrix: {speed: [1, 2]}")
    assert ids(tmp_path) == ["z[speed=1]", "z[speed=2]", "b", "b#1"]


def test_repeat_overrides_the_scenario(tmp_path: Path) -> None:
    write_scenario(tmp_path, "b", more="repeat: 5")
    assert ids(tmp_path, repeat=1) == ["b"]


def test_any_one_of_the_tags_is_enough(tmp_path: Path) -> None:
    for name, tags in {"a": "[smoke]", "b": "[nightly, demo]", "c": "[]"}.items():
        write_scenario(tmp_path, name, more=f"tags: {tags}")
    assert ids(tmp_path, tags=["smoke", "demo"]) == ["a", "b"]


def test_the_expression_sees_the_name_with_its_variant(tmp_path: Path) -> None:
    write_scenario(tmp_path, "a", more="matrix: {speed: [1, 2]}")
    assert ids(tmp_path, expression="a and not speed=1") == ["a[speed=2]"]


def test_negative_scenarios_run_only_where_they_are_named(tmp_path: Path) -> None:
    write_scenario(tmp_path, "good")
    write_scenario(tmp_path / "negative", "bad")
    assert ids(tmp_path) == ["good"]
    assert ids(tmp_path / "negative") == ["bad"]


def test_the_mistakes_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        path = write_scenario(tmp_path, name)
        path.write_text(path.read_text() + "speling: 1\n")
    with pytest.raises(ScenarioError) as caught:
        ids(tmp_path)
    assert str(caught.value).count("speling") == 2
    assert "one.yaml" in str(caught.value)
    assert "two.yaml" in str(caught.value)


def test_two_files_may_not_define_the_same_scenario(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        write_scenario(tmp_path / folder, "twin")
    with pytest.raises(ScenarioError, match="both define"):
        ids(tmp_path)


def test_the_copies_in_run_folders_are_no_scenarios_unless_named(tmp_path: Path) -> None:
    run = prepared(tmp_path, "a")
    assert ids(tmp_path) == ["a"]
    assert sources([run.scenario]) == [run.scenario]


def prepared(folder: Path, name: str) -> Folder:
    [candidate] = collect(Selection(paths=[write_scenario(folder, name)]))
    return SuiteFolder.create(folder / "reports").prepare(candidate, TERMS).folder


def test_a_run_folder_holds_the_scenario_and_a_seed_that_depends_on_nothing_else(tmp_path: Path) -> None:
    folder = prepared(tmp_path, "a")
    assert folder.path.parent.name == "a"
    assert folder.scenario.read_bytes() == (tmp_path / "a.yaml").read_bytes()
    spec = folder.spec()
    assert spec.seed == seeds.trial_seed(7, "a", "", 0)
    assert spec.root_seed == 7
    assert len(spec.label) == 12


def test_no_two_trials_share_a_label_or_a_folder(tmp_path: Path) -> None:
    [candidate] = collect(Selection(paths=[write_scenario(tmp_path, "a")]))
    folder = SuiteFolder.create(tmp_path / "reports")
    runs = [folder.prepare(candidate, TERMS) for _ in range(3)]
    assert [run.folder.path.name for run in runs] == ["0", "0.2", "0.3"]
    assert len({run.spec.label for run in runs}) == 3


def test_a_variant_of_any_name_gets_a_folder_of_its_own_inside_the_suite(tmp_path: Path) -> None:
    values = ["../../x", "a/b", "a b", ".", "x" * 300]
    write_scenario(tmp_path, "a", more=f"matrix: {{value: {values}}}".replace("'", '"'))
    folder = SuiteFolder.create(tmp_path / "reports")
    runs = [folder.prepare(candidate, TERMS) for candidate in collect(Selection(paths=[tmp_path]))]
    assert {run.folder.path.resolve().parent for run in runs} == {folder.path.resolve() / "runs" / "a"}
    assert len({run.folder.path for run in runs}) == 5


def test_latest_leads_to_the_newest_suite(tmp_path: Path) -> None:
    made = [SuiteFolder.create(tmp_path) for _ in range(2)]
    assert (tmp_path / "latest").resolve() == made[-1].path.resolve()


def test_a_replay_is_the_same_trial_in_a_new_folder(tmp_path: Path) -> None:
    recorded = prepared(tmp_path, "a")
    again = SuiteFolder.create(tmp_path / "reports").prepare_replay(recorded)
    first = recorded.spec()
    assert again.spec.label != first.label
    assert msgspec.structs.replace(again.spec, label="") == msgspec.structs.replace(first, label="")


def test_a_record_of_an_unknown_variant_cannot_be_replayed(tmp_path: Path) -> None:
    recorded = prepared(tmp_path, "a")
    spec = msgspec.structs.replace(recorded.spec(), variant="bits=9")
    recorded.trial.write_bytes(msgspec.json.encode(spec))
    with pytest.raises(ScenarioError, match="no variant"):
        SuiteFolder.create(tmp_path / "reports").prepare_replay(recorded)


def test_a_path_means_a_run_or_the_failures_of_a_suite(tmp_path: Path) -> None:
    write_all(suite(result(), result("FAIL"), result("SKIPPED"), result("UNKNOWN")), tmp_path)
    assert [folder.path.name for folder in recorded_trials(tmp_path)] == ["1", "3"]
    assert [folder.path.name for folder in recorded_trials(tmp_path / "suite.json")] == ["1", "3"]
    run = prepared(tmp_path, "a")
    run.result.write_text("{}")
    assert [folder.path for folder in recorded_trials(run.result)] == [run.path]


def test_a_path_that_means_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="neither a run folder"):
        list(recorded_trials(tmp_path))


def test_a_failure_is_reproduced_by_the_same_status_and_the_same_failing_checks() -> None:
    first = result("FAIL", checks=(judged("a", "FAIL"), judged("b", "PASS")))
    assert reproduced(first, result("FAIL", checks=(judged("a", "FAIL", "otherwise"), judged("b", "UNKNOWN"))))
    assert not reproduced(first, result("FAIL", checks=(judged("b", "FAIL"),)))
    assert not reproduced(first, result("PASS", checks=(judged("a", "PASS"),)))
