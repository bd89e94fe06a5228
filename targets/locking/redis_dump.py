"""A Redis backend as plain data, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from typing import Any

from targets.locking.backend import Holder, Statistics, Versioned
from targets.locking.migration import Dump
from targets.locking.scripts import Script
from targets.locking.values import decode, encode

DUMP = Script("""
local p = KEYS[1]
local values, requests, holders = {}, {}, {}
for _, place in ipairs(redis.call('KEYS', p .. 'value:*')) do
  values[#values + 1] = {place, redis.call('HMGET', place, 'value', 'version', 'writer', 'at')}
end
for _, place in ipairs(redis.call('KEYS', p .. 'requests:*')) do
  requests[#requests + 1] = {place, redis.call('ZRANGE', place, 0, -1, 'WITHSCORES')}
end
for _, key in ipairs(redis.call('SMEMBERS', p .. 'held')) do
  for _, text in ipairs(redis.call('HVALS', p .. 'holders:' .. key)) do holders[#holders + 1] = text end
end
return {redis.call('HGETALL', p .. 'meta'), values, requests, holders}
""")
"""→ the fields of meta, the values, the requests, all holders as JSON. Redis serves nobody else meanwhile."""

CLEAR = Script("""
local found = redis.call('KEYS', KEYS[1] .. '*')
for _, place in ipairs(found) do redis.call('DEL', place) end
return #found
""")
"""Remove everything below the prefix → how many keys that were."""

_META: dict[str, Callable[[Any], object]] = {
    "id": str,
    "epoch": int,
    "tickets": int,
    **{each.name: float if each.name.endswith("_s") else int for each in fields(Statistics)},
}
_COUNTS = _META.keys() - {"id", "epoch"}

Command = tuple[str | int | float, ...]


def read(prefix: str, answer: list[Any], holder_of: Callable[[dict[str, Any]], Holder]) -> Dump:
    """Return what `DUMP` answered."""
    meta, values, requests, holders = answer
    found = {name.decode(): value.decode() for name, value in zip(meta[::2], meta[1::2], strict=True)}
    held = [json.loads(text) for text in holders]
    return Dump(
        meta={
            name: str(type_(found.get(name, 0))) for name, type_ in _META.items() if name in found or name in _COUNTS
        },
        entries={_key(prefix, "value:", place): _versioned(found) for place, found in values},
        requests={
            (_key(prefix, "requests:", place), request.decode()): int(float(version))
            for place, scored in requests
            for request, version in zip(scored[::2], scored[1::2], strict=True)
        },
        holders=sorted(
            ((replace(holder_of(each), alive=True), each["wish"]) for each in held), key=lambda pair: pair[0].token
        ),
    )


def commands(prefix: str, content: Dump) -> Iterator[Command]:
    """Return the commands that load `content`: the incarnation last, so that half of it is never taken for a whole."""
    for key, entry in content.entries.items():
        fields_ = ("value", encode(entry.value), "version", entry.version, "writer", entry.writer or "")
        yield ("HSET", f"{prefix}value:{key}", *fields_, "at", repr(entry.at))
    for (key, request), version in content.requests.items():
        yield "ZADD", f"{prefix}requests:{key}", version, request
    for holder, wish in content.holders:
        text = json.dumps({**asdict(holder), "token": str(holder.token), "wish": wish})
        yield "HSET", f"{prefix}holders:{holder.key}", holder.token, text
        yield "SADD", f"{prefix}held", holder.key
    yield ("HSET", f"{prefix}meta", *(part for pair in content.meta.items() for part in pair))


def _key(prefix: str, kind: str, place: bytes) -> str:
    return place.decode().removeprefix(prefix + kind)


def _versioned(found: list[bytes]) -> Versioned:
    value, version, writer, at = found
    return Versioned(decode(value), int(version), writer.decode() or None, float(at))
