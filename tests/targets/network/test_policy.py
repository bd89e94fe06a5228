"""The allow-list: what its text means, exactly, and why it is refused."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.network.errors import BadPolicy
from targets.network.policy import NEVER, AllowList, Box, Entry

POOL = IPv4Network("10.220.0.0/16")

ports = st.tuples(st.integers(1, 12), st.integers(0, 4)).map(lambda drawn: (drawn[0], drawn[0] + drawn[1]))
hosts = st.tuples(st.integers(0, 31), st.integers(27, 32)).map(
    lambda drawn: str(IPv4Network((int(IPv4Address("203.0.113.0")) + drawn[0], drawn[1]), strict=False))
)
entries = st.one_of(
    st.builds(lambda host, span, kind: Entry(host, kind, *span), hosts, ports, st.sampled_from(["tcp", "udp"])),
    st.builds(lambda host: Entry(host, "icmp", 0, 0), hosts),
)
policies = st.lists(entries, max_size=8).map(lambda drawn: AllowList(tuple(sorted(set(drawn)))))


Point = tuple[str, int, int]


def points(entry: Entry) -> Iterator[Point]:
    for address in IPv4Network(entry.host):
        for port in range(entry.first_port, entry.last_port + 1):
            yield entry.protocol, int(address), port


def inside(box: Box) -> Iterator[Point]:
    for address in range(box.first, box.last + 1):
        for port in range(box.first_port, box.last_port + 1):
            yield box.protocol, address, port


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("198.51.100.10:9000", Entry("198.51.100.10/32", "tcp", 9000, 9000)),
        ("203.0.113.0/24:80-90/udp", Entry("203.0.113.0/24", "udp", 80, 90)),
        ("203.0.113.0/24/icmp", Entry("203.0.113.0/24", "icmp", 0, 0)),
        ("API.example.test.:443", Entry("api.example.test", "tcp", 443, 443)),
        (" 198.51.100.10:1-65535/tcp ", Entry("198.51.100.10/32", "tcp", 1, 65535)),
    ],
)
def test_an_entry_means_what_it_says(text: str, meant: Entry) -> None:
    assert AllowList.of([text]).entries == (meant,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[2001:db8::1]:443", "IPv6 .* tasks have no IPv6"),
        ("2001:db8::1/64", "IPv6"),
        ("198.51.100.10", "port is missing.*198.51.100.10:443"),
        ("198.51.100.10:", "port is missing"),
        ("198.51.100.10:0", "got '0'"),
        ("198.51.100.10:90-80", "got '90-80'"),
        ("198.51.100.10:65536", "from 1 to 65535"),
        ("198.51.100.10:٣", "ports are none"),
        ("198.51.100.10:80/sctp", "'sctp'; use one of tcp, udp, icmp"),
        ("198.51.100.10:8/icmp", "ICMP has no ports, got 8; write 198.51.100.10/icmp"),
        ("198.51.100.300:80", "address is none"),
        ("198.51.100.0/33:80", "address is none"),
        ("203.0.113.7/24:80", "write 203.0.113.0/24"),
        ("169.254.169.254:80", "169.254.0.0/16 is never reachable .*metadata"),
        ("0.0.0.0/0:443", "is never reachable"),
        ("127.0.0.1:80", "loopback"),
        ("224.0.0.251:5353/udp", "multicast"),
        ("255.255.255.255:67/udp", "broadcast"),
        ("10.220.3.1:53/udp", "where the tasks themselves are"),
        ("*.example.test:443", "a name must be exact"),
        ("-x.example.test:443", "the name is none"),
        (":443", "the name is none"),
        ("localhost:443", "stands for an address or this host"),
        ("0x7f000001:443", "stands for an address or this host"),
        ("a" * 64 + ".test:443", "the name is none"),
    ],
)
def test_what_cannot_be_granted_is_refused_with_its_reason(text: str, words: str) -> None:
    with pytest.raises(BadPolicy, match=words) as caught:
        AllowList.of([text], [POOL])
    assert caught.value.problems[0].entry == text


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadPolicy) as caught:
        AllowList.of(["198.51.100.10", "198.51.100.10:9000", "::1", "*.test:1"])
    assert [each.entry for each in caught.value.problems] == ["198.51.100.10", "::1", "*.test:1"]
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems  # noqa: S301  our own


@given(policies)
def test_an_allow_list_survives_being_written_and_read(policy: AllowList) -> None:
    assert AllowList.of(policy.texts()) == policy


@given(policies)
def test_the_boxes_hold_exactly_what_the_entries_do_and_never_overlap(policy: AllowList) -> None:
    wanted = {point for each in policy.entries for point in points(each)}
    held = [point for box in policy.boxes() for point in inside(box)]
    assert sorted(held) == sorted(wanted)


@given(policies, policies)
def test_what_is_taken_away_again_leaves_what_there_was(one: AllowList, other: AllowList) -> None:
    assert one.with_(other).without(other) == one.without(other)
    assert one.without(AllowList()).with_(one) == one


@given(st.sampled_from(list(NEVER)), st.integers(0, 32), st.integers(0, 2**32 - 1))
def test_no_range_reaches_into_what_is_never_reachable(never: IPv4Network, prefix: int, offset: int) -> None:
    inside = int(never.network_address) + offset % never.num_addresses
    network = IPv4Network((inside, prefix), strict=False)
    with pytest.raises(BadPolicy, match="never reachable"):
        AllowList.of([f"{network}:443"])
