"""Pictures as SVG text: escaped elements, axes, and densities in few bytes.

Places along the axis are percentages, so that a picture fills any width with its text and its lines undistorted; only
the densities, which are paths, lie in an inner picture that is stretched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby


class Svg(str):
    """Markup that is safe as it is; Jinja's autoescape asks for `__html__`."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return it unescaped."""
        return str(self)


def tag(name: str, *children: str, **attributes: object) -> Svg:
    """Return an element. Text and attributes are escaped; `class_` means `class`, `stroke_width` `stroke-width`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(child if isinstance(child, Svg) else escape(child) for child in children)
    return Svg(f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>")


def title(text: str) -> Svg:
    """Return what a pointer that rests on the parent shows."""
    return tag("title", text)


def number(value: float) -> str:
    """Return a coordinate with at most one decimal: a thousandth of the picture is a pixel."""
    return f"{value:.1f}".removesuffix(".0")


class Scale:
    """Places of the moments from `begin` to `end`, in percent."""

    def __init__(self, begin: float, end: float) -> None:
        self.begin = begin
        self.end = end

    def place(self, moment: float) -> float:
        """Return the place of a moment, at the edge if it is outside."""
        share = (moment - self.begin) / (self.end - self.begin)
        return 100 * min(max(share, 0.0), 1.0)

    def at(self, moment: float) -> str:
        """Return the place as an attribute."""
        return f"{number(self.place(moment))}%"

    def width(self, begin: float, end: float) -> str:
        """Return the width of a span; never nothing, or it could not be seen."""
        return f"{number(max(self.place(end) - self.place(begin), 0.2))}%"

    def ticks(self, most: int) -> list[float]:
        """Return at most `most` + 1 round moments."""
        span = self.end - self.begin
        powers = (10.0**exponent for exponent in range(-4, 6))
        step = next(p * f for p in powers for f in (1, 2, 5) if span / (p * f) <= most)
        return [index * step for index in range(int(self.begin / step), int(self.end / step) + 1)]


def steps(heights: Sequence[int], base: int, *, up: bool = True) -> str:
    """Return a path of columns of width 1 that stand on (or hang from) `base`."""
    return f"M0 {base}{''.join(_steps(heights, -1 if up else 1))}V{base}"


def _steps(heights: Sequence[int], sign: int) -> Iterator[str]:
    last = 0
    for height, group in groupby(heights):
        yield f"v{sign * (height - last)}" if height != last else ""
        yield f"h{len(list(group))}"
        last = height
