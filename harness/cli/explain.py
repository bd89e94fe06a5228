"""`bigfive explain`: the documentation of every plug-in and of what a script can rely on, from where it is written."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from harness.cli._configuration import describe
from harness.cli._options import summary_of
from harness.engine.phases import PHASES
from harness.errors import ScenarioError
from harness.registry import CHECKS, FAULTS, REPORTS, RUNNERS, Registry
from harness.scenario._shapes import shape
from harness.statuses import TABLE

_REGISTRIES = (FAULTS, CHECKS, RUNNERS, REPORTS)


def _exit_status() -> Iterator[str]:
    yield "The exit status is the first line that applies:"
    yield ""
    yield from (f"  {line.code}  {line.name:<15} {line.meaning}" for line in TABLE)


def _phases() -> Iterator[str]:
    yield "A trial goes through these phases; those marked * run whatever happened before:"
    yield ""
    yield from (f"  {'*' if rule.always else ' '} {rule.name:<13} {rule.doc}" for rule in PHASES)


TOPICS = {"exit-status": _exit_status, "phases": _phases, "configuration": describe}


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete kinds and topics; what begins like none of them is a path."""
    del ctx, param
    known = dict.fromkeys([*(kind for registry in _REGISTRIES for kind in registry.kinds()), *TOPICS])
    found = [CompletionItem(kind) for kind in known if kind.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


@click.command("explain", short_help=summary_of("explain"))
@click.argument("kind", required=False, shell_complete=_complete)
def command(kind: str | None) -> None:
    """Explain KIND: a fault, check, runner or report, or one of the topics exit-status, phases and configuration.

    A path explains what happened: a run folder or its result.json, or the failures of a suite's folder, one of each
    sort. Without KIND, list everything that can be explained.

    \b
    bigfive explain process.kill
    bigfive explain reports/latest
    bigfive explain reports/latest/runs/state-bit-flip/0
    """  # noqa: D301  \b is click's mark for a block that it must not rewrap
    click.echo("\n".join(_index() if kind is None else _explain(kind)))


def _index() -> Iterator[str]:
    for registry in _REGISTRIES:
        yield f"{registry.noun}s: {', '.join(registry.kinds())}"
    yield f"topics: {', '.join(TOPICS)}"


def _explain(kind: str) -> Iterator[str]:
    if kind in TOPICS:
        return TOPICS[kind]()
    registries = [registry for registry in _REGISTRIES if kind in registry.kinds()]
    if not registries and Path(kind).exists():
        from harness.cli import _explained  # noqa: PLC0415  the judges and their models: not for a fault's parameters

        return _explained.explain(Path(kind))
    if not registries:
        raise ScenarioError(f"there is nothing called {kind!r}; there are\n" + "\n".join(_index()))
    return (line for registry in registries for line in _plugin(registry, registry.get(kind)))


def _plugin(registry: Registry, plugin: type[Any]) -> Iterator[str]:
    yield f"{registry.noun} {plugin.kind}"
    yield ""
    yield from (f"  {line}".rstrip() for line in (inspect.getdoc(plugin) or "").splitlines())
    if facts := list(_facts(registry, plugin)):
        yield ""
        yield from (f"  {fact}" for fact in facts)
    if dataclasses.is_dataclass(plugin) and (parameters := list(_parameters(plugin))):
        yield ""
        yield "parameters"
        yield from parameters


def _facts(registry: Registry, plugin: type[Any]) -> Iterator[str]:
    if registry is FAULTS:
        yield f"acts on: {plugin.on or 'nothing in particular'}"
        yield "environment: held, then undone" if plugin.lasts else "damage: never undone, the target must heal it"
        if needs := getattr(plugin, "needs", ()):
            yield f"needs: {', '.join(needs)}"
    if registry is CHECKS and plugin.shorthand:
        yield f"short form: `{plugin.kind}: value` sets {plugin.shorthand}"
    if registry is RUNNERS:
        yield f"contract: {' or '.join(plugin.contracts)}"
        yield f"handles: {', '.join(f'{name} ({kind})' for name, kind in plugin.handles.items())}"


def _parameters(plugin: type[Any]) -> Iterator[str]:
    hashable: type[object] = plugin
    described = shape(hashable)
    for field in dataclasses.fields(plugin):
        part = described.at([field.name])
        default = "required" if field.default is dataclasses.MISSING else f"default {field.default}"
        yield f"  {field.name}: {part.describe()} ({default})"
        yield f"      {part.purpose}"
