"""The life of a fault, lived through on something that nobody needs: the half of `harness.testing` that really acts."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harness import seeds
from harness.doctor import CAPABILITIES, probe
from harness.engine.links import Links
from harness.errors import FaultNotProven
from harness.faults._base import Equips, Lasting, Prepares, Site, Tooled, Undo
from harness.guardian import Guardian
from harness.undo import UndoLog
from harness.wire import Json

_RECORD_BYTES = 64
_RECORDS = 64
# Writes and syncs, as a target would, until its input ends; that is with us at the latest.
_BUSY = """
import os, select, sys
with open(sys.argv[1], "ab", buffering=0) as file:
    while not select.select([0], [], [], 0.01)[0]:
        try:
            file.write(b"x")
            os.fsync(file.fileno())
        except OSError:
            continue
"""
_EXECUTE = """
import pathlib, sys
from harness.undo import UndoLog
sys.exit("; ".join(UndoLog(pathlib.Path(sys.argv[1])).execute_all()) or 0)
"""


def check_life(fault: Any, *, living: bool) -> None:  # noqa: ANN401  any plug-in
    """Prepare, journal, inject, prove, undo twice, prove undone. Raises `AssertionError`, or `EnvironmentLacks`.

    A `living` file is one that a process appends to meanwhile; then equal seeds are not compared.
    """
    for name in getattr(fault, "needs", ()):
        if not (finding := probe(CAPABILITIES[name])).ok:
            raise finding.raised()
    if fault.lasts is not isinstance(fault, Lasting):
        raise AssertionError(
            f"{fault.kind}: a fault that lasts has `undo_plan` and `prove_undone`; damage has no `prove_undone`, "
            "since to undo it would be to heal the target in its place"
        )
    with _scratch(fault, living=living) as site:
        _live(fault, site)
    if fault.on is not None:
        _check_refusal(fault)
    if fault.on in {"file", "folder"} and not fault.lasts and not living:
        _check_seeded(fault)


def _live(fault: Any, site: Site) -> None:  # noqa: ANN401
    tooled, lasting = isinstance(fault, Tooled), isinstance(fault, Lasting)
    plan = fault.undo_plan(site) if tooled else ()
    if tooled and (not plan or plan != fault.undo_plan(site)):
        raise AssertionError(f"{fault.kind}: `undo_plan` must say what undoes it, and change nothing: {plan}")
    _execute(fault.kind, plan)  # the harness may die after journaling and before acting
    evidence = _inject(fault, site)
    _execute(fault.kind, plan, elsewhere=True)
    _execute(fault.kind, plan)
    if lasting:
        try:
            _check_json(fault.kind, "prove_undone", fault.prove_undone(site, evidence))
        except FaultNotProven as error:
            raise AssertionError(f"{fault.kind}: is not gone after it was undone: {error}") from error


def _inject(fault: Any, site: Site) -> Json:  # noqa: ANN401
    """Inject and prove; return the evidence."""
    try:
        evidence = fault.inject(site)
        _check_json(fault.kind, "inject", evidence)
        _check_json(fault.kind, "prove", fault.prove(site, evidence))
    except FaultNotProven as error:
        raise AssertionError(f"{fault.kind}: did not take effect on a {fault.on} made for it: {error}") from error
    return dict(evidence)


def _check_json(kind: str, method: str, result: object) -> None:
    if not isinstance(result, dict) or msgspec.json.decode(msgspec.json.encode(result)) != result:
        raise AssertionError(f"{kind}: `{method}` must return what JSON can keep, not {result!r}")


def _execute(kind: str, plan: Sequence[Undo], *, elsewhere: bool = False) -> None:
    """Execute the undos of a plan, here or, as the guardian would, in a process that never saw the act."""
    with tempfile.TemporaryDirectory(prefix="bigfive-testing-") as folder:
        log = UndoLog(Path(folder) / "undo.jsonl")
        _journal(kind, log, plan)
        failed = _execute_elsewhere(log.path) if elsewhere and plan else "; ".join(log.execute_all())
        log.close()
    if failed:
        where = "by a process that never saw the act" if elsewhere else "before the act, and twice after it"
        raise AssertionError(f"{kind}: an undo must succeed, from its journal alone, {where}: {failed}")


def _execute_elsewhere(log: Path) -> str:
    command = [sys.executable, "-c", _EXECUTE, str(log)]
    return subprocess.run(command, capture_output=True, check=False, text=True).stderr


def _journal(kind: str, log: UndoLog, plan: Sequence[Undo]) -> None:
    for undo in plan:
        try:
            log.push(undo)
        except (KeyError, TypeError) as error:
            needed = "its kind needs an @undoer, and its arguments must be JSON"
            raise AssertionError(f"{kind}: {undo} cannot be journaled, {needed}: {error!r}") from error


def _check_refusal(fault: Any) -> None:  # noqa: ANN401
    """Where there is nothing to act on, a fault says so: a trial that went on would prove nothing."""
    with tempfile.TemporaryDirectory(prefix="bigfive-testing-") as folder:
        handle: Json = {} if fault.on == "process" else {"path": str(Path(folder) / "missing")}
        try:
            fault.inject(Site(handle, _random(), Path(folder)))
        except FaultNotProven:
            return
        except Exception as error:
            raise AssertionError(f"{fault.kind}: without its {fault.on}, expected FaultNotProven: {error!r}") from error
    raise AssertionError(f"{fault.kind}: was injected into a {fault.on} that does not exist")


def _check_seeded(fault: Any) -> None:  # noqa: ANN401
    """The same seed damages the same bytes, or no failure could be replayed."""
    left = []
    for _ in range(2):
        with _scratch(fault) as site:
            _inject(fault, site)
            left.append(_contents(Path(site.handle["path"])))
    if left[0] != left[1]:
        raise AssertionError(f"{fault.kind}: the same seed did other damage; draw from `site.random` only")


def _contents(path: Path) -> dict[str, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def _random() -> random.Random:
    return seeds.stream(0, "harness.testing")


@contextmanager
def _scratch(fault: Any, *, living: bool = False) -> Iterator[Site]:  # noqa: ANN401
    """Make a folder as the fault wants it, with something of the type that it acts on; nothing is left of it."""
    folder = Path(tempfile.mkdtemp(prefix="bigfive-testing-"))
    target = folder / "target"
    log = UndoLog(folder / "undo.jsonl")
    log.push(Undo("folder.remove", {"path": str(folder)}))
    try:
        with _guarded(fault, log):
            target.mkdir()
            _prepare(fault, log, target)
            _populate(target)
            equipment = fault.equip(folder) if isinstance(fault, Equips) else {}
            with ExitStack() as stack:
                busy = living or fault.on == "process"
                process = stack.enter_context(_busy(target / "busy", equipment)) if busy else None
                link = stack.enter_context(_linked(folder, log)) if fault.on == "link" else {}
                yield _site(fault.on, target, process, link)
    finally:
        left = log.execute_all()
        log.close()
    if left:
        raise AssertionError(f"{fault.kind}: could not be undone: {'; '.join(left)}")


@contextmanager
def _guarded(fault: Any, log: UndoLog) -> Iterator[None]:  # noqa: ANN401
    """Have a guardian for what would survive us; damage to a scratch folder is not worth its start."""
    if not isinstance(fault, Tooled | Prepares):
        yield
        return
    with Guardian(log, f"testing-{seeds.fresh_root():08x}") as guardian:
        guardian.learn(type(fault).__module__)
        yield


def _prepare(fault: Any, log: UndoLog, target: Path) -> None:  # noqa: ANN401
    prepares = isinstance(fault, Prepares)
    if prepares:
        plan = fault.preparation(target)
        _execute(fault.kind, plan)
        _journal(fault.kind, log, plan)
        fault.prepare(target)


def _populate(target: Path) -> None:
    for name in ("file", "busy", "below/second"):
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_bytes(seeds.stream(0, name).randbytes(_RECORDS * _RECORD_BYTES))


def _site(on: str | None, target: Path, process: subprocess.Popen[bytes] | None, link: Json) -> Site:
    path = {"folder": target, "file": target / ("busy" if process else "file")}
    handles: dict[str | None, Json] = {
        None: {},
        "process": {"pid": process and process.pid},
        "link": link,
        **{kind: {"path": str(place)} for kind, place in path.items()},
    }
    records = [(number * _RECORD_BYTES, _RECORD_BYTES) for number in range(_RECORDS)]
    return Site({"type": on, **handles[on]}, _random(), target, lambda: records)


@contextmanager
def _linked(folder: Path, log: UndoLog) -> Iterator[Json]:
    """Make a link, from a client to a server that says nothing, with a proxy between them."""
    label = folder.name
    log.push(Undo("label.sweep", {"label": label}))
    with socket.create_server(("127.0.0.1", 0)) as server, Links(["link"], label, folder / "toxiproxy.log") as links:
        host, port = server.getsockname()
        handle = links.beside("link", {"address": f"{host}:{port}"})
        host, _, port = links.arguments["links"]["link"].partition(":")
        with socket.create_connection((host, int(port))):
            yield handle


@contextmanager
def _busy(file: Path, equipment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value.replace("{client}", "0") for name, value in equipment.items()}
    process = subprocess.Popen(
        [sys.executable, "-c", _BUSY, str(file)], stdin=subprocess.PIPE, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
