"""`bigfive run --shard K/N`: parts of a suite that machines can run without knowing of each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli import exit_code
from harness.engine.sharding import Shard
from support.suites import bigfive, write_scenario

NAMES = st.tuples(st.text(max_size=20), st.text(max_size=20), st.integers(0, 10_000))


@given(NAMES, st.integers(1, 50))
def test_every_trial_is_in_exactly_one_part(trial: tuple[str, str, int], total: int) -> None:
    assert [Shard(number, total).has(*trial) for number in range(1, total + 1)].count(True) == 1


def test_parts_are_those_of_yesterday_and_of_every_machine() -> None:
    parts = [next(n for n in range(1, 5) if Shard(n, 4).has("state-bit-flip", "", attempt)) for attempt in range(8)]
    assert parts == [3, 2, 2, 1, 4, 1, 1, 3]


def test_parts_of_many_trials_are_of_similar_size() -> None:
    sizes = [sum(Shard(n, 4).has("s", f"n={value}", 0) for value in range(1000)) for n in range(1, 5)]
    assert sum(sizes) == 1000
    assert min(sizes) > 200


def planned(*arguments: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert exit_code(["run", "--dry-run", "--json", "--seed", "5", *arguments]) == 0
    return [json.loads(line)["trial"] for line in capsys.readouterr().out.splitlines()]


def test_a_part_is_independent_of_order_selection_and_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_scenario(tmp_path / "scenarios", name, more="matrix: {speed: [1, 2, 3]}\nrepeat: 4")
    everything = planned(capsys=capsys)
    parts = [planned("--shard", f"{number}/3", capsys=capsys) for number in (1, 2, 3)]
    assert sorted(trial for part in parts for trial in part) == sorted(everything)
    assert all(parts)
    only_b = planned("--shard", "2/3", "-k", "b", capsys=capsys)
    assert only_b == [trial for trial in parts[1] if trial.startswith("b")]
    assert planned("--shard", "2/3", "--seed", "6", "scenarios/b.yaml", "scenarios/a.yaml", capsys=capsys) == parts[1]


def test_an_empty_part_is_0_says_so_and_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_scenario(tmp_path / "scenarios", "a")
    empty = next(n for n in (1, 2) if not Shard(n, 2).has("a", "", 0))
    assert exit_code(["run", "--shard", f"{empty}/2"]) == 0
    assert f"shard {empty}/2 has none of the 1 trial" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()
    assert exit_code(["run", "--shard", f"{empty}/2", "-k", "nothing"]) == 5  # nothing for any of them


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "-1/2", "a/b", "1/2/3"])
def test_what_is_no_part_is_4(shard: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scenario(tmp_path, "a")
    assert exit_code(["run", str(tmp_path), "--shard", shard]) == 4
    assert "part K of N" in capsys.readouterr().err


@pytest.mark.chaos
def test_the_parts_together_run_every_trial_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scenario(tmp_path / "scenarios", name)
    done = [bigfive("run", "--shard", f"{number}/2", "--json", cwd=tmp_path) for number in (1, 2)]
    ran = [t["result"]["scenario"] for each in done if each.stdout for t in json.loads(each.stdout)["trials"]]
    assert sorted(ran) == ["a", "b"]
    assert [each.returncode for each in done] == [0, 0]
