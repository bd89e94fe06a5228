"""Versioned values: one suite for both backends."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.locks_kit import in_threads
from targets.locking.backend import REMEMBERED_REQUESTS, UNCHANGED, Backend, Versioned
from targets.locking.errors import BadRequest, TooManyConflicts, VersionConflict
from targets.locking.optimistic import OptimisticLock
from targets.locking.redis import RedisBackend

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


@pytest.fixture
def lock(backend: Backend) -> OptimisticLock:
    return OptimisticLock(backend, writer="ann")


def test_a_key_that_was_never_written_has_version_zero(lock: OptimisticLock) -> None:
    assert lock.read("k") == Versioned(None, 0)


def test_versions_count_the_writes_of_each_key(lock: OptimisticLock) -> None:
    assert [lock.write("a", 1).version, lock.write("a", 2).version, lock.write("b", 1).version] == [1, 2, 1]
    assert (lock.read("a").value, lock.read("a").version) == (2, 2)


def test_a_conflict_names_the_winner_and_its_version_and_when(lock: OptimisticLock, backend: Backend) -> None:
    lock.write("k", "first", 0)
    other = OptimisticLock(backend, writer="bob")
    with pytest.raises(VersionConflict, match="has version 1, written by ann, not 0") as conflict:
        other.write("k", "second", 0)
    error = conflict.value
    assert error.certainly_not_done
    assert error.current == lock.read("k")
    assert error.details["error"] == "conflict"
    assert (error.details["version"], error.details["winner"]) == (1, "ann")
    assert 0 < error.retry_after_s < 0.1
    assert pickle.loads(pickle.dumps(error)).current == error.current  # noqa: S301
    assert lock.read("k").value == "first"


def test_a_write_on_a_version_that_is_yet_to_come_is_a_conflict(lock: OptimisticLock) -> None:
    with pytest.raises(VersionConflict, match="has version 0, not 3"):
        lock.write("k", 1, 3)


def test_a_repeated_request_is_answered_as_the_first_time(lock: OptimisticLock) -> None:
    first = lock.write("k", 1, 0, request="r")
    assert lock.write("k", 1, 0, request="r") == first
    lock.write("k", 2)
    assert lock.write("k", 1, 0, request="r").version == 1
    assert (lock.read("k").value, lock.read("k").version) == (2, 2)
    assert lock.update("k", lambda found: found.value + 1, request="r").version == 1
    assert lock.write("other", 1, 0, request="r").version == 1


def test_requests_are_remembered_as_long_as_stated(lock: OptimisticLock) -> None:
    lock.write("k", 0, request="old")
    for number in range(REMEMBERED_REQUESTS - 1):
        lock.write("k", number, request=f"r{number}")
    assert lock.write("k", 0, request="old").version == 1
    lock.write("k", 0, request="one more")
    assert lock.write("k", 0, request="old").version == REMEMBERED_REQUESTS + 2


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), b"bytes"])
def test_a_value_that_is_not_json_is_refused(lock: OptimisticLock, value: object) -> None:
    with pytest.raises(BadRequest):
        lock.write("k", value)
    with pytest.raises(BadRequest):
        lock.update("k", lambda _: value)
    assert lock.read("k").version == 0


@pytest.mark.parametrize("key", ["", "x" * 1001, "a\0b", "\ud800", 3])
def test_a_key_that_is_none_is_refused(lock: OptimisticLock, key: Any) -> None:  # noqa: ANN401
    with pytest.raises(BadRequest, match="a key is text"):
        lock.write(key, 1)


@pytest.mark.parametrize("version", [-1, 1.5, "1", True])
def test_an_expected_version_that_is_none_is_refused(lock: OptimisticLock, version: Any) -> None:  # noqa: ANN401
    with pytest.raises(BadRequest, match="an expected version"):
        lock.write("k", 1, version)


def test_update_sees_the_newest_value_and_returns_what_is_there_now(lock: OptimisticLock) -> None:
    assert lock.update("k", lambda found: [found.value, found.version]).value == [None, 0]
    assert lock.update("k", lambda found: found.value[1] + 5).value == 5
    assert lock.update("k", lambda _: UNCHANGED) == lock.read("k")
    assert lock.read("k").version == 2


def test_what_an_update_raises_reaches_the_caller_and_nothing_is_written(lock: OptimisticLock) -> None:
    def fail(_: Versioned) -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        lock.update("k", fail)
    assert lock.read("k").version == 0
    assert lock.write("k", 1).version == 1


def test_of_threads_that_increment_none_loses_an_update(backend: Backend) -> None:
    def work(number: int) -> None:
        mine = OptimisticLock(backend, writer=str(number), timeout_s=30)
        for _ in range(15):
            mine.update("n", lambda found: (found.value or 0) + 1)

    in_threads(8, work)
    assert (backend.read("n").value, backend.read("n").version) == (120, 120)


def test_an_update_that_always_meets_others_gives_up_in_time_and_wrote_nothing(backend: Backend) -> None:
    if not isinstance(backend, RedisBackend):
        assert backend.update("k", lambda _: 1).version == 1  # SQLite's writers queue and never meet
        return

    def overtaken(found: Versioned) -> str:
        backend.write("k", "faster", expected=found.version)
        return "slower"

    with pytest.raises(TooManyConflicts, match="changed by others") as error:
        backend.update("k", overtaken, timeout_s=0.5)
    assert error.value.certainly_not_done
    assert backend.read("k").value == "faster"


@shared
@given(value=JSON)
def test_any_json_comes_back_as_it_was(backend: Backend, value: object) -> None:
    written = backend.write("json", value)
    assert backend.read("json") == written
    assert backend.read("json").value == value


@shared
@given(steps=st.lists(st.tuples(st.sampled_from("ab"), st.one_of(st.none(), st.integers(0, 6))), max_size=12))
def test_versions_have_no_gaps_and_a_write_succeeds_exactly_on_its_expected_version(
    backend: Backend, steps: list[tuple[str, int | None]]
) -> None:
    for number, (key, expected) in enumerate(steps):
        before = backend.read(key)
        if expected in {None, before.version}:
            assert backend.write(key, number, expected=expected).version == before.version + 1
            assert backend.read(key).value == number
        else:
            with pytest.raises(VersionConflict) as conflict:
                backend.write(key, number, expected=expected)
            assert conflict.value.current == before == backend.read(key)
