"""The rules, as text and in a kernel of their own: they hold exactly what the policy allows, and can be repeated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets.network import rules
from targets.network.claims import Claim, Link, Member
from targets.network.policy import AllowList, Box, Entry
from targets.network.settings import Settings

SETTINGS = Settings()
PLAIN = Claim(task="one", label="", subnet="10.220.0.16/28", network="task-one")
FULL = Claim(
    task="one",
    label="",
    subnet="10.220.0.16/28",
    network="task-one",
    allow=("198.51.100.10:9000", "203.0.113.0/24:80-90/udp", "203.0.113.0/25:85/udp", "203.0.113.1/icmp"),
    members=(
        Member(container="a", address="10.220.0.18", mac="02:42:0a:dc:00:12"),
        Member(container="b", address="10.220.0.19", mac="02:42:0a:dc:00:13"),
    ),
    links=(
        Link(source="a", target="b", protocol="tcp", port=9000),
        Link(source="a", target="gone", protocol="tcp", port=9001),
    ),
)
# Applies what comes on standard input, one JSON text a line, and prints the whole rule set after each.
APPLY = """
import json, subprocess, sys
from targets.network.nft import Nft
nft = Nft(by_program=sys.argv[1] == "program")
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for line in sys.stdin:
    nft.apply(json.loads(line))
    print(json.dumps(subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout))
"""

hosts = st.tuples(st.integers(0, 255), st.integers(24, 32)).map(lambda drawn: f"203.0.113.{drawn[0]}/{drawn[1]}")
entries = st.one_of(
    st.builds(
        lambda host, first, more, protocol: Entry(host, protocol, first, min(first + more, 65535)),
        hosts,
        st.integers(1, 65535),
        st.integers(0, 300),
        st.sampled_from(["tcp", "udp"]),
    ),
    st.builds(lambda host: Entry(host, "icmp", 0, 0), hosts),
)


def _whole(entry: Entry) -> str:
    from ipaddress import IPv4Network  # noqa: PLC0415

    network = IPv4Network(entry.host, strict=False)
    return str(Entry(str(network), entry.protocol, entry.first_port, entry.last_port))


policies = st.lists(entries, max_size=8).map(lambda drawn: AllowList.of(map(_whole, drawn)))


def held(text: str) -> set[Box]:
    """Return what the text puts into a task's sets, read back from it."""
    found: set[Box] = set()
    for kind, elements in re.findall(r"^add element inet bigfive (allow|pings)_\w+ \{ (.*) \}$", text, re.MULTILINE):
        for element in elements.split(", "):
            addresses, *rest = element.split(" . ")
            protocol, ports = rest if kind == "allow" else ("icmp", "0")
            spans = [each.partition("-") for each in (addresses, ports)]
            (first, _, last), (low, _, high) = spans
            found.add(Box(protocol, int(low), int(high or low), _number(first), _number(last or first)))
    return found


def _number(address: str) -> int:
    return int(IPv4Address(address))


def ordered(text: str) -> str:
    """Return a rule set with the elements of each set in order: the kernel lists them in any."""
    return re.sub(
        r"elements = \{([^}]*)\}", lambda found: str(sorted(each.strip() for each in found[1].split(","))), text
    )


def claim(policy: AllowList) -> Claim:
    return Claim(task="one", label="", subnet="10.220.0.16/28", network="task-one", allow=tuple(policy.texts()))


@given(policies)
def test_the_text_opens_exactly_what_the_policy_allows(policy: AllowList) -> None:
    text = rules.task(SETTINGS, claim(policy))
    assert held(text) == set(policy.boxes())
    opening = [line for line in text.splitlines() if line.endswith("accept") and "hook" not in line]
    assert opening == [line for line in rules.task(SETTINGS, PLAIN).splitlines() if line in opening]


@given(policies, policies)
def test_a_change_touches_exactly_what_differs(before: AllowList, after: AllowList) -> None:
    text = rules.change(SETTINGS, claim(before), after)
    gone = held("\n".join(line.replace("delete", "add", 1) for line in text.splitlines() if line.startswith("delete")))
    new = held("\n".join(line for line in text.splitlines() if line.startswith("add")))
    assert (set(before.boxes()) - gone) | new == set(after.boxes())
    assert gone <= set(before.boxes())
    assert not new & set(before.boxes())


def test_every_name_of_a_task_ends_with_its_subnet() -> None:
    names = re.findall(r"^add (?:set|chain|counter) \w+ bigfive (\S+)", rules.task(SETTINGS, FULL), re.MULTILINE)
    shared = {"prerouting", "input", "forward", "never"}
    assert {name for name in names if not name.endswith(FULL.key)} == shared
    assert len(FULL.bridge) <= 15


def test_a_link_to_what_is_no_member_opens_nothing() -> None:
    text = rules.task(SETTINGS, FULL)
    assert "links_0adc0010 { 10.220.0.18 . 10.220.0.19 . tcp . 9000 }" in text
    assert "9001" not in text


@pytest.fixture(params=["library", "program"])
def apply(request: pytest.FixtureRequest, lacking: Callable[[str], None]) -> Callable[..., list[str]]:
    """Apply texts one after the other in a network namespace of their own; return the rule set after each."""
    if os.geteuid() != 0:
        lacking("needs root: rules belong to the host")

    def applied(*texts: str) -> list[str]:
        done = subprocess.run(
            ["unshare", "--net", sys.executable, "-c", APPLY, request.param],
            input="".join(f"{json.dumps(each)}\n" for each in texts),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return applied


@pytest.mark.chaos
def test_the_kernel_takes_every_text_again_in_any_state(apply: Callable[..., list[str]]) -> None:
    base, task, removal = rules.base(SETTINGS), rules.task(SETTINGS, FULL), rules.removal(SETTINGS, FULL)
    shared, once, twice, removed, again, over, still = apply(
        base, task, task, removal, removal, rules.base_removal(SETTINGS), rules.base_removal(SETTINGS)
    )
    assert once == twice
    assert "203.0.113.0/24 . udp . 80-90" in once
    assert removed == again == shared
    assert over == still == ""


@pytest.mark.chaos
def test_the_kernel_holds_the_same_after_a_change_as_after_a_new_task(apply: Callable[..., list[str]]) -> None:
    other = AllowList.of(["203.0.113.0/24:70-85/udp", "198.51.100.10:9000", "198.51.100.11:1-9"])
    goal = Claim(**{**vars(FULL), "allow": tuple(other.texts())})
    _, changed, fresh = apply(
        rules.task(SETTINGS, FULL), rules.change(SETTINGS, FULL, other), rules.task(SETTINGS, goal)
    )
    assert ordered(changed) == ordered(fresh)


@pytest.mark.chaos
def test_what_nft_refuses_is_explained_and_changes_nothing(apply: Callable[..., list[str]]) -> None:
    unknown = AllowList.of(["198.51.100.12:9"])
    with pytest.raises(AssertionError, match=r"KernelRefused: nft refused: .*(No such file|does not exist)"):
        apply(rules.task(SETTINGS, FULL), rules.change(SETTINGS, claim(unknown), AllowList()))
    with pytest.raises(AssertionError, match="needs root"):
        apply("nonsense")
