"""A suite: which trials there are, and the folder that keeps what they came to.

reports/20261122T193200Z-1a2b3c4d/     suite.json and the other reports
    runs/<scenario>/<trial>/           a run folder each (`harness.record`)
reports/latest                         the newest suite
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness import seeds
from harness.clock import SystemClock, seconds
from harness.engine.matching import matcher
from harness.engine.naming import claim, file_name, new_suite
from harness.engine.pool import Pool, Run
from harness.engine.rejudging import recorded_variant
from harness.engine.sharding import Shard
from harness.errors import ScenarioError
from harness.record import Folder, TrialSpec
from harness.reporting._base import Suite, Trial, read, write_all
from harness.result import Result
from harness.result import read as read_result
from harness.scenario.load import ScenarioErrors, find, load
from harness.scenario.model import Variant

_clock = SystemClock()


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which trials are wanted. Any one of `tags` is enough; no tags want everything."""

    paths: Sequence[Path]
    tags: Sequence[str] = ()
    expression: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    repeat: int | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all trials of a suite have in common."""

    root_seed: int
    allow: tuple[str, ...] = ()
    require_all: bool = False
    timeout_s: float | None = None
    keep: bool = False


@dataclass(frozen=True)
class Candidate:
    """One trial that was selected."""

    source: Path
    variant: Variant
    attempt: int
    params: Mapping[str, str]

    @property
    def name(self) -> str:
        """`scenario[variant]`: what `-k` is matched against."""
        variant = f"[{self.variant.name}]" if self.variant.name else ""
        return f"{self.variant.scenario.scenario}{variant}"

    @property
    def id(self) -> str:
        """The name with the attempt, as in `Result.id`."""
        return f"{self.name}#{self.attempt}" if self.attempt else self.name

    def within(self, shard: Shard) -> bool:
        """Return whether this trial is in that part of every suite."""
        return shard.has(self.variant.scenario.scenario, self.variant.name, self.attempt)

    def seed(self, root: int) -> int:
        """Return the seed of this trial."""
        return seeds.trial_seed(root, self.variant.scenario.scenario, self.variant.name, self.attempt)


def collect(selection: Selection) -> list[Candidate]:
    """Load the files and return the trials that are wanted, in order of path, variant and attempt.

    Raises `ScenarioError` with the mistakes of all files, or where two files define one scenario.
    """
    wanted = matcher(selection.expression)
    found = [
        Candidate(source, variant, attempt, selection.params)
        for source, variant in _variants(selection)
        if not selection.tags or set(selection.tags) & set(variant.scenario.tags)
        for attempt in range(selection.repeat or variant.scenario.repeat)
    ]
    return [candidate for candidate in found if wanted(candidate.name)]


def _variants(selection: Selection) -> list[tuple[Path, Variant]]:
    mistakes: list[ScenarioErrors] = []
    variants: list[tuple[Path, Variant]] = []
    for source in sources(selection.paths):
        try:
            variants += [(source, variant) for variant in load(source, selection.params)]
        except ScenarioErrors as errors:
            mistakes.append(errors)
    if mistakes:
        raise ScenarioError("\n".join(map(str, mistakes)))
    _refuse_twins(variants)
    return variants


def sources(paths: Sequence[Path]) -> list[Path]:
    """Return the scenario files that `paths` mean; the copies in run folders only where they are named."""
    return [source for source in find(paths) if source in paths or not is_copy(source)]


def _refuse_twins(variants: Iterable[tuple[Path, Variant]]) -> None:
    """Two files of one name would share a run folder, a seed and a name in every report."""
    sources: dict[str, Path] = {}
    for source, variant in variants:
        name = variant.scenario.scenario
        first = sources.setdefault(name, source)
        if first != source:
            raise ScenarioError(f"{first} and {source} both define the scenario {name!r}: rename one")


@dataclass(frozen=True)
class SuiteFolder:
    """The folder of one suite."""

    path: Path

    @classmethod
    def create(cls, out: Path, name: str | None = None) -> SuiteFolder:
        """Make one in `out` and let `latest` lead to it; several processes may make the same one."""
        folder = cls(out / (name or new_suite()))
        (folder.path / "runs").mkdir(parents=True, exist_ok=True)
        link = out / f".latest-{folder.path.name}-{os.getpid()}"
        link.symlink_to(folder.path.name)
        link.replace(out / "latest")  # a rename, so that there is a latest suite at every moment
        return folder

    def prepare(self, candidate: Candidate, terms: Terms) -> Run:
        """Make the run folder of a trial."""
        variant = candidate.variant
        spec = TrialSpec(
            scenario=variant.scenario.scenario,
            source=str(candidate.source),
            variant=variant.name,
            params=dict(candidate.params),
            attempt=candidate.attempt,
            root_seed=terms.root_seed,
            seed=candidate.seed(terms.root_seed),
            label="",
            allow=terms.allow,
            require_all=terms.require_all,
            timeout_s=terms.timeout_s,
            keep=terms.keep,
        )
        return self._prepare(variant, spec, candidate.source.read_bytes())

    def prepare_replay(self, recorded: Folder) -> Run:
        """Make a run folder that repeats a recorded trial: the same scenario text, variant, attempt and seed."""
        return self._prepare(recorded_variant(recorded), recorded.spec(), recorded.scenario.read_bytes())

    def _prepare(self, variant: Variant, spec: TrialSpec, text: bytes) -> Run:
        name = "-".join(filter(None, [spec.variant, str(spec.attempt)]))
        folder = Folder(claim(self.path / "runs" / file_name(spec.scenario) / file_name(name)))
        label = f"{seeds.derive(0, str(folder.path.resolve())):016x}"[:12]  # short: socket paths contain it
        spec = msgspec.structs.replace(spec, label=label)
        folder.scenario.write_bytes(text)
        folder.trial.write_bytes(msgspec.json.encode(spec) + b"\n")
        return Run(variant, spec, folder)

    def trial(self, run: Run, result: Result) -> Trial:
        """Return a result together with the place of its evidence."""
        return Trial(run=str(run.folder.path.relative_to(self.path)), result=result)

    def execute(self, runs: Sequence[Run], pool: Pool, terms: Terms) -> Suite:
        """Run trials, write every report, and return the suite; results are in the order of `runs`."""
        start = _clock.monotonic_ns()
        results = {run.spec.label: result for run, result in pool.run(runs)}
        done = [(run, results[run.spec.label]) for run in runs if run.spec.label in results]
        suite = Suite(
            name=self.path.name,
            duration_s=seconds(_clock.monotonic_ns() - start),
            root_seed=terms.root_seed,
            planned=len(runs),
            trials=tuple(self.trial(run, result) for run, result in done),
            interrupted=pool.interrupted,
            require_all=terms.require_all,
        )
        write_all(suite, self.path)
        return suite

    def gather(self, terms: Terms, duration_s: float, *, interrupted: bool) -> Suite:
        """Write every report over the results that are in the folder, whichever processes have put them there."""
        found = sorted(self.path.glob("runs/*/*/result.json"))
        suite = Suite(
            name=self.path.name,
            duration_s=duration_s,
            root_seed=terms.root_seed,
            planned=len(found),
            trials=tuple(Trial(run=str(p.parent.relative_to(self.path)), result=read_result(p)) for p in found),
            interrupted=interrupted,
            require_all=terms.require_all,
        )
        write_all(suite, self.path)
        return suite


def is_copy(source: Path) -> bool:
    """Return whether a scenario file is the copy in a run folder."""
    return (source.parent / "trial.json").exists()


def recorded_trials(path: Path) -> Iterator[Folder]:
    """Yield the run folders that `path` means: a run folder, its `result.json`, or the failures of a suite.

    Raises `ScenarioError` where it is none of these.
    """
    folder = (path if path.is_dir() else path.parent).resolve()  # `latest` leads elsewhere once a replay begins
    if (folder / "trial.json").exists():
        yield Folder(folder)
    elif (folder / "suite.json").exists():
        trials = read(folder / "suite.json").trials
        yield from (Folder(folder / t.run) for t in trials if t.result.status not in {"PASS", "SKIPPED"})
    else:
        raise ScenarioError(f"{path} is neither a run folder, nor a result.json, nor a suite's folder")


def reproduced(first: Result, again: Result) -> bool:
    """Return whether a replay came to the same: the same status, by the same failing checks."""
    return first.status == again.status and _failing(first) == _failing(again)


def _failing(result: Result) -> set[str]:
    return {judged.check for judged in result.checks if judged.verdict.status == "FAIL"}
