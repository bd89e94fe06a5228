"""No check accuses a system that does it right, whatever its clients suffer; each flaw is convicted by its check."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks._base import Verdict
from harness.checks.all_writers_succeed import AllWritersSucceed
from harness.checks.fair_within import FairWithin
from harness.checks.fencing_tokens_increase import FencingTokensIncrease
from harness.checks.freed_within import FreedWithin
from harness.checks.linearizable import Linearizable
from harness.checks.mutual_exclusion import MutualExclusion
from harness.checks.no_deadlock import NoDeadlock
from harness.checks.no_lost_updates import NoLostUpdates
from harness.runners.concurrent_writers import ConcurrentWriters
from harness.scenario._shapes import adapter
from harness.units import Rate, Seconds
from support.writing import World

LOCKS = (
    NoLostUpdates(),
    MutualExclusion(),
    FencingTokensIncrease(),
    NoDeadlock(patience=Seconds(0.6)),  # a message that is late by two leases is no deadlock
    Linearizable(model="fenced_mutex"),
    FairWithin(longest_wait=Seconds(4.5), smallest_share=0),
    FreedWithin(budget=Seconds(4)),
)
BUSY: dict[str, Any] = {"writers": 6, "rate": Rate(120), "keys": 2, "hold": Seconds(0.01), "lease": Seconds(0.2)}
TOGETHER: dict[str, Any] = {**BUSY, "mode": "collaborative", "keys": 1, "think": Seconds(0.01)}
ON_VERSIONS: dict[str, Any] = {**BUSY, "mode": "optimistic", "keys": 1, "think": Seconds(0.01)}

# By flaw: who shows it, what happens meanwhile, and who must convict.
FLAWS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]] = {
    "check_then_act": (BUSY, {}, (MutualExclusion(), Linearizable(model="fenced_mutex"))),
    "lease_without_fencing": (BUSY, {"stalls": 0.05}, (NoLostUpdates(),)),
    "token_reset": (BUSY, {}, (FencingTokensIncrease(), Linearizable(model="fenced_mutex"))),
    "forgets": (BUSY, {}, (NoLostUpdates(),)),
    "never_freed": (BUSY, {"kills": 1}, (NoDeadlock(), FreedWithin(budget=Seconds(0.3)))),
    "deadlock": ({**BUSY, "batch": 2}, {}, (NoDeadlock(),)),
    "starves": ({**BUSY, "rate": Rate(600), "keys": 1}, {}, (FairWithin(longest_wait=Seconds(4), smallest_share=0.5),)),
    "refuses": (BUSY, {}, (AllWritersSucceed(),)),
    "blind": (ON_VERSIONS, {}, (NoLostUpdates(), Linearizable())),
    "applies_again": (TOGETHER, {"stalls": 0.05}, (NoLostUpdates(),)),
    "forgets documents": (TOGETHER, {}, (NoLostUpdates(),)),
    "overwrites": (TOGETHER, {}, (NoLostUpdates(),)),
    "keeps_nothing": (TOGETHER, {}, (NoLostUpdates(),)),
}


seeds = st.integers(0, 2**32)
troubles = st.fixed_dictionaries({"kills": st.integers(0, 3), "stalls": st.sampled_from([0.0, 0.02])})


@given(
    seed=seeds, trouble=troubles, batch=st.sampled_from([1, 2]), renew=st.booleans(), hold=st.sampled_from([0, 0.15])
)
def test_no_check_accuses_locks_that_are_right(
    seed: int,
    trouble: dict[str, Any],
    batch: int,
    renew: bool,  # noqa: FBT001  Hypothesis draws it
    hold: float,
) -> None:
    chosen = ConcurrentWriters(**{**BUSY, "keys": 3, "batch": batch, "renew": renew, "hold": Seconds(hold)})
    record = World(chosen, seed, **trouble).record()
    verdicts = {check.kind: check.judge(record) for check in LOCKS}
    assert not {kind: each for kind, each in verdicts.items() if each.status == "FAIL"}
    assert verdicts["no_lost_updates"].status == verdicts["linearizable"].status == "PASS"


@settings(max_examples=30)
@given(seed=seeds, trouble=troubles)
def test_no_check_accuses_a_store_that_is_right(seed: int, trouble: dict[str, Any]) -> None:
    record = World(ConcurrentWriters(**ON_VERSIONS), seed, **trouble).record()
    for check in (NoLostUpdates(), Linearizable()):
        assert check.judge(record).status == "PASS"


@settings(max_examples=30)
@given(seed=seeds, trouble=troubles)
def test_no_check_accuses_documents_that_are_right(seed: int, trouble: dict[str, Any]) -> None:
    record = World(ConcurrentWriters(**TOGETHER), seed, **trouble).record()
    assert NoLostUpdates().judge(record).status == "PASS"


@settings(max_examples=10)
@given(seed=seeds)
def test_where_nothing_goes_wrong_all_writers_succeed(seed: int) -> None:
    for members in (BUSY, ON_VERSIONS, TOGETHER):
        verdict = AllWritersSucceed().judge(World(ConcurrentWriters(**members), seed).record())
        assert verdict.status == "PASS", verdict.summary


@pytest.mark.parametrize("flaw", FLAWS)
def test_each_flaw_is_convicted_by_its_check(flaw: str) -> None:
    members, trouble, checks = FLAWS[flaw]
    for seed in range(5):
        record = World(ConcurrentWriters(**members), seed, flaw.partition(" ")[0], **trouble).record(3.0)
        for check in checks:
            verdict: Verdict = check.judge(record)
            assert verdict.status == "FAIL", f"seed {seed}: {check.kind}: {verdict.summary}"


def test_the_runner_reads_as_in_a_scenario() -> None:
    written = b'{"mode": "optimistic", "think": "5ms", "rate": "20/s", "writers": 3}'
    assert adapter(ConcurrentWriters).validate_json(written) == ConcurrentWriters(
        mode="optimistic", think=Seconds(0.005), rate=Rate(20), writers=3
    )
