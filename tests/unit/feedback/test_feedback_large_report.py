"""The report's page of a project that has grown."""

from __future__ import annotations

import re
import shlex
from html import unescape
from typing import Any

import pytest

from tests.unit.feedback.large_report import CLASSES, LIVE, VERSIONS, large_figures, version_name
from worker.feedback.messages import Links
from worker.reports import charts
from worker.reports.charts import MOST_CHARTED
from worker.reports.page import MATRIX_CLASSES, by_version, latest_first, live_names, page

LINKS = Links.of("https://kili.example/api/label/v2/graphql", "P1 of; somebody")


@pytest.fixture(scope="module")
def written() -> str:
    return page(large_figures(), "Everything", LINKS)


def section(text: str, key: str) -> str:
    """One section of the page."""
    found = re.search(rf'<section id="{key}">(.*?)</section>', text, re.DOTALL)
    assert found is not None
    return found[1]


def in_the_open(text: str) -> str:
    """What is not behind a heading that has to be opened."""
    while (fewer := re.sub(r"<details>(?:(?!<details>).)*?</details>", "", text, flags=re.DOTALL)) != text:
        text = fewer
    return text


def test_the_page_of_many_versions_and_classes_stays_small(written: str) -> None:
    assert len(large_figures()["models"]) == VERSIONS
    assert len(written) < 3_000_000


def test_versions_come_latest_first_and_live_ones_are_in_the_open(written: str) -> None:
    models = latest_first(large_figures()["models"])

    assert [one["model"] for one in models[:2]] == [LIVE[1], LIVE[0]]
    assert models[-1]["model"] == version_name(0)
    assert live_names(models) == set(LIVE)
    for key in ("models", "worst", "confusion", "drift"):
        shown = in_the_open(section(written, key))
        heads = re.findall(r"<h3>(?:<span[^>]*></span>)?([^<]+)</h3>", shown)
        assert heads == [LIVE[1], LIVE[0]], key
        assert version_name(VERSIONS - 2) in section(written, key)
        assert version_name(VERSIONS - 2) not in shown
        assert re.search(r"<summary>2[678] earlier versions</summary>", section(written, key))


def test_earlier_versions_are_each_behind_a_name(written: str) -> None:
    names = re.findall(r"<details><summary>([^<]+)</summary>", section(written, "worst"))

    assert names[0].endswith("more")
    assert [name for name in names if ":" in name] == [
        one["model"] for one in latest_first(large_figures()["models"]) if one["model"] not in LIVE
    ]


def test_without_a_live_version_in_a_section_its_latest_is_open() -> None:
    first, second = {"model": "a"}, {"model": "b"}
    assert by_version([first, second], {"c"}) == {"open": [first], "earlier": [second]}
    assert by_version([], {"c"}) is None
    assert live_names([]) == set()


def test_one_chart_shows_as_many_versions_as_it_has_colours(written: str) -> None:
    over_time = section(written, "time")

    assert len(set(re.findall(r"dot (s\d)", over_time))) <= MOST_CHARTED
    assert over_time.count('class="tag"') == MOST_CHARTED
    assert "24 earlier ones are in the table above" in over_time


def test_the_matrix_has_the_classes_with_most_mistakes_and_says_what_it_leaves_out(written: str) -> None:
    first = section(written, "confusion")
    rows = next(one for one in large_figures()["models"] if one["model"] == LIVE[1])["jobs"]["ANIMAL"]["confusion"]
    wrong: dict[str, float] = {}
    for row in rows:
        if row["model"] != row["human"]:
            for name in (row["model"], row["human"]):
                wrong[name] = wrong.get(name, 0.0) + row["estimated"]
    shown = re.findall(r'<th scope="row" title="([^"]+)"', first.partition("</table>")[0])

    assert len(shown) == MATRIX_CLASSES < len(wrong) <= len(CLASSES)
    assert min(wrong[unescape(name)] for name in shown) >= max(
        value for name, value in wrong.items() if name not in map(unescape, shown)
    )
    assert f"{len(wrong) - MATRIX_CLASSES} more were mistaken" in first


def test_the_command_that_is_printed_can_be_called_as_it_is(written: str) -> None:
    commands = [unescape(one) for one in re.findall(r"<code>(prediction-worker [^<]+)</code>", written)]

    assert len(commands) == 3
    for command in commands:
        program, report, *options = shlex.split(command)
        assert (program, report) == ("prediction-worker", "report")
        assert options[0::2] == ["--project", "--acknowledge"]
        assert options[1] == LINKS.project
        assert options[3].endswith(f"/{LIVE[1]}/1")


def test_an_alarm_is_on_the_curve_of_its_own_detector() -> None:
    drift = next(one["drift"] for one in large_figures()["models"] if one["model"] == LIVE[1])
    chart = charts.evidence_over_time(drift["points"], drift["alarms"])

    assert chart is not None
    assert [alarm["name"] for alarm in chart["alarms"]] == ["alarm: accuracy fell"]


def test_nothing_unknown_is_green() -> None:
    def of(model: dict[str, Any]) -> str:
        quiet = {**model, "drift": {**model["drift"], "states": {"scores_changed": "quiet"}}}
        return page({**large_figures(), "models": [quiet]}, "One", LINKS)

    unknown = [one for one in large_figures()["models"] if one["agreement"]["value"] is None]
    known = [one for one in large_figures()["models"] if one["agreement"]["value"] is not None]
    assert [one["model"] for one in unknown] == [version_name(5)]
    assert "quiet</span>" in of(unknown[0])
    assert 'class="tag quiet"' not in of(unknown[0])
    assert 'class="tag quiet"' in of(known[0])


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(written: str) -> None:
    scrolls = re.findall(r'<div [^>]*class="scroll"[^>]*>', written)

    assert len(scrolls) > 10
    for one in scrolls:
        assert 'tabindex="0"' in one
        assert re.search(r'aria-label="[^"]+"', one)
