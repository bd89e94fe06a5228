"""Which engine is meant: as the `docker` command finds it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from harness.containers.address import DEFAULT_URL, Address
from harness.errors import EnvironmentLacks


def context(folder: Path, name: str, url: str, *, tls: bool = False) -> None:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": url}}}))
    if tls:
        (folder / "contexts" / "tls" / key / "docker").mkdir(parents=True)


def test_without_any_wish_it_is_the_default_socket(tmp_path: Path) -> None:
    address = Address.current({"HOME": str(tmp_path)})
    assert address == Address(DEFAULT_URL)
    assert str(address) == DEFAULT_URL


def test_docker_host_comes_before_every_context(tmp_path: Path) -> None:
    context(tmp_path, "far", "ssh://far")
    environment = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "far", "DOCKER_HOST": "tcp://10.0.0.1:2375"}
    assert Address.current(environment) == Address("tcp://10.0.0.1:2375", None, "DOCKER_HOST")


def test_docker_context_comes_before_the_current_one(tmp_path: Path) -> None:
    context(tmp_path, "near", "unix:///near")
    context(tmp_path, "far", "ssh://agent@far:2222")
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "near"}))
    environment = {"DOCKER_CONFIG": str(tmp_path)}
    assert Address.current(environment).url == "unix:///near"
    address = Address.current({**environment, "DOCKER_CONTEXT": "far"})
    assert (address.url, address.source, address.local) == ("ssh://agent@far:2222", "context 'far'", False)
    assert Address.current({**environment, "DOCKER_CONTEXT": "default"}).url == DEFAULT_URL


def test_a_context_brings_its_certificates(tmp_path: Path) -> None:
    context(tmp_path, "safe", "tcp://safe:2376", tls=True)
    tls = Address.current({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "safe"}).tls
    assert tls is not None
    assert tls.endswith("/docker")


def test_certificates_of_the_environment_are_used_only_where_it_says_so() -> None:
    environment = {"DOCKER_HOST": "tcp://safe:2376", "DOCKER_CERT_PATH": "/certificates"}
    assert Address.current(environment).tls is None
    assert Address.current({**environment, "DOCKER_TLS_VERIFY": "1"}).tls == "/certificates"


def test_a_damaged_configuration_means_the_default(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert Address.current({"DOCKER_CONFIG": str(tmp_path)}) == Address(DEFAULT_URL)


def test_a_context_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match=r"'nowhere'.*docker context ls"):
        Address.current({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "nowhere"})


@pytest.mark.parametrize("url", ["/var/run/docker.sock", "http://x", "tcp://", "fd://3"])
def test_what_is_no_address_is_refused_with_those_that_are(url: str) -> None:
    with pytest.raises(EnvironmentLacks, match="unix:///path, tcp://host:port or ssh://"):
        Address.current({"DOCKER_HOST": url})
