"""The tools for people: `python -m targets.resources watch|limits`.

    watch   look at the group of a process from outside: JSON lines on standard output, and a signal when it gets bad
    limits  print what limits are in force here, as JSON; with limits given, say where they are not

Exit status: 0 done, or what was watched has ended; 1 the limits in force are not those; 3 cannot look; 4 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import NoReturn

from targets.resources import cgroups, service
from targets.resources.errors import BadLimits, BadRequest
from targets.resources.levels import Change, Level
from targets.resources.limits import ContainerLimits, Effective, HostFacts
from targets.resources.monitor import ResourceMonitor, arm_for
from targets.resources.settings import Settings
from targets.resources.shutdown import Bell
from targets.resources.sources import sources
from targets.state.service import write_event

DONE, NOT_SO, CANNOT, USAGE = 0, 1, 3, 4


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


class Watch:
    """Watches the group of another process until that ends, or until `stop`."""

    def __init__(self, process: int, settings: Settings, number: int | None, at: Level) -> None:
        self._process = os.pidfd_open(process)
        self._number = number
        self._at = at
        self._bell = Bell()
        group = cgroups.of(process)
        self._monitor = ResourceMonitor(sources(group), self._tell, settings.thresholds(), arm=arm_for(group))

    def run(self) -> None:
        """Watch."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: self._bell.ring())
        self._monitor.start()
        write_event("watching", woken_by_kernel=self._monitor.woken_by_kernel, **self._monitor.snapshot())
        select.select([self._process, self._bell.fileno()], [], [])
        self._monitor.stop()

    def _tell(self, change: Change) -> None:
        if self._number is not None and change.old < self._at <= change.new and change.resource == "memory":
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, self._number)
        name = f"pressure.{change.new.word}" if change.new > change.old else "pressure.eased"
        write_event(name, **change.details())


def watch(arguments: argparse.Namespace) -> int:
    """Watch the group of a process."""
    number = None if arguments.signal is None else signal.Signals[f"SIG{arguments.signal}"]
    Watch(arguments.pid, service.read_settings(arguments), number, Level[arguments.at.upper()]).run()
    return DONE


def limits(arguments: argparse.Namespace) -> int:
    """Print the limits in force, and compare them."""
    given = {each.name: getattr(arguments, each.name) for each in fields(ContainerLimits)}
    asked = ContainerLimits.parse({name: _number(text) for name, text in given.items() if text is not None})
    asked.validate(HostFacts.read())
    effective = Effective.read()
    _print_json(asdict(effective))
    wrong = asked.differences(effective)
    sys.stderr.writelines(f"{problem}\n" for problem in wrong)
    return NOT_SO if wrong else DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except (BadLimits, BadRequest) as error:
        return _fail(USAGE, str(error))
    except ProcessLookupError:
        return _fail(CANNOT, f"there is no process {chosen.pid}; `watch` needs the pid of a running one")
    except OSError as error:
        return _fail(CANNOT, f"{error}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m targets.resources", description="Limits, and the pressure of reaching them.")
    commands: argparse._SubParsersAction[_Parser] = parser.add_subparsers(
        required=True, metavar="COMMAND", parser_class=_Parser
    )
    service.add_command(commands).set_defaults(run=service.run)
    watched = commands.add_parser("watch", help="watch the group of a process from outside", description=__doc__)
    watched.set_defaults(run=watch)
    watched.add_argument("pid", type=int, metavar="PID", help="any process of the group")
    watched.add_argument("--signal", choices=("TERM", "INT", "USR1", "USR2"), help="send this to PID")
    levels = tuple(level.word for level in Level if level)
    watched.add_argument("--at", choices=levels, default="critical", help="when memory is at this level")
    service.add_settings(watched)
    limited = commands.add_parser("limits", help="print the limits in force, and compare them")
    limited.set_defaults(run=limits)
    for each in fields(ContainerLimits):
        limited.add_argument(f"--{each.name.replace('_', '-')}", metavar="LIMIT", help="should be this")
    return parser


def _number(text: str) -> object:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _print_json(content: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def _fail(status: int, message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return status
