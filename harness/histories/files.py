"""Histories from anybody, as JSON lines.

    {"type": "invoke", "n": 1, "client": 0, "t": 100, "op": "write", "args": {"value": 5}}
    {"type": "return", "n": 1, "t": 130, "outcome": "ok", "result": {}}

`n` tells operations apart, `t` is any integer clock that all clients share (line numbers will do), `client` an
integer. What `args` and `result` hold, the model says. An outcome is `ok` (done), `fail` (certainly not done) or
`info` (unknown, for ever); an operation without a return is `info`, too. Lines may come in any order: times decide,
and at equal times calls come before returns. A torn last line, which a crash may leave, is cut. This is the
`history.jsonl` of a run folder (`harness.record`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.errors import ScenarioError
from harness.histories.checking import Budget, Verdict, check
from harness.histories.models import named
from harness.histories.models._base import Model
from harness.histories.operations import Op, from_record
from harness.record import Invoked, Returned, pair

_SHOWN = 20  # problems of one file
_decode = msgspec.json.Decoder(Invoked | Returned).decode


def judge_file(path: Path, model: str, initial: object = ..., budget: Budget | None = None) -> Verdict:
    """Judge a file by the model of that name, from `initial` (a JSON value; the model's own where it is left out).

    Raises `ScenarioError` for an unknown model, and for bad lines: all of them (up to 20), each as
    `file:line: what`.
    """
    judge = named(model, initial)
    return check(load(path, judge), judge, budget or Budget())


def load(path: Path, model: Model) -> list[Op]:
    """Read a file as a history of the model. Raises `ScenarioError` as `judge_file` does."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    reading = _Reading(model)
    for number, line in enumerate(lines, 1):
        reading.take(number, line, last=number == len(lines))
    found = list(reading.operations())
    if reading.problems:
        told = [f"{path}:{number}: {text}" for number, text in sorted(reading.problems)]
        more = [f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
        raise ScenarioError("\n".join([*told[:_SHOWN], *more]))
    return found


class _Reading:
    """Lines on their way to operations; what is wrong is collected with its line."""

    def __init__(self, model: Model) -> None:
        self.problems: list[tuple[int, str]] = []
        self._model = model
        self._calls: dict[int, tuple[int, Invoked]] = {}
        self._returns: dict[int, tuple[int, Returned]] = {}

    def take(self, number: int, line: bytes, *, last: bool) -> None:
        """Take one line. Only the very last, if no newline ends it, may be torn."""
        if not line.strip():
            return
        try:
            entry = _decode(line)
        except msgspec.MsgspecError as error:
            if not last:
                self.problems.append((number, f"not a record: {error}"))
            return
        if isinstance(entry, Invoked):
            first = self._calls.setdefault(entry.n, (number, entry))[0]
        else:
            first = self._returns.setdefault(entry.n, (number, entry))[0]
        if first != number:
            verb = "invoked" if isinstance(entry, Invoked) else "returned"
            self.problems.append((number, f"operation {entry.n} {verb} before, on line {first}"))

    def operations(self) -> Iterator[Op]:
        """Pair calls with returns, in order of the calls' lines."""
        for n, (number, back) in self._returns.items():
            if n not in self._calls:
                self.problems.append((number, f"operation {n} returned but was never invoked"))
            elif back.t < self._calls[n][1].t:
                self.problems.append((number, f"operation {n} returned before it was invoked"))
        for n, (number, call) in self._calls.items():
            answer = self._returns.get(n)
            op = from_record(pair(call, answer[1] if answer else None))
            for place, text in self._model.problems(op):
                self.problems.append((answer[0] if answer and place == "answer" else number, text))
            yield op
