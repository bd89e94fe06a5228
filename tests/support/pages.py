"""Suites with run folders, written by hand, so that every number of a report is known beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from harness.record import (
    AnyEvent,
    Folder,
    Invoked,
    PhaseBegan,
    Record,
    Returned,
    RunBegan,
    TrialSpec,
    WorkloadBegan,
    Writer,
)
from harness.reporting import html
from harness.reporting._base import Suite
from harness.reporting._material import Material, Source, gather
from harness.reporting._page import build
from harness.result import Result
from support.records import MS, damage, probes, told
from support.suites import fault, judged, result, suite

HOSTILE = (
    """<script>alert(1)</script> & "quoted" 'single' `tick` | pipe"""
    "\n::error::x @someone https://evil.example ]]> {{ 7*7 }}"
)
NUMBERS = {"recovery_ms": 301.0, "budget_ms": 5000.0, "never_recovered": 0, "detect_ms": 21.0}


def written_run(path: Path, record: Record) -> None:
    """Write the run folder of a record."""
    path.mkdir(parents=True)
    folder = Folder(path)
    spec = TrialSpec(scenario="flip", source="scenarios/flip.yaml", root_seed=7, seed=42, label="bf-test")
    folder.trial.write_bytes(msgspec.json.encode(spec))
    for file, entries in (
        (folder.events, record.events),
        (folder.history, record.history),
        (folder.probes, record.probes),
    ):
        writer = Writer(file)
        writer.write(*entries)
        writer.close()


def kill_at_second_one(extra: Iterable[AnyEvent] = ()) -> Record:
    """A kill at 1 s; an operation each tenth of a second, at 1 s of unknown outcome; bad probes from 1 to 1.3 s."""
    history: list[Invoked | Returned] = []
    for n in range(30):
        at = n * 100 * MS
        history.append(Invoked(n=n, client=n % 3, t=at, op="write" if n % 3 else "read", args={"key": f"k{n}"}))
        history.append(Returned(n=n, t=at + MS, outcome="info" if n == 10 else "ok", result={"version": n}))
    events: list[AnyEvent] = [
        RunBegan(t=0, environment={"bigfive": "9.9.9", "cpus": 2}),
        WorkloadBegan(t=0),
        *damage(1000),
        told(1100, "service.started", pid=7),
        *extra,
        PhaseBegan(t=2900 * MS, phase="heal"),
        PhaseBegan(t=3000 * MS, phase="stop"),
    ]
    spec = TrialSpec(scenario="flip", source="scenarios/flip.yaml", root_seed=7, seed=42, label="bf-test")
    return Record(spec, events, history, list(probes(3000, bad=[(1000, 1300)])))


def recovered(**differing: object) -> Result:
    """What `kill_at_second_one` came to."""
    checks = (judged("recovered_within", "PASS", "well again 301 ms after process.kill", **NUMBERS),)
    fields: dict[str, object] = {"checks": checks, "faults": (fault(proven=True),), "operations": {"ok": 29, "info": 1}}
    return msgspec.structs.replace(result(), **{**fields, **differing})


def written_suite(folder: Path, *results: Result, record: Record | None = None, **differing: object) -> Suite:
    """Write a suite whose trials all have the same record, and all that its run folders hold."""
    made = suite(*results, **differing)
    for trial in made.trials:
        written_run(folder / trial.run, record or kill_at_second_one())
        (folder / trial.run / "result.json").write_bytes(msgspec.json.encode(trial.result))
    (folder / "suite.json").write_bytes(msgspec.json.encode(made))
    return made


def material(folder: Path, *results: Result, **differing: object) -> Material:
    """What sections are built from, of a suite with records."""
    return gather([Source(written_suite(folder, *results, **differing), folder)], folder)


def page_of(folder: Path, made: Suite) -> str:
    """Return the page of a suite as HTML."""
    return html.render(build(gather([Source(made, folder)], folder)))


VOID = {"meta", "link", "input", "br", "wbr", "img", "hr"}


class Outline(HTMLParser):
    """A page taken apart. Raises `AssertionError` where an element is not closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.references: list[str] = []
        self.headings: list[int] = []
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " " if tag == "small" else ""
        if tag not in VOID:
            self._open.append(tag)
        given = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name == "href" and value and tag == "a"]
        self.sources += [value for name, value in attrs if name in {"src", "srcset", "action", "xlink:href"} and value]
        self.references += [given[name] or "" for name in ("for", "aria-labelledby") if name in given]
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes something else"
        self.text += " " if tag in {"td", "th", "small", "dt", "dd", "li", "p"} else ""

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"style", "script"}:
            self.text += data
