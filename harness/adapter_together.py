"""What `bigfive adapter check` demands of locks and documents, with two clients that are open."""

from __future__ import annotations

from harness.adapter import AdapterProcess
from harness.adapter_bench import Bench, Rule
from harness.engine.host import expect_ok
from harness.errors import TargetFailed
from harness.wire import Json

_LONG_S, _SHORT_S = 10.0, 0.2  # leases
_WAIT_S, _GLANCE_S = 0.6, 0.1  # both well below what a call may take


def _tokens_increase(bench: Bench) -> str:
    last = -1
    for client in bench.clients[:2] * 2:
        token = _acquire(bench, client, "counted")
        _done(bench, client, "release", key="counted", token=token)
        if token <= last:
            raise TargetFailed(f"a grant has token {token} after one with token {last}")
        last = token
    return ""


def _refused_while_held(bench: Bench) -> str:
    holder, other = bench.clients[:2]
    token = _acquire(bench, holder, "held")
    _refused(bench, other, "acquire", "held", key="held", wait_s=_GLANCE_S, lease_s=_LONG_S)
    _done(bench, holder, "release", key="held", token=token)
    return ""


def _waits_its_turn(bench: Bench) -> str:
    holder, other = bench.clients[:2]
    token = _acquire(bench, holder, "awaited")
    other.send("acquire", {"key": "awaited", "wait_s": _WAIT_S, "lease_s": _LONG_S})
    _done(bench, holder, "release", key="awaited", token=token)
    _done(bench, other, "probe")  # its answer comes after the acquire's, so the wait is over
    _refused(bench, holder, "acquire", "held", key="awaited", wait_s=0.0, lease_s=_LONG_S)
    return ""


def _lease_ends(bench: Bench) -> str:
    holder, other = bench.clients[:2]
    token = _acquire(bench, holder, "leased", lease_s=_SHORT_S)
    _done(bench, other, "release", key="leased", token=_acquire(bench, other, "leased"))
    _refused(bench, holder, "release", "not_owner", key="leased", token=token)
    return ""


def _only_the_holder(bench: Bench) -> str:
    holder, other = bench.clients[:2]
    token = _acquire(bench, holder, "owned")
    for op in ("renew", "release"):
        _refused(bench, other, op, "not_owner", key="owned", token=token)
    for op in ("renew", "release"):
        _done(bench, holder, op, key="owned", token=token)
    _refused(bench, holder, "release", "not_owner", key="owned", token=token)
    return ""


def _keeps_the_value(bench: Bench) -> str:
    holder, other = bench.clients[:2]
    if (found := _fetch(bench, other, "guarded")) is not None:
        raise TargetFailed(f"what was never stored is fetched as {found}")
    token = _acquire(bench, holder, "guarded")
    _done(bench, holder, "store", key="guarded", value={"by": "the holder"}, token=token)
    _done(bench, holder, "release", key="guarded", token=token)
    if (found := _fetch(bench, other, "guarded")) != {"by": "the holder"}:
        raise TargetFailed(f"what was stored as {{'by': 'the holder'}} is fetched as {found}")
    return ""


def _stale_is_refused(bench: Bench) -> str:
    """The later holder has only looked: what it makes of that must not overwrite what the earlier one stores now."""
    late, later = bench.clients[:2]
    old = _acquire(bench, late, "fenced", lease_s=_SHORT_S)
    new = _acquire(bench, later, "fenced")
    _fetch(bench, later, "fenced")
    _refused(bench, late, "store", "stale", key="fenced", value="late", token=old)
    _done(bench, later, "store", key="fenced", value="later", token=new)
    _done(bench, later, "release", key="fenced", token=new)
    return ""


def _all_or_none(bench: Bench) -> str:
    holder, other = bench.clients[:2]
    token = _acquire(bench, holder, "first")
    _refused(bench, other, "acquire_all", "held", keys=["second", "first"], wait_s=_GLANCE_S, lease_s=_LONG_S)
    _done(bench, holder, "release", key="second", token=_acquire(bench, holder, "second"))
    _done(bench, holder, "release", key="first", token=token)
    answer = _done(bench, other, "acquire_all", keys=["second", "first"], wait_s=_WAIT_S, lease_s=_LONG_S)
    tokens = answer.get("tokens")
    if not isinstance(tokens, dict) or tokens.keys() != {"first", "second"}:
        raise TargetFailed(f"`acquire_all` of first and second was answered {answer}, not with a token for each")
    _done(bench, other, "release_all", tokens=tokens)
    return ""


