"""Old suites: which of them nobody will miss, and their removal.

Never removed: the newest suite, the one that `latest` leads to, any with a pointer to an undo log in it (it runs, or
something of it is still to be undone), any without a `suite.json` in its first day (it may run between two trials) and,
unless told, any that somebody may want to look at.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from harness.clock import SystemClock
from harness.errors import EnvironmentLacks, ScenarioError
from harness.reporting._base import Suite, read
from harness.reporting._words import shown
from harness.undo import Pointer, state_directory

_NAME = re.compile(r"(?P<began>\d{8}T\d{6}Z)-[0-9a-f]{8}")
_EXPECTED = {"PASS", "SKIPPED", "CONVICTED"}
_MAY_RUN = timedelta(days=1)
_TRASH = ".pruned-"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is old: all but the newest `keep`, or what began longer ago than `older_than`. Exactly one is given."""

    keep: int | None = None
    older_than: timedelta | None = None
    failed_too: bool = False


@dataclass(frozen=True)
class Aged:
    """A suite's folder, and why it stays although it is old; "" if nothing speaks for it."""

    path: Path
    reason: str = ""

    @property
    def size(self) -> int:
        """Bytes that its files take."""
        return sum(path.lstat().st_size for path in self.path.rglob("*") if not path.is_dir() or path.is_symlink())


def aged(out: Path, policy: Policy, now: datetime | None = None) -> list[Aged]:
    """Return the suites in `out` that are old by the policy, oldest first, each with what speaks for it."""
    now = now or SystemClock().utc_now()
    suites = sorted(path for path in out.glob("*") if _NAME.fullmatch(path.name) and _is_folder(path))
    if policy.older_than is not None:
        old = [path for path in suites if now - _began(path) > policy.older_than]
    else:
        old = suites[: max(len(suites) - (policy.keep or 0), 0)]
    if not old:
        return []
    untouchable = _untouchable(out, suites)
    return [Aged(path, untouchable.get(path.resolve(), "") or _merit(path, policy, now)) for path in old]


def remove(suite: Aged) -> None:
    """Remove a suite's folder. It is renamed first, so that nobody ever finds half of one.

    Raises `EnvironmentLacks` where the file system does not let go of it.
    """
    trash = suite.path.with_name(f"{_TRASH}{suite.path.name}")
    try:
        suite.path.replace(trash)
        shutil.rmtree(trash)
    except OSError as error:
        raise EnvironmentLacks(
            "write access", f"{suite.path} cannot be removed: {error}", "remove it by hand"
        ) from error


def remains(out: Path) -> list[Path]:
    """Return what removals that were killed have left: they were on their way already."""
    return [path for path in sorted(out.glob(f"{_TRASH}*")) if _is_folder(path)]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _began(path: Path) -> datetime:
    return datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _untouchable(out: Path, suites: Sequence[Path]) -> dict[Path, str]:
    """Return what is never removed, whatever was told."""
    found = dict(_running(suites))
    if (out / "latest").exists():
        found[(out / "latest").resolve()] = "`latest` leads to it"
    found[suites[-1].resolve()] = "it is the newest"
    return found


def _running(suites: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the suites with a pointer to a log below them; a pointer that cannot be read may be one to any of them."""
    for file in (state_directory() / "runs").glob("*.json"):
        try:
            log = Path(msgspec.json.decode(file.read_bytes(), type=Pointer).log).resolve()
        except FileNotFoundError:
            continue
        except msgspec.MsgspecError:
            yield from ((path.resolve(), f"{file} is damaged: it may be in use") for path in suites)
            return
        yield from ((parent, "it runs, or is still to be undone (bigfive sweep)") for parent in log.parents)


def _merit(path: Path, policy: Policy, now: datetime) -> str:
    try:
        suite = read(path / "suite.json")
    except ScenarioError:
        if now - _began(path) < _MAY_RUN:
            return "it may be running: it has no suite.json yet"
        return "" if policy.failed_too else "it never ended"
    return "" if policy.failed_too else _failure(suite)


def _failure(suite: Suite) -> str:
    """Say what somebody may want to look at. What a negative scenario convicts is no failure."""
    bad = [shown(result) for result in suite.results if shown(result) not in _EXPECTED]
    if bad:
        counts = ", ".join(f"{bad.count(status)} {status}" for status in dict.fromkeys(bad))
        return f"it has failures: {counts}"
    return "it was cut short" if suite.interrupted or len(suite.trials) < suite.planned else ""
