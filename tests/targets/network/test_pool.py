"""The pool: two tasks never share an address, nor does a task share one with what the host has already."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.network.errors import BadRequest, PoolExhausted
from targets.network.pool import pick
from targets.network.settings import Settings

POOL = IPv4Network("10.220.0.0/24")
START = int(POOL.network_address) - 512
foreign = st.lists(
    st.tuples(st.integers(0, 1279), st.integers(20, 32)).map(
        lambda drawn: IPv4Network((START + drawn[0], drawn[1]), strict=False)
    ),
    max_size=12,
)


@given(foreign, st.integers(26, 29))
def test_every_free_subnet_is_given_once_and_nothing_else(taken: list[IPv4Network], prefix: int) -> None:
    free = [each for each in POOL.subnets(new_prefix=prefix) if not any(map(each.overlaps, taken))]
    given_out: list[IPv4Network] = []
    while len(given_out) < len(free):
        given_out.append(pick(POOL, prefix, [*taken, *given_out]))
    assert given_out == free
    with pytest.raises(PoolExhausted, match=r"no subnet .* is free in 10\.220\.0\.0/24; destroy tasks"):
        pick(POOL, prefix, [*taken, *given_out])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prefix": 30}, "from 20 to 29"),
        ({"prefix": 24, "pool": IPv4Network("10.220.0.0/26")}, "not shorter than the pool's"),
        ({"table": "big five"}, "'big five'"),
        ({"mark": 0x1}, "upper eight bits"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        Settings(**options)
