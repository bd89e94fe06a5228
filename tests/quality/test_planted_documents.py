"""The planted bugs of collaborative mode are there, and only they lose what is acknowledged."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from support.state_kit import Recorder
from targets.locking import adapter, merging
from targets.locking import client as clients
from targets.locking.refusals import BadSubmission

WRITERS = 4
EDITS = 50


def planted(name: str) -> Any:  # noqa: ANN401  an adapter is any object
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.adapter


def race(system: Any, folder: Path) -> tuple[int, int]:  # noqa: ANN401  an adapter is any object
    """Let writers increment one counter together; return how often they were told that it is done, and the count."""
    host = system.host(Recorder())
    connect = host.start(str(folder), os.environ.get("BIGFIVE_LABEL", ""))["connect"]
    clients = [system.client() for _ in range(WRITERS)]
    acknowledged: list[int] = []

    def write(name: str, client: Any) -> None:  # noqa: ANN401
        client.open(connect, name, 10.0)
        client.attach("doc", name)
        for edit in range(EDITS):
            base = client.inspect("doc")["version"]
            with contextlib.suppress(BadSubmission):  # the version that was just read is gone again
                change = [{"op": "increment", "path": "/n", "by": 1}]
                acknowledged.append(client.submit("doc", name, base, f"{name}:{edit}", change)["version"])

    threads = [threading.Thread(target=write, args=(f"w{n}", client)) for n, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count: int = clients[0].inspect("doc")["content"]["n"]
    for client in clients:
        client.close()
    host.stop()
    return len(acknowledged), count


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo, afterwards, what a planted bug replaces."""
    monkeypatch.setattr(clients, "Documents", clients.Documents)
    monkeypatch.setattr(merging, "submit", merging.submit)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("name", ["conflict_checked_outside_the_lock", "agrees_on_equal_edits"])
def test_a_planted_bug_loses_increments_that_it_acknowledged(name: str, tmp_path: Path) -> None:
    acknowledged, count = race(planted(name), tmp_path)
    assert 0 < count < acknowledged


def test_the_real_documents_lose_none_of_them(tmp_path: Path) -> None:
    assert race(adapter, tmp_path) == (WRITERS * EDITS, WRITERS * EDITS)
