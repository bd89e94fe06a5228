"""Many clients, one conversation: every request gets an id of its own on the way in, and its old one on the way out.

Progress tokens and subscriptions are renamed with it. Pure. What the server says of its own accord and about no
request is for everybody, `None`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw

from targets.mcp_tools import messages
from targets.mcp_tools.messages import Id, Message

_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
_TOKEN = "progressToken"  # noqa: S105  not that kind of token

Who = TypeVar("Who")


@dataclass(frozen=True)
class Routed(Generic[Who]):
    """A line for `who`, or for everybody; `final` if it is the answer."""

    who: Who | None
    line: bytes
    final: bool = False


@dataclass(frozen=True)
class _Asked(Generic[Who]):
    who: Who
    id: Id
    token: Raw


class Mux(Generic[Who]):
    """Renames on the way in and out."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._asked: dict[Id, _Asked[Who]] = {}

    def ask(self, who: Who, message: Message) -> tuple[int, bytes]:
        """Return the number of `who`'s request and its line for the server."""
        number = next(self._numbers)
        params = messages.fields(message.params)
        meta = messages.fields(params.get("_meta", Raw()))
        token = meta.get(_TOKEN, Raw())
        if token:
            params["_meta"] = Raw(messages.encode({**meta, _TOKEN: number}))
        id_ = message.request_id
        if id_ is None:
            raise ValueError("only requests are renamed")
        self._asked[number] = _Asked(who, id_, token)
        return number, messages.request(message.name, params if token else message.params, number)

    def forget(self, number: int) -> None:
        """Nobody waits for this any more."""
        self._asked.pop(number, None)

    def route(self, line: bytes) -> Routed[Who] | None:
        """Return whom a line of the server is for, and what it is to them; None if they are gone."""
        message = messages.decode(line)
        if message.answered_id is not None:
            asked = self._asked.pop(message.answered_id, None)
            return None if asked is None else Routed(asked.who, _answer(message, asked.id), final=True)
        params = messages.fields(message.params)
        if _TOKEN in params:
            asked = self._asked.get(_number(params[_TOKEN]))
            return None if asked is None else _renamed(asked, message, {**params, _TOKEN: asked.token})
        meta = messages.fields(params.get("_meta", Raw()))
        if _SUBSCRIPTION in meta:
            asked = self._asked.get(_number(meta[_SUBSCRIPTION]))
            if asked is None:
                return None
            return _renamed(asked, message, {**params, "_meta": {**meta, _SUBSCRIPTION: asked.id}})
        return Routed(None, line)


def _answer(message: Message, id_: Id) -> bytes:
    body = {"error": message.error} if message.error else {"result": message.result or Raw(b"{}")}
    return messages.encode({"jsonrpc": "2.0", "id": id_, **body}) + b"\n"


def _renamed(asked: _Asked[Who], message: Message, params: dict[str, object]) -> Routed[Who]:
    return Routed(asked.who, messages.request(message.name, params))


def _number(raw: Raw) -> int:
    try:
        return msgspec.json.decode(raw, type=int)
    except msgspec.DecodeError:
        return 0
