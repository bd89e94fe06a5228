"""The store is killed at every state-changing system call of commits, checkpoints, rotations and recoveries, in turn.

SQLite's way: the first call, the second, and so on until the process gets through without meeting its death. strace
kills it when it *enters* the call, so the call itself has no effect, and everything before it has. strace counts each
call by name, hence a sweep for every name.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from targets.state.layout import STATE
from targets.state.settings import Settings
from targets.state.store import StateStore

pytestmark = pytest.mark.chaos

CHANGING = ["pwrite64", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "mkdir"]
NEVER = 65_535  # the highest count that strace knows
SETTINGS = "Settings(snapshot_every=5, checkpoint_every=2, scrub_every_s=3600)"
WRITER = f"""
import os, sys
from pathlib import Path
from targets.state.settings import Settings
from targets.state.store import StateStore
store = StateStore(Path(sys.argv[1]), {SETTINGS})
acknowledged = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for n in range(6):
    store.write("k" + str(n % 3), n)
    os.pwritev(acknowledged, [str(n).encode() + b"\\n"], os.fstat(acknowledged).st_size)  # not a call that is counted
    store.care()
store.close()
"""
OPENER = f"""
import sys
from pathlib import Path
from targets.state.settings import Settings
from targets.state.store import StateStore
StateStore(Path(sys.argv[1]), {SETTINGS}).close()
"""


def killed_at(call: str, nth: int, program: str, *arguments: str) -> bool:
    """Run a program that dies at the nth call of that name; return whether it came that far."""
    kill = f"inject={call}:signal=SIGKILL:when={nth}"
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", kill]
    ended = subprocess.run([*strace, sys.executable, "-c", program, *arguments], capture_output=True, check=False)
    assert ended.returncode in {0, -9, 137}, ended.stderr.decode()
    return ended.returncode != 0


def state(folder: Path) -> dict[str, tuple[object, int]]:
    """What the store holds, by opening it as its user would."""
    store = StateStore(folder, Settings(snapshot_every=10**6, checkpoint_every=10**6, scrub_every_s=3600))
    try:
        return {f"k{n}": store.read(f"k{n}") for n in range(3)}
    finally:
        store.close()


@pytest.mark.parametrize("call", CHANGING)
def test_no_acknowledged_write_is_lost_wherever_the_writer_dies(
    call: str, tmp_path: Path, lacking: Callable[[str], None]
) -> None:
    if shutil.which("strace") is None:
        lacking("strace is not installed")
    for nth in itertools.count(1):
        folder, log = tmp_path / f"store-{nth}", tmp_path / f"acknowledged-{nth}"
        died = killed_at(call, nth, WRITER, str(folder), str(log))
        acknowledged = [int(line) for line in log.read_text().split()] if log.exists() else []
        held = state(folder)
        for key in range(3):
            written = [n for n in acknowledged if n % 3 == key]
            value, version = held[f"k{key}"]
            assert version >= len(written), f"{call} {nth}: {acknowledged} acknowledged, found {held}"
            assert version == 0 or value == key + 3 * (version - 1), f"{call} {nth}: {held}"
        assert state(folder) == held
        if not died:
            return


@pytest.mark.parametrize("call", CHANGING)
def test_a_recovery_killed_anywhere_can_be_repeated(call: str, tmp_path: Path, lacking: Callable[[str], None]) -> None:
    if shutil.which("strace") is None:
        lacking("strace is not installed")
    good = tmp_path / "good"
    assert not killed_at(call, NEVER, WRITER, str(good), str(tmp_path / "acknowledged"))
    expected = state(good)
    (good / STATE).write_bytes(b"garbage")
    newest = max(good.glob("journal-*.log"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    for nth in itertools.count(1):
        folder = tmp_path / f"copy-{nth}"
        shutil.copytree(good, folder)
        died = killed_at(call, nth, OPENER, str(folder))
        assert state(folder) == expected, f"{call} {nth}"
        if not died:
            return
