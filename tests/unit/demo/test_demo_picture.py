"""The picture of the demo holds the text that was printed."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

from draw_demo import draw  # noqa: E402

OUTPUT = "\nPublished\n  messages   7 <5> & more\n\nBROKEN PROMISE: x\n  found      █░ 50%\n"
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[tuple[str, str]]:
    """Class and text of every line."""
    return [(one.attrib["class"], "".join(one.itertext())) for one in ET.fromstring(picture).iter(f"{SVG}text")]


def test_every_line_is_there_as_it_was_printed() -> None:
    assert texts(draw("make demo", OUTPUT)) == [
        ("prompt", "$ make demo"),
        ("heading", "Published"),
        ("row", "  messages   7 <5> & more"),
        ("broken", "BROKEN PROMISE: x"),
        ("row", "  found      █░ 50%"),
    ]


def test_each_line_stands_below_the_one_before() -> None:
    lines = [float(one.attrib["y"]) for one in ET.fromstring(draw("make demo", OUTPUT)).iter(f"{SVG}text")]

    assert lines == sorted(set(lines))
    assert lines[2] - lines[1] == 20
    assert lines[1] - lines[0] == 40


@pytest.mark.parametrize("width", [10, 120])
def test_the_picture_is_as_wide_as_its_longest_line(width: int) -> None:
    box = ET.fromstring(draw("demo", "x" * width)).attrib["viewBox"].split()

    assert float(box[2]) == pytest.approx(max(width, 80) * 8.4 + 48)


def test_the_committed_picture_shows_a_demo_whose_promises_held() -> None:
    lines = texts((ROOT / "docs" / "demo.svg").read_text("utf-8"))
    caption = [text for _, text in lines]

    assert caption[0] == "$ make demo"
    assert {"Published", "In Kili, counted in the sandbox", "In the worker's ledger"} <= set(caption)
    assert "broken" not in {kind for kind, _ in lines}
