"""Who is let in over HTTP, and which headers are believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.mcp_kit import MODERN_META
from targets.mcp_tools import messages
from targets.mcp_tools.http_rules import HEADER_MISMATCH, UNSUPPORTED_VERSION, Door, is_modern, mismatch
from targets.mcp_tools.http_wire import Request

HOST = {"host": "127.0.0.1:8000"}
HEADERS = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "pid"}


def request(headers: dict[str, str], target: str = "/mcp", repeated: tuple[str, ...] = ()) -> Request:
    return Request("POST", target, headers, frozenset(repeated), b"")


@pytest.mark.parametrize(
    ("door", "headers", "status"),
    [
        (Door(), HOST, None),
        (Door(), {"host": "localhost"}, None),
        (Door(), {"host": "[::1]:80"}, None),
        (Door(), {}, 421),
        (Door(), {"host": "evil.example"}, 421),
        (Door(), {"host": "127.0.0.1.evil.example"}, 421),
        (Door(), {"host": "[oops"}, 421),
        (Door(hosts=frozenset({"good.example"})), {"host": "good.example:1"}, None),
        (Door(), {**HOST, "origin": "http://localhost:3000"}, None),
        (Door(), {**HOST, "origin": "https://evil.example"}, 403),
        (Door(), {**HOST, "origin": "null"}, 403),
        (Door(origins=frozenset({"https://a.example"})), {**HOST, "origin": "https://a.example"}, None),
        (Door(token="secret"), HOST, 401),  # noqa: S106  no secret
        (Door(token="secret"), {**HOST, "authorization": "Bearer wrong"}, 401),  # noqa: S106  no secret
        (Door(token="secret"), {**HOST, "authorization": "Bearer s\u00e9cret"}, 401),  # noqa: S106  no secret
        (Door(token="secret"), {**HOST, "authorization": "Bearer secret"}, None),  # noqa: S106  no secret
    ],
)
def test_strangers_are_turned_away(door: Door, headers: dict[str, str], status: int | None) -> None:
    refusal = door.refuses(request(headers))
    assert (refusal.status if refusal else None) == status


@pytest.mark.parametrize(("target", "status"), [("/mcp", None), ("/mcp/", None), ("/mcp?x=1", None), ("/", 404)])
def test_only_one_path_is_served(target: str, status: int | None) -> None:
    refusal = Door().refuses(request(HOST, target))
    assert (refusal.status if refusal else None) == status


def test_an_unknown_version_is_of_the_stateless_era_so_that_it_is_told_so() -> None:
    assert not is_modern(request({}))
    assert not is_modern(request({"mcp-protocol-version": "2025-06-18"}))
    assert is_modern(request({"mcp-protocol-version": "2026-07-28"}))
    assert is_modern(request({"mcp-protocol-version": "1999-01-01"}))


@pytest.mark.parametrize(
    ("headers", "changes", "code"),
    [
        ({}, {}, None),
        ({"mcp-name": "=?base64?cGlk?="}, {}, None),
        ({"mcp-name": "=?base64?!!!?="}, {}, HEADER_MISMATCH),
        ({"mcp-name": "other"}, {}, HEADER_MISMATCH),
        ({"mcp-method": "tools/list"}, {}, HEADER_MISMATCH),
        ({"mcp-protocol-version": "2027-01-01"}, {}, HEADER_MISMATCH),
        ({}, {"_meta": {}}, messages.INVALID_PARAMS),
        ({}, {"_meta": None}, messages.INVALID_PARAMS),
        ({}, {"name": 7}, HEADER_MISMATCH),
        (
            {"mcp-protocol-version": "2027-01-01"},
            {"_meta": {**MODERN_META, "io.modelcontextprotocol/protocolVersion": "2027-01-01"}},
            UNSUPPORTED_VERSION,
        ),
        ({}, {"_meta": {**MODERN_META, "io.modelcontextprotocol/protocolVersion": 7}}, HEADER_MISMATCH),
    ],
)
def test_headers_and_body_must_agree(headers: dict[str, str], changes: dict[str, Any], code: int | None) -> None:
    params = {"name": "pid", "_meta": MODERN_META, **changes}
    message = messages.decode(json.dumps({"id": 1, "method": "tools/call", "params": params}).encode())
    found = mismatch(request({**HEADERS, **headers}), message)
    assert (found[0] if found else None) == code


def test_a_header_that_comes_twice_is_refused() -> None:
    params = {"name": "pid", "_meta": MODERN_META}
    message = messages.decode(json.dumps({"id": 1, "method": "tools/call", "params": params}).encode())
    assert mismatch(request(HEADERS, repeated=("mcp-method",)), message) is not None


def test_a_request_without_a_name_needs_no_name_header() -> None:
    headers = {**HEADERS, "mcp-method": "tools/list"}
    message = messages.decode(json.dumps({"id": 1, "method": "tools/list", "params": {"_meta": MODERN_META}}).encode())
    assert mismatch(request(headers), message) is None
