"""One life of the service in a container: runs in its place under the supervisor, and behaves as it would.

    python -m targets.resources.contained --folder FOLDER --limits JSON --deadline S [--script FILE] -- ARGUMENT…

The container sees FOLDER under the same name (state, socket, and a pipe for events), this very code of `targets`, and
nothing else of the host. Passed on: events, readiness, SIGTERM, exit status, log. Kernel wake-ups are registered out
here and handed in. A service that has not ended `deadline` after it began to is killed from here: the first process of
a container is immune against its own SIGALRM. Whether the kernel killed it is left for the next life to read.

Not promised: an engine on another machine. FOLDER, socket and pipe must be of one kernel.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import targets
from targets.containers import EngineError, Mount, Spec, State
from targets.durable import create_folder
from targets.engine import Engine, default_image
from targets.readiness import notify_ready
from targets.resources import cgroups, service
from targets.resources.kernel import Herald
from targets.resources.limits import ContainerLimits
from targets.resources.lives import note_end
from targets.resources.shutdown import Bell
from targets.state.service import write_event

EVENTS = ("container.started", "container.ended")
LABEL = "bigfive.resources.folder"
_CODE = "/opt/bigfive/code/targets"
_SCRIPTS = "/opt/bigfive/scripts"
_END_S = 10.0
_KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run: arguments of `python -m targets.resources serve`, or of a script that takes the same."""

    folder: Path
    limits: ContainerLimits
    deadline_s: float
    arguments: Sequence[str]
    script: Path | None = None

    def command(self) -> list[str]:
        """Return the command that makes this, for the supervisor."""
        script = [] if self.script is None else ["--script", str(self.script)]
        limits = ["--limits", json.dumps(self.limits.as_texts()), "--deadline", str(self.deadline_s)]
        own = [sys.executable, "-m", "targets.resources.contained", "--folder", str(self.folder)]
        return [*own, *limits, *script, "--", *self.arguments]

    def spec(self, events: Path, herald: Path) -> Spec:
        """Return the container."""
        mounts = [
            Mount(source=str(self.folder), target=str(self.folder), read_only=False),
            Mount(source=str(Path(targets.__file__).parent), target=_CODE),
        ]
        serving = ["python3", "-m", "targets.resources"]
        if self.script is not None:
            mounts.append(Mount(source=str(self.script.parent), target=_SCRIPTS))
            serving = ["python3", f"{_SCRIPTS}/{self.script.name}"]
        return Spec(
            image=default_image(),
            command=[*serving, *self.arguments, "--events", str(events), "--herald", str(herald)],
            name=f"resources-{os.getpid()}-{time.monotonic_ns()}",
            limits={"CapDrop": ["ALL"], "ReadonlyRootfs": True, **self.limits.host_config()},
            mounts=mounts,
            labels={LABEL: str(self.folder)},
            environment={"PYTHONDONTWRITEBYTECODE": "1"},
            user=f"{os.getuid()}:{os.getgid()}",
        )


class Life:
    """Runs a container until it has ended; everything that it was made of is gone afterwards."""

    def __init__(self, engine: Engine, order: Order) -> None:
        self._engine = engine
        self._order = order
        self._bell = Bell()
        self._ends_at: float | None = None
        self._killed = False

    def run(self) -> int:
        """Run it; return its exit status. Raises `EngineError`, `OSError`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._bell.ring())
        for left in self._engine.containers({LABEL: str(self._order.folder)}):
            self._engine.remove(left)  # of a life whose keeper was killed: two must never serve side by side
        pipe, path = self._order.folder / "events", self._order.folder / "herald"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        # Without waiting for a writer; until there is one, a read says "nothing", and `select` is silent.
        events = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        herald = Herald(str(path))
        try:
            return self._live(events, herald, self._order.spec(pipe, path))
        finally:
            herald.close()
            os.close(events)
            for each in (pipe, path):
                each.unlink(missing_ok=True)

    def _live(self, events: int, herald: Herald, spec: Spec) -> int:
        container = self._engine.create(spec)
        try:
            self._engine.start(container)
            state = self._engine.inspect(container)
            with _process(state) as process:
                if process is not None:
                    self._introduce(state, herald)
                    self._attend(process, events)
            return self._bury(container)
        finally:
            self._engine.remove(container)

    def _introduce(self, state: State, herald: Herald) -> None:
        write_event("container.started", container=state.id, called=state.name, pid=state.pid)
        with contextlib.suppress(OSError):  # ended meanwhile; or on v2, where there is nothing to hand in
            folder = cgroups.of(state.pid).memory_folder
            if folder is not None:
                herald.serve(folder)

    def _attend(self, process: int, events: int) -> None:
        """Pass on what happens, until the process has ended."""
        rest = b""
        while True:
            left = None if self._ends_at is None else self._ends_at - time.monotonic()
            if left is not None and left <= 0:
                self._signal(process, signal.SIGKILL)
            ready, _, _ = select.select([process, self._bell.fileno(), events], [], [], left and max(0.0, left))
            if self._bell.fileno() in ready:
                self._bell.wait()
                self._signal(process, signal.SIGTERM)
            if events in ready or process in ready:
                rest = self._pass_on(rest + _read(events))
            if process in ready:
                return

    def _signal(self, process: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, number)
        self._ends_at = time.monotonic() + (_END_S if number == signal.SIGTERM else self._order.deadline_s)
        self._killed = number == signal.SIGKILL

    def _pass_on(self, data: bytes) -> bytes:
        """Pass on whole lines; return what is left."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            os.write(1, line + b"\n")
            event = json.loads(line)["event"]
            if event == "serving":
                notify_ready()
            elif event == "shutdown.began":
                self._ends_at = time.monotonic() + self._order.deadline_s
        return rest

    def _bury(self, container: str) -> int:
        status = self._engine.wait(container, _END_S)
        oom = self._engine.inspect(container).oom_killed and status == _KILLED and not self._killed
        sys.stderr.write(self._engine.logs(container))
        create_folder(self._order.folder / service.LIVES)
        note_end(self._order.folder / service.LIVES, status, oom=oom)
        write_event("container.ended", container=container, status=status, oom=oom)
        return status


@contextlib.contextmanager
def _process(state: State) -> Iterator[int | None]:
    """Yield a descriptor of the container's first process, or None if it has ended already."""
    try:
        process = os.pidfd_open(state.pid) if state.running else None
    except ProcessLookupError:
        process = None
    try:
        yield process
    finally:
        if process is not None:
            os.close(process)


def _read(events: int) -> bytes:
    with contextlib.suppress(BlockingIOError):
        return os.read(events, 1 << 16)
    return b""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the life that the command line describes; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m targets.resources.contained", description="Serve in a container.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--limits", type=json.loads, required=True)
    parser.add_argument("--deadline", type=float, required=True)
    parser.add_argument("--script", type=Path)
    parser.add_argument("arguments", nargs="+")
    chosen = parser.parse_args(arguments)
    order = Order(
        folder=chosen.folder,
        limits=ContainerLimits.parse(chosen.limits),
        deadline_s=chosen.deadline,
        arguments=chosen.arguments,
        script=chosen.script,
    )
    try:
        with Engine.connect() as engine:
            return Life(engine, order).run()
    except (EngineError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
