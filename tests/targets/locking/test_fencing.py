"""The guarded resource, and the argument for its epochs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.locks_kit import in_threads
from targets.locking.backend import Blocked, Holder, Waiter
from targets.locking.errors import BadRequest, LockingError, StaleToken
from targets.locking.fencing import FencedResource
from targets.locking.patience import STALLED_S, Patience
from targets.locking.values import pack


@pytest.fixture
def resource(tmp_path: Path) -> FencedResource:
    return FencedResource(tmp_path / "resource.sqlite")


def test_a_lower_token_than_one_seen_is_refused_for_good(resource: FencedResource) -> None:
    resource.write("k", "a", 3)
    resource.write("k", "b", 3)
    with pytest.raises(StaleToken, match="token 2 is older than 3; the lock was lost") as stale:
        resource.write("k", "late", 2)
    assert stale.value.certainly_not_done
    assert stale.value.details == {"error": "stale", "highest": 3}
    assert resource.read("k") == "b"
    resource.write("other", 1, 1)


def test_reading_with_a_token_shuts_out_all_before_it(resource: FencedResource) -> None:
    resource.write("k", 1, 1)
    assert resource.read("k", 2) == 1
    with pytest.raises(StaleToken):
        resource.write("k", 2, 1)
    with pytest.raises(StaleToken):
        resource.read("k", 1)
    assert resource.highest("k") == 2
    assert resource.read("never", 5) is None
    assert resource.highest("never") == 5


@pytest.mark.parametrize("token", [-1, "1", None, True, 1.0])
def test_a_token_that_is_none_is_refused(resource: FencedResource, token: object) -> None:
    with pytest.raises(BadRequest, match="a token is"):
        resource.write("k", 1, token)  # type: ignore[arg-type]


def test_it_remembers_over_a_restart(resource: FencedResource, tmp_path: Path) -> None:
    resource.write("k", 1, 7)
    epoch = resource.epoch_of("a")
    resource.close()
    again = FencedResource(tmp_path / "resource.sqlite")
    with pytest.raises(StaleToken):
        again.write("k", 2, 6)
    assert again.epoch_of("a") == epoch
    assert again.epoch_of("b") == epoch + 1


def test_each_incarnation_has_one_epoch_whoever_asks(resource: FencedResource) -> None:
    got: list[tuple[str, int]] = []
    in_threads(6, lambda number: got.append((name := f"i{number % 3}", resource.epoch_of(name))))
    assert sorted({epoch for _, epoch in got}) == [0, 1, 2]
    assert len(set(got)) == 3


@given(st.lists(st.tuples(st.integers(0, 2**17 - 1), st.integers(1, 2**36 - 1)), min_size=2, max_size=2))
def test_tokens_are_ordered_by_epoch_then_counter_and_survive_any_json_reader(pairs: list[tuple[int, int]]) -> None:
    (one, other), (a, b) = pairs, (pack(*pair) for pair in pairs)
    assert (a < b) == (one < other)
    assert float(a) == a < 2**53
    assert json.loads(json.dumps(a)) == a


def test_an_epoch_too_many_is_refused() -> None:
    with pytest.raises(LockingError, match="has outlived"):
        pack(2**17, 1)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestPatience:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    def holder(self, renewals: int = 0, *, alive: bool = True) -> Holder:
        return Holder(key="k", owner="a", token=7, mode="exclusive", lease_s=2, renewals=renewals, alive=alive)

    def waiter(self, ticket: int, *, alive: bool = True) -> Waiter:
        return Waiter(ticket=ticket, keys=("k",), owner="w", mode="exclusive", alive=alive)

    def test_a_lease_has_ended_when_no_renewal_was_seen_for_as_long_as_it_is(self, clock: Clock) -> None:
        patience = Patience(clock)
        patience.see(Blocked(1, (self.holder(),)))
        clock.now += 1.9
        patience.see(Blocked(1, (self.holder(),)))
        assert not patience.presumption().ended
        clock.now += 0.1
        assert list(patience.presumption().ended) == [(7, 0)]

    def test_a_renewal_begins_it_anew(self, clock: Clock) -> None:
        patience = Patience(clock)
        patience.see(Blocked(1, (self.holder(),)))
        clock.now += 1.9
        patience.see(Blocked(1, (self.holder(renewals=1),)))
        clock.now += 1.9
        assert not patience.presumption().ended
        clock.now += 0.1
        assert list(patience.presumption().ended) == [(7, 1)]

    def test_who_is_first_and_does_not_take_a_free_lock_is_passed_over(self, clock: Clock) -> None:
        patience = Patience(clock)
        patience.see(Blocked(9, (), (self.waiter(3), self.waiter(4))))
        clock.now += STALLED_S
        assert list(patience.presumption().stalled) == [3]
        patience.see(Blocked(9, (), (self.waiter(4),)))
        assert not patience.presumption().stalled
        patience.see(Blocked(9, (self.holder(),), (self.waiter(4),)))
        clock.now += STALLED_S
        assert not patience.presumption().stalled

    def test_the_dead_are_acted_upon_at_once(self, clock: Clock) -> None:
        patience = Patience(clock)
        patience.see(Blocked(9, (self.holder(alive=False),), (self.waiter(4, alive=False),)))
        assert list(patience.presumption().died) == [7]
        assert list(patience.presumption().stalled) == [4]
        assert patience.next_look_s(1) == 0

    @given(st.integers(0, 300), st.floats(0.01, 100))
    def test_it_looks_again_when_a_lease_may_end_and_never_much_later_than_promised(
        self, ahead: int, lease_s: float
    ) -> None:
        clock = Clock()
        patience = Patience(clock)
        patience.see(Blocked(1, (Holder(key="k", owner="a", token=7, mode="exclusive", lease_s=lease_s),)))
        assert 0 < patience.next_look_s(ahead) <= max(0.001, min(lease_s, 1.2 * (0.25 + 0.01 * ahead))) + 1e-9
