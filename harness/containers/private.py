"""An engine of our own, for faults of scope `engine`: it may be killed, restarted, starved and have its tables flushed.

It is a `dockerd` in a network namespace and a mount namespace of its own, with its own containerd, socket, data folder
and cgroups. So its bridges, addresses, iptables rules and mounts are nobody else's and vanish with it, however it ends;
the machine's own engine does not notice. Its namespace has no way out: containers reach each other and their gateway,
not this machine, and no packet can leave. From here they are reached through the API, by a Unix socket on a mount, or
by `nsenter --net --target PID` with the engine's pid.

Needs root, and dockerd 20.10 or newer.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from harness import seeds
from harness.containers import image, wires
from harness.containers.address import Address
from harness.containers.engine import Engine, Order, preload
from harness.doctor import CAPABILITIES, probe
from harness.errors import BigfiveError, EnvironmentLacks, HarnessBug, TimedOut
from harness.faults._base import Undo
from harness.guardian import Guardian
from harness.processes import Process, command_line, labelled
from harness.undo import UndoLog, kill_labelled, remove_folder, undoer
from harness.waiting import until
from harness.wire import LABEL_VARIABLE

preload()

_START_S = 30.0
_STOP_S = 4.0  # then it is killed: a guardian has ten seconds for all that it has to do
_KILL_S = 5.0
_CGROUPS = Path("/sys/fs/cgroup")
# What lies in /run/containerd belongs to the machine's containerd, which dockerd would use if it saw it.
_ENTER = """
ip link set lo up
mkdir -p /run/containerd
mount -t tmpfs bigfive /run/containerd
exec sleep infinity
"""
_UNSHARE = ("unshare", "--net", "--mount", "--propagation", "slave", "--", "sh", "-ec", _ENTER)
_HOLDER, _ENGINE = "sleep infinity", "dockerd "
_children: dict[str, list[subprocess.Popen[bytes]]] = {}  # whose status it is on us to collect


@dataclass(frozen=True)
class PrivateEngine:
    """Where an engine of ours lives; `label` is its own, carried by its processes."""

    label: str

    @classmethod
    def new(cls) -> PrivateEngine:
        """Choose a name. Nothing is made yet."""
        return cls(f"bf-engine-{seeds.fresh_root():08x}")

    @property
    def folder(self) -> Path:
        """Return the folder of everything that it writes; short, since socket paths end at 107 bytes."""
        return Path(tempfile.gettempdir()) / self.label

    @property
    def address(self) -> Address:
        """Return where it listens."""
        return Address(f"unix://{self.folder}/socket", source="an engine of our own")

    @property
    def log(self) -> Path:
        """Return what it says."""
        return self.folder / "log"

    def undo_plan(self) -> Undo:
        """Return what stops and removes it: journal this before `start`."""
        return Undo("engine.stop", {"label": self.label, "folder": str(self.folder)})

    def start(self) -> None:
        """Start it, again if it was killed, and wait until it answers.

        Raises `EnvironmentLacks` with its last words.
        """
        self.folder.mkdir(mode=0o711, exist_ok=True)
        for name in ("pid", "exec/containerd/containerd.pid"):
            _forget_dead(self.folder / name)
        enter = ("nsenter", "--net", "--mount", "--target", str(self._holder().pid), "--")
        process = self._spawn([*enter, "dockerd", *self._arguments()])
        try:
            until(lambda: process.poll() is not None or self._answers(), f"{self.address} to answer", _START_S)
            self.connect().close()
        except BigfiveError as error:
            last = " / ".join(self.log.read_text(errors="replace").splitlines()[-3:])
            reason = f"an engine of our own does not start (status {process.poll()}): {last}"
            raise EnvironmentLacks("docker", reason, "bigfive doctor --fix docker, as root") from error

    def process(self) -> Process:
        """Return its `dockerd`, for faults that kill it. Raises `HarnessBug` where it does not run."""
        if found := _running(self.label, _ENGINE):
            return found
        raise HarnessBug(f"{self.label} has no dockerd that runs")

    def connect(self) -> Engine:
        """Connect to it. Raises `EnvironmentLacks` where it does not run."""
        return Engine.connect(self.address)

    def _answers(self) -> bool:
        try:
            return wires.ask(self.address, "/_ping", 1.0).status == HTTPStatus.OK
        except OSError:
            return False

    def _holder(self) -> Process:
        """Return the process that keeps the namespaces, also while no dockerd is in them; start it if there is none."""
        if found := _running(self.label, _HOLDER):
            return found
        self._spawn(_UNSHARE)
        until(lambda: _running(self.label, _HOLDER), "namespaces of our own", _START_S)
        return self._holder()

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as said:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                env={**os.environ, LABEL_VARIABLE: self.label},
            )
        _children.setdefault(self.label, []).append(process)
        return process

    def _arguments(self) -> list[str]:
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        return [
            *(f"--{option}={self.folder / name}" for option, name in places.items()),
            f"--host={self.address.url}",
            f"--cgroup-parent=/{self.label}",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            f"--shutdown-timeout={_STOP_S - 1:.0f}",
        ]


@contextmanager
def running(log: UndoLog) -> Iterator[PrivateEngine]:
    """Run an engine of our own, its end journaled first. Raises `EnvironmentLacks` where it cannot be."""
    if not (finding := probe(CAPABILITIES["root"])).ok:
        raise finding.raised()
    if shutil.which("dockerd") is None:
        raise EnvironmentLacks("docker", "there is no dockerd on PATH", "bigfive doctor --fix docker")
    engine = PrivateEngine.new()
    entry = log.push(engine.undo_plan())
    try:
        engine.start()
        yield engine
    finally:
        log.execute(entry)


@undoer("engine.stop")
def stop(label: str, folder: str) -> None:
    """End an engine of our own, with its containers, and remove everything that it has written."""
    end(label)
    remove_folder(folder)


def end(label: str) -> None:
    """End an engine of our own with its containers; its folder stays."""
    if engine := _running(label, _ENGINE):
        _end(engine)
    kill_labelled(label)
    for child in _children.pop(label, ()):
        child.wait(_KILL_S)
    for cgroup in _cgroups(label):
        _remove_cgroup(cgroup)


def _forget_dead(file: Path) -> None:
    """Remove a pid file whose process is dead, even one that nobody has collected: dockerd would wait for it."""
    try:
        alive = Process.of(int(file.read_text())).alive()
    except (OSError, ValueError):
        alive = False
    if not alive:
        file.unlink(missing_ok=True)


def _running(label: str, command: str) -> Process | None:
    return next((each for each in labelled(label) if command_line(each.pid).startswith(command)), None)


def _end(process: Process) -> None:
    """Ask a process to end; who does not in time is killed with all the others."""
    try:
        process.send(signal.SIGTERM)
    except ProcessLookupError:
        return
    process.wait(_STOP_S)


def _cgroups(label: str) -> list[Path]:
    """Return the cgroups of an engine: one, or with version 1 one for each controller."""
    return [path for path in (_CGROUPS / label, *_CGROUPS.glob(f"*/{label}")) if path.is_dir()]


def _remove_cgroup(cgroup: Path) -> None:
    """Kill who is in it (containers do not carry the engine's label), then remove it from the leaves up."""

    def emptied() -> bool:
        pids = [int(pid) for file in cgroup.rglob("cgroup.procs") for pid in _words(file)]
        for pid in pids:
            try:
                Process.of(pid).send(signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not pids

    until(emptied, f"the end of the processes in {cgroup}", _KILL_S)
    for folder in sorted((*cgroup.rglob("*/"), cgroup), reverse=True):
        if folder.is_dir():
            _await_removal(folder)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:  # the cgroup went while we looked
        return []


def _await_removal(cgroup: Path) -> None:
    until(lambda: _removed(cgroup), f"the end of {cgroup}", _KILL_S)


def _removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # busy until its last process is reaped
        return False
    return True


def prove(tell: Callable[[str], None]) -> None:
    """Start one, run a container in it, stop it, and look for what it left.

    Raises `EnvironmentLacks` where it cannot be, `HarnessBug` naming what it left.
    """
    with tempfile.TemporaryDirectory(prefix="bigfive-engine-log-") as folder:
        log = UndoLog(Path(folder) / "undo.jsonl")
        with Guardian(log, f"doctor-{os.getpid()}") as guardian:
            guardian.learn(__name__)
            with running(log) as private:
                tell(f"started   {private.address.url}")
                _try(private, tell)
        log.close()
    try:
        until(lambda: not left_of(private.label), "nothing to be left", _KILL_S)
    except TimedOut as error:
        raise HarnessBug(f"an engine of our own has left {', '.join(left_of(private.label))}") from error
    tell("stopped   nothing is left: no mount, cgroup, folder or process")


def _try(private: PrivateEngine, tell: Callable[[str], None]) -> None:
    with private.connect() as engine:
        name = image.make(engine)
        tell(f"image     {name}")
        container = engine.run(Order(image=name, command=["true"], label=private.label, name="try", network="bridge"))
        status = engine.wait(container.id, _START_S)
        tell(f"container ended with status {status}")


def left_of(label: str) -> list[str]:
    """Return everything on this machine that has to do with an engine of our own.

    Its interfaces and rules are in a network namespace of its own, and end with that.
    """
    now = surroundings()
    mounts = [place for place in now["mounts"] if label in place]
    return [*mounts, *(now["cgroups"] | now["folders"]) & {label}, *map(str, labelled(label))]


def surroundings() -> dict[str, set[str]]:
    """Return what an engine may leave behind on this machine: names of interfaces, rules, mounts, cgroups."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    return {
        "interfaces": {path.name for path in Path("/sys/class/net").iterdir()},
        "rules": {line for line in rules.splitlines() if line.startswith("-A")},
        "mounts": {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()},
        "cgroups": {path.name for path in (*_CGROUPS.glob("*"), *_CGROUPS.glob("*/*")) if path.is_dir()},
        "folders": {path.name for path in Path(tempfile.gettempdir()).glob("bf-engine-*")},
    }
