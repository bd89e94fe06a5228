"""Histories that others recorded and judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.histories.files import judge_file
from support.third_party import ETCD_LEGAL, convert, given


@pytest.mark.parametrize("number", range(50))
def test_every_log_of_etcd_is_judged_as_porcupine_judges_it(number: int, tmp_path: Path) -> None:
    log = given("jepsen") / f"etcd_{number:03}.log"
    verdict = judge_file(convert(log, tmp_path / "history.jsonl"), "cas_register")
    assert verdict.status == ("ok" if number in ETCD_LEGAL else "illegal"), verdict.reason
    assert len(verdict.window) <= 4


@pytest.mark.parametrize("name", ["c01-ok", "c01-bad", "c10-ok", "c10-bad"])
def test_every_log_of_a_key_value_store_is_judged_as_its_name_says(name: str, tmp_path: Path) -> None:
    log = given("kv") / f"{name}.txt"
    verdict = judge_file(convert(log, tmp_path / "history.jsonl"), "kv")
    assert verdict.status == ("ok" if name.endswith("ok") else "illegal"), verdict.reason


def test_a_stale_read_of_etcd_is_explained_by_two_operations(tmp_path: Path) -> None:
    log = given("jepsen") / "etcd_000.log"
    verdict = judge_file(convert(log, tmp_path / "history.jsonl"), "cas_register")
    lines = log.read_text().splitlines()
    read, compared = verdict.window
    assert "operation" in verdict.reason
    assert "which nothing in between can explain" in verdict.reason
    # Operations are numbered by the lines of their calls.
    assert "\t:read\t" in lines[read.n - 1]
    assert "\t:cas\t[2 " in lines[compared.n - 1]
    assert read.result == {"value": 2}
    assert compared.ret is not None
    assert compared.ret < read.call
