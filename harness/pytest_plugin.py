"""Scenario files as pytest items, and the fixture `chaos`: `pytest scenarios -n auto`.

This module is imported in every pytest run of its environment, before coverage starts: it holds the hooks and nothing
else. What they need is imported when the first scenario file or the first `chaos` turns up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.chaos import Chaos
    from harness.pytest_items import Session


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `bigfive run` that have a meaning here."""
    group = parser.getgroup("bigfive", "scenarios of bigfive")
    group.addoption("--require-all", action="store_true", help="A scenario that this machine cannot run is a failure.")
    group.addoption("--bigfive-seed", type=int, metavar="N", help="Root seed; drawn and printed if not given.")
    group.addoption("--bigfive-out", type=Path, default=Path("reports"), metavar="DIR", help="Where reports go.")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect files with a top-level `scenario:`, which is looked for only where the word occurs at all."""
    if file_path.suffix not in {".yaml", ".yml"} or b"scenario" not in file_path.read_bytes():
        return None
    from harness.pytest_items import collect_file  # noqa: PLC0415  see above

    return collect_file(file_path, parent)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401  xdist's own type, and xdist may not be there
    """Give every xdist worker the same root seed and the same folder."""
    node.workerinput["bigfive"] = shared(node.config)


_SHARED = pytest.StashKey[tuple[int, str]]()
BEGAN = pytest.StashKey[int]()
"""Monotonic ns at which this process first asked for what is shared."""


def shared(config: pytest.Config) -> tuple[int, str]:
    """Return the root seed and the suite's name, the same in the xdist controller and all of its workers."""
    if _SHARED not in config.stash:
        from harness import seeds  # noqa: PLC0415  see above
        from harness.clock import SystemClock  # noqa: PLC0415
        from harness.engine.naming import new_suite  # noqa: PLC0415

        config.stash[BEGAN] = SystemClock().monotonic_ns()
        given = getattr(config, "workerinput", {}).get("bigfive")
        seed = config.getoption("--bigfive-seed")
        config.stash[_SHARED] = given or (seeds.fresh_root() if seed is None else seed, new_suite())
    return config.stash[_SHARED]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the reports, if there were scenarios; with xdist, the controller does."""
    if used := _used(session.config):
        used.finish(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the report is, and the seed that gives it again."""
    if used := _used(terminalreporter.config):
        terminalreporter.write_line(f"bigfive: root seed {used.root_seed}, report in {used.folder}")


@pytest.fixture
def chaos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """Inject any registered fault into your own test; see `harness.chaos.Chaos`.

    with chaos("process.pause", pid=server.pid): ...     held, and undone at the end of the block
    chaos("file.bit_flip", path=file, bits=3)            damage: yours to heal
    """
    from harness.chaos import Chaos  # noqa: PLC0415  see above

    root_seed, _ = shared(request.config)
    with Chaos(tmp_path_factory.mktemp("bigfive"), root_seed, request.node.nodeid) as chaos:
        yield chaos


def _used(config: pytest.Config) -> Session | None:
    """Return the session, if a scenario has run in it and this is not one of xdist's workers."""
    if hasattr(config, "workerinput") or _SHARED not in config.stash:
        return None
    _, name = shared(config)
    if not (config.getoption("--bigfive-out") / name).exists():
        return None
    from harness.pytest_items import session_of  # noqa: PLC0415  see above

    return session_of(config)
