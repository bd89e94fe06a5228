"""Where two files begin to differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from targets.state.diagnosis import first_difference

few = st.text("ab", max_size=9).map(str.encode)


@given(few, few, few)
def test_up_to_the_first_difference_both_are_the_same_and_there_they_are_not(
    same: bytes, one: bytes, other: bytes
) -> None:
    one, other = same + one, same + other
    at = first_difference(one, other)
    assert one[:at] == other[:at]
    assert at == min(len(one), len(other)) or one[at] != other[at]
