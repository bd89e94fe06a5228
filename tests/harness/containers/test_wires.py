"""Connections: each kind of address leads to the engine, and what does not answer says why."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.containers import wires
from harness.containers.address import Address
from harness.errors import EnvironmentLacks
from support.engines import http, relay, server, ssh_stand_in

OK = http(b"OK")


def test_a_unix_socket_answers(tmp_path: Path) -> None:
    with server(OK, tmp_path) as url:
        assert wires.ask(Address(url), "/_ping", 1.0) == wires.Reply(200, b"OK")


def test_tcp_answers(tmp_path: Path) -> None:
    with server(OK, tmp_path), relay(str(tmp_path / "engine")) as port:
        assert wires.ask(Address(f"tcp://127.0.0.1:{port}"), "/_ping", 1.0).body == b"OK"


def test_ssh_answers_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ssh_stand_in(tmp_path / "bin"))
    with server(OK, tmp_path):
        address = Address(f"ssh://agent@here{tmp_path / 'engine'}")
        with wires.dialed(address) as reachable:
            assert reachable.scheme == "unix"
            assert wires.ask(reachable, "/_ping", 1.0).body == b"OK"
            folder = Path(reachable.url.removeprefix("unix://")).parent
        assert not folder.exists()
    assert str(folder) not in subprocess.run(["ps", "ax"], capture_output=True, check=True, text=True).stdout


def test_what_ssh_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ssh_stand_in(tmp_path / "bin"))
    with pytest.raises(OSError, match="Could not resolve hostname nowhere"):
        wires.ask(Address("ssh://nowhere"), "/_ping", 1.0)


def test_the_command_for_ssh_never_asks_for_anything() -> None:
    command = wires.tunnel_command("ssh://agent@far:2222/run/other.sock", Path("/tmp/x"))  # noqa: S108  not made
    assert command[0] == "ssh"
    assert {"-oBatchMode=yes", "-oControlPath=none", "-p", "2222", "-l", "agent"} <= set(command)
    assert command[-3:] == ["/tmp/x:/run/other.sock", "far", "cat"]  # noqa: S108
    assert "/tmp/x:/var/run/docker.sock" in wires.tunnel_command("ssh://far", Path("/tmp/x"))  # noqa: S108


@pytest.mark.parametrize("url", ["ssh://", "ssh://-oProxyCommand=x"])
def test_a_host_that_ssh_would_take_for_an_option_is_refused(url: str) -> None:
    with pytest.raises(EnvironmentLacks, match="names no host"):
        wires.tunnel_command(url, Path("x"))


def test_silence_ends_at_the_deadline(tmp_path: Path) -> None:
    with server(None, tmp_path) as url, pytest.raises(TimeoutError):
        wires.ask(Address(url), "/_ping", 0.05)


def test_what_speaks_something_else_is_an_error_of_the_connection(tmp_path: Path) -> None:
    with server(b"SSH-2.0-OpenSSH\r\n", tmp_path) as url, pytest.raises(OSError, match="does not speak HTTP"):
        wires.ask(Address(url), "/_ping", 1.0)


@pytest.mark.parametrize("url", ["unix:///no/such/socket", "tcp://127.0.0.1:1", "tcp://127.0.0.1"])
def test_nobody_there_is_an_error_of_the_connection(url: str) -> None:
    with pytest.raises(OSError, match=r"."):
        wires.ask(Address(url), "/_ping", 1.0)
