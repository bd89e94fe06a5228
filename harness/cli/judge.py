"""`bigfive judge`: a history of anybody, or a recorded trial again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from harness.cli import FAILED, NOTHING_PROVEN, PASSED
from harness.cli._options import json_option, summary_of
from harness.engine.rejudging import differences, judge_again
from harness.errors import ScenarioError
from harness.histories.checking import Budget, Verdict
from harness.histories.files import judge_file
from harness.histories.models import MODELS, named
from harness.histories.operations import Op, show
from harness.record import Folder, Invoked
from harness.reporting._base import read as read_suite
from harness.reporting._terminal import coloured, paint
from harness.result import Result, read
from harness.statuses import Outcome, exit_status

_STATUSES = {"ok": PASSED, "illegal": FAILED, "unknown": NOTHING_PROVEN}


@click.command("judge", short_help=summary_of("judge"))
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--model", type=click.Choice(list(MODELS)), help="What the history's target is meant to be.")
@click.option("--initial", help="What it holds before the first operation, as JSON; the model's own if not given.")
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    default=Budget().steps,
    show_default=True,
    help="What the search may cost.",
)
@json_option
def command(path: Path, model: str | None, initial: str | None, max_steps: int, *, as_json: bool) -> int:
    """Judge PATH: a history of anybody's by a model, or a recorded trial again by the checks of today.

    A history is a file of JSON lines, the `history.jsonl` of a run folder; `python -m pydoc harness.histories.files`
    describes it. It is linearizable (exit status 0), contradicts itself (1), or that could not be decided (5).

    A trial is a run folder or its result.json, and a suite's folder is all of its trials. What differs from the result
    that is stored there is said; nothing is written. The exit status is that of `bigfive run`.

    \b
    bigfive judge history.jsonl --model register --initial 0
    bigfive judge reports/latest/runs/state-bit-flip/0
    bigfive judge reports/latest --json
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    folders = list(_trials(path))
    if folders and (model or initial):
        raise click.UsageError("a recorded trial is judged by its own scenario: leave out --model and --initial")
    if folders:
        return _judge_trials(folders, as_json=as_json)
    if model is None:
        raise click.UsageError(f"say what a history's target is meant to be: --model {'|'.join(MODELS)}")
    verdict = judge_file(path, model, _value(initial), Budget(steps=max_steps))
    if as_json:
        click.echo(msgspec.json.encode(_data(verdict)))
    else:
        click.echo("\n".join(_told(verdict, path, model)))
    return _STATUSES[verdict.status]


def _trials(path: Path) -> Iterator[Folder]:
    """Yield the run folders that `path` means; none, if it is a file of another kind."""
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (folder / "suite.json").exists():
        yield from (Folder(folder / trial.run) for trial in read_suite(folder / "suite.json").trials)
    elif path.is_dir() or path.name == "result.json":
        yield Folder(folder)


def _value(initial: str | None) -> object:
    """Return the value; without any, what stands for the model's own."""
    if initial is None:
        return ...
    try:
        return msgspec.json.decode(initial)
    except msgspec.DecodeError as error:
        raise click.UsageError(f"--initial {initial}: not JSON: {error} (a text needs quotes: '\"text\"')") from None


def _told(verdict: Verdict, path: Path, model: str) -> Iterator[str]:
    yield f"{verdict.status}: {verdict.reason}"
    if not verdict.window:
        return
    lines = _lines(path)
    describe = named(model).describe
    yield "these operations contradict each other, in order of their calls:"
    for op in sorted(verdict.window, key=lambda op: op.call):
        until = "" if op.ret is None else str(op.ret)
        yield f"  {path}:{lines.get(op.n, 0)}: operation {op.n} (client {op.client}, {op.call}..{until}) {describe(op)}"


def _lines(path: Path) -> dict[int, int]:
    """Return the line of every call; the file has been read before, so lines of another kind may be passed over."""
    found: dict[int, int] = {}
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            found[msgspec.json.decode(line, type=Invoked).n] = number
        except msgspec.MsgspecError:
            continue
    return found


def _data(verdict: Verdict) -> dict[str, object]:
    return {
        "status": verdict.status,
        "reason": verdict.reason,
        "answers": verdict.answers,
        "key": None if verdict.key is None else msgspec.Raw(show(verdict.key).encode()),
        "window": [_operation(op) for op in verdict.window],
        "impossible": verdict.impossible and verdict.impossible.n,
        "longest": verdict.longest,
        "orders": [
            {"key": None if key is None else msgspec.Raw(show(key).encode()), "order": order}
            for key, order in verdict.orders.items()
        ],
        "steps": verdict.steps,
        "configurations": verdict.configurations,
    }


def _operation(op: Op) -> dict[str, object]:
    raw = {
        name: {member: msgspec.Raw(show(value).encode()) for member, value in members.items()}
        for name, members in (("args", op.argument), ("result", op.result))
    }
    return {"n": op.n, "client": op.client, "op": op.name, "outcome": op.outcome, "t": [op.call, op.ret], **raw}


def _judge_trials(folders: list[Folder], *, as_json: bool) -> int:
    """Judge trials, say what changed, and return the status of them all."""
    results = []
    for folder in folders:
        before = read(folder.result) if folder.result.exists() else None
        try:
            now = judge_again(folder)
        except ScenarioError as error:
            if len(folders) == 1 or before is None:
                raise
            click.echo(f"{before.id}: {before.status} as it was: {error}", err=True)
            now = before
        results.append(now)
        if as_json:
            changed = [] if before is None else differences(before, now)
            click.echo(msgspec.json.encode({"run": str(folder.path), "differences": changed, "result": now}))
        else:
            for line in _verdicts(before, now):
                click.echo(paint(line) if coloured() else line, color=coloured())
    return exit_status(Outcome(results)).code


def _verdicts(before: Result | None, now: Result) -> Iterator[str]:
    yield f"{now.status:<11} {now.id}  {now.reason}"
    for judged in now.checks:
        yield f"    {judged.verdict.status:<8} {judged.asked}: {judged.verdict.summary}"
    changed = [] if before is None else differences(before, now)
    yield from (f"    changed: {line}" for line in changed)
    if not changed:
        yield "    there was no result before" if before is None else "    the same as in result.json"
