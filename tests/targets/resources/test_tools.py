"""The command line for people."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from support.resources_kit import no_own_cgroup
from support.state_kit import python
from targets.resources import tools
from targets.resources.limits import ContainerLimits
from targets.resources.owncgroup import OwnCgroup
from targets.resources.units import MIB

GROWING = (
    "import mmap, signal, sys; print('in', flush=True); sys.stdin.readline(); m = mmap.mmap(-1, 60 << 20); "
    "[m.write(b'x' * (1 << 20)) for _ in range(50)]; signal.pause()"
)


def test_limits_in_force_are_printed_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["limits"]) == tools.DONE
    assert set(json.loads(capsys.readouterr().out)) == {"cpus", "memory", "swap", "pids", "open_files", "tmp"}
    assert tools.main(["limits", "--open-files", "7"]) == tools.NOT_SO
    assert "open_files: should be 7, got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["limits", "--memory", "much"], tools.USAGE, "such as 512MiB"),
        (["limits", "--cpus", "1000000"], tools.USAGE, "processors"),
        (["watch", "4194305"], tools.CANNOT, "there is no process 4194305"),
        (["watch", "1", "--warning", "99"], tools.USAGE, "must rise"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_why(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools.main(arguments) == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["watch"], ["watch", "x"]])
def test_wrong_usage_is_told_apart(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tools.main(arguments)
    assert ended.value.code == tools.USAGE


def test_watching_ends_with_what_is_watched() -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    watching = python("-m", "targets.resources", "watch", str(sleeper.pid))
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["event"] == "watching"
    sleeper.kill()
    sleeper.wait()
    watching.communicate(timeout=20)
    assert watching.returncode == tools.DONE


def test_watching_can_be_stopped() -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    watching = python("-m", "targets.resources", "watch", str(sleeper.pid))
    assert watching.stdout is not None
    watching.stdout.readline()
    watching.terminate()
    watching.communicate(timeout=20)
    sleeper.kill()
    sleeper.wait()
    assert watching.returncode == tools.DONE


def test_a_process_in_need_is_told_from_outside_and_signalled(lacking: Callable[[str], None]) -> None:
    if why := no_own_cgroup():
        lacking(why)
    group = OwnCgroup.create(ContainerLimits(memory=64 * MIB))
    try:
        command = group.entering([sys.executable, "-c", GROWING])
        growing = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert growing.stdout is not None
        assert growing.stdin is not None
        growing.stdout.readline()
        watching = python("-m", "targets.resources", "watch", str(growing.pid), "--signal", "TERM", "--at", "warning")
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["data"]["woken_by_kernel"] is True
        growing.stdin.write(b"\n")
        growing.stdin.flush()
        assert growing.wait(20) == -signal.SIGTERM
        said, _ = watching.communicate(timeout=20)
        growing.communicate()
        assert json.loads(said.splitlines()[0])["event"].startswith("pressure.")
    finally:
        group.remove()
