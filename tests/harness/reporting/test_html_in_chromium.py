"""The page in the system's browser: silent, narrow enough, and usable without a mouse."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.pages import page_of, recovered, written_suite
from support.suites import judged, result

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.chaos
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WRONG = result("FAIL", scenario="lost", checks=(judged("no_acknowledged_write_lost", "FAIL", "operation 7 was lost"),))


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415  may be missing
    except ImportError:
        path = None
    if path is None:
        lacking = "needs playwright and a Chromium: pip install playwright; apt-get install chromium"
        (pytest.fail if request.config.getoption("--require-all") else pytest.skip)(lacking)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    trials = [recovered(attempt=n, summary="A long sentence that has to be wrapped somewhere. " * 3) for n in range(20)]
    made = written_suite(folder, *trials, WRONG, recovered(scenario="a-very-long-name-" * 4 + "x"))
    (folder / "index.html").write_text(page_of(folder, made))
    return folder / "index.html"


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 820, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.goto(report.as_uri())
    yield page
    page.close()
    assert not said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_sticks_out_at_any_width(browser: Browser, report: Path, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert not said
    page.close()


def test_the_theme_follows_the_key_and_is_kept(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.keyboard.press("t")
    after = page.evaluate(ground)
    assert after != before
    page.reload()
    assert page.evaluate(ground) == after
    page.keyboard.press("t")
    assert page.evaluate(ground) == before


def test_the_filter_hides_what_does_not_fit_and_says_how_much_is_left(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("lost fail")
    assert page.locator("details.trial:visible").count() == 1
    assert page.locator("table.filters tbody tr:visible").count() == 1
    assert page.locator("output").inner_text() == "1 of 22 trials"
    page.locator("#filter").fill("")
    assert page.locator("details.trial:visible").count() == 22


def test_the_first_error_is_one_key_away(page: Page) -> None:
    mark = page.locator("#t21e")
    page.keyboard.press("e")
    page.wait_for_function("location.hash === '#t21e'")
    box = mark.bounding_box()
    assert box is not None
    assert 0 <= box["y"] <= 900


def test_a_link_to_a_closed_trial_opens_it(page: Page) -> None:
    assert not page.locator("#t5").get_attribute("open")
    page.evaluate("location.hash = '#t5'")
    page.wait_for_function("document.getElementById('t5').open")


def test_trials_can_be_walked_through_and_opened_by_key(page: Page) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    assert page.locator("#t2").get_attribute("open") is not None
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.parentElement.id") == "t1"


def test_the_tab_key_reaches_everything_that_can_be_clicked(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    hidden = "e => e.tabIndex < 0"
    assert page.locator("a, button, input, summary").evaluate_all(f"all => all.filter({hidden}).length") == 0


def test_everything_is_open_in_print(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    page.emulate_media(media="print")
    assert not page.locator(".top").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts_nothing_dead_is_shown(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert not page.locator("#theme, .filter, .keys").locator("visible=true").count()
    assert page.locator("h1").is_visible()
    context.close()
