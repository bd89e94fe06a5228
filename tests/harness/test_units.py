"""Units: what is printed reads back as the very same number, and what could be misread is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.units import Bandwidth, Rate, Seconds, Shift, Size

Quantity = type[Seconds] | type[Size] | type[Rate] | type[Bandwidth]
POSITIVE = st.floats(0, 1e15, allow_subnormal=False)


@given(POSITIVE)
def test_a_duration_reads_back(number: float) -> None:
    assert Seconds.parse(str(Seconds(number))) == number


@given(POSITIVE)
def test_a_rate_reads_back(number: float) -> None:
    assert Rate.parse(str(Rate(number))) == number


@given(st.integers(0))
def test_a_size_reads_back_however_large(number: int) -> None:
    assert Size.parse(str(Size(number))) == number


@given(st.integers(0))
def test_a_bandwidth_reads_back(number: int) -> None:
    assert Bandwidth.parse(str(Bandwidth(number))) == number


@given(st.floats(-1e15, 1e15, allow_subnormal=False))
def test_a_shift_reads_back_with_its_sign(number: float) -> None:
    assert str(Shift(number))[0] in "+-"
    assert Shift.parse(str(Shift(number))) == number


@pytest.mark.parametrize("kind", [Seconds, Size, Rate, Bandwidth])
@given(number=st.integers(0, 10**6), data=st.data())
def test_a_whole_number_of_any_unit_is_read_exactly(kind: Quantity, number: int, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(sorted(kind.units)))
    assert kind.parse(f"{number}{unit}") == kind(number * kind.units[unit])
    assert kind.parse(f" {number} {unit} ") == kind.parse(f"{number}{unit}")


@pytest.mark.parametrize(
    ("text", "printed"),
    [("5s", "5s"), ("0.2s", "200ms"), ("120s", "2m"), ("90m", "90m"), ("0s", "0s"), ("570ms", "570ms"), ("1us", "1us")],
)
def test_a_duration_is_printed_in_the_largest_unit_that_fits(text: str, printed: str) -> None:
    assert str(Seconds.parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [("512MiB", "512MiB"), ("1024 KiB", "1MiB"), ("1kB", "1000B"), ("1.5KiB", "1536B"), ("0B", "0B")],
)
def test_a_size_is_printed_in_the_largest_binary_unit_that_fits(text: str, printed: str) -> None:
    assert str(Size.parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "printed"), [("50/s", "50/s"), ("1/min", "1/min"), ("60/min", "1/s"), ("0.3/s", "18/min")]
)
def test_a_rate_is_printed_a_second_where_that_is_whole(text: str, printed: str) -> None:
    assert str(Rate.parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "printed"), [("+1h", "+1h"), ("-10min", "-10m"), ("+90s", "+90s"), ("-0.5s", "-500ms"), ("+0s", "+0s")]
)
def test_a_shift_is_printed_as_a_duration_is(text: str, printed: str) -> None:
    assert str(Shift.parse(text)) == printed


@pytest.mark.parametrize("text", ["1h", "+-1h", "+ 1h", "1h+"])
def test_a_shift_without_its_sign_could_be_misread(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as \+1h"):
        Shift.parse(text)


@pytest.mark.parametrize("kind", [Seconds, Size, Rate, Bandwidth])
@pytest.mark.parametrize("text", ["5", "", "s", "-5s", "1e3s", "5 parsecs", "5s5", 5, 5.0, None, True])
def test_what_could_be_misread_is_refused_with_the_units_and_an_example(kind: Quantity, text: object) -> None:
    with pytest.raises(ValueError, match="expected a number with a unit") as refused:
        kind.parse(text)
    assert kind.example in str(refused.value)


@pytest.mark.parametrize("kind", [Seconds, Rate])
def test_a_number_too_large_is_refused_as_such(kind: Quantity) -> None:
    with pytest.raises(ValueError, match="expected a smaller number"):
        kind.parse(f"{'9' * 400}{next(iter(kind.units))}")


def test_a_quantity_is_its_own_text() -> None:
    assert Seconds.parse(Seconds(3)) == 3
