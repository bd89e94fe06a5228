"""The tools for people: what they say and how they end."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.locks_kit import TESTS
from targets.locking import tools
from targets.locking.addresses import open_backend
from targets.locking.backend import Backend
from targets.locking.fencing import FencedResource
from targets.locking.load import Result
from targets.locking.manager import LockManager
from targets.locking.migration import migrate
from targets.locking.tools import CANNOT, DONE, INTERRUPTED, NOT_SO, REFUSED, USAGE, main


@pytest.fixture
def manager(backend: Backend, resource: FencedResource) -> LockManager:
    return LockManager(backend, resource, owner="ann")


class TestStatus:
    def test_it_prints_holders_waiters_and_counts(
        self, address: str, manager: LockManager, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hold = manager.acquire("deploy")
        assert main(["status", address]) == DONE
        said = capsys.readouterr().out
        assert "deploy" in said
        assert "ann" in said
        assert "alive" in said
        assert "grants 1, of which 0 waited" in said
        hold.release()
        assert main(["status", address, "--json"]) == DONE
        said = json.loads(capsys.readouterr().out)
        assert (said["epoch"], said["holders"], said["statistics"]["releases"]) == (0, [], 1)

    def test_where_there_is_none_it_makes_none(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["status", str(tmp_path / "none")]) == CANNOT
        assert "cannot be opened" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


class TestBreak:
    def test_it_asks_first(
        self,
        address: str,
        manager: LockManager,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        manager.acquire("deploy")
        monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
        assert main(["break", address, "deploy"]) == REFUSED
        assert "take 'deploy' from ann?" in capsys.readouterr().err
        assert manager.status().holders
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
        assert main(["break", address, "deploy"]) == DONE
        assert "taken from ann" in capsys.readouterr().out
        assert not manager.status().holders

    def test_what_nobody_holds_cannot_be_taken(self, address: str, manager: LockManager) -> None:
        manager.acquire("deploy").release()
        assert main(["break", address, "deploy", "--yes"]) == NOT_SO


class TestBench:
    def test_a_load_that_is_carried_is_fast_enough_and_nothing_is_left(
        self, address: str, backend: Backend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend.write("mine", 1)
        before = sorted(path.name for path in tmp_path.iterdir())
        command = ["bench", address, "--clients", "2", "--rate", "20", "--seconds", "0.5", "--budget", "9000"]
        assert main([*command, "--json"]) in {DONE, NOT_SO}
        said = json.loads(capsys.readouterr().out)
        assert said["failed"] == 0
        assert 0 < said["p50_s"] <= said["p99_s"] <= said["longest_s"]
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert backend.read("mine").version == 1

    def test_a_load_beyond_the_budget_is_too_slow(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["bench", str(tmp_path), "--clients", "1", "--rate", "20", "--seconds", "0.2", "--budget", "0.001"]
        assert main(command) == NOT_SO
        assert (
            "SQLite is too slow for a budget of 0.001 ms: offer less, or `migrate` to Redis" in capsys.readouterr().out
        )

    def test_the_verdict_says_what_helps(self) -> None:
        result = Result(
            backend="redis://x",
            offered=100,
            done=99,
            failed=0,
            p50_s=0.001,
            p99_s=0.01,
            longest_s=0.02,
            smallest_share=1,
            budget_s=0.1,
        )
        assert list(tools._verdict(result))[-1] == "fast enough: 99 of 100 writes wait at most 100 ms"
        slow = Result(**{**{f: getattr(result, f) for f in result.__dataclass_fields__}, "done": 50})
        assert "spread the load over more keys" in list(tools._verdict(slow))[-1]


class TestMigrate:
    @pytest.fixture
    def other(
        self, address: str, tmp_path: Path, servers: Callable[..., object], lacking: Callable[[str], None]
    ) -> str:
        if address.startswith("redis://"):
            return str(tmp_path / "target.sqlite")
        return f"redis://{servers(lacking).address}#target{os.urandom(4).hex()}:"  # type: ignore[attr-defined]

    def test_versions_tokens_epoch_and_requests_go_on_where_they_were(
        self, address: str, other: str, backend: Backend, manager: LockManager, resource: FencedResource
    ) -> None:
        resource.epoch_of("an earlier one")
        token = manager.acquire("k").token
        manager.force_release("k")
        for number in range(3):
            backend.write("v", {"n": number}, writer="ann", request=f"r{number}")
        assert main(["migrate", address, other]) == DONE
        moved = open_backend(other)
        assert moved.read("v") == backend.read("v")
        assert moved.write("v", 0, request="r1").version == 2
        assert moved.status() == backend.status()
        assert LockManager(moved, resource).acquire("k").token == token + 1
        assert moved.status().epoch == 1

    def test_there_and_back_is_as_it_was(
        self, address: str, other: str, tmp_path: Path, backend: Backend, manager: LockManager
    ) -> None:
        manager.acquire("k")
        backend.write("ä\n☃", [None, "ü"], writer="x")
        back = open_backend(str(tmp_path / "back.sqlite"))
        middle = open_backend(other)
        there = migrate(open_backend(address), middle, held=True)
        assert migrate(middle, back, held=True) == there
        assert back.dump() == open_backend(address).dump()
        assert back.status().holders == backend.status().holders

    def test_held_locks_are_refused_unless_told(
        self, address: str, other: str, manager: LockManager, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hold = manager.acquire("k")
        assert main(["migrate", address, other]) == REFUSED
        assert "1 keys are held (k): stop their holders, or say --held" in capsys.readouterr().err
        assert main(["migrate", address, other, "--held"]) == DONE
        open_backend(other).release("ann", hold.tokens)

    def test_a_target_that_is_not_empty_is_refused(
        self, address: str, other: str, backend: Backend, capsys: pytest.CaptureFixture[str]
    ) -> None:
        backend.write("k", 1)
        open_backend(other).write("theirs", 1)
        assert main(["migrate", address, other]) == REFUSED
        assert "the target is not empty" in capsys.readouterr().err
        assert open_backend(other).read("k").version == 0


def test_wrong_usage_is_one_line_and_status_4(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["fly"], ["bench", "x", "--rate", "0"], ["bench", "x", "--clients", "0"]):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == USAGE
    assert "must be 1 or more, got 0" in capsys.readouterr().err


def test_ctrl_c_is_status_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tools, "open_backend", interrupt)
    assert main(["status", str(tmp_path)]) == INTERRUPTED


def test_the_module_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "targets.locking", "status", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS.parent)
    assert done.returncode == CANNOT
    assert done.stderr.count("\n") == 1
