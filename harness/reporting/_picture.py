"""The picture of a trial, and that of a distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.reporting._blocks import Distribution, Spread
from harness.reporting._story import Mark, Outage, Recovered, Story, Window
from harness.reporting._svg import Scale, Svg, number, steps, tag, title
from harness.reporting._words import count, duration, percentile

_FAULT, _OPERATIONS, _STRIP, _AXIS = 22, 46, 18, 20
_UP, _DOWN = 30, 12
_MOST_FAULTS, _MOST_MARKS, _MOST_DOTS = 8, 60, 400
_TICKS, _BRIEF_TICKS = 6, 3
_LEFT, _RIGHT = 16.0, 70.0  # percent: room for text before the one, and behind the other
_ROW, _HEAD = 46, 26


@dataclass(frozen=True)
class Row:
    """A lane of the picture: its name, a smaller second line, and its height in pixels."""

    name: str
    note: str
    height: int


@dataclass(frozen=True)
class Picture:
    """Lanes and the picture beside them; `note` says what is left out of it."""

    rows: tuple[Row, ...]
    svg: Svg
    note: str


def timeline(story: Story, anchor: str, *, brief: bool = False) -> Picture:
    """Draw a trial. Elements that can be jumped to are `<anchor>e` and, for accused operations, `<anchor>o<number>`.

    A `brief` picture has the same shapes and fewer words: no reasons of probes, no data of events, no first error.
    """
    scale = Scale(story.begin, story.end)
    faults = story.windows[:_MOST_FAULTS]
    rows = tuple(_rows(story, faults))
    height = sum(row.height for row in rows) + _AXIS
    top = len(faults) * _FAULT
    parts = [
        *_shades(story.windows, scale, height - _AXIS),
        *_phases(story.phases, scale, height - _AXIS),
        *_lanes(faults, story, scale),
        _operations(story, top),
        _probes(story.outages, scale, top + _OPERATIONS, brief=brief),
        _events(story.events, scale, top + _OPERATIONS + _STRIP, brief=brief),
        *([] if brief else _errors(story, scale, anchor, height - _AXIS)),
        *_axis(scale, height, _BRIEF_TICKS if brief else _TICKS),
    ]
    svg = tag("svg", *parts, class_="tl", height=height, role="img", aria_label=_label(story))
    return Picture(rows, svg, " ".join(_left_out(story)))


def _left_out(story: Story) -> Iterator[str]:
    if story.left_out:
        yield f"{count(story.left_out)} of {count(story.operations)} operations are not drawn."
    if more := max(len(story.windows) - _MOST_FAULTS, 0):
        yield f"{more} of {len(story.windows)} faults have no lane of their own."
    if more := max(len(story.events) - _MOST_MARKS, 0):
        yield f"{more} of {len(story.events)} events are not drawn."
    if more := max(len(story.outages) - _MOST_MARKS, 0):
        yield f"{more} of {len(story.outages)} outages are not drawn."


def _rows(story: Story, faults: Sequence[Window]) -> Iterator[Row]:
    for window in faults:
        yield Row(window.kind, f"on {window.on}" if window.on else "", _FAULT)
    width = (story.end - story.begin) / len(story.columns)
    peak = max(map(sum, story.columns)) / width
    yield Row("operations", f"peak {count(peak)}/s", _OPERATIONS)
    bad = sum(outage.probes for outage in story.outages)
    yield Row("probes", f"{bad} of {story.probes} bad", _STRIP)
    shown = f"{_MOST_MARKS} of {len(story.events)}" if len(story.events) > _MOST_MARKS else str(len(story.events))
    yield Row("events", shown, _STRIP)


def _label(story: Story) -> str:
    times = [f"{each.kind} {_outcome(each)}" for each in story.recoveries]
    return f"{duration(story.end)}, {count(story.operations)} operations; {', '.join(times) or 'no fault'}"


def _outcome(each: Recovered) -> str:
    if each.took_s is not None:
        return duration(each.took_s)
    return "never well" if each.noticed is not None else "unnoticed"


def _shades(windows: Sequence[Window], scale: Scale, height: int) -> Iterator[Svg]:
    for each in windows:
        what = f"{each.kind}{f' on {each.on}' if each.on else ''} at {duration(each.begin)}"
        if each.end is None:
            place = scale.at(each.begin)
            yield tag("line", title(what), class_="d", x1=place, x2=place, y2=height)
        else:
            yield tag(
                "rect",
                title(f"{what} to {duration(each.end)}"),
                class_="w",
                x=scale.at(each.begin),
                width=scale.width(each.begin, each.end),
                height=height,
            )


def _phases(phases: Sequence[Mark], scale: Scale, height: int) -> Iterator[Svg]:
    for each in phases:
        if each.text == "heal" and each.at < scale.end:
            place = scale.at(each.at)
            yield tag("line", title(f"workload over at {duration(each.at)}"), class_="p", x1=place, x2=place, y2=height)


def _lanes(faults: Sequence[Window], story: Story, scale: Scale) -> Iterator[Svg]:
    back = {each.fault: each for each in story.recoveries}
    for index, window in enumerate(faults):
        place = scale.at(window.begin)
        if window.end is None:
            fault = tag("circle", class_="f", cx=place)
        else:
            fault = tag("rect", class_="f", x=place, width=scale.width(window.begin, window.end))
        parts = _way_back(back[window.fault], scale) if window.fault in back else ()
        yield tag("svg", fault, *parts, class_="l", y=index * _FAULT)


def _way_back(each: Recovered, scale: Scale) -> tuple[Svg, Svg]:
    """Draw the bar and its time: behind it where there is room, else before it, else on its end."""
    end = scale.end if each.recovered is None else each.recovered
    kind = "r" if each.recovered is not None else "n" if each.noticed is not None else "u"
    bar = tag("rect", title(_recovery(each)), class_=kind, x=scale.at(each.began), width=scale.width(each.began, end))
    left, right = scale.place(each.began), scale.place(end)
    if right <= _RIGHT:
        return bar, tag("text", _outcome(each), x=f"{number(right)}%", y=15, dx=6)
    free = left >= _LEFT and each.injected == each.began
    place = left if free else right
    return bar, tag("text", _outcome(each), x=f"{number(place)}%", y=15, dx=-8, text_anchor="end")


def _recovery(each: Recovered) -> str:
    """Say how long each stage took. Noticing is counted from the injection, which a fault that lasts began with."""
    stages = [
        ("noticed", each.noticed, each.injected),
        ("restarted", each.restarted, each.began),
        ("restored", each.restored, each.began),
        ("well again", each.recovered, each.began),
    ]
    seen = [f"{name} {duration(at - since)}" for name, at, since in stages if at is not None]
    missing = "" if each.recovered is not None else "never well again" if each.noticed is not None else "nobody noticed"
    return ", ".join(filter(None, [*seen, missing]))


def _operations(story: Story, top: int) -> Svg:
    ok, fail, info = zip(*story.columns, strict=True)
    scale = min(_UP / max(*ok, 1), _DOWN / max(*fail, 1))
    more = f", and {count(story.final)} reads of the end state" if story.final else ""
    high = [math.ceil(each * scale) for each in ok]
    low = [math.ceil(each * scale) for each in fail]
    done = tag("path", title(f"{count(sum(ok))} ok{more}"), class_="ok", d=steps(high, _UP))
    not_done = title(f"{count(sum(fail))} fail: certainly not done")
    unknown = title(f"{count(sum(info))} info: unknown whether done")
    return tag(
        "svg",
        done,
        tag("path", not_done, class_="fl", d=steps(low, _UP, up=False)) if any(fail) else Svg(),
        tag("path", unknown, class_="in", d="".join(f"M{x}.2 42v-42h.6v42" for x, each in enumerate(info) if each))
        if any(info)
        else Svg(),
        y=top + 2,
        height=_OPERATIONS - 4,
        viewBox=f"0 0 {len(story.columns)} 42",
        preserveAspectRatio="none",
    )


def _probes(outages: Sequence[Outage], scale: Scale, top: int, *, brief: bool) -> Svg:
    bars = []
    for each in outages[:_MOST_MARKS]:
        why = "" if brief else f": {each.error}"
        text = title(f"{each.probes} bad probes from {duration(each.begin)} to {duration(each.end)}{why}")
        bars.append(tag("rect", text, x=scale.at(each.begin), width=scale.width(each.begin, each.end)))
    return tag("svg", tag("line", x2="100%", y1=9, y2=9), *bars, class_="pr", y=top)


def _events(events: Sequence[Mark], scale: Scale, top: int, *, brief: bool) -> Svg:
    """Draw circles whose size and height the style sheet knows: there are many."""
    dots = []
    for each in events[:_MOST_MARKS]:
        what = each.text.partition(" ")[0] if brief else each.text
        dots.append(tag("circle", title(f"{duration(each.at)} {what}"), cx=scale.at(each.at)))
    return tag("svg", *dots, class_="e", y=top)


def _errors(story: Story, scale: Scale, anchor: str, height: int) -> Iterator[Svg]:
    for mark in story.accused:
        place = scale.at(mark.at)
        text = title(f"{mark.text} at {duration(mark.at)}")
        yield tag("line", text, class_="a", id=f"{anchor}o{mark.n}", x1=place, x2=place, y2=height)
    if story.first_error is not None:
        place = scale.at(story.first_error)
        yield tag("line", class_="fe", id=f"{anchor}e", x1=place, x2=place, y1=height - 5, y2=height + 3)


def _axis(scale: Scale, height: int, ticks: int) -> Iterator[Svg]:
    yield tag("line", class_="x", x2="100%", y1=height - _AXIS, y2=height - _AXIS)
    for tick in scale.ticks(ticks):
        place = scale.place(tick)
        anchor = "end" if place > 96 else "start" if place < 4 else None  # noqa: PLR2004  percent, near the edges
        yield tag("text", f"{tick:g} s", x=f"{number(place)}%", y=height - 4, text_anchor=anchor)


def distribution(block: Distribution) -> Svg:
    """Draw one row of dots for each kind of fault on a logarithmic axis, with its median and its budget."""
    scale = Scale(math.log10(block.low_s), math.log10(block.high_s))
    height = _HEAD + _ROW * len(block.spreads)
    rows = [part for index, spread in enumerate(block.spreads) for part in _spread(spread, scale, _HEAD + index * _ROW)]
    label = "Recovery times by kind of fault; the table below has the numbers."
    return tag("svg", *_decades(scale, height), *rows, class_="dist", height=height, role="img", aria_label=label)


def _decades(scale: Scale, height: int) -> Iterator[Svg]:
    for exponent in range(round(scale.begin), round(scale.end) + 1):
        place = scale.at(exponent)
        last, first = exponent == round(scale.end), exponent == round(scale.begin)
        yield tag("line", class_="g", x1=place, x2=place, y1=_HEAD - 6, y2=height)
        anchor = "end" if last else "start" if first else None
        yield tag("text", duration(10.0**exponent), class_="x", x=place, y=14, text_anchor=anchor)


def _spread(spread: Spread, scale: Scale, top: int) -> Iterator[Svg]:
    measured = len(spread.times_s) + spread.never
    said = [f"n {measured}", f"{spread.never} never" if spread.never else ""]
    yield tag("text", spread.name, tag("tspan", f"  {' · '.join(filter(None, said))}", class_="m"), y=top + 14)
    line = top + 30
    yield tag("line", class_="g", x2="100%", y1=line, y2=line)
    if spread.budget_s:
        place = scale.at(math.log10(spread.budget_s))
        text = title(f"budget {duration(spread.budget_s)}")
        yield tag("line", text, class_="b", x1=place, x2=place, y1=line - 10, y2=line + 10)
    dots = []
    for time in spread.times_s[:_MOST_DOTS]:
        late = spread.budget_s is not None and time > spread.budget_s
        dots.append(tag("circle", title(duration(time)), class_="late" if late else None, cx=scale.at(_log(time))))
    yield tag("svg", *dots, class_="dots", y=line - 9)
    if spread.times_s:
        middle = percentile(spread.times_s, 0.5)
        text = title(f"median of those that came {duration(middle)}")
        yield tag(
            "line", text, class_="med", x1=scale.at(_log(middle)), x2=scale.at(_log(middle)), y1=line - 8, y2=line + 8
        )


def _log(seconds: float) -> float:
    return math.log10(max(seconds, 1e-6))
