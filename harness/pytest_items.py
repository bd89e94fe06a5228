"""A scenario file as a pytest collector, its trials as items; `harness.pytest_plugin` has the hooks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from harness.clock import SystemClock, seconds
from harness.engine.pool import run_one
from harness.engine.suite import Candidate, Selection, SuiteFolder, Terms, collect, is_copy
from harness.errors import Interrupted, ScenarioError
from harness.pytest_plugin import BEGAN, shared
from harness.reporting.console import verdict
from harness.result import Result
from harness.scenario.load import is_scenario
from harness.undo import sweep

_clock = SystemClock()


class Session:
    """What all scenarios of a pytest run share, in the xdist controller and its workers alike."""

    def __init__(self, config: pytest.Config) -> None:
        self.root_seed, self.name = shared(config)
        self.out: Path = config.getoption("--bigfive-out")
        self.terms = Terms(root_seed=self.root_seed, require_all=config.getoption("--require-all"))
        self._began = config.stash[BEGAN]  # with xdist, this is made at the controller's end only

    @property
    def folder(self) -> Path:
        """The suite's folder, which exists once a scenario has run."""
        return self.out / self.name

    @cached_property
    def suite(self) -> SuiteFolder:
        """The suite's folder, made on first use; like every start of bigfive, that undoes what killed runs left."""
        sweep()
        return SuiteFolder.create(self.out, self.name)

    def finish(self, *, interrupted: bool) -> None:
        """Write the reports over everything that has run, in whichever process."""
        duration_s = seconds(_clock.monotonic_ns() - self._began)
        SuiteFolder(self.folder).gather(self.terms, duration_s, interrupted=interrupted)


_SESSION = pytest.StashKey[Session]()


def session_of(config: pytest.Config) -> Session:
    """Return the session of a pytest run."""
    if _SESSION not in config.stash:
        config.stash[_SESSION] = Session(config)
    return config.stash[_SESSION]


def collect_file(path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Return the collector of a scenario file, unless it is no scenario, a copy in a run folder, or not meant."""
    if is_copy(path) or not is_scenario(path) or not _meant(path, parent.config):
        return None
    return ScenarioFile.from_parent(parent, path=path)


def _meant(path: Path, config: pytest.Config) -> bool:
    """Return whether an argument names the file without passing by a folder `negative`: those must be named."""
    arguments = [(config.invocation_params.dir / name.partition("::")[0]).resolve() for name in config.args]
    below = [path.relative_to(argument) for argument in arguments if path.is_relative_to(argument)]
    return any("negative" not in relative.parent.parts for relative in below)


class ScenarioFile(pytest.File):
    """Every variant and attempt of a scenario is an item."""

    def collect(self) -> Iterator[ScenarioItem]:
        """Load the file. All of its mistakes make one collection error."""
        try:
            candidates = collect(Selection(paths=[self.path]))
        except ScenarioError as error:
            raise self.CollectError(str(error)) from error
        for candidate in candidates:
            yield ScenarioItem.from_parent(self, name=candidate.id, candidate=candidate)


class ScenarioItem(pytest.Item):
    """One trial, in the same process of its own as under `bigfive run`."""

    def __init__(self, *, candidate: Candidate, **rest: Any) -> None:  # noqa: ANN401  pytest's own
        super().__init__(**rest)
        self.candidate = candidate
        self.extra_keyword_matches.update(candidate.variant.scenario.tags)

    def runtest(self) -> None:
        """Run the trial. Whatever is not a PASS fails, but for the right conviction of a negative scenario."""
        session = session_of(self.config)
        run = session.suite.prepare(self.candidate, session.terms)
        try:
            result = run_one(run)
        except Interrupted as error:
            raise KeyboardInterrupt(str(error)) from error
        self.user_properties += _properties(result)
        if result.status == "SKIPPED" and not session.terms.require_all:
            pytest.skip(f"{result.reason} (fix: {result.fix})")
        if result.status != "PASS" and not result.convicted:
            raise _NotPassed("\n".join(verdict(session.suite.trial(run, result), session.suite.path)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        """Show a verdict as `bigfive run` does; a traceback through the harness would tell nobody anything."""
        if isinstance(excinfo.value, _NotPassed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the scenario is."""
        return self.path, 0, f"scenario {self.name}"


class _NotPassed(Exception):
    """Carries the reasons to `repr_failure`."""


def _properties(result: Result) -> list[tuple[str, object]]:
    """Return what pytest's own JUnit report should hold besides: the seed, and every measurement."""
    numbers = [(each.check, each.verdict.numbers) for each in result.checks]
    return [
        ("seed", result.seed),
        *((f"{check}.{name}", number) for check, measured in numbers for name, number in measured.items()),
    ]
