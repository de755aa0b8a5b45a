"""The report as text and as a page, and the gallery of disagreements."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from tests.unit.feedback.feedback_records import record, traffic
from tests.unit.feedback.kili_in_memory import INTERFACE, START, label_of
from worker.feedback.messages import Links, age, percent, time_of_day
from worker.feedback.reading import ReadAsset
from worker.feedback.records import AssetRecord
from worker.feedback.report_data import ReportQuestion, disagreements, report_data_of
from worker.reports.gallery import AssetContents, Exhibit, Shown, exhibits, export_rows, varied
from worker.reports.page import page
from worker.reports.text import text

ROOT = Path(__file__).parents[3]
DAY = 86_400.0
VOID = {"br", "img", "meta"}
LINKS = Links.of("https://kili.example/api/label/v2/graphql", "P1")


def report_data(records: list[AssetRecord], **options):
    return report_data_of(records, INTERFACE, ReportQuestion(**{"now": START + 20 * DAY, **options}))


@pytest.fixture(scope="module")
def drifted() -> dict:
    """Two versions; the second one has drifted half way."""
    first = traffic(1200, step=300)
    second = traffic(2400, model="m:2", at=START + 5 * DAY, first=1000, step=300, cows_are_dogs_from=1200, seed=5)
    return report_data(first + second, run_length=10_000.0)


def test_the_text_says_what_matters(drifted: dict) -> None:
    words = text(drifted, "Animals")

    assert words.startswith("Animals: agreement of live traffic, last 30 days")
    assert re.search(r"^m:1  \d\d\.\d\u202f% \(\d\d\.\d\u202f% to \d\d\.\d\u202f%\)$", words, re.MULTILINE)
    assert "Naive average of the answers, not of live traffic" in words
    assert re.search(r"errors a day  ANIMAL DOG", words)
    assert "ALARM accuracy_fell/m:2/1: the model is wrong more often than it used to be" in words
    assert "ALARM accuracy_fell/m:1" not in words


def test_an_acknowledged_alarm_is_no_longer_shouted(drifted: dict) -> None:
    alarms = drifted["models"][1]["drift"]["alarms"]
    kept = [{**alarm, "acknowledged_at": START + 15 * DAY} for alarm in alarms]
    quiet = {**drifted["models"][1], "drift": {**drifted["models"][1]["drift"], "alarms": kept}}
    changed = {**drifted, "models": [drifted["models"][0], quiet]}

    assert "ALARM" not in text(changed, "Animals")
    assert "note bad" not in page(changed, "Animals", LINKS)
    assert "acknowledged 16 Mar" in page(changed, "Animals", LINKS)


def test_the_text_of_an_empty_project() -> None:
    assert "no predictions yet" in text(report_data([]), "Animals")


class Reader(HTMLParser):
    """Checks that elements close in order, and collects what a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.server_message: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found["href"] or ""] if "href" in found else []
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.server_message.append(data)


def test_the_page_is_well_formed_and_its_menu_leads_somewhere(drifted: dict) -> None:
    read = Reader(page(drifted, "Animals", LINKS))

    assert read.stack == []
    assert {link[1:] for link in read.links if link.startswith("#")} == set(read.ids)
    assert len(read.ids) == len(set(read.ids))
    assert LINKS.home in read.links


def test_the_page_shows_the_alarm_the_curves_and_the_ranking(drifted: dict) -> None:
    read = Reader(page(drifted, "Animals", LINKS))
    words = " ".join(read.server_message)

    assert "m:2: accuracy fell" in words
    assert "report --project P1 --acknowledge accuracy_fell/m:2/1" in words
    assert "Agreement over time" in words
    assert "alarm: accuracy fell" in words
    assert "Where the model is wrong most" in words
    assert any(link.startswith("https://kili.example/label/projects/label/asset") for link in read.links)


def test_the_page_of_an_empty_project_says_so() -> None:
    read = Reader(page(report_data([]), "Animals", LINKS))

    assert "No predictions yet." in read.server_message


