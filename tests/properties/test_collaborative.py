"""The success law: every acknowledged edit is in the document exactly once, or its writer holds a conflict.

Every edit has an identity that shows in the content: text that nobody else writes, or a bit that nobody else adds to a
counter. So what is present, lost or there twice can be read off the content, without the code under test.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from targets.locking import edits, merging
from targets.locking.merging import Answer, Rules
from targets.locking.operations import Operation, Submission, submission
from targets.locking.record import Document, changes, rewound
from targets.locking.refusals import BadSubmission, Rejected

Value = Any
AGENTS = ["ann", "ben", "cid"]
UNBOUNDED = Rules(log=10_000, dropped=10_000)

PLACES = {
    "set": ["/c", "/l", "/l/0", "/l/1", "/o", "/o/a", "/o/a/b", "/refs/main", "f"],
    "increment": ["/c", "/o/n", "/l/0"],
    "append": ["/l", "/o/a", "/l/1"],
    "delete": ["/c", "/l", "/l/0", "/l/1", "/o", "/o/a", "/refs/main", "f"],
    "write_file": ["f", "/o/f"],
    "move_ref": ["/refs/main"],
}
kinds = st.sampled_from([(op, path) for op, paths in PLACES.items() for path in paths])
steps = st.lists(
    st.tuples(st.sampled_from(AGENTS), st.integers(0, 6), st.lists(kinds, min_size=1, max_size=3)), max_size=25
)


@dataclass
class Acknowledged:
    submission: Submission
    answer: Answer
    applied: list[Operation]


@dataclass
class World:
    """Agents who submit edits with identities, on whatever version they please."""

    rules: Rules
    document: Document = field(default_factory=lambda: Document(agents=dict.fromkeys(AGENTS, 0)))
    acknowledged: list[Acknowledged] = field(default_factory=list)
    rejected: int = 0
    contents: list[Any] = field(default_factory=lambda: [{}])
    _bits: Iterator[int] = field(default_factory=itertools.count)
    _names: Iterator[int] = field(default_factory=itertools.count)

    def act(self, agent: str, behind: int, wishes: list[tuple[str, str]]) -> None:
        base = max(0, self.document.version - behind)
        wishes = [w for n, w in enumerate(wishes) if w not in wishes[:n] or w[0] != "delete"]  # others are told apart
        drawn = [self._operation(op, path, base) for op, path in wishes]
        asked = submission(agent, base, f"r{next(self._names)}", drawn)
        before = msgspec.json.encode(self.document)
        try:
            after, answer = merging.submit(self.document, asked, self.rules)
        except BadSubmission:
            return
        except Rejected:
            self.rejected += 1
            return
        finally:
            assert msgspec.json.encode(self.document) == before
        # Stored and read again, as by a backend.
        self.document = Document(**msgspec.json.decode(msgspec.json.encode(msgspec.structs.asdict(after))))
        kept = [conflict["mine"]["operation"] for conflict in answer.conflicts]
        applied = []
        for operation in asked.operations:
            plain = msgspec.to_builtins(operation)
            if plain in kept:
                kept.remove(plain)
            else:
                applied.append(operation)
        assert not kept
        self.acknowledged.append(Acknowledged(asked, answer, applied))
        self.contents.append(self.document.content)

    def _operation(self, op: str, path: str, base: int) -> dict[str, Any]:
        name = f"edit {next(self._names)}"
        members: dict[str, dict[str, Any]] = {
            "set": {"value": name},
            "increment": {"by": 1 << next(self._bits)},
            "append": {"item": name},
            "delete": {},
            "write_file": {"content": name},
            "move_ref": {"from": self.contents[base].get("refs", {}).get("main"), "to": name},
        }
        return {"op": op, "path": path, **members[op]}


def run(drawn: list[Any], rules: Rules) -> World:
    world = World(rules)
    for agent, behind, wishes in drawn:
        world.act(agent, behind, wishes)
    return world


def identities(value: Value) -> Counter[str]:
    """Name the edits that a value shows, each as often as it does."""
    if isinstance(value, dict):
        return sum((identities(member) for key, member in value.items() if key != "sha256"), Counter())
    if isinstance(value, list):
        return sum(map(identities, value), Counter())
    if isinstance(value, int):
        return Counter(f"bit {bit}" for bit in range(value.bit_length()) if value >> bit & 1)
    return Counter([value])


def made_by(operation: Operation) -> Counter[str]:
    plain = msgspec.to_builtins(operation)
    return identities([plain[key] for key in ("value", "by", "item", "content", "to") if key in plain])


@given(steps)
def test_versions_have_no_gaps_and_under_merge_nobody_is_refused(drawn: list[Any]) -> None:
    world = run(drawn, UNBOUNDED)
    assert world.rejected == 0
    assert [done.answer.version for done in world.acknowledged] == list(range(1, world.document.version + 1))


def check_that_nothing_is_lost_unseen(world: World, *, dropped: bool = False) -> None:
    """Replay what was applied, and see whose edits vanish: only the writer's own, or such as it had seen."""
    content: Any = {}
    origin: dict[str, Submission] = {}
    version_of: dict[str, int] = {}
    noted = {entry.get("version") for entry in world.document.dropped["entries"]}
    for done in world.acknowledged:
        for operation in done.applied:
            before, made = identities(content), made_by(operation)
            if not fits(content, operation):
                assert dropped
                assert done.answer.version in noted
                continue
            content, _ = edits.apply(content, operation)
            origin |= dict.fromkeys(made, done.submission)
            version_of |= dict.fromkeys(made, done.answer.version)
            after = identities(content)
            assert not after - before - made, "something came from nowhere"
            assert not made - after, "an acknowledged edit is not there"
            for name in before - after:
                seen = version_of[name] <= done.submission.base_version
                own = origin[name].agent == done.submission.agent
                assert seen or own or (dropped and version_of[name] in noted), f"{name} was lost"
        assert max(identities(content).values(), default=1) == 1, "an edit is there twice"
    assert content == world.document.content