def _edits_together(bench: Bench) -> str:
    version = _attached(bench, "shared")
    for number, client in enumerate(bench.clients[:2]):
        change: list[Json] = [
            {"op": "increment", "path": "count", "by": 2},
            {"op": "append", "path": "log", "item": f"client {number}"},
        ]
        _submit(bench, client, "shared", version, f"r{number}", change)
    content = _done(bench, bench.clients[0], "inspect", document="shared").get("content")
    if not isinstance(content, dict) or content.get("count") != 4 or sorted(content.get("log", ())) != _ITEMS:  # noqa: PLR2004
        raise TargetFailed(f"two clients added 2 to `count` and an item to `log`, and the content is {content}")
    return ""


_ITEMS = ["client 0", "client 1"]


def _repeats_the_answer(bench: Bench) -> str:
    version, client = _attached(bench, "repeated"), bench.clients[0]
    change = [{"op": "increment", "path": "count", "by": 1}]
    first = _submit(bench, client, "repeated", version, "same", change)
    again = _submit(bench, client, "repeated", version, "same", change)
    content = _done(bench, client, "inspect", document="repeated").get("content")
    if first != again or not isinstance(content, dict) or content.get("count") != 1:
        raise TargetFailed(f"one request was answered {first} and then {again}, and its increment made {content}")
    return ""


def _attached(bench: Bench, document: str) -> int:
    """Let both clients attach; return the version that both see."""
    seen = [_done(bench, client, "attach", document=document, agent=f"agent {n}") for n, client in _agents(bench)]
    first, second = (answer.get("version") for answer in seen)
    if not isinstance(first, int) or first != second:
        raise TargetFailed(f"a document that nobody edits has the versions {first} and {second}")
    return first


def _agents(bench: Bench) -> enumerate[AdapterProcess]:
    return enumerate(bench.clients[:2])


def _submit(
    bench: Bench, client: AdapterProcess, document: str, version: int, request: str, operations: list[Json]
) -> Json:
    members = {"document": document, "base_version": version, "request": request, "operations": operations}
    answer = _done(bench, client, "submit", agent=f"agent {bench.clients.index(client)}", **members)
    if not isinstance(answer.get("version"), int) or "conflicts" not in answer:
        raise TargetFailed(f"the answer to `submit` needs version and conflicts: {answer}")
    return answer


def _acquire(bench: Bench, client: AdapterProcess, key: str, lease_s: float = _LONG_S) -> int:
    answer = _done(bench, client, "acquire", key=key, wait_s=_WAIT_S, lease_s=lease_s)
    token = answer.get("token")
    if not isinstance(token, int):
        raise TargetFailed(f"the answer to `acquire` has no whole number as token: {answer}")
    return token


def _fetch(bench: Bench, client: AdapterProcess, key: str) -> object:
    answer = _done(bench, client, "fetch", key=key)
    if "value" not in answer:
        raise TargetFailed(f"the answer to `fetch` has no value: {answer}")
    return answer["value"]


def _done(bench: Bench, client: AdapterProcess, op: str, **arguments: object) -> Json:
    return expect_ok(op, bench.call(client, op, **arguments)).result


def _refused(bench: Bench, client: AdapterProcess, op: str, error: str, **arguments: object) -> None:
    answer = bench.call(client, op, **arguments)
    if answer.outcome != "fail" or answer.result.get("error") != error:
        said = f"{answer.outcome}: {answer.result}"
        raise TargetFailed(f"{op!r} should have failed with {error!r}, and was answered {said}")


LOCKS = (
    Rule("tokens increase", "A key's tokens increase from grant to grant.", _tokens_increase),
    Rule("a held lock is refused", 'then fails with {"error": "held"}', _refused_while_held),
    Rule("a waiter gets what is released", "`acquire` waits its turn for at most `wait_s`", _waits_its_turn),
    Rule("a lease ends", "a grant ends `lease_s` after it was given or renewed", _lease_ends),
    Rule(
        "only its holder renews and releases",
        '`renew` and `release` by anybody but the holder fail with {"error": "not_owner"}.',
        _only_the_holder,
    ),
    Rule("what a lock guards is kept", "A lock for each key, and the value it guards.", _keeps_the_value),
    Rule(
        "a stale token stores nothing",
        'a `store` with a token lower than one seen so fails with {"error": "stale"}.',
        _stale_is_refused,
    ),
    Rule("a batch is granted whole", "`acquire_all` grants all its keys or none.", _all_or_none),
)

DOCUMENTS = (
    Rule("edits of many are all there", "Documents that many agents edit at once;", _edits_together),
    Rule(
        "a repeated request does nothing",
        "A repeated `request` (unique in the document) is answered as the first time.",
        _repeats_the_answer,
    ),
)
