"""The report's page in a real browser: what a person sees, on a desk and on a phone, by day and by night."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.chromium import Tab

DESK, PHONE, SMALL_PHONE = 1280, 390, 320
LEAST_CONTRAST = 4.5
"""Of text on its ground, as of WCAG 2, level AA."""

SECTIONS = [
    "Model versions",
    "Agreement over time",
    "Where the model is wrong most",
    "What was mistaken for what",
    "Does the confidence tell the truth?",
    "Drift",
    "Versions on the same assets",
    "Reviewers and audits",
    "Disagreements",
]

OVERLAPS = """
[...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const boxes = [...chart.querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], i) => boxes.slice(i + 1)
    .filter(([, b]) => a.width && b.width)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([other]) => name + ' | ' + other));
})
"""
CUT_OFF = """
[...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll('text')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1);
  }).map(one => one.textContent);
})
"""
TEXT_HEIGHTS = """
[...document.querySelectorAll('svg.chart text')].map(one => one.getBoundingClientRect().height).filter(Boolean)
"""
CONTRASTS = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = one => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if ((parts(colour)[3] ?? 1) > 0.9) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const texts = [...document.querySelectorAll('h1, h2, h3, p, a, dt, dd, th, td, .tag, .soft, .note, code')];
  return texts.filter(one => one.textContent.trim() && !one.style.background)
    .map(one => [ratio(light(getComputedStyle(one).color), light(ground(one))), one.textContent.slice(0, 40)])
    .sort((a, b) => a[0] - b[0]).slice(0, 3);
})()
"""


def test_every_section_is_there_and_the_menu_leads_to_it(chromium: Tab, report: Path) -> None:
    chromium.open(report)

    assert chromium.ask("document.title") == "Animals at the gate: model against humans"
    assert chromium.ask("[...document.querySelectorAll('h2')].map(one => one.innerText)") == SECTIONS
    assert chromium.ask("[...document.querySelectorAll('nav a')].map(one => one.innerText)") == SECTIONS
    for number in range(len(SECTIONS)):
        chromium.ask(f"document.querySelectorAll('nav a')[{number}].click()")
        target = "document.querySelector(location.hash).getBoundingClientRect()"
        assert chromium.ask(f"{target}.top < innerHeight && {target}.bottom > 0")


def test_the_alarm_comes_first_and_says_what_to_do(chromium: Tab, report: Path) -> None:
    chromium.open(report)
    first, *_ = chromium.ask("[...document.querySelectorAll('main > *')].map(one => one.innerText)")
    notes = chromium.ask("[...document.querySelectorAll('.note.bad')].map(one => one.innerText)")
    (words,) = [note for note in notes if note.startswith("m:2: accuracy fell")]

    assert first == notes[0]
    assert "DOG: " in words
    assert "report --project P1 --acknowledge accuracy_fell/m:2/1" in words


def test_nothing_is_asked_of_the_network(chromium: Tab, report: Path) -> None:
    chromium.open(report)
    chromium.ask("document.fonts.ready.then(() => 1)")

    assert {url for url in chromium.requests if not url.startswith("data:")} == {report.as_uri()}
    assert chromium.errors == []
    assert chromium.ask("document.scripts.length") == 0


def test_links_lead_to_kili_and_nowhere_else(chromium: Tab, report: Path) -> None:
    chromium.open(report)
    links = chromium.ask("[...document.links].map(one => one.href).filter(link => !link.startsWith('file:'))")

    assert "https://kili.example/label/projects/P1/" in links
    assert sum("/label/projects/label/" in link for link in links) >= 4
    assert all(link.startswith("https://kili.example/label/projects/") for link in links)


def test_pictures_are_there_and_boxes_lie_on_them(chromium: Tab, report: Path) -> None:
    chromium.open(report)
    sizes = chromium.ask("[...document.images].map(one => one.naturalWidth)")
    shapes = chromium.ask(
        """(() => {
          const image = document.querySelector('.drawn img').getBoundingClientRect();
          return [...document.querySelectorAll('.drawn .shape')].map(one => {
            const box = one.getBoundingClientRect();
            return [(box.left - image.left) / image.width, (box.right - image.left) / image.width];
          });
        })()"""
    )

    assert sizes == [128, 128]
    assert [pytest.approx(edges, abs=0.03) for edges in ([0.1, 0.4], [0.2, 0.6])] == shapes


def test_words_are_marked_with_who_said_what(chromium: Tab, report: Path) -> None:
    chromium.open(report)
    marks = chromium.ask("[...document.querySelectorAll('mark')].map(one => [one.innerText, one.title])")

    assert marks == [["Ada", "model: PERSON"], ["Charles", "human: PERSON"]]


@pytest.mark.parametrize("width", [DESK, 768, PHONE, SMALL_PHONE])
def test_nothing_sticks_out_sideways(chromium: Tab, report: Path, width: int) -> None:
    chromium.open(report, width=width)
    chromium.ask("document.querySelectorAll('details').forEach(one => one.open = true)")

    assert chromium.ask("innerWidth") == width
    assert chromium.ask("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_words_in_charts_can_be_read(chromium: Tab, report: Path, width: int) -> None:
    chromium.open(report, width=width)
    chromium.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    heights = chromium.ask(TEXT_HEIGHTS)

    assert chromium.ask(OVERLAPS) == []
    assert chromium.ask(CUT_OFF) == []
    assert min(heights) >= 9
    assert max(heights) <= 22


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_text_stands_out_from_its_ground(chromium: Tab, report: Path, scheme: str, width: int) -> None:
    chromium.open(report, width=width, scheme=scheme)
    faintest = chromium.ask(CONTRASTS)

    assert faintest[0][0] >= LEAST_CONTRAST, faintest


def test_by_night_the_page_is_dark(chromium: Tab, report: Path) -> None:
    def ground(scheme: str) -> int:
        chromium.open(report, scheme=scheme)
        colour = chromium.ask("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    assert ground("light") > 3 * 200
    assert ground("dark") < 3 * 40
