"""Histories that others recorded, as ours: converted line by line, so that line numbers are the clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.record import Invoked, Returned, Writer
from harness.wire import Outcome

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "histories" / "porcupine"
ETCD_LEGAL = {2, 5, 7, 18, 25, 31, 38, 45, 48, 49}

_ETCD = re.compile(r"INFO +jepsen\.util - (\d+)\t:(\w+)\t:(\w+)\t(.*)")
_KV = re.compile(r'\{:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (?:nil|"(.*)")\}')
_OUTCOMES: dict[str, Outcome] = {"ok": "ok", "fail": "fail", "info": "info"}
Entry = Invoked | Returned


def given(folder: str) -> Path:
    """Return a folder of histories; skip the test where they are not."""
    if not (FOLDER / folder).is_dir():
        pytest.skip(f"the third-party histories are not at {FOLDER}")
    return FOLDER / folder


def convert(source: Path, target: Path) -> Path:
    """Write a log of etcd or of a key-value store as `history.jsonl`."""
    entries = _etcd if source.suffix == ".log" else _key_value
    target.unlink(missing_ok=True)
    writer = Writer(target)
    writer.write(*entries(source))
    writer.close()
    return target


def _etcd(source: Path) -> Iterator[Entry]:
    open_calls: dict[int, int] = {}
    for t, line in enumerate(source.read_text().splitlines(), 1):
        match = _ETCD.fullmatch(line)
        assert match, line
        client, kind, op, value = int(match[1]), match[2], match[3], match[4]
        if kind == "invoke":
            open_calls[client] = t
            yield Invoked(n=t, client=client, t=t, op=op, args=_etcd_arguments(op, value))
        else:
            yield Returned(n=open_calls.pop(client), t=t, **_etcd_answer(kind, op, value))


def _etcd_arguments(op: str, value: str) -> dict[str, Any]:
    if op == "cas":
        expected, new = value.strip("[]").split()
        return {"expected": int(expected), "value": int(new)}
    return {"value": int(value)} if op == "write" else {}


def _etcd_answer(kind: str, op: str, value: str) -> dict[str, Any]:
    if value == ":timed-out":
        return {"outcome": "info", "result": {}}
    if kind == "fail" and op == "cas":
        return {"outcome": "fail", "result": {"error": "conflict"}}
    read = {"value": None if value == "nil" else int(value)} if op == "read" and kind == "ok" else {}
    return {"outcome": _OUTCOMES[kind], "result": read}


def _key_value(source: Path) -> Iterator[Entry]:
    open_calls: dict[int, int] = {}
    for t, line in enumerate(source.read_text().splitlines(), 1):
        match = _KV.fullmatch(line)
        assert match, line
        client, kind, op, key, value = int(match[1]), match[2], match[3], match[4], match[5]
        if kind == "invoke":
            open_calls[client] = t
            yield Invoked(n=t, client=client, t=t, op=op, args={"key": key} | ({} if op == "get" else {"value": value}))
        else:
            result = {"value": value} if op == "get" else {}
            yield Returned(n=open_calls.pop(client), t=t, outcome=_OUTCOMES[kind], result=result)
