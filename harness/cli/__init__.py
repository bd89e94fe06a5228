"""The command line: the table of commands, and the one place where anything becomes an exit status.

A command is a module of this package, imported only when it is asked for, so that `--help` costs no more than click.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.errors import BigfiveError, EnvironmentLacks, Interrupted, ScenarioError
from harness.reporting._hush import hush

COMMANDS = {
    "run": ("run", "Break things on purpose and judge what heals."),
    "replay": ("replay", "Run a recorded trial again, with its seed."),
    "judge": ("judge", "Judge a history, or a recorded trial again."),
    "report": ("report", "Write the page of a suite, or of several, again."),
    "compare": ("compare", "Compare two suites: did healing get slower?"),
    "list": ("listing", "List scenarios and plug-ins."),
    "explain": ("explain", "Explain a fault, check, runner, report or topic, or a past failure."),
    "new": ("new", "Write a scenario or an adapter to begin with."),
    "validate": ("validate", "Check scenario files without running anything."),
    "doctor": ("doctor", "Show what this machine can do, and how to get the rest."),
    "sweep": ("sweep", "Undo what killed runs have left behind."),
    "prune": ("prune", "Remove old suites."),
    "completion": ("completion", "Print the script for completion in bash, zsh or fish."),
    "adapter": ("adapter", "Help authors of adapters."),
}
"""Name of each command → its module, and its line in `bigfive --help`."""

CONFIGURED = {"run", "replay", "prune"}
"""Commands with defaults in pyproject.toml (`harness.cli._configuration`)."""

PASSED, FAILED, INTERRUPTED, BROKEN, MISUSED, NOTHING_PROVEN = range(6)
"""Codes of `harness.statuses.TABLE`, which is not imported for a `--help`."""


class _Commands(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"harness.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  whatever the command returns
        try:
            return super().invoke(ctx)
        except click.BadParameter as error:
            name = error.param and error.param.name
            if error.ctx and name and error.ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP:
                where = f"{error.message} (from [tool.bigfive] in pyproject.toml)"
                raise click.BadParameter(where, error.ctx, error.param, error.param_hint) from None
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=COMMANDS[name][1]) for name in COMMANDS if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]  # click's own would import every command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bigfive", prog_name="bigfive")
@click.pass_context
def bigfive(ctx: click.Context) -> None:
    """Break an agent platform on purpose, and prove that it heals itself.

    A scenario is a YAML file: a target, a workload, faults and what must hold in spite of them. Every run leaves a
    folder with its evidence, everything that was changed is put back, and every failure can be replayed.

    \b
    bigfive run                                 all scenarios below ./scenarios
    bigfive run scenarios/state -n auto         a folder, as many trials at once as there are CPUs
    bigfive run a.yaml --seed 42 -v             one file, with a seed, saying everything
    bigfive run scenarios --dry-run             what would happen, and when
    bigfive replay reports/latest               the failures of the newest suite, again
    bigfive explain reports/latest              what failed there, in plain English
    bigfive explain process.kill                what a fault does, and its parameters
    bigfive explain exit-status                 what a script can rely on
    bigfive doctor                              what this machine lacks
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    if ctx.invoked_subcommand:
        ctx.default_map = {ctx.invoked_subcommand: _defaults(ctx.invoked_subcommand)}


def _defaults(command: str) -> dict[str, Any]:
    """Return the defaults of this folder. A broken file is no reason why `sweep` or `doctor` should fail."""
    if command not in CONFIGURED:
        return {}
    from harness.cli import _configuration  # noqa: PLC0415  not for a `--help`

    return _configuration.defaults(command)


def main() -> None:
    """Run the command line and end the process with its status."""
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status. Nothing that a command raises gets past here, click's own included."""
    try:
        status = bigfive.main(list(arguments), prog_name="bigfive", standalone_mode=False)
    except Exception as error:  # noqa: BLE001  a traceback is no answer to a user
        return _refuse(error)
    except SystemExit as end:
        if end.code == PASSED:
            return PASSED  # click has answered a shell that completes
        hush(sys.stdout)  # click's only other one: what a command says goes into a closed pipe
        return INTERRUPTED
    return status if isinstance(status, int) else PASSED


def _refuse(error: Exception) -> int:
    """Say what is wrong, and return the status for it."""
    return next(answer(error) for kind, answer in _REFUSALS if isinstance(error, kind))


def _misuse(error: Exception) -> int:
    if isinstance(error, click.ClickException):
        error.show()
        return MISUSED
    click.echo(str(error), err=True)  # lines that editors and CI read: `file:line:column: what`
    return MISUSED


def _bug(error: Exception) -> int:
    with tempfile.NamedTemporaryFile("w", prefix="bigfive-bug-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    return _say(f"this is a bug in bigfive: {type(error).__name__}: {error}\nplease report {file.name}", BROKEN)


def _say(message: str, status: int) -> int:
    click.echo(f"bigfive: {message}", err=True)
    return status


_REFUSALS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[Exception], int]], ...] = (
    ((click.ClickException, ScenarioError), _misuse),
    ((click.Abort, Interrupted), lambda error: _say(str(error) or "interrupted", INTERRUPTED)),
    (EnvironmentLacks, lambda error: _say(str(error), NOTHING_PROVEN)),
    (BigfiveError, lambda error: _say(str(error), BROKEN)),
    (Exception, _bug),
)
"""The first line that fits an exception says what becomes of it."""
