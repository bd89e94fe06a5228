"""The page as HTML: in one file, true to the results, and safe whatever the results say."""

from __future__ import annotations

import itertools
import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest

from harness.reporting import html
from harness.reporting._base import write_all
from harness.reporting._svg import Scale, Svg, steps, tag
from support.pages import HOSTILE, Outline, kill_at_second_one, page_of, recovered, written_suite
from support.records import damage, told
from support.suites import fault, judged, result, suite

FAILED = result(
    "FAIL",
    scenario="lost",
    attempt=1,
    checks=(judged("no_acknowledged_write_lost", "FAIL", "operation 7 was lost, 12 was not", lost=2),),
    faults=(fault(proven=True),),
    operations={"ok": 29, "info": 1},
)
STYLE = Path(html.__file__).parent / "_templates" / "page.css"


@pytest.fixture
def page(tmp_path: Path) -> str:
    return page_of(tmp_path, written_suite(tmp_path, recovered(), recovered(attempt=1), FAILED, result("SKIPPED")))


def test_the_report_is_one_file_in_the_folder_of_its_suite(tmp_path: Path) -> None:
    written = write_all(written_suite(tmp_path, recovered()), tmp_path)
    assert tmp_path / "index.html" in written


def test_its_numbers_are_those_of_result_json(tmp_path: Path) -> None:
    made = written_suite(tmp_path, recovered(), FAILED)
    text = " ".join(Outline(page_of(tmp_path, made)).text.split())
    for trial in made.trials:
        saved = json.loads((tmp_path / trial.run / "result.json").read_bytes())
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in saved["operations"].items())
        assert f"{saved['duration_s']:g} s · {sum(saved['operations'].values())} operations · {outcomes}" in text
        assert all(check["verdict"]["summary"] in text for check in saved["checks"])
    assert "recovery 301 ms" in text
    assert "6 % of the budget" in text
    assert "lost 2" in text


def test_every_link_lands(tmp_path: Path, page: str) -> None:
    outline = Outline(page)
    assert len(outline.links) > 20
    for link in outline.links:
        if link.startswith("#"):
            assert link[1:] in outline.ids, link
        else:
            assert (tmp_path / unquote(link)).exists(), link


def test_links_land_from_another_folder_and_with_strange_names_too(tmp_path: Path) -> None:
    made = written_suite(tmp_path / "a suite #1", recovered(scenario="100% ?"))
    html.write(html._page.build(html.gather([html.Source(made, tmp_path / "a suite #1")], tmp_path)), tmp_path)
    links = [link for link in Outline((tmp_path / "index.html").read_text()).links if not link.startswith("#")]
    assert links
    assert all((tmp_path / unquote(link)).exists() for link in links)


def test_evidence_that_is_gone_is_not_linked() -> None:
    outline = Outline(page_of(Path("reports/gone"), suite(recovered(), FAILED)))
    assert all(link.startswith("#") for link in outline.links)
    assert "No picture: " in outline.text


def test_it_asks_nobody_for_anything(page: str) -> None:
    assert not Outline(page).sources
    assert not re.search(r"https?://|url\(|@import|@font-face", page)
    assert "default-src 'none'" in page


def test_its_elements_close_and_its_ids_are_unique(page: str) -> None:
    outline = Outline(page)
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.references) <= set(outline.ids)


def test_its_headings_have_no_gaps(page: str) -> None:
    headings = Outline(page).headings
    assert headings.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(headings))


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    checks = (judged(HOSTILE, "FAIL", HOSTILE), judged("x", "FAIL", f"operation 7 {HOSTILE}"))
    faults = (msgspec.structs.replace(fault(proven=False), on=HOSTILE, kind=HOSTILE),)
    hostile = recovered(
        status="FAIL",
        summary=HOSTILE,
        feature=HOSTILE,
        reason=HOSTILE,
        variant=HOSTILE,
        fix=HOSTILE,
        checks=checks,
        faults=faults,
    )
    skipped = result("SKIPPED", reason=HOSTILE, fix=HOSTILE)
    made = written_suite(tmp_path, hostile, skipped)
    with (tmp_path / "runs/flip/0/events.jsonl").open("ab") as events:
        events.write(msgspec.json.encode(told(1500, HOSTILE, **{HOSTILE: HOSTILE})) + b"\n")
    page = page_of(tmp_path, made)
    outline = Outline(page)
    assert outline.tags.count("script") == 1
    assert not any("evil" in link for link in outline.links)
    assert "<script>alert(1)</script>" in unescape(outline.text)
    assert "{{ 7*7 }}" in outline.text


