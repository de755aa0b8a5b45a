"""Simulated labelers: order, mistakes, bounds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.nursery import spawn
from tests.unit.sandbox.scene import APPEND_ASSETS, INTERFACE
from worker.environment.connections import trusted
from worker.sandbox.labelers import Labelers, LabelingError, mistake
from worker.sandbox.process import SandboxProcess
from worker.sandbox.responses.reading import read_interface

RED = {"COLOUR": {"categories": [{"name": "RED"}]}}
UPDATE = "mutation ($w: [AssetWhere!]!, $d: [AssetData!]!) { updatePropertiesInAssets(where: $w, data: $d) { id } }"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(spawn=spawn) as process:
        yield process


@pytest.fixture
def project_id(sandbox: SandboxProcess) -> str:
    """A project of 30 assets; asset n has the priority n modulo 3."""
    create = "mutation ($d: CreateProjectData!) { createProject(data: $d) { id } }"
    data = {"title": "t", "jsonInterface": json.dumps(INTERFACE)}
    project_id = call(sandbox, create, d=data)["createProject"]["id"]
    columns = {"externalIDArray": [str(number) for number in range(30)], "contentArray": [""] * 30}
    assets = call(sandbox, APPEND_ASSETS, data=columns, where={"id": project_id})["appendManyAssets"]
    call(sandbox, UPDATE, w=assets, d=[{"priority": number % 3} for number in range(30)])
    return project_id


def call(sandbox: SandboxProcess, query: str, **variables: Any) -> dict[str, Any]:
    answer = httpx.post(
        sandbox.endpoint,
        headers={"Authorization": f"X-API-Key: {sandbox.api_key}"},
        json={"query": query, "variables": variables},
        verify=trusted(),
    ).json()
    assert "errors" not in answer, answer
    return answer["data"]


def crew(sandbox: SandboxProcess, project_id: str, truth: Any = lambda _: RED, **options: Any) -> Labelers:
    return Labelers(sandbox.endpoint, sandbox.api_key, project_id, truth, **options)


def test_labelers_follow_the_queue_and_stop_at_n(sandbox: SandboxProcess, project_id: str) -> None:
    with crew(sandbox, project_id) as labelers:
        report = labelers.label(12, at_a_time=5)
    by_priority = sorted(range(30), key=lambda number: (-(number % 3), number))
    assert report.labeled == [str(number) for number in by_priority[:12]]
    assert report.mistaken == []
    state = httpx.get(f"{sandbox.admin_url}/state", params={"project": project_id}).json()
    assert state["labels"] == {"DEFAULT": 12}


def test_labelers_stop_when_the_queue_is_empty(sandbox: SandboxProcess, project_id: str) -> None:
    with crew(sandbox, project_id) as labelers:
        assert len(labelers.label(1000).labeled) == 30
        assert labelers.label(5).labeled == []


def test_the_same_seed_makes_the_same_mistakes(sandbox: SandboxProcess, project_id: str) -> None:
    with crew(sandbox, project_id, error_rate=0.5, seed=3) as labelers:
        report = labelers.label(30)
    assert 5 < len(report.mistaken) < 25
    dice = random.Random(3)
    chosen = []
    for external_id in report.labeled:
        if dice.random() < 0.5:
            mistake(RED, read_interface(json.dumps(INTERFACE)).jobs, dice)
            chosen.append(external_id)
        dice.lognormvariate(1.5, 0.5)
    assert report.mistaken == chosen


def test_answers_are_spread_over_the_people(sandbox: SandboxProcess, project_id: str) -> None:
    with crew(sandbox, project_id, count=3) as labelers:
        labelers.label(30)
    query = "query ($w: LabelWhere!) { labels(where: $w, first: 100, skip: 0) { author { email } } }"
    labels = call(sandbox, query, w={"project": {"id": project_id}})["labels"]
    emails = [label["author"]["email"] for label in labels]
    assert {email: emails.count(email) for email in emails} == {
        f"labeler-{number}@sandbox.example": 10 for number in (1, 2, 3)
    }


def test_assets_without_an_answer_are_skipped(sandbox: SandboxProcess, project_id: str) -> None:
    with crew(sandbox, project_id, truth=lambda name: RED if name == "2" else None) as labelers:
        report = labelers.label(3)
    assert (report.labeled, report.skipped) == (["2"], ["5", "8"])


def test_an_answer_the_server_refuses_is_an_error(sandbox: SandboxProcess, project_id: str) -> None:
    wrong = {"COLOUR": {"categories": [{"name": "PINK"}]}}
    with (
        crew(sandbox, project_id, truth=lambda _: wrong) as labelers,
        pytest.raises(LabelingError, match="jsonResponseMalformed"),
    ):
        labelers.label(1)


@pytest.mark.parametrize(
    ("right", "check"),
    [
        (RED, lambda wrong: wrong["COLOUR"]["categories"][0]["name"] in {"GREY", "BLUE"}),
        ({"TEXT": {"text": "ab"}}, lambda wrong: wrong == {"TEXT": {"text": "abx"}}),
        (
            {"BOXES": {"annotations": [{"categories": [{"name": "A"}]}]}},
            lambda wrong: wrong == {"BOXES": {"annotations": []}},
        ),
        ({}, lambda wrong: wrong == {}),
        ({"COLOUR": {"categories": []}}, lambda wrong: wrong == {"COLOUR": {"categories": []}}),
    ],
)
def test_a_mistake_is_another_valid_answer(right: dict[str, Any], check: Any) -> None:
    interface = {
        "jobs": {
            **INTERFACE["jobs"],
            "TEXT": {"mlTask": "TRANSCRIPTION"},
            "BOXES": {"mlTask": "OBJECT_DETECTION", "content": {"categories": {"A": {}}}},
        }
    }
    before = json.dumps(right)
    assert check(mistake(right, read_interface(json.dumps(interface)).jobs, random.Random(0)))
    assert json.dumps(right) == before
