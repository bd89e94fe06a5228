"""The protected service: a `Worker` behind a unix socket, watched by a `ResourceMonitor`, ended by `GracefulShutdown`.

Events are JSON lines on standard output, as of `targets.state.service`. Exit status: 0 ended in order, for whatever
reason; 1 could not start, or the journal failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import ClassVar, TypeVar

from targets.durable import FolderInUse, create_folder
from targets.readiness import notify_ready
from targets.resources import cgroups, fence
from targets.resources.actions import Responder
from targets.resources.errors import ResourceError
from targets.resources.levels import Change, Pace
from targets.resources.lives import Group, Lives
from targets.resources.monitor import ResourceMonitor, arm_for
from targets.resources.settings import Settings
from targets.resources.shutdown import GracefulShutdown, Steps
from targets.resources.sources import Memory, sources
from targets.resources.worker import Worker
from targets.state.errors import StateError
from targets.state.service import Keeper, Listener, write_event
from targets.state.settings import Settings as StoreSettings
from targets.state.store import StateStore

EVENTS = (
    "started.first",
    "started.after_shutdown",
    "started.after_oom",
    "started.after_overrun",
    "started.after_killed",
    "serving",
    "pressure.warning",
    "pressure.critical",
    "pressure.emergency",
    "pressure.eased",
    "shutdown.began",
    "shutdown.finished",
    "checkpoint.failed",
    "growth.refused",
    "heartbeat",
)
STORE, LIVES = "store", "lives"
Parser = TypeVar("Parser", bound=argparse.ArgumentParser)

SWITCH_INTERVAL_S = 0.0005
"""At 2 GiB/s the usual 5 ms, for which one thread may keep the interpreter from the monitor, are 10 MiB."""


class Service:
    """One life of the service in `folder`, listening on `path`. Raises what `StateStore` and `Listener` raise.

    `herald` is the socket of a `kernel.Herald`, for a container, in which the kernel cannot be asked directly.
    """

    pace: ClassVar[Pace] = Pace()
    woken_by_kernel: ClassVar[bool] = True
    fenced: ClassVar[bool] = True

    def __init__(self, folder: Path, path: str, settings: Settings, herald: str | None = None) -> None:
        self._settings = settings
        self._path = path
        self._group = cgroups.of()
        self._memory = Memory(self._group)
        self._ended = threading.Event()
        create_folder(folder / LIVES)
        self._store = StateStore(folder / STORE, StoreSettings(), write_event)
        try:
            memory = self._group.memory()
            group = Group.of(self._group.memory_folder, memory.oom_kills if memory else 0)
            self._lives = Lives(folder / LIVES, group)
            self._shutdown = GracefulShutdown(settings.deadlines())
            self._worker = Worker(self._store, self._usage, self._shutdown, write_event)
            self._respond = Responder(self._worker, settings.plan())
            self._fence = fence.Fence(settings.fence)
            self._monitor = ResourceMonitor(
                sources(self._group, folder),
                self.react,
                settings.thresholds(),
                pace=self.pace,
                arm=arm_for(self._group, herald) if self.woken_by_kernel else None,
            )
            self._listener = Listener(path, self._worker.answer)
        except BaseException:
            self._store.close()
            raise

    def react(self, change: Change) -> None:
        """Do about a change what the plan says."""
        self._respond(change)

    def run(self) -> int:
        """Serve until there is a reason to end; return the exit status."""
        self._shutdown.on_signals(signal.SIGTERM, signal.SIGINT)
        threading.excepthook = self._thread_died
        past = self._lives.begin()
        write_event(f"started.{'first' if past.how == 'first' else f'after_{past.how}'}", **past.details)
        keeper = Keeper(self._store, StoreSettings().scrub_every_s, lambda: self._shutdown.request("journal failed"))
        self._monitor.start()
        self._raise_fence()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        threading.Thread(target=self._listener.serve, daemon=True).start()
        write_event("serving", woken_by_kernel=self._monitor.woken_by_kernel, **self._monitor.snapshot())
        notify_ready()
        self._shutdown.wait()
        self._fence.tighten()
        self._worker.hurry()
        steps = Steps(
            stop_accepting=self._stop_accepting,
            checkpoint=self._checkpoint,
            note=lambda record, finished: self._lives.ending(record, finished=finished),
            close=lambda: self._close(keeper),
            report=lambda name, data: write_event(name, **data),
        )
        return self._shutdown.perform(steps) or int(self._store.failed)

    def _usage(self) -> tuple[int, int | None]:
        """Return the memory in use now, and the use up to which new work is taken on."""
        sample = self._memory.read(time.monotonic())
        return int(sample.used), None if sample.limit is None else int(self._settings.warning * sample.limit)

    def _raise_fence(self) -> None:
        before = fence.Mapped.of()
        sample = self._memory.read(time.monotonic())
        if self.fenced and self._settings.fence and not self._shutdown.requested:
            self._fence.raise_for(sample, before)

    def _beat(self) -> None:
        """Say that we live, and how we are, and adjust the fence to what others in the group have taken."""
        while self._settings.heartbeat_s and not self._ended.wait(self._settings.heartbeat_s):
            with contextlib.suppress(OSError):  # the group was removed under us: then the end is near anyway
                self._raise_fence()
            write_event("heartbeat", level=self._monitor.level.word, **self._monitor.snapshot())

    def mind(self, listener: int) -> None:
        """End in order once nobody reads the pipe `listener` any more: whoever runs our container is gone."""

        def wait() -> None:
            poll = select.poll()
            poll.register(listener, 0)  # hanging up is told without being asked for
            poll.poll()
            self._shutdown.request("orphaned", at_once=True)

        threading.Thread(target=wait, name="orphan", daemon=True).start()

    def _thread_died(self, died: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(died)
        if died.exc_type is MemoryError:
            self._worker.lacks_memory()

    def _stop_accepting(self) -> None:
        self._listener.stop()
        Path(self._path).unlink(missing_ok=True)

    def _checkpoint(self) -> None:
        if self._store.failed or self._worker.doubtful:
            return
        try:
            self._store.checkpoint()
        except MemoryError:
            self._worker.doubtful = True
            raise

    def _close(self, keeper: Keeper) -> None:
        self._ended.set()
        self._monitor.stop()
        self._worker.stop()
        keeper.stop()
        if self._shutdown.work.under_way or self._worker.doubtful:
            self._checkpoint()  # closed under those who still write, a descriptor might be another file's by now
        else:
            self._store.close()


def add_command(commands: argparse._SubParsersAction[Parser]) -> Parser:
    """Add `serve` to a command line, and return its parser."""
    command = commands.add_parser(
        "serve",
        help="serve a folder on a unix socket, and end in order before memory runs out",
        description="Serve until there is a reason to end: a signal, pressure, or a failed journal. Events are JSON "
        "lines on standard output. Exit status: 0 ended in order, 1 could not start, or the journal failed.",
    )
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--socket", required=True, metavar="PATH", help="where to listen")
    command.add_argument("--events", metavar="PIPE", help="write events here, and end when nobody reads it any more")
    command.add_argument("--herald", metavar="PATH", help="where to ask for kernel wake-ups, inside a container")
    add_settings(command)
    return command


def add_settings(command: argparse.ArgumentParser) -> None:
    """Add an option for each of the settings."""
    defaults = dict(zip(*[iter(Settings().arguments())] * 2, strict=True))
    for each in fields(Settings):
        name = f"--{each.name.replace('_', '-')}"
        command.add_argument(name, default=defaults[name], help=f"default {defaults[name].replace('%', '%%')}")


def read_settings(arguments: argparse.Namespace) -> Settings:
    """Return the settings of a parsed command line. Raises `BadRequest`."""
    texts = {each.name: getattr(arguments, each.name) for each in fields(Settings)}
    return Settings.of({name: _number(text) for name, text in texts.items()})


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def run(arguments: argparse.Namespace, service: type[Service] = Service) -> int:
    """Run the service that the parsed command line describes; return the exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    threading.stack_size(fence.THREAD_STACK)
    fence.one_arena()
    try:
        if arguments.events is not None:
            os.dup2(os.open(arguments.events, os.O_WRONLY), 1)
        life = service(arguments.folder, arguments.socket, read_settings(arguments), arguments.herald)
        if arguments.events is not None:
            life.mind(1)
        return life.run()
    except (ResourceError, StateError, FolderInUse, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def main(arguments: Sequence[str] | None = None, service: type[Service] = Service) -> int:
    """Run the service that the command line describes; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m targets.resources", description="A service that ends in order.")
    add_command(parser.add_subparsers(required=True))
    return run(parser.parse_args(arguments), service)


def leave(status: int) -> None:
    """End the process now: the interpreter's own way out takes 20 ms, in which a leak goes on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
