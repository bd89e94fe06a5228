"""The tools for people: `python -m targets.state check|restore|show|bench FOLDER`.

Every error is one line on standard error that says what to do. Exit status:

    0    done; check: healthy
    1    check: damaged, and `restore` can repair all of it; show: that key was never written
    2    acknowledged data are, or may be, lost: refused, and nothing was changed
    3    could not look or act: no store there, another owner, an unknown format, a read-only folder, a full disk
    4    wrong usage
    130  interrupted
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from targets.durable import FolderInUse
from targets.state import bench, layout, service
from targets.state.checkup import check_up
from targets.state.errors import StateError, Unrecoverable
from targets.state.history import History
from targets.state.inspection import View, look
from targets.state.records import Put
from targets.state.report import as_json, lines
from targets.state.settings import Settings
from targets.state.store import StateStore
from targets.state.vault import Vault

DONE, NOT_SO, LOST, CANNOT, USAGE, INTERRUPTED = 0, 1, 2, 3, 4, 130

_STATUS = {"healthy": DONE, "unborn": DONE, "damaged": NOT_SO, "unrecoverable": LOST}
_SEE_ALSO = (
    "exit status: 0 done or healthy, 1 damaged but repairable (show: never written), 2 data lost, 3 could not, 4 usage"
)
_ADVICE = {
    errno.ENOSPC: "make room on that disk and do it again; nothing is lost",
    errno.EDQUOT: "raise the quota and do it again; nothing is lost",
    errno.EFBIG: "raise the limit of the file size (ulimit -f) and do it again; nothing is lost",
    errno.EROFS: "mount it writable and do it again; nothing was changed",
    errno.EACCES: "do it as a user who may; nothing was changed",
    errno.EPERM: "do it as a user who may; nothing was changed",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except Unrecoverable as error:
        return _fail(LOST, str(error))
    except (StateError, FolderInUse) as error:
        return _fail(CANNOT, _with_advice(error))
    except BrokenPipeError:  # `show FOLDER | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except OSError as error:
        return _fail(CANNOT, _with_advice(error))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted; nothing is lost")


def check(arguments: argparse.Namespace) -> int:
    """Print what is wrong, where, and what can be done."""
    view = look(arguments.folder)
    found = check_up(view.files, view.unreadable)
    if arguments.json:
        _print_json(as_json(view, found))
    else:
        _print(lines(arguments.folder, view, found))
    return _STATUS[found.state]


def restore(arguments: argparse.Namespace) -> int:
    """Open the store, which recovers it, and print what was done."""
    folder: Path = arguments.folder
    view = look(folder)
    if view.owner is not None:
        raise FolderInUse(folder, view.owner)
    found = check_up(view.files, view.unreadable)
    if arguments.dry_run or found.state == "unrecoverable":
        _print(lines(folder, view, found))
        return LOST if found.state == "unrecoverable" else DONE
    events: list[tuple[str, dict[str, object]]] = []
    StateStore(folder, Settings(), lambda name, **data: events.append((name, data))).close()
    _print(lines(folder, view, found, done=True))
    _print(f"kept      {path}" for path in _kept(folder, view))
    for name, data in events:
        if name == "restore.end":
            _print([f"restored  up to record {data['seq']} in {data['duration_ms']} ms"])
    return DONE


def _kept(folder: Path, view: View) -> list[Path]:
    """Return where the bytes that were replaced are kept."""
    vault = Vault(folder)
    vault.unreadable = dict(view.unreadable)
    return [path for name, data in sorted(view.files.items()) if os.path.lexists(path := vault.aside(name, data))]


def show(arguments: argparse.Namespace) -> int:
    """Print the state, one key of it, or the history of one key, as JSON."""
    view = look(arguments.folder)
    found = check_up(view.files, view.unreadable)
    if found.refusal:
        return _fail(LOST, found.refusal)
    if found.state == "damaged":
        _say("some files are damaged, what follows is mended; `check` says more")
    recovered = found.recovery
    if arguments.history is not None:
        versions = _versions(arguments.history, recovered.history) if recovered and recovered.history else []
        return _print_json(versions) if versions else _never_written(arguments.history)
    entries = recovered.entries if recovered else {}
    state = {key: {"value": value, "version": version} for key, (version, value) in entries.items()}
    if arguments.key is None:
        return _print_json(state)
    return _print_json(state[arguments.key]) if arguments.key in state else _never_written(arguments.key)


def _versions(key: str, history: History) -> list[dict[str, object]]:
    """Return the versions of a key that the folder still knows; `seq` is None for one that a document alone knows."""
    found: list[dict[str, object]] = []
    ops = (op for run in history.path for op in run.ops)
    for seq, op in enumerate(ops, start=history.start.seq + 1):
        if isinstance(op, Put) and op.key == key:
            found.append({"seq": seq, "version": op.version, "value": op.value})
    oldest = history.entries_at(min(point.seq for point in history.bases.values()))
    version, value = oldest[0].get(key, (0, None)) if oldest else (0, None)
    if version and all(version != each["version"] for each in found):
        found.insert(0, {"seq": None, "version": version, "value": value})
    return found


def _never_written(key: str) -> int:
    return _fail(NOT_SO, f"{key!r} was never written; `show` without a key prints all there are")


def _bench(arguments: argparse.Namespace) -> int:
    figures = bench.measure(arguments.folder, arguments.seconds, lambda what: _say(f"measuring {what} …"))
    if arguments.json:
        return _print_json(figures)
    _print(map(str, figures))
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m targets.state", description="A versioned key-value store in a folder.", epilog=_SEE_ALSO
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    service.add_command(commands).set_defaults(run=service.run)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help_: str, description: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=help_, description=f"{help_[0].upper()}{help_[1:]}. {description}", epilog=_SEE_ALSO
        )
        added.add_argument("folder", type=Path, metavar="FOLDER", help=f"the folder that holds {layout.STATE}")
        added.set_defaults(run=run)
        return added

    checked = command(
        "check",
        check,
        "say what is damaged, where, and what can be done",
        "Only reads, and needs no ownership: while a service runs, the answer is about one moment of its files.",
    )
    checked.add_argument("--json", action="store_true", help="for programs")
    restored = command(
        "restore",
        restore,
        "repair what is damaged, as opening the store would",
        f"Damaged bytes are kept in {layout.DAMAGED}/. Refuses a folder in use, and damage that loses data; "
        "then nothing is changed. Interrupted, it can be repeated.",
    )
    restored.add_argument("--dry-run", action="store_true", help="only say what would be done")
    shown = command(
        "show",
        show,
        "print the state, or one key of it, as JSON",
        "Changes nothing: damage is mended in memory alone. What cannot be mended is not shown.",
    )
    what = shown.add_mutually_exclusive_group()
    what.add_argument("key", nargs="?", metavar="KEY", help="only this key")
    what.add_argument("--history", metavar="KEY", help="all versions of this key that the kept journals hold")
    benched = command(
        "bench",
        _bench,
        "measure durable writes and a restore on this folder's disk",
        "Works in a folder of its own below FOLDER, which need not hold a store, and removes it again.",
    )
    benched.add_argument("--seconds", type=_positive, default=6.0, help="how long in all, about (default 6)")
    benched.add_argument("--json", action="store_true", help="for programs")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= bench.LONGEST_S:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {bench.LONGEST_S:g}, got {text}")
    return number


def _with_advice(error: Exception) -> str:
    """Return the message, and what to do if the system said no."""
    cause = error if isinstance(error, OSError) else error.__cause__
    advice = _ADVICE.get(cause.errno or 0) if isinstance(cause, OSError) else None
    return f"{error}: {advice}" if advice else str(error)


def _fail(status: int, message: str) -> int:
    _say(message)
    return status


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _print(texts: Iterable[str]) -> None:
    sys.stdout.writelines(f"{text}\n" for text in texts)
    sys.stdout.flush()


def _print_json(content: object) -> int:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(content, order="sorted"), indent=2).decode() + "\n")
    sys.stdout.flush()
    return DONE
