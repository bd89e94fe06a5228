"""The adapter: a host and clients of each backend, as the harness sees them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import until
from support.locks_kit import MISSING
from support.state_kit import Recorder
from targets.locking import adapter
from targets.locking.client import LockingClient
from targets.locking.errors import (
    BadRequest,
    Held,
    NotOwner,
    OutcomeUnknown,
    StaleToken,
    Unavailable,
    VersionConflict,
)
from targets.locking.host import Host
from targets.locking.punctual import Punctual
from targets.locking.settings import Settings

LABEL = os.environ.get("BIGFIVE_LABEL", "")


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
def host(events: Recorder) -> Iterator[Host]:
    host = adapter.host(events)
    yield host
    host.stop()


@pytest.fixture(params=["sqlite", "redis"])
def connect(
    request: pytest.FixtureRequest, host: Host, tmp_path: Path, lacking: Callable[[str], None]
) -> dict[str, Any]:
    if request.param == "redis" and not any((Path(p) / "redis-server").exists() for p in os.get_exec_path()):
        lacking(MISSING)
    connect: dict[str, Any] = host.start(str(tmp_path), LABEL, {"backend": request.param})["connect"]
    return connect


@pytest.fixture
def clients(connect: dict[str, Any]) -> Iterator[list[LockingClient]]:
    made = [adapter.client() for _ in range(2)]
    for number, each in enumerate(made):
        each.open(connect, f"c{number}", 10.0)
    yield made
    for each in made:
        each.close()


def test_versions(clients: list[LockingClient]) -> None:
    one, other = clients
    assert one.probe() == {}
    assert one.read("k") == {"value": None, "version": 0}
    assert one.write("k", {"a": 1}, 0) == {"version": 1}
    assert other.read("k") == {"value": {"a": 1}, "version": 1}
    with pytest.raises(VersionConflict) as conflict:
        other.write("k", 2, 0)
    assert conflict.value.details["version"] == 1


def test_locks_and_what_they_guard(clients: list[LockingClient]) -> None:
    one, other = clients
    token = one.acquire("k", 1, 30)["token"]
    one.renew("k", token)
    assert one.fetch("k") == {"value": None}
    one.store("k", [1], token)
    with pytest.raises(Held):
        other.acquire("k", 0.05, 30)
    with pytest.raises(NotOwner):
        other.release("k", token)
    one.release("k", token)
    newer = other.acquire("k", 1, 30)["token"]
    assert newer > token
    assert other.fetch("k") == {"value": [1]}
    with pytest.raises(StaleToken):
        one.store("k", "late", token)
    assert one.fetch("k") == {"value": [1]}


def test_batches(clients: list[LockingClient]) -> None:
    one, other = clients
    tokens = one.acquire_all(["b", "a"], 1, 30)["tokens"]
    assert sorted(tokens) == ["a", "b"]
    with pytest.raises(Held):
        other.acquire_all(["c", "b"], 0.05, 30)
    other.acquire("c", 0.5, 30)
    one.release_all(tokens)
    assert other.acquire("a", 0.5, 30)["token"] > tokens["a"]


def test_documents(clients: list[LockingClient]) -> None:
    one, other = clients
    version = one.attach("d", "ann")["version"]
    other.attach("d", "bob")
    for client, agent in ((one, "ann"), (other, "bob")):
        answer = client.submit("d", agent, version, f"r-{agent}", [{"op": "increment", "path": "/n", "by": 1}])
        assert answer["conflicts"] == []
    assert other.inspect("d")["content"] == {"n": 2}
    one.detach("d", "ann")


def test_before_the_start_only_names_and_types_are_known(host: Host) -> None:
    described = host.describe()
    assert described["contracts"] == ["versioned_store", "locks", "documents"]
    assert described["handles"] == {
        "database": {"type": "file"},
        "folder": {"type": "folder"},
        "backend": {"type": "process"},
        "supervisor": {"type": "process"},
        "link": {"type": "link"},
    }


def test_started_it_says_where_everything_is(host: Host, connect: dict[str, Any], tmp_path: Path) -> None:
    handles = host.describe()["handles"]
    assert Path(handles["folder"]["path"]).is_relative_to(tmp_path)
    if connect["backend"] == "sqlite":
        assert Path(handles["database"]["path"]).read_bytes().startswith(b"SQLite format 3")
        assert "pid" not in handles["backend"]
        assert "address" not in handles["link"]
    else:
        assert Path(handles["backend"]["data"]).is_dir()
        assert Path(f"/proc/{handles['backend']['pid']}/cmdline").read_bytes().startswith(b"/")
        assert handles["link"]["address"] == connect["address"]
        assert "path" not in handles["database"]


@pytest.mark.parametrize("connect", ["redis"], indirect=True)
def test_a_killed_redis_comes_back_by_itself_and_clients_find_it(
    host: Host, clients: list[LockingClient], events: Recorder
) -> None:
    clients[0].write("k", 1)
    victim = host.describe()["handles"]["backend"]["pid"]
    os.kill(victim, signal.SIGKILL)
    events.wait("service.exited", 1)

    def read() -> bool:
        try:
            return clients[0].read("k") == {"value": 1, "version": 1}
        except Unavailable:
            return False

    until(read, "the restart", 10)
    assert host.describe()["handles"]["backend"]["pid"] != victim


@pytest.mark.parametrize("connect", ["redis"], indirect=True)
@pytest.mark.usefixtures("connect")
def test_a_link_leads_clients_to_the_address_that_was_given(host: Host, tmp_path: Path) -> None:
    host.stop()
    (tmp_path / "again").mkdir()
    links = {"link": "127.0.0.1:9"}
    again = host.start(str(tmp_path / "again"), LABEL, {"backend": "redis"}, links)["connect"]
    assert again["address"] == "127.0.0.1:9" != host.describe()["handles"]["link"]["address"]
    client = adapter.client()
    client.open(again, "c", 5.0)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 cannot be reached"):
        client.probe()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"speed": 11}, "unknown option speed; known are backend"),
        ({"backend": "etcd"}, "backend must be one of sqlite, redis"),
        ({"agents": 0}, "agents must be a whole number"),
        ({"policy": "hope"}, "policy must be one of"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_made(
    host: Host, tmp_path: Path, options: dict[str, object], why: str
) -> None:
    with pytest.raises(BadRequest, match=why):
        host.start(str(tmp_path), LABEL, options)
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_does_not_exist_and_a_foreign_label_are_refused(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadRequest, match="no link link with the sqlite backend"):
        host.start(str(tmp_path), LABEL, {}, {"link": "127.0.0.1:9"})
    monkeypatch.setenv("BIGFIVE_LABEL", "one")
    with pytest.raises(BadRequest, match="differs"):
        host.start(str(tmp_path), "two")


def test_settings_have_the_defaults_that_the_readme_names() -> None:
    assert Settings.of({}) == Settings(backend="sqlite", agents=256, policy="merge", persistence="always")


@pytest.mark.parametrize(
    ("connect", "imported"),
    [
        ({"backend": "sqlite", "database": "missing/d"}, []),
        ({"backend": "redis", "address": "127.0.0.1:9"}, ["hiredis"]),
    ],
    ids=["sqlite", "redis"],
)
def test_a_client_has_imported_what_it_needs_once_it_is_open_and_has_touched_nothing(
    connect: dict[str, Any], imported: list[str], tmp_path: Path
) -> None:
    connect = {**connect, "resource": "missing/r", "policy": "merge", "agents": 2}
    code = (
        "import sys; from targets.locking import adapter; c = adapter.client(); "
        "from targets.locking.errors import LockingError; "
        f"c.open({connect!r}, 'c', 1.0); before = set(sys.modules)\n"
        "try: c.attach('d', 'ann')\n"
        "except LockingError: pass\n"
        "print(*sorted({'redis', 'hiredis', 'asyncio', 'subprocess'} & before))\n"
        "print(*sorted(name for name in sys.modules.keys() - before if name.startswith('targets')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    before, later = done.stdout.split("\n")[:2]
    assert (before.split(), later.split()) == (imported, [])
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(Unavailable, match="not open"):
        adapter.client().read("k")


class TestPunctual:
    def test_a_call_that_takes_too_long_is_unknown_and_the_next_is_not_begun_before_it_ends(self) -> None:
        calls, go = Punctual(), threading.Event()
        with pytest.raises(OutcomeUnknown):
            calls.run(go.wait, 0.05)
        with pytest.raises(Unavailable, match="still under way"):
            calls.run(lambda: 1, 0.05)
        go.set()
        assert calls.run(lambda: 1, 5) == 1

    def test_what_it_raises_is_raised(self) -> None:
        with pytest.raises(LookupError):
            Punctual().run(lambda: {}["x"], 5)
