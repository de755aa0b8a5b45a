"""The report's page of a project that has grown, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import Tab
from tests.browser.operators import axe
from tests.browser.test_report_page import CUT_OFF, DESK, OVERLAPS, PHONE, SMALL_PHONE
from tests.unit.feedback.large_report import LIVE, large_figures, version_name
from worker.feedback.messages import Links
from worker.reports.page import INDEX, file_name, folder, page

OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"
GRAVE = """
axe.run(document, {resultTypes: ['violations']}).then(found => found.violations
  .filter(one => ['serious', 'critical'].includes(one.impact))
  .map(one => one.id + ': ' + one.nodes.slice(0, 3).map(node => node.html.slice(0, 100)).join(' | ')))
"""
CHART = "document.querySelector('#time .scroll')"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "report.html"
    links = Links.of("https://kili.example/api/label/v2/graphql", "P1")
    file.write_text(page(large_figures(), "Everything", links), "utf-8")
    return file


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pages")
    links = Links.of("https://kili.example/api/label/v2/graphql", "P1")
    for name, text in folder(large_figures(), "Everything", links).items():
        (place / name).write_text(text, "utf-8")
    return place


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", [INDEX, file_name(version_name(3)), file_name(LIVE[1])])
def test_the_pages_of_versions_are_like_the_one_page(chromium: Tab, pages: Path, name: str, width: int) -> None:
    chromium.open(pages / name, width=width)
    chromium.ask(OPEN_ALL)
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask(OVERLAPS) == []
    assert chromium.ask(CUT_OFF) == []
    chromium.ask(f"{axe()}; 1")
    assert chromium.ask(GRAVE) == []


def test_from_the_overview_to_a_version_and_back(chromium: Tab, pages: Path) -> None:
    chromium.open(pages / INDEX)
    assert chromium.ask("[...document.querySelectorAll('#models article h3')].map(one => one.innerText)") == [
        LIVE[1],
        LIVE[0],
    ]
    place = chromium.ask("document.querySelector('#models article h3 a').href")
    assert place == (pages / file_name(LIVE[1])).as_uri()
    chromium.open(pages / file_name(LIVE[1]))
    assert chromium.ask("document.querySelector('h1').innerText") == LIVE[1]
    assert chromium.ask("document.querySelector('header a').href") == (pages / INDEX).as_uri()


@pytest.mark.parametrize("width", [DESK, PHONE, SMALL_PHONE])
def test_no_name_is_too_long(chromium: Tab, large: Path, width: int) -> None:
    chromium.open(large, width=width)
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    chromium.ask(OPEN_ALL)
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask(OVERLAPS) == []
    assert chromium.ask(CUT_OFF) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_everybody_can_use_it(chromium: Tab, large: Path, scheme: str, width: int) -> None:
    chromium.open(large, width=width, scheme=scheme)
    chromium.ask(f"{axe()}; 1")

    assert chromium.ask(GRAVE) == []


def test_live_versions_can_be_seen_without_opening_anything(chromium: Tab, large: Path) -> None:
    chromium.open(large)
    names = chromium.ask("[...document.querySelectorAll('#models article h3')].map(one => one.innerText)")

    assert names == [LIVE[1], LIVE[0]]
    assert chromium.ask("[...document.querySelectorAll('#models details')].map(one => one.open)") == [False]


def test_on_a_phone_a_chart_scrolls_and_shows_that_it_goes_on(chromium: Tab, large: Path) -> None:
    chromium.open(large, width=PHONE)

    assert chromium.ask(f"{CHART}.scrollWidth > {CHART}.clientWidth")
    assert chromium.ask(f"getComputedStyle({CHART}).backgroundImage").count("gradient") == 4
    assert chromium.ask(f"{CHART}.focus(), document.activeElement === {CHART}")
    chromium.ask(f"{CHART}.scrollLeft = 999")
    assert chromium.ask(f"{CHART}.scrollLeft") > 0
