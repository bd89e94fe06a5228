"""The wire: what is written is read back, and what the protocol forbids is refused with words that help."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import wire
from harness.errors import ProtocolViolation
from harness.wire import (
    MAX_LINE_BYTES,
    Answer,
    Emitted,
    Lines,
    Request,
    decode_message,
    decode_request,
    encode_answer,
    encode_event,
    encode_request,
)

# Small, since what matters is which characters and shapes there are: newlines, surrogates' neighbours, nesting.
WORDS = st.text(max_size=4)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
OBJECTS = st.dictionaries(WORDS, LEAVES | st.lists(LEAVES, max_size=2), max_size=3)
IDS = st.integers(0, 2**53)


@given(IDS, WORDS, OBJECTS)
def test_a_request_is_one_line_that_reads_back(number: int, op: str, args: dict[str, object]) -> None:
    line = encode_request(Request(number, op, args))
    assert line.count(b"\n") == 1
    assert decode_request(line) == Request(number, op, args)


@given(IDS, st.sampled_from(["ok", "fail", "info"]), OBJECTS)
def test_an_answer_is_one_line_that_reads_back(number: int, outcome: wire.Outcome, result: dict[str, object]) -> None:
    line = encode_answer(Answer(number, outcome, result))
    assert line.count(b"\n") == 1
    assert decode_message(line) == Answer(number, outcome, result)


@given(WORDS, OBJECTS)
def test_an_event_is_one_line_that_reads_back(name: str, data: dict[str, object]) -> None:
    line = encode_event(Emitted(name, data))
    assert line.count(b"\n") == 1
    assert decode_message(line) == Emitted(name, data)


@given(st.lists(OBJECTS, max_size=4), st.lists(st.integers(1, 20)))
def test_lines_are_the_same_however_the_stream_is_cut(objects: list[dict[str, object]], cuts: list[int]) -> None:
    stream = b"".join(encode_request(Request(n, "op", args)) for n, args in enumerate(objects))
    reader, got = Lines(), []
    for size in [*cuts, len(stream) + 1]:
        chunk, stream = stream[:size], stream[size:]
        got += reader.feed(chunk)
    assert [decode_request(line).args for line in got] == objects


def test_unknown_members_are_ignored_so_that_the_protocol_can_grow() -> None:
    assert decode_message(b'{"id": 1, "ok": {}, "trace": "x"}') == Answer(1, "ok", {})
    assert decode_request(b'{"id": 1, "op": "read", "deadline": 5}') == Request(1, "read", {})


@pytest.mark.parametrize(
    "line",
    [
        b"listening on port 80",
        b"[]",
        b'{"id": 1}',
        b'{"ok": {}}',
        b'{"id": 1, "ok": {}, "fail": {}}',
        b'{"id": 1, "ok": true}',
        b'{"id": "1", "ok": {}}',
        b'{"event": 7}',
        b"\xff",
    ],
)
def test_what_is_neither_answer_nor_event_is_refused_and_shown(line: bytes) -> None:
    with pytest.raises(ProtocolViolation) as refused:
        decode_message(line)
    assert line.decode(errors="backslashreplace") in str(refused.value)


def test_a_long_bad_line_is_shown_in_part() -> None:
    with pytest.raises(ProtocolViolation, match=r"… \(100000 bytes\)") as refused:
        decode_message(b"x" * 100_000)
    assert len(str(refused.value)) < 500


def test_a_request_that_is_none_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="not a request"):
        decode_request(b'{"id": 1}')


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    reader, chunk = Lines(), b"x" * (MAX_LINE_BYTES // 4)
    for _ in range(4):
        assert reader.feed(chunk) == []
    with pytest.raises(ProtocolViolation, match="16 MiB"):
        reader.feed(b"x")


def test_the_examples_of_the_documentation_are_the_protocol() -> None:
    lines = re.findall(r"^ +(->|<-) (\{.*\})(?:  .*)?$", wire.__doc__ or "", re.MULTILINE)
    assert len(lines) == 5
    for direction, line in lines:
        assert decode_request(line.encode()) if direction == "->" else decode_message(line.encode())