def fits(content: Value, operation: Operation) -> bool:
    try:
        edits.apply(content, operation)
    except edits.DoesNotFit:
        return False
    return True


@given(steps)
def test_under_merge_every_edit_is_there_once_or_its_writer_holds_a_conflict(drawn: list[Any]) -> None:
    world = run(drawn, UNBOUNDED)
    check_that_nothing_is_lost_unseen(world)
    shown = [conflict["mine"]["operation"] for conflict in world.document.conflicts]
    kept = [op for done in world.acknowledged for op in done.submission.operations if op not in done.applied]
    assert [msgspec.to_builtins(operation) for operation in kept] == shown
    assert world.document.dropped["count"] == 0


@given(steps)
def test_what_reject_accepts_equals_a_serial_execution(drawn: list[Any]) -> None:
    world = run(drawn, msgspec.structs.replace(UNBOUNDED, policy="reject"))
    assert not world.document.conflicts
    check_that_nothing_is_lost_unseen(world)


@given(steps)
def test_under_last_write_wins_every_lost_edit_is_noted(drawn: list[Any]) -> None:
    world = run(drawn, msgspec.structs.replace(UNBOUNDED, policy="last_write_wins"))
    assert world.rejected == 0
    assert not world.document.conflicts
    assert world.document.dropped["count"] == len(world.document.dropped["entries"])
    check_that_nothing_is_lost_unseen(world, dropped=True)


@given(steps, st.sampled_from(merging.POLICIES), st.integers(1, 4))
def test_repeating_any_request_changes_nothing(drawn: list[Any], policy: merging.Policy, log: int) -> None:
    world = run(drawn, msgspec.structs.replace(UNBOUNDED, policy=policy, log=log))
    newest = {done.submission.agent: done for done in world.acknowledged}
    for done in world.acknowledged:
        again = merging.recall(world.document, done.submission)
        assert again == done.answer or (again is None and done is not newest[done.submission.agent])
        if again is None:  # forgotten; whatever its answer is now, it is not done twice
            try:
                after, _ = merging.submit(world.document, done.submission, world.rules)
            except Rejected:
                continue
            assert after.content == world.document.content


@given(steps)
def test_the_log_leads_back_to_every_version(drawn: list[Any]) -> None:
    world = run(drawn, UNBOUNDED)
    for version, content in enumerate(world.contents):
        assert rewound(world.document.content, world.document.since(version)) == content
        for change in changes(world.document, version):
            assert change["edits"]


@given(steps)
def test_a_log_that_ends_early_loses_nothing_either(drawn: list[Any]) -> None:
    world = run(drawn, msgspec.structs.replace(UNBOUNDED, log=2))
    assert world.rejected == 0
    assert len(world.document.log) <= 2
    check_that_nothing_is_lost_unseen(world)


commuting = st.lists(
    st.tuples(
        st.sampled_from(AGENTS),
        st.integers(0, 6),
        st.lists(
            st.sampled_from([("increment", "/c"), ("increment", "/o/n"), ("append", "/l")]), min_size=1, max_size=3
        ),
    ),
    max_size=15,
)


@given(commuting, st.randoms(use_true_random=False))
def test_operations_that_commute_never_conflict_and_give_the_same_in_any_order(
    drawn: list[Any], rng: random.Random
) -> None:
    world = run(drawn, UNBOUNDED)
    assert not world.document.conflicts
    shuffled = [done.submission for done in world.acknowledged]
    rng.shuffle(shuffled)
    other = Document(agents=dict.fromkeys(AGENTS, 0))
    for asked in shuffled:
        other, answer = merging.submit(other, msgspec.structs.replace(asked, base_version=0), UNBOUNDED)
        assert not answer.conflicts
    assert ordered(other.content) == ordered(world.document.content)


def ordered(content: dict[str, Any]) -> dict[str, Any]:
    return {key: sorted(value) if isinstance(value, list) else value for key, value in content.items()}
