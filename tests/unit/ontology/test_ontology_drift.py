"""What has changed in a project's interface, in one line."""

from __future__ import annotations

from typing import Any

import pytest
from ontology_fixtures import choice, detection, parsed, project, transcription

from worker.ontology import InterfaceDrift, drift

BEFORE = {"COLOR": choice("RED", "GREY"), "SHIPS": detection("TUG", tools=["rectangle"]), "WHY": transcription()}


def found(**jobs: Any) -> InterfaceDrift:
    changed = {name: job for name, job in {**BEFORE, **jobs}.items() if job is not None}
    return drift(parsed(project(**BEFORE)), parsed(project(**changed)))


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ({"COLOR": choice("RED")}, "gone: COLOR.GREY"),
        ({"COLOR": choice("RED", "GREY", "BLUE")}, "new: COLOR.BLUE"),
        ({"COLOR": choice("RED", "GRAY")}, "gone: COLOR.GREY; new: COLOR.GRAY"),
        ({"COLOR": None}, "gone: COLOR"),
        ({"SIZE": choice("BIG")}, "new: SIZE"),
        ({"COLOR": choice("RED", "GREY", input="checkbox")}, "altered: COLOR"),
        ({"SHIPS": detection("TUG", tools=["polygon"])}, "altered: SHIPS"),
        ({"WHY": transcription(required=1)}, "altered: WHY"),
        ({"COLOR": choice("RED", "GREY", children={"RED": ["WHY"]})}, "altered: COLOR.RED"),
    ],
)
def test_what_has_changed_is_named(jobs: dict[str, Any], words: str) -> None:
    assert str(found(**jobs)) == words
    assert found(**jobs)


def test_what_decides_nothing_is_no_change() -> None:
    assert not found(COLOR={**choice("GREY", "RED"), "instruction": "Another question?"})


def test_another_kind_of_assets_alters_every_job() -> None:
    assert drift(parsed(project(**BEFORE)), parsed(project(**BEFORE), "VIDEO")).altered == ("COLOR", "SHIPS", "WHY")