def test_every_kind_of_disagreement_is_shown_before_a_second_one_of_a_kind() -> None:
    often = [record(n, "CAT", "DOG", band=2) for n in range(3)]
    rows = disagreements([*often, record(7, "DOG", "COW", band=2), record(8, "CAT", "CAT", band=2)])

    chosen = varied(rows, 3)

    assert [(one["model_says"]["ANIMAL"], one["human_says"]["ANIMAL"]) for one in chosen] == [
        (["CAT"], ["DOG"]),
        (["DOG"], ["COW"]),
        (["CAT"], ["DOG"]),
    ]
    assert [one["alike"] for one in chosen] == [3, 1, 3]
    assert len(varied(rows, 99)) == len(rows) == 4


def test_names_cannot_break_out_of_the_page() -> None:
    evil = "<script>alert(1)</script>\"'&"
    one = replace(record(1, "CAT", "DOG", band=2), external_id=evil, slices={evil: evil})
    other = replace(record(2, "CAT", "CAT", band=2), slices={evil: "plain"})
    rows = disagreements([one])
    shown = [Exhibit(rows[0], Shown(text=evil), {}, {})]

    written = page(report_data([one, other]), evil, LINKS, shown)

    assert "<script" not in written
    assert Reader(written).stack == []


def test_overdue_audits_and_contradicting_marks_are_warned_of() -> None:
    records = [record(n, "CAT", band=2) for n in range(3)] + [record(9, "CAT", "CAT", band=2, mark=0.5)]
    found = report_data(records)

    for written in (text(found, "Animals"), " ".join(Reader(page(found, "Animals", LINKS)).server_message)):
        assert "m:1: 3 audits are overdue" in written
        assert "Kili's marks contradict ours on 1 of 1 answers" in written


def test_without_an_audit_the_page_says_what_is_unknown() -> None:
    found = report_data([record(1, "CAT", "CAT"), record(2, "CAT")])

    written = " ".join(Reader(page(found, "Animals", LINKS)).server_message)

    assert "no audit is answered, so nothing is known of what nobody answered" in written


def contents_of(answer: Callable[[httpx.Request], httpx.Response]) -> AssetContents:
    return AssetContents("https://kili.example/api", "key", httpx.Client(transport=httpx.MockTransport(answer)))


def asset(content: str = "https://pictures.example/1", **options) -> ReadAsset:
    return ReadAsset("asset00001", "one.jpg", date(2026, 3, 1), content, "", {}, **{"labels": (), **options})


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (httpx.Response(200, content=PNG), "picture"),
        (httpx.Response(200, content=b"some words"), "text"),
        (httpx.Response(404), "problem"),
        (httpx.Response(200, content=b"\x00\xff\x01"), "problem"),
        (httpx.Response(200, content=bytes(500_000)), "problem"),
    ],
)
def test_contents_are_pictures_texts_or_problems(response: httpx.Response, expected: str) -> None:
    shown = contents_of(lambda _: response).of(asset())

    assert [name for name in ("picture", "text", "problem") if getattr(shown, name)] == [expected]


def test_a_content_that_is_no_address_is_shown_as_text() -> None:
    assert contents_of(lambda _: httpx.Response(500)).of(asset("plain words")).text == "plain words"


def box(name: str, left: float) -> dict:
    corners = [{"x": left, "y": 0.1}, {"x": left, "y": 0.5}, {"x": left + 0.3, "y": 0.5}, {"x": left + 0.3, "y": 0.1}]
    return {"J": {"annotations": [{"categories": [{"name": name}], "boundingPoly": [{"normalizedVertices": corners}]}]}}


def row_of(said: str = "CAT", meant: str = "DOG") -> dict:
    return disagreements([record(1, said, meant)])[0]


def gallery_of(exhibit: Exhibit) -> str:
    """The page's disagreements, of which there is one."""
    return page(report_data([]), "Animals", LINKS, [exhibit]).partition('<section id="gallery">')[2]


def test_boxes_of_both_sides_are_drawn_on_the_picture() -> None:
    exhibit = Exhibit(row_of(), Shown(picture="data:image/png;base64,AA"), box("A", 0.1), box("A", 0.5))

    written = gallery_of(exhibit)

    assert written.count("<polygon") == 2
    assert 'class="shape model" points="0.10000,0.10000' in written
    assert 'class="shape human" points="0.50000,0.10000' in written