def test_the_script_is_small_and_the_only_one_that_may_run(page: str) -> None:
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    assert len(script[1]) <= 2500
    assert page.count("<script") == 1
    assert "script-src 'sha256-" in page


def test_a_hundred_trials_stay_below_300_kb(tmp_path: Path) -> None:
    made = written_suite(tmp_path, *(recovered(attempt=n) for n in range(100)))
    assert len(page_of(tmp_path, made).encode()) < 300_000


def test_a_picture_says_in_words_what_it_shows_and_marks_what_a_check_names(page: str) -> None:
    assert 'aria-label="3 s, 30 operations; process.kill 301 ms"' in page
    assert 'id="t3o7"' in page
    assert "operation 7 by client 1: write key k7: ok after 1.0 ms: version 7" in page
    assert 'href="#t3e"' in page


def test_operations_that_are_not_drawn_are_admitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.reporting._story.MAX_OPERATIONS", 20)
    text = Outline(page_of(tmp_path, written_suite(tmp_path, recovered()))).text
    assert "10 of 30 operations are not drawn." in text


def test_status_is_never_colour_alone(page: str) -> None:
    words = re.findall(r'<span class="s (\w+)">([^<]+)</span>', page)
    assert words
    assert all(status in text or status == "MISSING" or text.strip() for status, text in words)
    styles = STYLE.read_text()
    signs = {
        name: re.search(rf'\.{name} {{[^}}]*--g: "(.)"', styles) for name in ("PASS", "FAIL", "UNKNOWN", "SKIPPED")
    }
    assert len({sign[1] for sign in signs.values() if sign}) == len(signs)


def palettes() -> list[dict[str, str]]:
    blocks = re.findall(r":root[^{]*\{([^}]*--bg:[^}]*)\}", STYLE.read_text())
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,8})", block)) for block in blocks]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) > 4 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", ["ink", "soft", "link", "pass", "fail", "unknown", "skipped", "convicted"])
def test_text_can_be_read_in_every_theme(name: str) -> None:
    found = [palette for palette in palettes() if name in palette]
    assert len(found) >= 3
    for palette in found:
        assert min(contrast(palette[name], palette[ground]) for ground in ("bg", "card")) >= 4.5


def test_both_ways_to_a_dark_page_give_the_same_one() -> None:
    _, system, chosen, *_ = palettes()
    assert system == chosen


def test_elements_escape_and_leave_out_what_is_not_there() -> None:
    assert (
        tag("text", "<&>", class_='"', x=None, stroke_width=2)
        == '<text class="&quot;" stroke-width="2">&lt;&amp;&gt;</text>'
    )
    assert tag("g", Svg("<b/>")) == "<g><b/></g>"


def test_steps_are_relative_and_return_to_their_base() -> None:
    assert steps([0, 2, 2, 1], 10) == "M0 10h1v-2h2v1h1V10"
    assert steps([3], 10, up=False) == "M0 10v3h1V10"


@pytest.mark.parametrize(
    ("end", "ticks"), [(3.0, [0, 0.5, 1, 1.5, 2, 2.5, 3]), (0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05])]
)
def test_ticks_are_round(end: float, ticks: list[float]) -> None:
    assert Scale(0.0, end).ticks(6) == pytest.approx(ticks)


def test_places_outside_are_at_the_edge() -> None:
    assert [Scale(0.0, 2.0).at(moment) for moment in (-1, 1, 9)] == ["0%", "50%", "100%"]


def test_faults_beyond_the_lanes_are_admitted(tmp_path: Path) -> None:
    kills = [event for n in range(1, 12) for event in damage(1000 + 10 * n, fault=n)]
    made = written_suite(tmp_path, recovered(), record=kill_at_second_one(kills))
    assert "4 of 12 faults have no lane of their own." in Outline(page_of(tmp_path, made)).text
