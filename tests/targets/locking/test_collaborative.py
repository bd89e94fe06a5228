"""Documents on a real backend: who may edit, that a request is done once, and that many at a time lose nothing."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.locks_kit import redis_server
from targets.locking import documents
from targets.locking.backend import Backend
from targets.locking.documents import Documents
from targets.locking.errors import BadRequest, Full
from targets.locking.record import Json
from targets.locking.redis import RedisBackend
from targets.locking.refusals import BadSubmission, DocumentFull, NotAttached, Rejected
from targets.locking.sqlite import SqliteBackend


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.chaos)])
def backend(request: pytest.FixtureRequest, tmp_path: Path, lacking: Callable[[str], None]) -> Iterator[Backend]:
    if request.param == "sqlite":
        with contextlib.closing(SqliteBackend(tmp_path / "locks.db")) as sqlite:
            yield sqlite
        return
    with (
        redis_server(tmp_path / "redis", lacking) as server,
        contextlib.closing(RedisBackend(server.address)) as redis,
    ):
        yield redis


@pytest.fixture
def shared(backend: Backend) -> Documents:
    shared = Documents(backend)
    shared.attach("doc", "ann")
    return shared


def put(path: str, value: object) -> Json:
    return {"op": "set", "path": path, "value": value}


def count(path: str) -> Json:
    return {"op": "increment", "path": path, "by": 1}


def test_a_new_document_is_empty_and_has_version_zero(backend: Backend) -> None:
    assert Documents(backend).inspect("doc") == {
        "content": {},
        "version": 0,
        "conflicts": [],
        "dropped": {"count": 0, "entries": []},
        "agents": {},
        "reaches_back_to": 0,
    }


def test_submitting_returns_the_new_version_and_inspecting_shows_it(shared: Documents) -> None:
    assert shared.submit("doc", "ann", 0, "r1", [put("/a/b", 1), count("/n")]) == {"version": 1, "conflicts": []}
    seen = shared.inspect("doc")
    assert (seen["content"], seen["version"]) == ({"a": {"b": 1}, "n": 1}, 1)
    assert shared.changes("doc", 0)[0] == {
        "path": "/a/b",
        "base": {},
        "now": {"value": 1},
        "edits": [{"version": 1, "writer": "ann"}],
    }


def test_documents_are_apart(shared: Documents) -> None:
    shared.submit("doc", "ann", 0, "r1", [count("/n")])
    assert shared.inspect("other")["version"] == 0


def test_the_same_request_is_answered_as_the_first_time_and_done_once(shared: Documents) -> None:
    shared.attach("doc", "ben")
    shared.submit("doc", "ben", 0, "r0", [put("/t", 1)])
    first = shared.submit("doc", "ann", 0, "r1", [count("/n"), put("/t", 2)])
    assert first["conflicts"][0]["resolutions"] == [
        {"op": "resolve", "id": "2.0", "choice": "mine"},
        {"op": "resolve", "id": "2.0", "choice": "theirs"},
    ]
    shared.submit("doc", "ben", 2, "r2", [*first["conflicts"][0]["resolutions"][:1], count("/n")])
    before = shared.inspect("doc")
    assert shared.submit("doc", "ann", 0, "r1", [count("/n"), put("/t", 2)]) == first
    assert shared.inspect("doc") == before


def test_a_request_that_was_answered_stays_so_after_its_agent_left(shared: Documents) -> None:
    first = shared.submit("doc", "ann", 0, "r1", [count("/n")])
    assert shared.detach("doc", "ann") == {}
    assert shared.submit("doc", "ann", 0, "r1", [count("/n")]) == first
    with pytest.raises(NotAttached, match="'ann' is not attached"):
        shared.submit("doc", "ann", 0, "r2", [count("/n")])


def test_a_request_with_other_operations_is_refused(shared: Documents) -> None:
    shared.submit("doc", "ann", 0, "r1", [count("/n")])
    with pytest.raises(BadSubmission, match="each request needs its own") as error:
        shared.submit("doc", "ann", 0, "r1", [count("/m")])
    assert error.value.details == {"error": "request_reused", "version": 1}


def test_the_last_request_of_an_agent_is_known_however_long_ago_it_was(backend: Backend) -> None:
    shared = Documents(backend, log=2)
    for agent in ("ann", "ben"):
        shared.attach("doc", agent)
    first = shared.submit("doc", "ann", 0, "once", [count("/n")])
    for number in range(10):
        shared.submit("doc", "ben", number, f"ben {number}", [count("/n")])
    assert shared.submit("doc", "ann", 0, "once", [count("/n")]) == first
    assert shared.inspect("doc")["content"] == {"n": 11}


def test_attaching_again_changes_nothing_and_so_does_detaching_a_stranger(shared: Documents) -> None:
    before = shared.inspect("doc")
    assert shared.attach("doc", "ann") == {"version": 0}
    assert shared.detach("doc", "nobody") == {}
    assert shared.inspect("doc") == before


def test_an_agent_over_the_limit_is_told_who_is_there(backend: Backend) -> None:
    shared = Documents(backend, limit=2)
    for agent in ("ann", "ben", "ann"):
        shared.attach("doc", agent)
    with pytest.raises(DocumentFull, match="detach one, such as 'ann'") as caught:
        shared.attach("doc", "cid")
    error = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  our own bytes
    assert isinstance(error, Full)
    assert error.certainly_not_done
    assert error.details == {"error": "full", "limit": 2, "agents": {"ann": 0, "ben": 0}, "version": 0}
    shared.detach("doc", "ben")
    shared.attach("doc", "cid")


def test_a_full_document_has_room_once_it_moved_on_far_without_an_agent(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "QUIET_VERSIONS", 3)
    shared = Documents(backend, limit=2)
    shared.attach("doc", "crashed")
    shared.attach("doc", "ann")
    for number in range(3):
        with pytest.raises(DocumentFull):
            shared.attach("doc", "cid")
        shared.submit("doc", "ann", number, f"r{number}", [count("/n")])
    shared.attach("doc", "cid")
    assert shared.inspect("doc")["agents"] == {"ann": 3, "cid": 3}
    with pytest.raises(NotAttached):
        shared.submit("doc", "crashed", 0, "late", [count("/n")])


def test_settings_that_make_no_sense_are_refused(backend: Backend) -> None:
    with pytest.raises(BadRequest, match="policy is one of merge, reject, last_write_wins, got 'first'"):
        Documents(backend, policy="first")  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="at least 1"):
        Documents(backend, limit=0)
    with pytest.raises(BadRequest, match="document is text"):
        Documents(backend).inspect("")


def test_a_refused_submission_leaves_no_trace(backend: Backend) -> None:
    shared = Documents(backend, policy="reject")
    for agent in ("ann", "ben"):
        shared.attach("doc", agent)
    shared.submit("doc", "ann", 0, "r1", [put("/t", 1)])
    before = shared.inspect("doc")
    with pytest.raises(Rejected):
        shared.submit("doc", "ben", 0, "r2", [count("/n"), put("/t", 2)])
    assert shared.inspect("doc") == before
    assert shared.submit("doc", "ben", 1, "r3", [put("/t", 2)])["version"] == 2


def test_ten_writers_at_once_lose_nothing_and_nobody_is_refused(shared: Documents) -> None:
    answers: list[Json] = []

    def write(agent: str) -> None:
        base = shared.attach("doc", agent)["version"]
        for edit in range(6):
            changes = [
                put(f"/nodes/{agent}", edit),
                count("/n"),
                {"op": "append", "path": "/l", "item": f"{agent}:{edit}"},
            ]
            answers.append(shared.submit("doc", agent, base, f"{agent}:{edit}", changes))

    threads = [threading.Thread(target=write, args=(f"agent {number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = shared.inspect("doc")["content"]
    assert sorted(answer["version"] for answer in answers) == list(range(1, 61))
    assert not any(answer["conflicts"] for answer in answers)
    assert content["n"] == 60
    assert content["nodes"] == {f"agent {number}": 5 for number in range(10)}
    assert sorted(content["l"]) == sorted(f"agent {number}:{edit}" for number in range(10) for edit in range(6))


_WRITER = """
import sys
from targets.locking.documents import Documents
from targets.locking.sqlite import SqliteBackend

