"""The lock manager: one suite for both backends."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.waiting import until
from support.locks_kit import in_threads, process, until_waiting
from targets.locking import liveness
from targets.locking.aio import AsyncLockManager
from targets.locking.backend import NO_PRESUMPTION, Backend, Blocked, Granted, Presumption, Wish
from targets.locking.errors import (
    BadRequest,
    Held,
    LockingError,
    NotOwner,
    OutcomeUnknown,
    StaleToken,
    Unavailable,
)
from targets.locking.fencing import FencedResource
from targets.locking.hold import Hold
from targets.locking.manager import LockManager, Terms

Make = Callable[[str], LockManager]
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
TOGETHER = Terms(mode="collaborative", limit=2)


@pytest.fixture
def make(backend: Backend, resource: FencedResource) -> Iterator[Make]:
    made: list[LockManager] = []

    def manager(owner: str) -> LockManager:
        made.append(LockManager(backend, resource, owner=owner))
        return made[-1]

    yield manager
    for each in made:
        each.close()


@pytest.fixture
def ann(make: Make) -> LockManager:
    return make("ann")


@pytest.fixture
def bob(make: Make) -> LockManager:
    return make("bob")


def wish(number: int, **changes: object) -> Wish:
    return replace(Wish(id=str(number), keys=("k",), owner="x", lease_s=30, process=liveness.myself()), **changes)


def attempt(
    backend: Backend, wanted: Wish, ticket: int | None, seen: Presumption = NO_PRESUMPTION
) -> Granted | Blocked:
    return backend.attempt(wanted, ticket, seen, waited_s=0, timeout_s=5)


class TestExclusive:
    def test_who_holds_it_excludes_all_others_until_the_release(self, ann: LockManager, bob: LockManager) -> None:
        hold = ann.acquire("k")
        with pytest.raises(Held, match=r"k not granted within 0.05.* s: held by ann") as held:
            bob.acquire("k", timeout_s=0.05)
        assert held.value.details == {"error": "held", "owners": ["ann"]}
        with pytest.raises(Held):
            bob.acquire("k", timeout_s=0)
        hold.release()
        assert bob.acquire("k", timeout_s=0).token > hold.token

    def test_a_block_releases_at_its_end_also_after_an_error(self, ann: LockManager) -> None:
        with ann.acquire("k") as hold:
            assert 29 < hold.left_s <= 30
        assert hold.left_s == 0
        with pytest.raises(LookupError), ann.acquire("k", timeout_s=0):
            raise LookupError
        with ann.acquire("k", timeout_s=0) as hold:
            hold.release()

    def test_only_the_holder_renews_and_releases(self, backend: Backend, ann: LockManager) -> None:
        hold = ann.acquire("k")
        for owner, tokens in [("bob", hold.tokens), ("ann", {"k": hold.token + 1}), ("ann", {"j": hold.token})]:
            with pytest.raises(NotOwner, match="does not hold"):
                backend.renew(owner, tokens)
            with pytest.raises(NotOwner, match="does not hold"):
                backend.release(owner, tokens)
        assert [holder.renewals for holder in backend.status().holders] == [0]
        hold.renew()
        assert [holder.renewals for holder in backend.status().holders] == [1]
        hold.release()
        with pytest.raises(NotOwner):
            hold.release()

    def test_a_block_that_lost_its_lock_says_so_unless_it_failed_anyway(self, ann: LockManager) -> None:
        with pytest.raises(NotOwner), ann.acquire("k"):
            ann.force_release("k")
        with pytest.raises(LookupError), ann.acquire("k"):  # noqa: PT012  the block is what is tested
            ann.force_release("k")
            raise LookupError

    def test_first_come_first_served(self, backend: Backend, ann: LockManager, make: Make) -> None:
        hold = ann.acquire("k")
        order: list[str] = []

        def work(owner: str) -> None:
            with make(owner).acquire("k", timeout_s=10):
                order.append(owner)

        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(f"w{number}",)))
            threads[-1].start()
            until_waiting(backend, number + 1)
        assert [waiter.owner for waiter in ann.waiters("k")] == ["w0", "w1", "w2", "w3", "w4"]
        assert ann.waiters("j") == []
        with pytest.raises(Held):
            ann.acquire("k", timeout_s=0)
        hold.release()
        for thread in threads:
            thread.join()
        assert order == ["w0", "w1", "w2", "w3", "w4"]
        counts = ann.statistics()
        assert (counts.grants, counts.contended, counts.releases) == (6, 5, 6)
        assert counts.longest_wait_s > 0

    def test_who_gives_up_leaves_the_queue_and_is_never_granted(
        self, backend: Backend, ann: LockManager, bob: LockManager, make: Make
    ) -> None:
        hold = ann.acquire("k")
        stop = threading.Event()

        def impatient() -> None:
            with pytest.raises(Held):
                bob.acquire("k", stop=stop)

        thread = threading.Thread(target=impatient)
        thread.start()
        until_waiting(backend, 1)
        stop.set()
        thread.join()
        hold.release()
        assert backend.status().waiters == ()
        assert make("eve").acquire("k", timeout_s=0).token == hold.token + 1

    def test_forced_open_it_goes_to_the_next_and_the_resource_refuses_the_former(
        self, ann: LockManager, bob: LockManager, resource: FencedResource
    ) -> None:
        lost = ann.acquire("k")
        assert [holder.owner for holder in bob.force_release("k")] == ["ann"]
        assert bob.force_release("k") == []
        hold = bob.acquire("k", timeout_s=0)
        resource.read("k", hold.token)
        with pytest.raises(StaleToken):
            resource.write("k", 1, lost.token)
        assert bob.statistics().broken == 1

    @pytest.mark.parametrize(
        ("terms", "why"), [({"lease_s": 0}, "a lease"), ({"mode": "shared"}, "mode is"), ({"limit": 0}, "limit is")]
    )
    def test_terms_that_cannot_be_are_refused(self, terms: dict[str, object], why: str) -> None:
        with pytest.raises(BadRequest, match=why):
            Terms(**terms)

    def test_nothing_is_not_a_key(self, ann: LockManager) -> None:
        with pytest.raises(BadRequest, match="no keys"):
            ann.acquire_all([])


class TestLease:
    def test_a_lock_that_is_not_renewed_goes_to_a_waiter_after_its_lease_and_not_before(
        self, ann: LockManager, bob: LockManager
    ) -> None:
        hold = ann.acquire("k", lease_s=0.3)
        began = time.monotonic()
        successor = bob.acquire("k", timeout_s=5)
        assert time.monotonic() - began >= 0.3
        assert hold.left_s == 0
        assert successor.token > hold.token
        with pytest.raises(NotOwner):
            hold.renew()
        assert ann.statistics().expired == 1

    def test_a_renewed_lock_outlives_its_lease(self, ann: LockManager, bob: LockManager) -> None:
        hold = ann.acquire("k", terms=Terms(lease_s=0.2, renew=True))
        with pytest.raises(Held):
            bob.acquire("k", timeout_s=0.7)
        assert hold.left_s > 0
        hold.release()
        assert bob.acquire("k", timeout_s=0)

    def test_a_hold_that_was_taken_away_is_not_renewed_any_more(self, ann: LockManager, bob: LockManager) -> None:
        hold = ann.acquire("k", terms=Terms(lease_s=0.2, renew=True))
        bob.force_release("k")
        until(lambda: hold.taken_away, "the renewer to notice", 5)
        assert hold.left_s == 0

    def test_the_wall_clock_frees_nothing(
        self, ann: LockManager, bob: LockManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ann.acquire("k", lease_s=5)
        later = time.time() + 10**6
        monkeypatch.setattr(time, "time", lambda: later)
        with pytest.raises(Held):
            bob.acquire("k", timeout_s=0.6)


class TestBatches:
    def test_all_keys_or_none(self, ann: LockManager, bob: LockManager) -> None:
        b = bob.acquire("b")
        with pytest.raises(Held):
            ann.acquire_all(["a", "b", "c"], timeout_s=0.05)
        assert [holder.key for holder in ann.status().holders] == ["b"]
        b.release()
        hold = ann.acquire_all(["c", "a", "b", "a"], timeout_s=0)
        assert sorted(hold.tokens) == ["a", "b", "c"]
        assert len(set(hold.tokens.values())) == 3
        hold.release()
        assert ann.status().holders == ()

    def test_a_release_of_keys_that_are_not_all_held_releases_none(self, backend: Backend, ann: LockManager) -> None:
        hold = ann.acquire_all(["a", "b"])
        with pytest.raises(NotOwner):
            backend.release("ann", {**hold.tokens, "c": 1})
        assert len(backend.status().holders) == 2

    def test_batches_in_any_order_end(self, make: Make) -> None:
        orders = list(itertools.permutations("abc"))

        def work(number: int) -> None:
            manager = make(str(number))
            for _ in range(4):
                manager.acquire_all(orders[number], timeout_s=20).release()

        in_threads(6, work)

    def test_a_batch_is_not_starved_by_single_keys(self, backend: Backend, ann: LockManager, bob: LockManager) -> None:
        a = ann.acquire("a")
        got: list[Hold] = []
        thread = threading.Thread(target=lambda: got.append(bob.acquire_all(["a", "b"], timeout_s=10)))
        thread.start()
        until_waiting(backend, 1)
        with pytest.raises(Held, match="others were first"):
            ann.acquire("b", timeout_s=0)
        a.release()
        thread.join()
        assert sorted(got[0].tokens) == ["a", "b"]


class TestTogether:
    def test_so_many_hold_it_together_as_the_limit_allows(self, make: Make) -> None:
        first, second = (make(name).acquire("k", terms=TOGETHER) for name in "ab")
        assert first.token != second.token
        with pytest.raises(Held, match="held by a, b"):
            make("c").acquire("k", terms=TOGETHER, timeout_s=0)
        with pytest.raises(Held):
            make("d").acquire("k", timeout_s=0)
        first.release()
        assert make("c").acquire("k", terms=TOGETHER, timeout_s=0)

    def test_one_release_lets_all_in_who_fit(self, backend: Backend, ann: LockManager, make: Make) -> None:
        hold = ann.acquire("k")
        got: list[int] = []
        threads = [
            threading.Thread(target=lambda name=name: got.append(make(name).acquire("k", terms=TOGETHER).token))
            for name in "ab"
        ]
        for thread in threads:
            thread.start()
        until_waiting(backend, 2)
        hold.release()
        for thread in threads:
            thread.join()
        assert len(set(got)) == 2

    def test_who_holds_it_alone_gets_it_again_under_the_same_token_where_asked(
        self, ann: LockManager, bob: LockManager
    ) -> None:
        again = Terms(reentrant=True)
        outer, inner = ann.acquire("k", terms=again), ann.acquire("k", terms=again)
        assert outer.token == inner.token
        with pytest.raises(Held):
            ann.acquire("k", timeout_s=0)
        inner.release()
        with pytest.raises(Held):
            bob.acquire("k", timeout_s=0)
        outer.release()
        assert bob.acquire("k", timeout_s=0)


class TestQueue:
    """What the backend itself answers."""

    @pytest.fixture(autouse=True)
    def _begun(self, backend: Backend, resource: FencedResource) -> None:
        backend.begin(resource)

    def test_a_repeated_wish_is_answered_with_the_grant_that_it_has(self, backend: Backend) -> None:
        first = attempt(backend, wish(1), None)
        assert attempt(backend, wish(1), None) == first
        assert len(backend.status().holders) == 1

    def test_a_grant_that_its_owner_never_learned_of_is_void_when_it_says_so(self, backend: Backend) -> None:
        attempt(backend, wish(1), None)
        assert isinstance(attempt(backend, wish(2), None), Blocked)
        assert isinstance(attempt(backend, wish(3, replaces=("1",)), 1), Granted)

    def test_a_presumption_that_is_no_longer_so_is_ignored(self, backend: Backend) -> None:
        granted = attempt(backend, wish(1), None)
        assert isinstance(granted, Granted)
        token = granted.tokens["k"]
        backend.renew("x", {"k": token})
        blocked = attempt(backend, wish(2), None, Presumption(ended=[(token, 0)]))
        assert isinstance(blocked, Blocked)
        assert isinstance(attempt(backend, wish(2), blocked.ticket, Presumption(ended=[(token, 1)])), Granted)

    def test_who_does_not_take_a_free_lock_is_passed_over_and_queues_again(self, backend: Backend) -> None:
        granted = attempt(backend, wish(1), None)
        assert isinstance(granted, Granted)
        first, second = attempt(backend, wish(2), None), attempt(backend, wish(3), None)
        assert isinstance(first, Blocked)
        assert isinstance(second, Blocked)
        assert first.ticket is not None
        backend.release("x", granted.tokens)
        assert isinstance(attempt(backend, wish(3), second.ticket), Blocked)
        passed = attempt(backend, wish(3), second.ticket, Presumption(stalled=[first.ticket]))
        assert isinstance(passed, Granted)
        back = attempt(backend, wish(2), first.ticket)
        assert isinstance(back, Blocked)
        assert back.ticket is not None
        assert back.ticket > first.ticket

    def test_a_wish_that_is_not_patient_leaves_no_trace(self, backend: Backend) -> None:
        attempt(backend, wish(1), None)
        assert attempt(backend, wish(2, patient=False), None).ticket is None  # type: ignore[union-attr]
        assert backend.status().waiters == ()

    def test_a_holder_whose_process_is_dead_is_out_at_once(self, backend: Backend, make: Make) -> None:
        attempt(backend, wish(1, process=liveness.myself() + "0", lease_s=3600), None)
        assert not backend.status().holders[0].alive
        assert make("ann").acquire("k", timeout_s=2)

    def test_a_waiter_whose_process_is_dead_holds_nobody_up(self, backend: Backend, make: Make) -> None:
        granted = attempt(backend, wish(1), None)
        assert isinstance(granted, Granted)
        attempt(backend, wish(2, process=liveness.myself() + "0"), None)
        backend.release("x", granted.tokens)
        assert make("ann").acquire("k", timeout_s=0.2)

    def test_a_waiter_that_was_stopped_is_passed_over(self, backend: Backend, make: Make) -> None:
        granted = attempt(backend, wish(1), None)
        assert isinstance(granted, Granted)
        attempt(backend, wish(2, process=""), None)
        backend.release("x", granted.tokens)
        assert make("ann").acquire("k", timeout_s=5)


@shared
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob"]),
            st.sampled_from(["acquire", "release", "expire", "break"]),
            st.sets(st.sampled_from("abc"), min_size=1),
        ),
        max_size=15,
    )
)
def test_tokens_of_a_key_increase_and_no_batch_is_half_held(
    backend: Backend, resource: FencedResource, steps: list[tuple[str, str, set[str]]]
) -> None:
    managers = {owner: LockManager(backend, resource, owner=owner) for owner in ("ann", "bob")}
    for key in "abc":
        backend.force_release(key)
    highest: dict[str, int] = {}
    batches: list[Hold] = []
    for owner, what, keys in steps:
        if what == "acquire":
            try:
                hold = managers[owner].acquire_all(keys, timeout_s=0)
            except Held:
                held = {holder.key for holder in backend.status().holders}
                assert held & keys
                continue
            assert all(token > highest.get(key, -1) for key, token in hold.tokens.items())
            highest |= hold.tokens
            batches.append(hold)
        elif batches and what == "release":
            batches.pop().release()
        elif batches:
            gone = batches.pop()
            for key in gone.tokens:
                backend.force_release(key)
    held_now = {(holder.key, holder.token) for holder in backend.status().holders}
    assert held_now == {pair for hold in batches for pair in hold.tokens.items()}


class Lossy:
    """A backend that does what it is asked, and whose answers to the first attempts are lost."""

    def __init__(self, backend: Backend, *errors: type[LockingError]) -> None:
        self._backend = backend
        self._errors = list(errors)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._backend, name)

    def attempt(self, *arguments: Any, **more: Any) -> Granted | Blocked:  # noqa: ANN401
        answer = self._backend.attempt(*arguments, **more)
        if self._errors:
            raise self._errors.pop(0)
        return answer


class TestLostAnswers:
    @pytest.fixture(autouse=True)
    def _begun(self, backend: Backend, resource: FencedResource) -> None:
        backend.begin(resource)

    def test_it_asks_again_and_is_given_the_grant_that_it_has(self, backend: Backend, resource: FencedResource) -> None:
        hold = LockManager(Lossy(backend, OutcomeUnknown), resource, owner="ann").acquire("k", timeout_s=5)
        assert [(holder.owner, holder.token) for holder in backend.status().holders] == [("ann", hold.token)]

    @pytest.mark.parametrize(
        ("timeout_s", "errors"), [(0, [OutcomeUnknown]), (5, [OutcomeUnknown, Unavailable])], ids=["at once", "later"]
    )
    def test_a_grant_that_it_never_learned_of_is_unknown_and_does_not_stand_in_its_own_way(
        self, backend: Backend, resource: FencedResource, timeout_s: float, errors: list[type[LockingError]]
    ) -> None:
        manager = LockManager(Lossy(backend, *errors), resource, owner="ann")
        with pytest.raises(OutcomeUnknown):
            manager.acquire("k", timeout_s=timeout_s)
        assert len(backend.status().holders) == 1
        with pytest.raises(Held):
            LockManager(backend, resource, owner="bob").acquire("k", timeout_s=0)
        hold = manager.acquire("k", timeout_s=0)
        assert [holder.token for holder in backend.status().holders] == [hold.token]


class TestProcesses:
    def test_a_killed_holder_frees_its_lock_at_once(
        self, address: str, tmp_path: Path, backend: Backend, ann: LockManager
    ) -> None:
        with process("hold", address, tmp_path / "resource.sqlite", "k", 3600) as holder:
            token = holder.said()
            threading.Timer(0.1, lambda: holder.signal(signal.SIGKILL)).start()
            began = time.monotonic()
            assert ann.acquire("k", timeout_s=10).token > token
            assert time.monotonic() - began < 5

    def test_a_killed_waiter_is_skipped(self, address: str, tmp_path: Path, backend: Backend, make: Make) -> None:
        hold = make("ann").acquire("k")
        with process("wait", address, tmp_path / "resource.sqlite", "k") as waiter:
            until_waiting(backend, 1)
            waiter.signal(signal.SIGKILL)
            threading.Timer(0.2, hold.release).start()
            assert make("bob").acquire("k", timeout_s=10)

    def test_a_holder_stopped_beyond_its_lease_cannot_spoil_what_its_successor_wrote(
        self, address: str, tmp_path: Path, ann: LockManager, resource: FencedResource
    ) -> None:
        with process("hold", address, tmp_path / "resource.sqlite", "k", 0.3) as holder:
            holder.said()
            holder.signal(signal.SIGSTOP)
            with ann.acquire("k", timeout_s=10) as hold:
                value = resource.read("k", hold.token) or 0
                holder.signal(signal.SIGCONT)
                holder.tell()
                assert holder.said() == "StaleToken"
                resource.write("k", value + 1, hold.token)
            assert resource.read("k") == 1

    @pytest.mark.chaos
    def test_ten_processes_under_the_lock_lose_no_update(
        self, address: str, tmp_path: Path, resource: FencedResource
    ) -> None:
        with ExitStack() as stack:
            guarded = tmp_path / "resource.sqlite"
            workers = [stack.enter_context(process("locked", address, guarded, "k", 20)) for _ in range(10)]
            assert [worker.said() for worker in workers] == ["done"] * 10
        assert resource.read("k") == 200


class TestAsyncio:
    def test_coroutines_wait_in_turn_and_the_loop_goes_on(self, ann: LockManager) -> None:
        async def main() -> list[int]:
            locks, order = AsyncLockManager(ann), []

            async def work(number: int) -> None:
                async with locks.holding("k", timeout_s=20) as hold:
                    await locks.renew(hold)
                    order.append(number)

            await asyncio.gather(*(work(number) for number in range(12)))
            return order

        assert sorted(asyncio.run(main())) == list(range(12))
        assert ann.status().holders == ()

    def test_a_cancelled_wait_leaves_nothing_held_and_nobody_waiting(self, backend: Backend, ann: LockManager) -> None:
        hold = ann.acquire("k")

        async def main() -> None:
            waiting = asyncio.ensure_future(AsyncLockManager(ann).acquire("k"))
            while not backend.status().waiters:
                await asyncio.wait([waiting], timeout=0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            hold.release()
            while backend.status().waiters or backend.status().holders:
                await asyncio.wait([asyncio.ensure_future(asyncio.to_thread(backend.status))], timeout=1)

        asyncio.run(main())

    def test_an_error_in_the_block_comes_before_one_of_the_release(self, ann: LockManager) -> None:
        async def main() -> None:
            async with AsyncLockManager(ann).holding(["a", "b"]):
                ann.force_release("a")
                raise LookupError

        with pytest.raises(LookupError):
            asyncio.run(main())

    def test_a_refusal_reaches_the_coroutine(self, ann: LockManager) -> None:
        ann.acquire("k")
        with pytest.raises(Held):
            asyncio.run(AsyncLockManager(ann).acquire("k", timeout_s=0))
