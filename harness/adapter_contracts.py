"""What `bigfive adapter check` demands of the operations of each contract, with two clients that are open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.adapter import AdapterProcess
from harness.adapter_bench import Bench, Kept, Rule
from harness.adapter_together import DOCUMENTS, LOCKS
from harness.engine.host import expect_ok
from harness.errors import TargetFailed
from harness.wire import CONTRACTS, Json

_STORE = CONTRACTS["versioned_store"]
# Shapes, characters and a length that codecs and line readers get wrong.
_VALUE: Any = {
    "nested": [None, True, -1.5, "", {}, []],
    "text": 'quote " backslash \\ newline \n',
    "unicode": "é \u2028 \U0001f600",
    "long": "x" * 200_000,
}


def _never_written(bench: Bench) -> str:
    found = _read(bench, bench.clients[0], "never-written")
    if found["version"] != 0:
        raise TargetFailed(f"a key that was never written has {_shown(found)}")
    return ""


def _versions_count(bench: Bench) -> str:
    client = bench.clients[0]
    for count in range(1, 4):
        version = _write(bench, client, "counted", f"value {count}")
        if version != count:
            raise TargetFailed(f"write number {count} of a key was acknowledged as version {version}")
        _expect_kept(bench, client, "counted")
    return ""


def _wrong_version_conflicts(bench: Bench) -> str:
    client, key = bench.clients[0], "guarded"
    current = _write(bench, client, key, "first")
    for expected in (current - 1, current + 1):
        answer = bench.call(client, "write", key=key, value="never", expected_version=expected)
        if answer.outcome != "fail" or answer.result.get("error") != "conflict":
            raise TargetFailed(
                f"a write that expected version {expected} of a key at {current} was answered "
                f"{answer.outcome}: {_shown(answer.result)}"
            )
        if answer.result.get("version") != current:
            raise TargetFailed(f"the conflict says {_shown(answer.result)} where the version is {current}")
    _expect_kept(bench, client, key)
    return ""


def _right_version_succeeds(bench: Bench) -> str:
    client, key = bench.clients[0], "expected"
    for expected in range(2):
        answer = bench.call(client, "write", key=key, value=f"on {expected}", expected_version=expected)
        result = expect_ok(f"write on version {expected}, which is the current one", answer).result
        bench.kept[key] = Kept(f"on {expected}", result.get("version", 0))
        _expect_kept(bench, client, key)
    return ""


def _values_come_back(bench: Bench) -> str:
    _write(bench, bench.clients[0], "value", _VALUE)
    _expect_kept(bench, bench.clients[1], "value")
    return ""


def _clients_share(bench: Bench) -> str:
    for writer, reader in ((0, 1), (1, 0)) * 2:  # twice, as what a client has once read it may have kept
        _write(bench, bench.clients[writer], "shared", f"by client {writer}")
        _expect_kept(bench, bench.clients[reader], "shared")
    return ""


def _survives(bench: Bench) -> str:
    for client in bench.clients:
        for key in bench.kept:
            _expect_kept(bench, client, key)
    return f"{len(bench.kept)} keys are as they were before the kill"


def _goes_on(bench: Bench) -> str:
    """A service that restored the values but not the versions hands one out twice now."""
    for key, kept in list(bench.kept.items()):
        version = _write(bench, bench.clients[0], key, "after the kill")
        if version != kept.version + 1:
            raise TargetFailed(f"after the kill {key!r} went from version {kept.version} to {version}")
    return ""


def _read(bench: Bench, client: AdapterProcess, key: str) -> Json:
    found = expect_ok("read", bench.call(client, "read", key=key)).result
    if lacking := [name for name in _STORE["read"].returns if name not in found]:
        raise TargetFailed(f"the answer to `read` lacks {', '.join(lacking)}: {_shown(found)}")
    return found


def _write(bench: Bench, client: AdapterProcess, key: str, value: object) -> int:
    """Write without a condition; return the version that was acknowledged."""
    result = expect_ok("write", bench.call(client, "write", key=key, value=value)).result
    version = result.get("version")
    if not isinstance(version, int):
        raise TargetFailed(f"the answer to `write` has no whole number as version: {_shown(result)}")
    bench.kept[key] = Kept(value, version)
    return version


def _expect_kept(bench: Bench, client: AdapterProcess, key: str) -> None:
    kept, found = bench.kept[key], _read(bench, client, key)
    if found["version"] != kept.version or found["value"] != kept.value:
        acknowledged = {"value": kept.value, "version": kept.version}
        raise TargetFailed(f"{key!r} reads {_shown(found)} where {_shown(acknowledged)} was acknowledged")


def _shown(result: Json) -> str:
    text = str(result)
    return text if len(text) <= 200 else f"{text[:100]} … {text[-100:]}"  # noqa: PLR2004  a line of a report


_COUNTS = "A key's version counts its successful writes from 1"
_DURABLE = "An answered write survives every crash."

OPERATIONS: Mapping[str, tuple[Rule, ...]] = {
    "versioned_store": (
        Rule("a key never written has version 0", '0 is "never written"', _never_written),
        Rule("versions count the writes of a key", _COUNTS, _versions_count),
        Rule(
            "a write on another version is a conflict",
            '`write` with `expected_version` succeeds only on that version, else fails with {"error": "conflict", '
            '"version": current}',
            _wrong_version_conflicts,
        ),
        Rule(
            "a write on the current version is done",
            "`write` with `expected_version` succeeds only on that version",
            _right_version_succeeds,
        ),
        Rule("any JSON value comes back as it was", "A map of keys to JSON values.", _values_come_back),
        Rule("clients see each other's writes", "A map of keys to JSON values.", _clients_share),
    ),
    "locks": LOCKS,
    "documents": DOCUMENTS,
}
"""Rules about a system that nothing happens to."""

AFTER_KILL: Mapping[str, tuple[Rule, ...]] = {
    "versioned_store": (
        Rule("acknowledged writes survive the kill", _DURABLE, _survives),
        Rule("versions go on where they were", _COUNTS, _goes_on),
    ),
}
"""Rules about what is left once the service was killed and has come back."""
