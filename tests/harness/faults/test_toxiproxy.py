"""The client of Toxiproxy's API, before servers that misbehave: what the library would have believed, or waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.doctor import CAPABILITIES
from harness.errors import EnvironmentLacks, FaultNotProven
from harness.faults import _toxiproxy
from harness.faults._base import Undo
from harness.faults._toxiproxy import Proxy, Server, ServerGone
from harness.undo import UndoLog

Answering = Callable[[int | None, bytes], str]


class _Answering(BaseHTTPRequestHandler):
    """Answers everything as its server says: with a status, or not at all."""

    def do_GET(self) -> None:
        status, body = self.server.reply  # type: ignore[attr-defined]
        if status is None:
            self.server.released.wait(5)  # type: ignore[attr-defined]
            return
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[Answering]:
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int | None, body: bytes) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
        server.reply, server.released = (status, body), threading.Event()  # type: ignore[attr-defined]
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return ":".join(map(str, server.server_address))

    yield serve
    for server in servers:
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()


def test_a_server_that_fails_is_not_believed(answering: Answering) -> None:
    proxy = Proxy(answering(500, b"out of order"), "link")
    for act in (proxy.state, proxy.toxics, proxy.disable, proxy.enable, lambda: proxy.remove("x"), proxy.destroy):
        with pytest.raises(FaultNotProven, match=r"answered .* with 500: out of order"):
            act()


def test_an_undo_that_fails_stays_due(answering: Answering, tmp_path: Path) -> None:
    log = UndoLog(tmp_path / "undo.jsonl")
    log.push(Undo("proxy.enable", {"api": answering(500, b"out of order"), "proxy": "link"}))
    assert "out of order" in log.execute_all()[0]
    assert len(log.pending()) == 1
    log.close()


def test_a_server_that_does_not_answer_is_given_up(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_toxiproxy, "_ANSWER_PATIENCE_S", 0.1)
    with pytest.raises(FaultNotProven, match="did not answer GET /proxies"):
        _toxiproxy.Proxy(answering(None, b""), "link").state()


def test_two_servers_are_never_taken_for_each_other(answering: Answering) -> None:
    def body(listen: str) -> bytes:
        return b'{"link": {"name": "link", "enabled": true, "upstream": "u", "listen": "%s"}}' % listen.encode()

    proxies = {name: Proxy(answering(200, body(name)), "link") for name in ("one", "two")}
    seen: list[tuple[str, str]] = []

    def look(name: str) -> None:
        seen.extend((name, proxies[name].state()["listen"]) for _ in range(20))

    threads = [threading.Thread(target=look, args=(name,)) for name in proxies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert all(name == listen for name, listen in seen)


def test_a_server_that_is_gone_is_told_from_one_that_fails(answering: Answering) -> None:
    with pytest.raises(FaultNotProven, match="has no proxy 'link'") as lacking:
        Proxy(answering(200, b"{}"), "link").state()
    assert lacking.type is not ServerGone
    with pytest.raises(ServerGone, match=r"no Toxiproxy server answers at 127\.0\.0\.1:1"):
        Proxy("127.0.0.1:1", "link").state()


def test_the_proxy_of_the_user_is_not_asked_for_our_loopback(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert Proxy(answering(200, b"[]"), "link").toxics() == {}


def test_a_missing_server_is_an_error_with_its_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLacks, match="no toxiproxy-server on PATH") as lacks:
        Server("label", tmp_path / "log")
    assert lacks.value.fix == CAPABILITIES["toxiproxy-server"].fix


def test_a_server_that_does_not_start_says_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "toxiproxy-server"
    program.write_text("#!/bin/sh\necho I cannot go on\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(_toxiproxy, "_START_PATIENCE_S", 0.3)
    with pytest.raises(EnvironmentLacks, match="I cannot go on"):
        Server("label", tmp_path / "log")
