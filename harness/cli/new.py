"""`bigfive new`: scenarios and adapters to begin with. Nothing that exists is ever overwritten."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from harness import skeletons
from harness.cli._options import summary_of
from harness.registry import FAULTS, RUNNERS
from harness.scenario.skeleton import Wanted, skeleton

LANGUAGES = {"python": ".py", "node": ".js"}
"""Languages of adapter skeletons, and the endings of their files."""
_PLACEHOLDER = "my_system"
_OBJECT = re.compile(r"[\w./-]+:[A-Za-z_][\w.]*")


class Name(click.ParamType[str]):
    """A name that can be one of a scenario, and of a file."""

    name = "NAME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it."""
        text = str(value)
        if not re.fullmatch(r"(?=.{1,80}$)[a-z0-9]+([-_][a-z0-9]+)*", text):
            self.fail(f"{text!r}: expected lower-case words joined by - or _", param, ctx)
        return text


def _runners(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del ctx, param
    return [CompletionItem(kind) for kind in RUNNERS.kinds() if kind.startswith(incomplete)]


def _faults(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del ctx, param
    return [CompletionItem(kind) for kind in FAULTS.kinds() if kind.startswith(incomplete)]


@click.group("new", short_help=summary_of("new"))
def command() -> None:
    """Write a scenario or an adapter to begin with: it works as it is, and says in comments what else there is."""


@command.command("scenario")
@click.argument("name", type=Name())
@click.option(
    "-o",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("scenarios"),
    show_default=True,
    help="Folder for the file.",
)
@click.option(
    "--runner", default="state_corruption", show_default=True, shell_complete=_runners, help="What the clients do."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    default=["process.kill"],
    show_default=True,
    shell_complete=_faults,
    help="What is broken; several, one after the other.",
)
@click.option(
    "--target",
    default="",
    help="Adapter: a Python object (./shop.py:adapter) or a command ('node shop.js'), as seen from here. "
    "Without it, the target that comes with bigfive.",
)
def scenario_command(name: str, folder: Path, runner: str, faults: Sequence[str], target: str) -> None:
    """Write the scenario NAME to FOLDER/NAME.yaml, valid as it is.

    Every parameter of the runner and of the faults is in it, with its default and what it means.

    \b
    bigfive new scenario shop-killed
    bigfive new scenario torn --fault record.torn_tail --fault process.kill
    bigfive new scenario first --target ./shop.py:adapter --fault noop
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    text = skeleton(Wanted(name=name, runner=runner, faults=faults, target=_seen_from(folder, target)))
    path = _write(folder / f"{name}.yaml", text)
    click.echo(f"{path}\nbigfive run {shlex.quote(str(path))}")


@command.command("adapter")
@click.argument("name", type=Name())
@click.option(
    "--language", type=click.Choice(list(LANGUAGES)), default="python", show_default=True, help="What it is written in."
)
@click.option(
    "-o",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the file; the working folder if not given.",
)
def adapter_command(name: str, language: str, folder: Path) -> None:
    """Write the adapter NAME to FOLDER/NAME.py (or .js), around a store that is only kept in memory.

    It passes `bigfive adapter check`; what needs a process that can be killed is skipped there, until it has one.
    """
    file = folder / f"{name}{LANGUAGES[language]}"
    if language == "python" and not file.exists() and importlib.util.find_spec(name) is not None:
        raise click.UsageError(
            f"a Python module is called {name!r} already and could not be imported beside it: take {name}_adapter"
        )
    template = Path(skeletons.__file__).with_name(f"adapter{LANGUAGES[language]}")
    path = _write(file, template.read_text(encoding="utf-8").replace(_PLACEHOLDER, name))
    here = str(path) if path.is_absolute() else f"./{path}"
    start = f"{here}:adapter" if language == "python" else f"node {here}"
    click.echo(f"{path}\nbigfive adapter check {start}")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.UsageError(f"{path} exists, and nothing is overwritten: take another name") from None
    return path


def _seen_from(folder: Path, target: str) -> str | tuple[str, ...]:
    """Return an adapter as a scenario in `folder` must name it: files are looked for beside the scenario."""
    if not target or _OBJECT.fullmatch(target):
        module, colon, name = target.rpartition(":")
        return f"{_from(folder, module)}{colon}{name}" if module.endswith(".py") else target
    return tuple(_from(folder, word) if Path(word).is_file() else word for word in shlex.split(target))


def _from(folder: Path, path: str) -> str:
    """Return a path that is seen from here as it is seen from `folder`; an absolute one stays."""
    if Path(path).is_absolute():
        return path
    relative = os.path.relpath(Path(path).resolve(), folder.resolve())
    return relative if relative.startswith("..") else f"./{relative}"
