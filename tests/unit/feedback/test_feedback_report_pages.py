"""The report as an overview and a page for each model version."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import unquote

import pytest

from tests.unit.feedback.large_report import LIVE, VERSIONS, large_figures, version_name
from worker.feedback.messages import Links
from worker.reports.page import INDEX, file_name, folder, page, version_page

LINKS = Links.of("https://kili.example/api/label/v2/graphql", "P1")
UNANSWERED = 5
"""Of this version nobody has answered anything."""
OF_VERSIONS = ("worst", "confusion", "calibration", "drift")
STRANGE = [
    "",
    ":",
    "../../etc/passwd",
    "a/b:1",
    "a\\b:1",
    "модель:1",
    "模型:1",
    "x" * 500,
    "a:1",
    "a-1",
    "A:1",
    "\ud800",
]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return folder(large_figures(), "Everything", LINKS)


def sections(text: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', text)


def local_links(text: str) -> set[str]:
    return {unescape(link) for link in re.findall(r'href="([^"#]+)"', text) if not link.startswith("https://")}


def test_each_version_has_a_page_that_the_overview_leads_to(pages: dict[str, str]) -> None:
    assert len(pages) == VERSIONS + 1
    assert {unquote(link) for link in local_links(pages[INDEX])} == pages.keys() - {INDEX}
    for name, text in pages.items():
        if name != INDEX:
            assert local_links(text) == {INDEX}


def test_the_overview_shows_live_versions_first_and_none_of_the_details(pages: dict[str, str]) -> None:
    cards = re.findall(r"<h3>(?:<span[^>]*></span>)?<a [^>]*>([^<]+)</a></h3>", pages[INDEX])
    assert [unescape(name) for name in cards] == [LIVE[1], LIVE[0]]
    assert not set(sections(pages[INDEX])) & set(OF_VERSIONS)
    whole = page(large_figures(), "Everything", LINKS)
    assert pages[INDEX].count('<div class="note bad">') == whole.count('<div class="note bad">') > 0
    assert pages[INDEX].count('<div class="note warn">') == whole.count('<div class="note warn">') > 0


def test_a_versions_page_is_of_it_alone_and_hides_nothing(pages: dict[str, str]) -> None:
    for number in range(VERSIONS):
        own, text = version_name(number), unescape(pages[file_name(version_name(number))])
        assert f"<h1>{own}</h1>" in text
        assert "earlier version" not in text
        assert {"models", "worst", "reviewers"} <= set(sections(text))
        assert ("confusion" in sections(text)) is (number != UNANSWERED)
        compared = text.partition('<section id="versions">')[2].partition("</section>")[0]
        others = [version_name(other) for other in range(VERSIONS) if other != number]
        assert not [other for other in others if other in text.replace(compared, "")]


def test_an_alarm_is_on_the_page_of_its_version_with_the_whole_command(pages: dict[str, str]) -> None:
    alarmed = unescape(pages[file_name(version_name(3))])
    assert "prediction-worker report --project P1 --acknowledge " in alarmed
    assert "--acknowledge" not in pages[file_name(version_name(4))]


def test_file_names_are_safe_and_each_is_of_one_version() -> None:
    names = [file_name(model) for model in STRANGE]
    assert len(set(names)) == len(STRANGE)
    assert all(re.fullmatch(r"model-[A-Za-z0-9-]{1,80}\.html", name) for name in names)
    assert names == [file_name(model) for model in STRANGE]


def test_a_version_without_figures_has_no_page() -> None:
    with pytest.raises(KeyError, match="nobody:1"):
        version_page(large_figures(), "Everything", LINKS, "nobody:1", INDEX)
