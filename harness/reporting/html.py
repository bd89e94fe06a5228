"""One HTML file that needs nothing else: the page model through Jinja's templates, pictures as SVG, no request at all.

The policy in its head forbids every request and every script but its own, whose digest is part of it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from harness.registry import report
from harness.reporting import _page, _picture
from harness.reporting._base import Suite
from harness.reporting._material import Source, gather
from harness.reporting._svg import Svg

if TYPE_CHECKING:
    from jinja2 import Environment

NAME = "index.html"
_JOINTS = re.compile(r"([_/,])(?=\w)")
_TEMPLATES = Path(__file__).parent / "_templates"


@report("html")
class HtmlReport:
    """Write `index.html`, the page that people open: offline, in one file, with links to the evidence beside it."""

    def write(self, suite: Suite, folder: Path) -> Path:
        """Write it."""
        return write(_page.build(gather([Source(suite, folder)], folder)), folder)


def write(page: _page.Page, out: Path) -> Path:
    """Write the page into `out`; what it links to is relative to that folder."""
    path = out / NAME
    path.write_text(render(page), encoding="utf-8")
    return path


def render(page: _page.Page) -> str:
    """Return the page as HTML."""
    style, script = (_text(name) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = _environment().get_template("page.html")
    return template.render(page=page, style=style, script=script, digest=digest)


def breakable(text: str) -> Svg:
    """Return escaped text in which a browser may break long names: after each of `_ / ,`."""
    return Svg(_JOINTS.sub(r"\1<wbr>", escape(text)))


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  100 ms, for rendering only

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(draw_timeline=_picture.timeline, draw_distribution=_picture.distribution)
    environment.filters.update(breakable=breakable)
    return environment
