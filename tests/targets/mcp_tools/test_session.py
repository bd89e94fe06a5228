"""The continuity of a conversation, without any process: lines and deaths in, actions out."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from support.mcp_kit import INITIALIZE, MODERN_META
from targets.mcp_tools import messages
from targets.mcp_tools.actions import Action, Begun, Ended, Forward, Note, Replace, Reply
from targets.mcp_tools.calls import Death
from targets.mcp_tools.quarantine import Quarantine
from targets.mcp_tools.session import LISTEN, Session

Json = dict[str, Any]
CRASH = Death(pid=1, status=3, stderr="boom")
KILL = Death(pid=1, status=-signal.SIGKILL)
EVERYTHING = 1 << 30
TOOLS = [
    {"name": "read", "annotations": {"readOnlyHint": True}},
    {"name": "again", "annotations": {"idempotentHint": True}},
    {"name": "resume", "_meta": {"bigfive/resumable": True}},
    {"name": "write", "annotations": None},
]


def line(**message: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode()


def call(id_: int | str, tool: str, **meta: object) -> bytes:
    return line(id=id_, method="tools/call", params={"name": tool, "arguments": {}, "_meta": {**MODERN_META, **meta}})


def answer(id_: int | str, **result: object) -> bytes:
    return line(id=id_, result=result)


def forwarded(actions: list[Action]) -> list[Json]:
    return [json.loads(action.line) for action in actions if isinstance(action, Forward)]


def replied(actions: list[Action]) -> list[Json]:
    return [json.loads(action.line) for action in actions if isinstance(action, Reply)]


@pytest.fixture
def session() -> Session:
    """A session whose server is up, and whose tools are known."""
    session = Session(Quarantine())
    session.server_up()
    session.client(line(id="list", method="tools/list", params={"_meta": MODERN_META}))
    session.server(answer("list", tools=TOOLS))
    return session


def test_a_call_is_journaled_before_it_is_forwarded_and_ended_after_its_answer(session: Session) -> None:
    begun, forward = session.client(call(1, "write"))
    assert isinstance(begun, Begun)
    assert isinstance(forward, Forward)
    assert begun.about == {"method": "tools/call", "tool": "write", "id": 1}
    reply, ended = session.server(answer(1))
    assert isinstance(reply, Reply)
    assert ended == Ended(begun.number, "answered")


def test_what_is_only_read_is_not_journaled(session: Session) -> None:
    assert [type(action) for action in session.client(line(id=1, method="resources/list"))] == [Forward]
    assert [type(action) for action in session.client(call(2, "read"))] == [Forward]
    assert [type(action) for action in session.client(call(3, "again"))] == [Begun, Forward]


def test_lines_pass_unchanged_but_for_the_identity_of_calls(session: Session) -> None:
    listing = b'{"id":7, "method":"tools/list" ,"params":{"x":1.50}}'
    assert session.client(listing) == [Forward(listing + b"\n")]
    odd = b'{"id":7, "result" : {"tools":[], "n":1.50}}'
    assert session.server(odd) == [Reply(odd + b"\n")]
    meta = forwarded(session.client(call(8, "read", x=1)))[0]["params"]["_meta"]
    assert meta == {**MODERN_META, "x": 1, "bigfive/call": meta["bigfive/call"]}


@pytest.mark.parametrize("tool", ["read", "again", "resume"])
def test_a_safe_call_is_sent_again_with_its_identity_and_answered_under_its_id(session: Session, tool: str) -> None:
    first = forwarded(session.client(call(1, tool)))
    assert session.server_down(CRASH, EVERYTHING) == []
    assert forwarded(session.server_up()) == first
    assert replied(session.server(answer(1, x=2))) == [{"jsonrpc": "2.0", "id": 1, "result": {"x": 2}}]


def test_an_unsafe_call_that_was_read_fails_at_once_and_says_that_it_may_have_been_executed(session: Session) -> None:
    session.client(call(1, "write"))
    (error,) = replied(session.server_down(CRASH, EVERYTHING))
    assert error["id"] == 1
    assert error["error"]["code"] == messages.INTERRUPTED
    assert error["error"]["data"] == {
        "maybe_executed": True,
        "deaths": [{"pid": 1, "status": 3, "stderr": "boom"}],
    }
    assert forwarded(session.server_up()) == []


def test_an_unsafe_call_whose_last_byte_was_not_read_is_sent_again(session: Session) -> None:
    actions = session.client(call(1, "write"))
    given = sum(len(action.line) for action in actions if isinstance(action, Forward))
    listing = len(line(id="list", method="tools/list", params={"_meta": MODERN_META})) + 1
    assert session.server_down(CRASH, listing + given - 1) == []
    assert [message["id"] for message in forwarded(session.server_up())] == [1]


def test_calls_that_come_while_there_is_no_server_wait_for_the_next_in_order(session: Session) -> None:
    session.client(call(1, "read"))
    session.server_down(CRASH, EVERYTHING)
    for id_ in (2, 3):
        assert session.client(call(id_, "write")) == []
    session.client(line(method="notifications/x"))
    assert [message.get("id") for message in forwarded(session.server_up())] == [1, 2, 3, None]


def test_an_unknown_tool_is_looked_up_with_the_replacement_before_it_is_judged() -> None:
    session = Session(Quarantine())
    session.server_up()
    session.client(call(1, "read"))
    session.client(call(2, "write"))
    assert session.server_down(CRASH, EVERYTHING) == []
    (question,) = forwarded(session.server_up())
    assert question["method"] == "tools/list"
    assert question["params"]["_meta"] == MODERN_META
    (following,) = forwarded(session.server(answer(question["id"], tools=TOOLS[:1], nextCursor="more")))
    assert following["params"]["cursor"] == "more"
    actions = session.server(answer(following["id"], tools=TOOLS[1:]))
    assert [message["id"] for message in forwarded(actions)] == [1]
    assert [message["error"]["data"]["maybe_executed"] for message in replied(actions)] == [True]


def test_a_server_that_does_not_list_its_tools_is_never_replayed_to() -> None:
    session = Session(Quarantine())
    session.server_up()
    session.client(call(1, "read"))
    session.server_down(CRASH, EVERYTHING)
    (question,) = forwarded(session.server_up())
    actions = session.server(line(id=question["id"], error={"code": -32601, "message": "no"}))
    assert replied(actions)[0]["error"]["code"] == messages.INTERRUPTED


def test_a_key_makes_a_call_safe_only_where_the_server_says_that_it_honours_keys(session: Session) -> None:
    session.client(call(1, "write", **{"bigfive/idempotencyKey": "k"}))
    assert replied(session.server_down(CRASH, EVERYTHING))
    session.server_up()
    session.client(line(id=2, method="server/discover", params={"_meta": MODERN_META}))
    session.server(answer(2, capabilities={"tools": {"idempotency": {}}}))
    session.client(call(3, "write", **{"bigfive/idempotencyKey": "k"}))
    keyed = {"name": "write", "idempotencyKey": "k", "_meta": MODERN_META}
    session.client(line(id=4, method="tools/call", params=keyed))
    session.client(call(5, "write"))
    assert [error["id"] for error in replied(session.server_down(CRASH, EVERYTHING))] == [5]
    assert [message["id"] for message in forwarded(session.server_up())] == [3, 4]


def test_answers_unlike_any_known_teach_nothing() -> None:
    session = Session(Quarantine())
    session.server_up()
    for id_, method, result in ((1, "server/discover", {"capabilities": 7}), (2, "tools/list", {"tools": 7})):
        session.client(line(id=id_, method=method, params={"_meta": MODERN_META}))
        assert replied(session.server(answer(id_, **result)))[0]["result"] == result
    session.client(call(3, "read"))
    assert replied(session.server_down(CRASH, EVERYTHING))[0]["error"]["code"] == messages.INTERRUPTED


def test_a_listing_that_changed_is_not_believed_any_more(session: Session) -> None:
    session.client(call(1, "read"))
    session.server(line(method="notifications/tools/list_changed"))
    session.server_down(CRASH, EVERYTHING)
    assert [message["method"] for message in forwarded(session.server_up())] == ["tools/list"]


class TestHandshake:
    @pytest.fixture
    def session(self) -> Session:
        """A session after a handshake, with a log level and a subscription."""
        session = Session(Quarantine())
        session.server_up()
        session.client(line(id=0, method="initialize", params=INITIALIZE))
        session.server(answer(0, protocolVersion="2025-06-18", capabilities={}))
        session.client(line(method="notifications/initialized"))
        for id_, method, params in (
            (1, "logging/setLevel", {"level": "debug"}),
            (2, "resources/subscribe", {"uri": "a"}),
            (3, "resources/subscribe", {"uri": "b"}),
            (4, "resources/unsubscribe", {"uri": "a"}),
        ):
            session.client(line(id=id_, method=method, params=params))
            session.server(answer(id_))
        return session

    def test_a_replacement_is_told_what_the_last_one_knew_and_the_client_hears_none_of_it(
        self, session: Session
    ) -> None:
        session.client(line(id=9, method="ping"))
        session.server_down(CRASH, EVERYTHING)
        (greeting,) = forwarded(session.server_up())
        assert (greeting["method"], greeting["params"]) == ("initialize", INITIALIZE)
        assert session.client(line(id=10, method="ping")) == []
        actions = session.server(answer(greeting["id"], protocolVersion="2025-06-18", capabilities={}))
        told = forwarded(actions)
        assert [(m["method"], m.get("params", {}).get("uri")) for m in told] == [
            ("notifications/initialized", None),
            ("logging/setLevel", None),
            ("resources/subscribe", "b"),
            ("ping", None),
            ("ping", None),
        ]
        assert replied(actions) == []
        assert replied(session.server(answer(told[1]["id"]))) == []
        assert [m["id"] for m in replied(session.server(answer(9)))] == [9]

    def test_a_replacement_that_refuses_the_handshake_is_replaced(self, session: Session) -> None:
        session.server_down(CRASH, EVERYTHING)
        (greeting,) = forwarded(session.server_up())
        actions = session.server(line(id=greeting["id"], error={"code": -1, "message": "no"}))
        assert [type(action) for action in actions] == [Replace]

    def test_a_handshake_that_was_not_answered_is_sent_again_with_what_followed_it(self) -> None:
        session = Session(Quarantine())
        session.client(line(id=0, method="initialize", params=INITIALIZE))
        session.client(line(method="notifications/initialized"))
        session.client(line(id=1, method="ping"))
        methods = ["initialize", "notifications/initialized", "ping"]
        assert [message["method"] for message in forwarded(session.server_up())] == methods
        session.server_down(CRASH, EVERYTHING)
        assert [message["method"] for message in forwarded(session.server_up())] == methods

    def test_a_confirmation_that_comes_between_two_servers_is_said_once(self) -> None:
        session = Session(Quarantine())
        session.server_up()
        session.client(line(id=0, method="initialize", params=INITIALIZE))
        session.server(answer(0))
        session.server_down(CRASH, EVERYTHING)
        assert session.client(line(method="notifications/initialized")) == []
        (greeting,) = forwarded(session.server_up())
        told = forwarded(session.server(answer(greeting["id"])))
        assert [message["method"] for message in told] == ["notifications/initialized"]

    def test_questions_of_a_dead_server_are_withdrawn_and_answers_to_them_dropped(self, session: Session) -> None:
        assert replied(session.server(line(id="q", method="sampling/createMessage")))[0]["id"] == "q"
        (withdrawn,) = replied(session.server_down(CRASH, EVERYTHING))
        assert withdrawn["method"] == "notifications/cancelled"
        assert withdrawn["params"]["requestId"] == "q"
        session.server_up()
        assert session.client(answer("q")) == []

    def test_questions_of_a_living_server_are_answered(self, session: Session) -> None:
        session.server(line(id="q", method="roots/list"))
        assert forwarded(session.client(answer("q")))[0]["id"] == "q"
        assert session.client(answer("q")) == []

    def test_the_sign_of_life_is_a_ping(self, session: Session) -> None:
        (probe,) = forwarded(session.probe())
        assert probe["method"] == "ping"
        assert session.unanswered_probes == 1
        assert session.server(line(id=probe["id"], error={"code": -32601, "message": "what?"})) == []
        assert session.unanswered_probes == 0


def test_the_sign_of_life_of_the_stateless_era_carries_its_envelope(session: Session) -> None:
    (probe,) = forwarded(session.probe())
    assert (probe["method"], probe["params"]["_meta"]) == ("server/discover", MODERN_META)


def test_nobody_is_probed_before_the_era_is_known() -> None:
    session = Session(Quarantine())
    session.server_up()
    assert session.probe() == []


class TestCancellation:
    def test_a_cancelled_call_is_not_replayed_not_answered_and_not_failed(self, session: Session) -> None:
        session.client(call(1, "read"))
        told = forwarded(session.client(line(method="notifications/cancelled", params={"requestId": 1})))
        assert told[0]["params"]["requestId"] == 1
        assert session.server_down(CRASH, EVERYTHING) == []
        assert session.server_up() == []

    def test_a_late_answer_to_a_cancelled_call_is_dropped(self, session: Session) -> None:
        session.client(call(0, "read"))
        session.client(line(method="notifications/cancelled", params={"requestId": 0}))
        assert replied(session.server(answer(0))) == []

    def test_a_call_that_no_server_has_seen_is_cancelled_without_one(self, session: Session) -> None:
        session.server_down(CRASH, EVERYTHING)
        session.client(call(1, "write"))
        session.client(line(method="notifications/cancelled", params={"requestId": 1}))
        assert session.server_up() == []


class TestProgress:
    def progress(self, session: Session, *values: float) -> list[float]:
        heard = []
        for value in values:
            told = line(method="notifications/progress", params={"progressToken": "t", "progress": value})
            heard += [message["params"]["progress"] for message in replied(session.server(told))]
        return heard

    def test_it_is_heard_as_it_comes_until_a_server_dies(self, session: Session) -> None:
        session.client(call(1, "read", progressToken="t"))
        assert self.progress(session, 1, 2, 2, 3) == [1, 2, 2, 3]

    def test_a_replayed_call_is_heard_only_where_it_is_news(self, session: Session) -> None:
        session.client(call(1, "read", progressToken="t"))
        self.progress(session, 1, 2, 3)
        session.server_down(CRASH, EVERYTHING)
        session.server_up()
        assert self.progress(session, 1, 2, 3, 4, 4, 5) == [4, 5]

    def test_that_of_nobody_is_passed_on(self, session: Session) -> None:
        assert self.progress(session, 1) == [1]

    def test_without_a_value_it_is_passed_on(self, session: Session) -> None:
        session.client(call(1, "read", progressToken="t"))
        told = line(method="notifications/progress", params={"progressToken": "t"})
        assert len(replied(session.server(told))) == 1


class TestQuarantine:
    def kill(self, session: Session, death: Death = CRASH) -> list[Action]:
        actions = session.server_down(death, EVERYTHING)
        return actions + session.server_up()

    def test_a_call_that_kills_the_server_again_and_again_is_refused_with_its_evidence(self, session: Session) -> None:
        session.client(call(1, "again"))
        assert not any(replied(self.kill(session)) for _ in range(2))
        actions = self.kill(session)
        (error,) = replied(actions)
        assert error["error"]["code"] == messages.QUARANTINED
        assert error["error"]["data"]["maybe_executed"] is True
        assert len(error["error"]["data"]["deaths"]) == 3
        assert [action.event for action in actions if isinstance(action, Note)] == ["call.quarantined"]

    def test_the_same_call_is_refused_later_and_another_is_not(self, session: Session) -> None:
        session.client(call(1, "again"))
        for _ in range(3):
            self.kill(session)
        (refused,) = replied(session.client(call(2, "again", other="meta")))
        assert refused["error"]["code"] == messages.QUARANTINED
        assert refused["error"]["data"]["maybe_executed"] is False
        assert forwarded(session.client(call(3, "read")))

    def test_kills_from_outside_weigh_a_third(self, session: Session) -> None:
        session.client(call(1, "again"))
        assert not any(replied(self.kill(session, KILL)) for _ in range(8))
        assert replied(self.kill(session, KILL))

    def test_a_hang_weighs_like_a_crash(self, session: Session) -> None:
        session.client(call(1, "again"))
        hung = Death(pid=1, status=-signal.SIGKILL, why="blocked")
        assert not any(replied(self.kill(session, hung)) for _ in range(2))
        assert replied(self.kill(session, hung))[0]["error"]["data"]["deaths"][0]["why"] == "blocked"

    def test_a_call_that_gets_further_each_time_is_no_poison(self, session: Session) -> None:
        session.client(call(1, "again", progressToken="t"))
        for step in range(10):
            told = line(method="notifications/progress", params={"progressToken": "t", "progress": step})
            session.server(told)
            assert replied(self.kill(session)) == []

    def test_suspects_run_alone_so_that_the_innocent_is_not_convicted(self, session: Session) -> None:
        for id_, tool in ((1, "read"), (2, "again"), (3, "resume")):
            session.client(call(id_, tool))
        assert [m["id"] for m in forwarded(self.kill(session))] == [1, 2, 3]
        assert [m["id"] for m in forwarded(self.kill(session))] == [1]
        assert [m["id"] for m in forwarded(session.server(answer(1)))] == [2]
        actions = self.kill(session)
        assert [m["id"] for m in replied(actions)] == [2]
        assert [m["id"] for m in forwarded(actions)] == [3]

    def test_a_subscription_is_never_to_blame(self, session: Session) -> None:
        session.client(line(id=1, method=LISTEN, params={"_meta": MODERN_META}))
        for _ in range(20):
            assert [m["id"] for m in forwarded(self.kill(session))] == [1]
        assert forwarded(session.client(call(2, "read")))

    def test_a_sentence_ends(self) -> None:
        now = 0.0
        session = Session(Quarantine(10.0, lambda: now), deaths_allowed=1)
        session.server_up()
        session.client(call(1, "again"))
        assert replied(self.kill(session))
        now = 10.0
        assert forwarded(session.client(call(2, "again")))

    def test_it_remembers_a_bounded_number_of_calls(self) -> None:
        quarantine = Quarantine()
        session = Session(quarantine, deaths_allowed=1)
        session.server_up()
        for id_ in range(300):
            session.client(call(id_, f"tool{id_}"))
            self.kill(session)
        assert len(quarantine) == 256


class TestOutage:
    def test_everything_is_answered_at_once_until_a_server_is_up_again(self, session: Session) -> None:
        session.client(call(1, "read"))
        session.server_down(CRASH, EVERYTHING)
        session.client(call(2, "write"))
        errors = replied(session.outage("no luck"))
        assert [(e["id"], e["error"]["data"]["maybe_executed"]) for e in errors] == [(1, True), (2, False)]
        (error,) = replied(session.client(call(3, "read")))
        assert error["error"]["code"] == messages.UNAVAILABLE
        assert "no luck" in error["error"]["message"]
        assert error["error"]["data"]["deaths"][0]["stderr"] == "boom"
        session.server_up()
        assert forwarded(session.client(call(4, "read")))


def test_an_id_that_is_in_use_is_refused_without_answering_the_other_request(session: Session) -> None:
    session.client(call(1, "read"))
    (error,) = replied(session.client(call(1, "read")))
    assert error["id"] is None
    assert forwarded(session.client(call("1", "read")))


def test_garbage_from_either_side_goes_no_further(session: Session) -> None:
    assert replied(session.client(b"what?"))[0]["error"]["code"] == messages.PARSE_ERROR
    (note,) = session.server(b"Listening on port 8000")
    assert isinstance(note, Note)
    assert note.event == "server.garbage"


def test_an_answer_to_nobody_is_noted_and_dropped(session: Session) -> None:
    assert [type(action) for action in session.server(answer(99))] == [Note]


def test_an_answer_that_is_too_long_fails_its_request(session: Session) -> None:
    session.client(call(1, "read"))
    actions = session.too_long(b'{"jsonrpc":"2.0","id":1,"result":{"x":"')
    assert replied(actions)[0]["id"] == 1
    assert replied(session.too_long(b"{")) == []


def test_what_waits_is_counted(session: Session) -> None:
    assert session.waiting_bytes == 0
    session.server_down(CRASH, EVERYTHING)
    session.client(call(1, "read"))
    session.client(line(method="notifications/x"))
    assert session.waiting_bytes > len(call(1, "read")) + len(line(method="notifications/x"))