path, agent = sys.argv[1:]
shared = Documents(SqliteBackend(path))
shared.attach("doc", agent)
for edit in range(10**6):
    item = f"{agent}:{edit}"
    base = edit and shared.inspect("doc")["version"]
    shared.submit("doc", agent, base, item, [
        {"op": "increment", "path": "/n", "by": 1}, {"op": "append", "path": "/l", "item": item}])
    print(item, flush=True)
"""


@pytest.mark.chaos
def test_writers_that_are_killed_leave_what_was_acknowledged_and_perhaps_their_last_edit(tmp_path: Path) -> None:
    path = tmp_path / "locks.db"
    names = ["one", "two", "three"]
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(path), agent], stdout=subprocess.PIPE, text=True)
        for agent in names
    ]
    acknowledged = []
    for writer in writers:
        assert writer.stdout is not None
        acknowledged += [writer.stdout.readline().strip() for _ in range(20)]
        writer.kill()
        acknowledged += writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
    backend = SqliteBackend(path)
    shared = Documents(backend)
    seen = shared.inspect("doc")
    items = seen["content"]["l"]
    assert len(items) == len(set(items)) == seen["content"]["n"] == seen["version"]
    assert set(acknowledged) <= set(items)
    assert len(items) - len(acknowledged) <= len(names)
    repeated = acknowledged[0]
    change = [count("/n"), {"op": "append", "path": "/l", "item": repeated}]
    shared.submit("doc", repeated.split(":")[0], 0, repeated, change)
    assert items.count(repeated) == shared.inspect("doc")["content"]["l"].count(repeated) == 1
    backend.close()
