"""What every test relies on."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings

from harness.doctor import own_programs

# These machines are noisy: a slow example is no failure. CI tries the same examples every time.
settings.register_profile("bigfive", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("bigfive")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test leaves for `sweep` on purpose is nobody else's, least of all the developer's.

    But the programs that `doctor --fix` has built are.
    """
    monkeypatch.setenv("PATH", str(own_programs()), prepend=os.pathsep)
    monkeypatch.setenv("BIGFIVE_STATE_DIR", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def lacking(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Skip for the reason given; under --require-all that is a failure."""

    def give_up(reason: str) -> None:
        if request.config.getoption("--require-all", default=False):
            pytest.fail(reason)
        pytest.skip(reason)

    return give_up
