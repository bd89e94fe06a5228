"""The frame around a record guards every bit of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from targets.state import frames

bodies = st.binary(max_size=40).map(lambda body: body.replace(b"\n", b" "))


@given(st.lists(bodies))
def test_what_was_framed_is_found_again_in_order(written: list[bytes]) -> None:
    data = b"".join(frames.encode(body)[0] for body in written)
    found, gaps = frames.scan(data)
    assert [frame.body for frame in found] == written
    assert gaps == []


@given(bodies, bodies, st.data())
def test_a_flipped_bit_makes_its_own_frame_invalid_and_no_other(one: bytes, other: bytes, data: st.DataObject) -> None:
    first, _ = frames.encode(one)
    second, digest = frames.encode(other)
    bit = data.draw(st.integers(0, len(first) * 8 - 1))
    damaged = bytearray(first)
    damaged[bit // 8] ^= 1 << bit % 8
    found, gaps = frames.scan(bytes(damaged) + second)
    assert [frame.digest for frame in found] == [digest]
    assert gaps == [frames.Gap(0, len(first))]


@given(bodies, st.binary(max_size=200))
def test_a_frame_is_found_behind_any_garbage(body: bytes, garbage: bytes) -> None:
    frame, digest = frames.encode(body)
    found, _ = frames.scan(garbage + frame)
    assert found[-1].digest == digest


def test_a_frame_is_found_behind_digits_that_look_like_the_beginning_of_one() -> None:
    frame, digest = frames.encode(b"{}")
    decoy = b"00000002 " + b"a" * 56
    found, _ = frames.scan(decoy + frame)
    assert [each.digest for each in found] == [digest]


@given(bodies)
def test_every_proper_beginning_of_a_frame_looks_like_an_interrupted_append(body: bytes) -> None:
    frame, _ = frames.encode(body)
    assert all(frames.is_beginning(frame[:length]) for length in range(len(frame)))
    assert not frames.is_beginning(frame)


def test_garbage_and_a_whole_frame_with_a_wrong_hash_do_not_look_like_an_interrupted_append() -> None:
    frame, _ = frames.encode(b"body")
    assert not frames.is_beginning(b"garbage")
    assert not frames.is_beginning(frame.replace(b"body", b"bodi"))


def test_uppercase_digits_are_refused_though_they_mean_the_same_number() -> None:
    frame, _ = frames.encode(b"x" * 10)
    assert frames.frame_at(frame.replace(b"0000000a", b"0000000A", 1), 0) is None