def test_areas_in_groups_are_drawn_on_the_picture() -> None:
    grouped = box("A", 0.1)
    annotation = grouped["J"]["annotations"][0]
    annotation["boundingPoly"] = [annotation["boundingPoly"], annotation["boundingPoly"]]

    written = gallery_of(Exhibit(row_of(), Shown(picture="data:image/png;base64,AA"), grouped, {}))

    assert written.count("<polygon") == 2


def test_entities_of_both_sides_are_marked_in_the_text() -> None:
    def span(begin: int, end: int) -> dict:
        return {"J": {"annotations": [{"categories": [{"name": "WHO"}], "beginOffset": begin, "endOffset": end}]}}

    exhibit = Exhibit(row_of(), Shown(text="Ada met <Bob>"), span(0, 3), span(0, 13))

    written = gallery_of(exhibit)

    assert '<mark class="human" title="human: WHO"><mark class="model" title="model: WHO">Ada</mark></mark>' in written
    assert "&lt;Bob&gt;" in written


def test_an_exhibit_has_the_newest_responses_of_both_sides() -> None:
    labels = (
        label_of("i1", "INFERENCE", "CAT", START, model="m:1"),
        label_of("i2", "INFERENCE", "COW", START, model="m:2"),
        label_of("h1", "DEFAULT", "CAT", START + 1),
        label_of("h2", "DEFAULT", "DOG", START + 2),
    )

    (found,) = exhibits([row_of()], [asset("words", labels=labels)], contents_of(lambda _: httpx.Response(500)))

    assert found.model["ANIMAL"]["categories"][0]["name"] == "CAT"
    assert found.human["ANIMAL"]["categories"][0]["name"] == "DOG"


def test_disagreements_on_assets_that_are_gone_are_left_out() -> None:
    assert exhibits([row_of()], [], contents_of(lambda _: httpx.Response(500))) == []


class OneAsset:
    """Reads the one asset there is."""

    def __init__(self, found: ReadAsset) -> None:
        self._found = found

    def assets(self, project: str, asset_ids: list[str]) -> list[ReadAsset]:
        return [self._found] if self._found.id in asset_ids else []


def test_the_export_tells_both_responses_and_the_decision() -> None:
    labels = (label_of("i1", "INFERENCE", "CAT", START, model="m:1"), label_of("h1", "DEFAULT", "DOG", START + 1))
    records = [record(1, "CAT", "DOG", band=2, doubt=0.3), record(2, "CAT")]

    (row,) = export_rows(records, OneAsset(asset(labels=labels)), "P")

    assert (row["disagrees"], row["agreement"], row["audit"], row["p_error"]) == (True, 0.0, True, 0.3)
    assert row["model_response"]["ANIMAL"]["categories"][0]["name"] == "CAT"
    assert row["human_response"]["ANIMAL"]["categories"][0]["name"] == "DOG"
    assert row["predicted_at"] == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5\u202fs"), (150, "2\u202fmin"), (7200, "2\u202fh"), (300_000, "3\u202fd")]
)
def test_ages_are_rounded_to_what_people_read(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_times_are_as_fine_as_their_span() -> None:
    assert time_of_day(START, 3600) == "12:00"
    assert time_of_day(START, 2 * DAY) == "01 Mar 12:00"
    assert time_of_day(START) == "01 Mar"


def test_an_unknown_share_is_called_so() -> None:
    assert (percent(None), percent(0.1234, 1)) == ("unknown", "12.3\u202f%")


@pytest.mark.parametrize("package", ["reports", "page"])
def test_markup_is_written_in_templates_alone(package: str) -> None:
    folder = ROOT / "worker" / package
    texts = [
        (path.name, node.value)
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    assert any(re.search(r"</[a-z]+>", path.read_text("utf-8")) for path in folder.glob("templates/*"))
    assert [(name, text) for name, text in texts if re.search(r"</?[a-z]+[\d ]*>|<[a-z]+ [a-z-]+=", text)] == []
