"""One browser for all tests, and a page with everything that a report can hold."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Tab, find, tab
from tests.unit.feedback.feedback_records import traffic
from tests.unit.feedback.kili_in_memory import INTERFACE, START
from worker.demo.plan import load_digits, png
from worker.feedback.messages import Links
from worker.feedback.report_data import ReportQuestion, disagreements, report_data_of
from worker.reports.gallery import Exhibit, Shown, varied
from worker.reports.page import page

DAY = 86_400.0
LINKS = Links.of("https://kili.example/api/label/v2/graphql", "P1")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Tab]:
    path = find()
    if path is None:
        pytest.fail("no Chromium: apt-get install chromium, or name one in CHROMIUM")
    with tab(path) as found:
        yield found


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions, the second one drifted; a picture with boxes, one without, a text, something not to be had."""
    first = traffic(1200, step=300)
    second = traffic(2400, model="m:2", at=START + 5 * DAY, first=1000, step=300, cows_are_dogs_from=1200, seed=5)
    report_data = report_data_of(first + second, INTERFACE, ReportQuestion(now=START + 20 * DAY, run_length=10_000.0))
    rows = varied(disagreements(first + second), 4)
    picture = f"data:image/png;base64,{base64.b64encode(png(load_digits().images[0])).decode()}"
    contents = [
        (Shown(picture=picture), box(0.1, 0.4), box(0.2, 0.6)),
        (Shown(picture=picture), {}, {}),
        (Shown(text="Ada wrote to Charles in London."), entity("Ada", 0), entity("Charles", 13)),
        (Shown(problem="cannot be fetched: ConnectTimeout"), {}, {}),
    ]
    shown = [Exhibit(row, *content) for row, content in zip(rows, contents, strict=True)]
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(page(report_data, "Animals at the gate", LINKS, shown), "utf-8")
    return file


def box(low: float, high: float) -> dict[str, object]:
    """One box from corner to corner, in the unit square."""
    corners = [{"x": x, "y": y} for x, y in ((low, low), (high, low), (high, high), (low, high))]
    return {"BOXES": {"annotations": [{"boundingPoly": [{"normalizedVertices": corners}]}]}}


def entity(words: str, begin: int) -> dict[str, object]:
    """One named entity."""
    return {"NAMES": {"annotations": [{"beginOffset": begin, "content": words, "categories": [{"name": "PERSON"}]}]}}
