"""`bigfive completion`: what makes a shell complete commands, options, and names of plug-ins."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from harness.cli import PASSED, bigfive
from harness.cli._options import summary_of

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_BIGFIVE_COMPLETE"
"""What the script sets to ask `bigfive` for completions; click's own name for it."""


@click.command("completion", short_help=summary_of("completion"))
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print the script that makes SHELL complete `bigfive`: its commands, options and paths, and the plug-ins' names.

    \b
    bash  echo 'eval "$(bigfive completion bash)"' >> ~/.bashrc
    zsh   echo 'eval "$(bigfive completion zsh)"' >> ~/.zshrc
    fish  bigfive completion fish > ~/.config/fish/completions/bigfive.fish
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this click knows nothing of {shell}")
    maker = kind(bigfive, {}, "bigfive", VARIABLE)
    click.echo(maker.source_template % maker.source_vars())  # not source(): that starts a bash to ask for its version
    return PASSED
