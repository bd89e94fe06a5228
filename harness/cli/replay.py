"""`bigfive replay`: the same scenario, variant, attempt and seed, once or many times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.cli._options import (
    json_option,
    out_option,
    quiet_option,
    summary_of,
    sweep_first,
    verbose_option,
    workers_option,
)
from harness.cli._suite import Manner, run_suite
from harness.engine.suite import SuiteFolder, Terms, recorded_trials, reproduced
from harness.errors import ScenarioError
from harness.result import Result, read


@click.command("replay", short_help=summary_of("replay"))
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--times", type=click.IntRange(min=1), default=1, show_default=True, help="Replays of each trial.")
@workers_option
@out_option
@json_option
@verbose_option
@quiet_option
def command(path: Path, times: int, out: Path, **options: Any) -> int:  # noqa: ANN401  see `Manner`
    """Run the trial recorded at PATH again: a run folder, its result.json, or the failures of a suite's folder.

    Inputs and schedule are those of the record, interleavings are not: say --times 20 for "reproduced 13 of 20", which
    counts the replays with the same status and the same failing checks. The exit status is that of `bigfive run`.

    \b
    bigfive replay reports/latest
    bigfive replay reports/latest/runs/state-bit-flip/0 --times 20 -n auto
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    recorded = list(recorded_trials(path))
    if not recorded:
        raise ScenarioError(f"nothing failed in {path}: name a run folder below it")
    sweep_first()
    folder = SuiteFolder.create(out)
    runs = [(trial, folder.prepare_replay(trial)) for trial in recorded for _ in range(times)]
    specs = [trial.spec() for trial in recorded]
    terms = Terms(root_seed=specs[0].root_seed, require_all=any(spec.require_all for spec in specs))
    manner = Manner(**options)
    suite = run_suite(folder, [run for _, run in runs], terms, manner)
    results = {folder.path / trial.run: trial.result for trial in suite.trials}
    for trial in recorded:
        again = [results.get(run.folder.path) for source, run in runs if source is trial]
        manner.say(_reproduction(read(trial.result), [result for result in again if result]))
    return suite.exit_status.code


def _reproduction(first: Result, again: Sequence[Result]) -> str:
    count = sum(reproduced(first, result) for result in again)
    return f"{first.id}: reproduced {count} of {len(again)} ({first.status})"
