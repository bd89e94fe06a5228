"""Renaming: what many clients say, and what each of them hears."""

from __future__ import annotations

import json
from typing import Any

import pytest

from targets.mcp_tools import messages
from targets.mcp_tools.mux import Mux, Routed

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def request(**message: object) -> messages.Message:
    return messages.decode(json.dumps({"jsonrpc": "2.0", **message}).encode())


def routed(mux: Mux[str], **message: object) -> tuple[str | None, Any, bool] | None:
    found: Routed[str] | None = mux.route(json.dumps({"jsonrpc": "2.0", **message}).encode())
    return None if found is None else (found.who, json.loads(found.line), found.final)


def test_equal_ids_of_two_clients_are_told_apart_and_given_back() -> None:
    mux: Mux[str] = Mux()
    one, first = mux.ask("ann", request(id=1, method="tools/list"))
    two, second = mux.ask("bob", request(id=1, method="tools/list"))
    assert [json.loads(line)["id"] for line in (first, second)] == [one, two]
    assert routed(mux, id=two, result={"x": 1.5}) == ("bob", {"jsonrpc": "2.0", "id": 1, "result": {"x": 1.5}}, True)
    error = {"code": 1, "message": "no"}
    assert routed(mux, id=one, error=error) == ("ann", {"jsonrpc": "2.0", "id": 1, "error": error}, True)
    assert routed(mux, id=one, result={}) is None


def test_progress_goes_to_who_asked_under_the_old_token() -> None:
    mux: Mux[str] = Mux()
    params = {"name": "t", "_meta": {"progressToken": "mine", "other": 1}}
    number, line = mux.ask("ann", request(id="a", method="tools/call", params=params))
    assert json.loads(line)["params"] == {"name": "t", "_meta": {"progressToken": number, "other": 1}}
    told = {"progressToken": number, "progress": 2}
    heard = routed(mux, method="notifications/progress", params=told)
    assert heard is not None
    assert heard[0] == "ann"
    assert heard[1]["params"] == {"progressToken": "mine", "progress": 2}
    assert heard[2] is False
    mux.forget(number)
    assert routed(mux, method="notifications/progress", params=told) is None
    assert routed(mux, method="notifications/progress", params={"progressToken": "odd"}) is None


def test_news_of_a_subscription_go_to_who_listens() -> None:
    mux: Mux[str] = Mux()
    number, _ = mux.ask("ann", request(id="listen-1", method="subscriptions/listen"))
    heard = routed(mux, method="notifications/x", params={"_meta": {SUBSCRIPTION: number}})
    assert heard is not None
    assert heard[1]["params"]["_meta"] == {SUBSCRIPTION: "listen-1"}
    assert routed(mux, method="notifications/x", params={"_meta": {SUBSCRIPTION: 99}}) is None


def test_what_concerns_no_request_is_for_everybody() -> None:
    heard = routed(Mux(), method="notifications/tools/list_changed")
    assert heard is not None
    assert heard[0] is None


def test_only_requests_are_renamed() -> None:
    with pytest.raises(ValueError, match="only requests"):
        Mux[str]().ask("ann", request(method="notifications/x"))
