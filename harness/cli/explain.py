"""`bigfive explain`: the documentation of every plug-in and of what a script can rely on, from where it is written."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import click

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


TOPICS = {"exit-status": _exit_status, "phases": _phases}


@click.command("explain", short_help=summary_of("explain"))
@click.argument("kind", required=False)
def command(kind: str | None) -> None:
    """Explain KIND: a fault, check, runner or report, or one of the topics exit-status and phases.

    Without KIND, list everything that can be explained.
    """
    click.echo("\n".join(_index() if kind is None else _explain(kind)))


def _index() -> Iterator[str]:
    for registry in _REGISTRIES:
        yield f"{registry.noun}s: {', '.join(registry.kinds())}"
    yield f"topics: {', '.join(TOPICS)}"


def _explain(kind: str) -> Iterator[str]:
    if kind in TOPICS:
        return TOPICS[kind]()
    registries = [registry for registry in _REGISTRIES if kind in registry.kinds()]
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
        yield f"contract: {plugin.contract}"
        yield f"handles: {', '.join(f'{name} ({kind})' for name, kind in plugin.handles.items())}"


def _parameters(plugin: type[Any]) -> Iterator[str]:
    hashable: type[object] = plugin
    described = shape(hashable)
    for field in dataclasses.fields(plugin):
        part = described.at([field.name])
        default = "required" if field.default is dataclasses.MISSING else f"default {field.default}"
        yield f"  {field.name}: {part.describe()} ({default})"
        yield f"      {part.purpose}"
