"""A cgroup of one's own, v1 or v2, without Docker: made, entered, found and removed. Needs root.

    group = OwnCgroup.create(limits)
    subprocess.Popen(group.entering([sys.executable, "-m", "targets.resources", "serve", …]))
    group.remove()

`python -m targets.resources.owncgroup FOLDER… [--open-files N] -- COMMAND…` enters and becomes COMMAND, so that all its
memory is counted here: what a process touched before it entered stays with the group it came from.

The name has the owner's pid and start time, so that `sweep` can tell what is left over from what is in use, and at its
end the run's label, where the environment has one in BIGFIVE_LABEL, so that the run's owner can find it.

Not promised: a limit on /tmp (that takes a mount namespace: a container), nor on v2 controllers that the parent group
keeps to itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from targets.resources.errors import CannotStart
from targets.resources.limits import ContainerLimits

TOP = Path("/sys/fs/cgroup")
PREFIX = "bigfive-"
_CONTROLLERS = ("memory", "pids", "cpu")
_END_S = 5.0
_RETRY_S = 0.01


class OwnCgroup:
    """One group, in each hierarchy that is needed."""

    def __init__(self, folders: Mapping[str, Path], version: int, limits: ContainerLimits) -> None:
        self.folders = dict(folders)
        self.version = version
        self._limits = limits

    @classmethod
    def create(cls, limits: ContainerLimits, top: Path = TOP) -> OwnCgroup:
        """Make a group with these limits. Raises `CannotStart` that says why not; then nothing is left of it."""
        owner, label = f"{os.getpid()}-{_start_time(os.getpid())}", os.environ.get("BIGFIVE_LABEL", "")
        name = "-".join(filter(None, (f"{PREFIX}{owner}", str(time.monotonic_ns()), label)))
        version = 1 if (top / "memory").is_dir() else 2
        if version == 1:
            folders = {each: top / each / name for each in _CONTROLLERS if (top / each).is_dir()}
        else:
            folders = dict.fromkeys(_CONTROLLERS, top / name)
        group = cls(folders, version, limits)
        try:
            for folder in set(folders.values()):
                folder.mkdir()
            if version == 2:  # noqa: PLR2004  a version
                (top / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in _CONTROLLERS))
            group.set(limits)
        except OSError as error:
            group.remove()
            raise CannotStart(
                f"no cgroup of its own: {error}; run as root on a host with cgroups, or choose container: true"
            ) from error
        return group

    def set(self, limits: ContainerLimits) -> None:
        """Put these limits in force, now. Raises `OSError`, such as EBUSY for a limit below what is in use."""
        files = limits.cgroup_files(self.version)
        if self.version == 1 and limits.memory is not None and limits.memory > self._memory_limit():
            files.reverse()  # the limit on memory and swap together must be raised first, and lowered last
        for controller, file, content in files:
            swap = "memsw" in file or "swap" in file  # not there on a kernel that does not count swap
            with contextlib.suppress(FileNotFoundError) if swap else contextlib.nullcontext():
                (self.folders[controller] / file).write_text(content)

    def _memory_limit(self) -> int:
        return int((self.folders["memory"] / "memory.limit_in_bytes").read_text())

    def entering(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` inside."""
        files = [] if self._limits.open_files is None else ["--open-files", str(self._limits.open_files)]
        inside = sorted({str(folder) for folder in self.folders.values()})
        return [sys.executable, "-m", "targets.resources.owncgroup", *inside, *files, "--", *command]

    def remove(self) -> None:
        """Kill what is inside, and remove it. Raises `OSError` if it cannot be removed within five seconds."""
        for folder in set(self.folders.values()):
            _remove(folder)


def sweep(top: Path = TOP) -> list[Path]:
    """Remove groups whose owner is gone, with what is still inside; return what was removed."""
    removed = []
    for folder in {*top.glob(f"{PREFIX}*"), *top.glob(f"*/{PREFIX}*")}:
        owner, _, started = folder.name.removeprefix(PREFIX).partition("-")
        started = started.partition("-")[0]
        if owner.isdigit() and started.isdigit() and _start_time(int(owner)) != int(started):
            _remove(folder)
            removed.append(folder)
    return sorted(removed)


def _start_time(pid: int) -> int:
    """Return when a process started, in the kernel's ticks; 0 if there is none of this number."""
    try:
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _remove(folder: Path) -> None:
    until = time.monotonic() + _END_S
    while folder.is_dir():
        _kill_all(folder)
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
            select.select([], [], [], _RETRY_S)  # the kernel tells nobody when the last process has left


def _kill_all(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        for pid in map(int, (folder / "cgroup.procs").read_text().split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Enter the groups of the command line and become its command."""
    parser = argparse.ArgumentParser(prog="python -m targets.resources.owncgroup", description="Run in a cgroup.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--open-files", type=int)
    mine, command = _split(sys.argv[1:] if arguments is None else list(arguments))
    chosen = parser.parse_args(mine)
    try:
        for folder in chosen.folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
        if chosen.open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (chosen.open_files, chosen.open_files))
        os.execvp(command[0], command)  # noqa: S606  no shell is what we want
    except (OSError, ValueError, IndexError) as error:
        sys.stderr.write(f"cannot run {' '.join(command)} in {', '.join(map(str, chosen.folders))}: {error}\n")
    return os.EX_OSERR


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is before `--` and what is after."""
    at = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:at]), list(arguments[at + 1 :])


if __name__ == "__main__":
    sys.exit(main())
