"""Seeds: everything follows from the root, and nothing from anything else."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from harness import seeds

NAMES = st.lists(st.text() | st.integers(), max_size=4)
SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, NAMES)
def test_a_seed_depends_on_its_names_alone_and_fits_every_language(seed: int, names: list[str | int]) -> None:
    derived = seeds.derive(seed, *names)
    assert derived == seeds.derive(seed, *names)
    assert 0 <= derived < 2**63


@given(SEEDS, NAMES, NAMES)
def test_other_names_give_another_seed_whatever_they_contain(
    seed: int, names: list[str | int], others: list[str | int]
) -> None:
    assume(names != others)
    assert seeds.derive(seed, *names) != seeds.derive(seed, *others)


def test_names_cannot_run_into_each_other() -> None:
    derived = {seeds.derive(0, *names) for names in (["a", "b"], ["ab"], ["a\x1fb"], ["a", "b", ""], ["1"], [1])}
    assert len(derived) == 6


@given(SEEDS, st.integers(0, 50))
def test_a_new_consumer_never_shifts_the_draws_of_another(seed: int, draws: int) -> None:
    alone = seeds.stream(seed, "mine").random()
    other = seeds.stream(seed, "other")
    for _ in range(draws):
        other.random()
    assert seeds.stream(seed, "mine").random() == alone


@given(SEEDS)
def test_trials_have_seeds_of_their_own(root: int) -> None:
    trials = [(name, variant, attempt) for name in "ab" for variant in ("", "x=1") for attempt in range(3)]
    assert len({seeds.trial_seed(root, *trial) for trial in trials}) == len(trials)


def test_the_seed_of_a_recorded_trial_is_the_same_in_every_version() -> None:
    """Changing the derivation would make every printed replay command a lie."""
    assert seeds.trial_seed(42, "state-bit-flip", "bits=1", 0) == 3_030_294_931_436_487_945
