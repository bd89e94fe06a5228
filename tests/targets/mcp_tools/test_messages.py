"""Envelopes and lines: whole, half, too long, and no messages at all."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.mcp_tools import messages
from targets.mcp_tools.messages import Lines, Malformed, TooLong

LINES = st.lists(st.binary(min_size=1, max_size=12).filter(lambda b: b"\n" not in b and b.strip()), max_size=8)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return `data` in chunks that end at `places`."""
    ends = [*sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(LINES, st.lists(st.integers(0, 1000)), st.binary(max_size=5).filter(lambda b: b"\n" not in b))
def test_lines_do_not_depend_on_how_the_stream_was_cut(lines: list[bytes], places: list[int], rest: bytes) -> None:
    cutter = Lines()
    chunks = cut(b"".join(line + b"\n" for line in lines) + rest, places)
    assert [line for chunk in chunks for line in cutter.feed(chunk)] == lines
    assert cutter.rest == len(rest)


@given(LINES, st.integers(1, 10), st.lists(st.integers(0, 1000)))
def test_a_line_above_the_limit_is_reported_once_and_never_kept(
    lines: list[bytes], limit: int, cuts: list[int]
) -> None:
    cutter = Lines(limit)
    found = []
    for chunk in cut(b"".join(line + b"\n" for line in lines), cuts):
        found += list(cutter.feed(chunk))
        assert cutter.rest <= limit
    assert [isinstance(line, TooLong) for line in found] == [len(line) > limit for line in lines]
    assert [line for line in found if not isinstance(line, TooLong)] == [line for line in lines if len(line) <= limit]


def test_the_kinds_of_messages_are_told_apart() -> None:
    request = messages.decode(b'{"jsonrpc":"2.0","id":0,"method":"ping"}')
    notification = messages.decode(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    response = messages.decode(b'{"jsonrpc":"2.0","id":"a","result":{}}')
    assert (request.request_id, request.answered_id, request.name) == (0, None, "ping")
    assert (notification.request_id, notification.answered_id) == (None, None)
    assert (response.request_id, response.answered_id, response.name) == (None, "a", "")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", messages.PARSE_ERROR),
        (b'{"id": 1, "method": "x"', messages.PARSE_ERROR),
        (b'{"id": 1, "method": "\xff"}', messages.PARSE_ERROR),
        (b'[{"id": 1, "method": "x"}]', messages.INVALID_REQUEST),
        (b'"text"', messages.INVALID_REQUEST),
        (b'{"id": 1.5, "method": "x"}', messages.INVALID_REQUEST),
        (b'{"id": {}, "method": "x"}', messages.INVALID_REQUEST),
        (b"{}", messages.INVALID_REQUEST),
        (b'{"method": 7}', messages.INVALID_REQUEST),
    ],
)
def test_what_is_no_message_is_refused_with_the_right_code(line: bytes, code: int) -> None:
    with pytest.raises(Malformed) as refused:
        messages.decode(line)
    assert refused.value.code == code


@given(st.binary(max_size=60))
def test_whatever_comes_is_a_message_or_malformed(line: bytes) -> None:
    try:
        message = messages.decode(line)
    except Malformed:
        return
    messages.parameters(message)
    messages.fields(message.params)


def test_meta_is_added_to_what_is_there_and_nothing_else_changes() -> None:
    line = (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","big":1.00,"_meta":{"progressToken":3}}}'
    )
    changed = messages.with_meta(messages.decode(line), {"bigfive/call": "x"})
    assert b'"big":1.00' in changed
    assert json.loads(changed)["params"]["_meta"] == {"progressToken": 3, "bigfive/call": "x"}
    assert json.loads(changed)["id"] == 1


def test_the_id_of_a_message_that_is_too_long_is_found_at_its_beginning() -> None:
    assert messages.id_within(b'{"jsonrpc":"2.0","id":12,"result":{"text":"zzzz') == 12
    assert messages.id_within(b'{"id" : "a\\"b", "result": ""') == 'a"b'
    assert messages.id_within(b'{"result": "zzzzzzzz') is None


def test_parameters_unlike_any_known_are_taken_for_none() -> None:
    message = messages.decode(b'{"id":1,"method":"tools/call","params":{"name":7}}')
    assert messages.parameters(message).name == ""
    assert messages.fields(b"[1]") == {}
    assert messages.id_within(b'{"id": "\\ud800"') is None
