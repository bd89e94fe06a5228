"""Capabilities: probed, never guessed, each with its reason and its fix."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from harness import doctor
from harness.doctor import CAPABILITIES, Capability, Lacking, examine, missing, needs, probe
from harness.faults._base import Site
from harness.registry import FAULTS, fault
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.wire import Json
from support.engines import http, server
from support.suites import write_scenario


def scenario(folder: Path, **changes: str) -> Scenario:
    path = write_scenario(folder, "one")
    text = path.read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text)
    return load(path)[0].scenario


def test_every_capability_says_what_it_is_for_and_how_to_get_it() -> None:
    for capability in CAPABILITIES.values():
        assert capability.why
        assert capability.fix
        assert "\n" not in capability.fix


def test_what_every_run_needs_is_here_or_these_tests_could_not_run() -> None:
    assert all(finding.ok for finding in examine() if finding.capability.required)


def test_a_scenario_needs_what_every_run_needs(tmp_path: Path) -> None:
    required = [capability for capability in CAPABILITIES.values() if capability.required]
    assert needs(scenario(tmp_path)) == required
    assert missing(scenario(tmp_path)) is None


def test_a_foreign_adapter_needs_its_program(tmp_path: Path) -> None:
    foreign = foreign_scenario(tmp_path, "no-such-program-anywhere")
    lacks = missing(foreign)
    assert lacks is not None
    assert lacks.capability == "no-such-program-anywhere"
    assert "PATH" in lacks.reason
    assert lacks.fix


def test_a_known_program_has_a_better_fix_than_an_unknown_one(tmp_path: Path) -> None:
    assert CAPABILITIES["node"] in needs(foreign_scenario(tmp_path, "node"))


def test_a_program_beside_the_scenario_is_not_looked_for_on_the_path(tmp_path: Path) -> None:
    assert missing(foreign_scenario(tmp_path, "./adapter")) is None


def foreign_scenario(folder: Path, program: str) -> Scenario:
    path = write_scenario(folder, "one")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("target")]
    path.write_text("\n".join([*lines, f"command: [{program}]"]))
    return load(path)[0].scenario


def test_a_fault_names_what_it_needs(tmp_path: Path) -> None:
    @fault("test.needy")
    @dataclass(frozen=True, kw_only=True)
    class Needy:
        """Needs the root user."""

        on: ClassVar[str | None] = None
        lasts: ClassVar[bool] = False
        needs: ClassVar[tuple[str, ...]] = ("root",)

        def inject(self, site: Site) -> Json:
            raise NotImplementedError

        def prove(self, site: Site, evidence: Json) -> Json:
            raise NotImplementedError

    try:
        path = write_scenario(tmp_path, "one", ["{at: 0s, fault: test.needy}"])
        assert CAPABILITIES["root"] in needs(load(path)[0].scenario)
    finally:
        FAULTS._found.pop("test.needy")
    assert Needy.needs == ("root",)


def test_a_finding_becomes_the_error_that_skips() -> None:
    def nothing() -> str:
        raise Lacking("it is not there")

    error = probe(Capability("thing", nothing, "all", "buy one")).raised()
    assert (error.capability, error.reason, error.fix) == ("thing", "it is not there", "buy one")


def test_an_engine_is_reachable_if_it_answers_the_ping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"unix://{answering(tmp_path / 's', b'HTTP/1.0 200 OK')}"
    monkeypatch.setenv("DOCKER_HOST", address)
    assert CAPABILITIES["docker"].probe() == address


def test_an_engine_that_refuses_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{answering(tmp_path / 's', b'HTTP/1.0 500 Broken')}")
    with pytest.raises(Lacking, match="500"):
        CAPABILITIES["docker"].probe()


@pytest.mark.parametrize("address", ["unix:///no/such/socket", "tcp://127.0.0.1:1", "tcp://127.0.0.1"])
def test_an_engine_that_is_not_there_is_not(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(Lacking, match="no engine answers"):
        CAPABILITIES["docker"].probe()


def answering(path: Path, status: bytes) -> Path:
    """A server on a Unix socket that answers once."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(status + b"\r\n\r\nOK")

    threading.Thread(target=serve, daemon=True).start()
    return path


def test_the_state_folder_need_not_exist_but_must_be_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGFIVE_STATE_DIR", str(tmp_path / "deep" / "down"))
    assert CAPABILITIES["state-folder"].probe() == str(tmp_path / "deep" / "down")


def test_another_distribution_with_our_package_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "harness-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: harness\nVersion: 1.0\n")
    (other / "top_level.txt").write_text("harness\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Lacking, match="harness"):
        doctor._own_name()


def test_there_is_no_image_where_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    with pytest.raises(Lacking, match="no engine answers"):
        CAPABILITIES["image"].probe()


def test_an_address_that_means_nothing_is_the_reason_why_there_is_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "elsewhere")
    with pytest.raises(Lacking, match="'elsewhere', which is no address"):
        CAPABILITIES["docker"].probe()


def test_an_engine_with_our_image_is_told_from_one_that_talks_nonsense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(http(b'{"Id": "sha256:1"}'), tmp_path) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert CAPABILITIES["image"].probe().startswith("bigfive:")
    (tmp_path / "engine").unlink()
    with server(http(b"OK"), tmp_path) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        with pytest.raises(Lacking, match="does not say"):
            CAPABILITIES["image"].probe()


@pytest.mark.parametrize("name", ["chromium", "google-chrome"])
def test_a_chromium_by_any_of_its_names_will_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Lacking, match="chromium, chromium-browser or google-chrome"):
        CAPABILITIES["chromium"].probe()
    (tmp_path / name).touch(mode=0o755)
    assert CAPABILITIES["chromium"].probe() == str(tmp_path / name)
