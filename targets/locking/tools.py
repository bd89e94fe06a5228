"""The tools for people: `python -m targets.locking status|break|bench|migrate`.

A backend is named by the path of its SQLite file, or by `redis://[:password@]host:port[#prefix]`. Every error is one
line on standard error that says what to do. Exit status:

    0    done; bench: fast enough
    1    break: nobody held it; bench: too slow for this load
    2    refused, and nothing was changed
    3    could not: no backend there, damaged, out of reach, a full disk
    4    wrong usage
    130  interrupted
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from targets.locking import load
from targets.locking.addresses import open_backend
from targets.locking.backend import Status
from targets.locking.errors import LockingError
from targets.locking.migration import Refusal, migrate

DONE, NOT_SO, REFUSED, CANNOT, USAGE, INTERRUPTED = 0, 1, 2, 3, 4, 130

_SEE_ALSO = "exit status: 0 done, 1 not so (see the command), 2 refused, 3 could not, 4 usage"
_BENCH_PREFIX = "bigfive-bench-"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except Refusal as error:
        return _fail(REFUSED, str(error))
    except (LockingError, OSError) as error:
        return _fail(CANNOT, str(error))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted")


def status(arguments: argparse.Namespace) -> int:
    """Print who holds what, who waits, and the counts."""
    found = open_backend(arguments.backend, create=False).status()
    if arguments.json:
        return _print_json(asdict(found))
    return _print(_lines(found))


def break_(arguments: argparse.Namespace) -> int:
    """Take a key from whoever holds it, after asking."""
    backend, key = open_backend(arguments.backend, create=False), arguments.key
    holders = [holder for holder in backend.status().holders if holder.key == key]
    if not holders:
        return _fail(NOT_SO, f"nobody holds {key!r}; `status` says what is held")
    owners = ", ".join(holder.owner for holder in holders)
    if not arguments.yes and not _agreed(f"take {key!r} from {owners}? what they still write will be rejected (y/N) "):
        return _fail(REFUSED, "nothing was changed; --yes asks no questions")
    taken = backend.force_release(key)
    return _print(f"taken from {holder.owner} (token {holder.token})" for holder in taken)


def bench(arguments: argparse.Namespace) -> int:
    """Offer a load and say whether the backend carries it."""
    with _workshop(arguments.backend) as address:
        result = load.measure(
            address,
            clients=arguments.clients,
            rate=arguments.rate,
            seconds=arguments.seconds,
            budget_s=arguments.budget / 1000,
        )
    if arguments.json:
        _print_json({**asdict(result), "within": result.within})
    else:
        _print(_verdict(result))
    return DONE if result.within else NOT_SO


def _migrate(arguments: argparse.Namespace) -> int:
    source, target = open_backend(arguments.source, create=False), open_backend(arguments.target)
    moved = migrate(source, target, held=arguments.held)
    return _print(
        [
            f"moved     {len(moved.entries)} values, {len(moved.holders)} held locks; epoch {moved.meta.get('epoch')}",
            "verified  the target says the same as the source",
            f"now       let everybody use {arguments.target}; {arguments.source} must not be used any more",
        ]
    )


def _lines(found: Status) -> Iterator[str]:
    counts = found.statistics
    yield f"incarnation {found.id or '-'}  epoch {'-' if found.epoch is None else found.epoch}"
    yield f"{'KEY':<24}{'HELD BY':<28}{'MODE':<15}{'TOKEN':>10}{'LEASE':>9}  STATE"
    for holder in found.holders:
        state = "alive" if holder.alive else "dead: free for the next"
        yield (f"{holder.key:<24}{holder.owner:<28}{holder.mode:<15}{holder.token:>10}{holder.lease_s:>7g} s  {state}")
    yield f"{'WAITING FOR':<24}{'OWNER':<28}{'MODE':<15}{'TICKET':>10}"
    for waiter in found.waiters:
        yield f"{','.join(waiter.keys):<24}{waiter.owner:<28}{waiter.mode:<15}{waiter.ticket:>10}"
    yield (
        f"grants {counts.grants}, of which {counts.contended} waited ({counts.waited_s:.1f} s in all, "
        f"{counts.longest_wait_s:.2f} s at most); released {counts.releases}, expired {counts.expired}, "
        f"died {counts.died}, broken {counts.broken}"
    )


def _verdict(result: load.Result) -> Iterator[str]:
    yield f"{'offered':<16}{result.offered:>10.1f} /s"
    yield f"{'done':<16}{result.done:>10.1f} /s   {result.failed} failed"
    waits = {"wait p50": result.p50_s, "wait p99": result.p99_s, "longest wait": result.longest_s}
    for name, seconds in waits.items():
        yield f"{name:<16}{seconds * 1000:>10.1f} ms"
    yield f"{'smallest share':<16}{result.smallest_share:>10.2f} of the mean"
    if result.within:
        yield f"fast enough: 99 of 100 writes wait at most {result.budget_s * 1000:g} ms"
    elif "://" in result.backend:
        yield f"too slow for a budget of {result.budget_s * 1000:g} ms: spread the load over more keys, or offer less"
    else:
        yield f"SQLite is too slow for a budget of {result.budget_s * 1000:g} ms: offer less, or `migrate` to Redis"


@contextmanager
def _workshop(backend: str) -> Iterator[str]:
    """Yield an address beside `backend`, for the time of a measurement: the live one stays untouched."""
    if "://" in backend:
        from targets.locking.redis import RedisBackend  # noqa: PLC0415  not where SQLite is meant

        place = backend.partition("#")[0]
        prefix = f"{_BENCH_PREFIX}{os.urandom(4).hex()}:"
        address = f"{place}#{prefix}"
        try:
            yield address
        finally:
            RedisBackend(place, prefix=prefix).clear()
        return
    path = Path(backend)
    folder = path if path.is_dir() else path.parent
    place_ = Path(tempfile.mkdtemp(prefix=_BENCH_PREFIX, dir=folder))
    try:
        yield str(place_ / "bench.sqlite")
    finally:
        shutil.rmtree(place_)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m targets.locking", description="Locks and versioned values.", epilog=_SEE_ALSO)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help_: str, description: str) -> argparse.ArgumentParser:
        about = f"{help_[0].upper()}{help_[1:]}. {description}"
        return commands.add_parser(name, help=help_, description=about, epilog=_SEE_ALSO)

    def backend(added: argparse.ArgumentParser, name: str = "backend", shown: str = "BACKEND") -> None:
        added.add_argument(name, metavar=shown, help="the path of a SQLite file, or redis://host:port[#prefix]")

    shown = command("status", "print who holds what, who waits, and the counts", "Changes nothing.")
    backend(shown)
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.set_defaults(run=status)
    broken = command("break", "take a key from whoever holds it", "Exit status 1 if nobody does.")
    backend(broken)
    broken.add_argument("key", metavar="KEY")
    broken.add_argument("--yes", action="store_true", help="ask no questions")
    broken.set_defaults(run=break_)
    benched = command(
        "bench",
        "say whether the backend carries a load",
        "Writes beside the live data and removes it again. Exit status 1 if it is too slow.",
    )
    backend(benched)
    benched.add_argument("--clients", type=_whole, default=10, help="processes that write (default 10)")
    benched.add_argument("--rate", type=_positive, default=200.0, help="writes a second, all together (default 200)")
    benched.add_argument("--budget", type=_positive, default=100.0, help="what p99 may wait, in ms (default 100)")
    benched.add_argument("--seconds", type=_positive, default=5.0, help="how long (default 5)")
    benched.add_argument("--json", action="store_true", help="for programs")
    benched.set_defaults(run=bench)
    moved = command(
        "migrate",
        "copy everything to another, empty backend",
        "Tokens, epoch and versions go on. The source is only read. Exit status 2 if locks are held.",
    )
    backend(moved, "source", "FROM")
    backend(moved, "target", "TO")
    moved.add_argument("--held", action="store_true", help="move held locks too; they stay held under their tokens")
    moved.set_defaults(run=_migrate)
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0, got {text}")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def _agreed(question: str) -> bool:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _fail(exit_status: int, message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return exit_status


def _print(texts: Iterator[str] | Sequence[str]) -> int:
    sys.stdout.writelines(f"{text}\n" for text in texts)
    return DONE


def _print_json(content: object) -> int:
    sys.stdout.write(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return DONE
