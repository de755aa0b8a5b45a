"""Every example becomes the label it should; every broken answer is refused by the worker before Kili sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from broken_responses import WRITTEN

from tests.faults.house import House
from worker.cli.explain import explain_message
from worker.environment.connections import trusted
from worker.ontology import Interface
from worker.settings.tree import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
ROW = re.compile(r"^\| \[`(?P<file>[\w-]+\.json)`\]\(.*?\) \| \[`(?P<interface>[\w-]+)`\]")
INPUT_TYPES = {"topic": "TEXT", "entities": "TEXT", "text": "TEXT"}


def is_strict_json(value: Any) -> bool:
    try:
        return bool(json.dumps(value, allow_nan=False))
    except ValueError:
        return False


SENT = [case for case in WRITTEN if is_strict_json(case.json_response)]
"""What is not finite is no JSON, and is refused as such before anybody asks what it means."""


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with House() as house:
        house.worker()
        yield house


def documented() -> list[tuple[str, str]]:
    rows = [ROW.match(line) for line in (EXAMPLES / "README.md").read_text("utf-8").splitlines()]
    return [(row["file"], row["interface"]) for row in rows if row]


def interface_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / "interfaces" / f"{name}.json").read_text("utf-8"))
    return found


def test_every_example_is_documented_with_its_interface() -> None:
    assert {file for file, _ in documented()} == {path.name for path in EXAMPLES.glob("*.json")}


def test_every_example_becomes_the_label_that_explain_shows(house: House) -> None:
    expected: dict[str, Any] = {}
    for file, name in documented():
        message = json.loads((EXAMPLES / file).read_text("utf-8"))
        message["project_id"] = house.project(interface_of(name), INPUT_TYPES.get(name, "IMAGE"))
        interface = Interface.parse(interface_of(name), INPUT_TYPES.get(name, "IMAGE"))
        shown = explain_message(Settings(), json.dumps(message).encode(), interface)
        assert "refused" not in shown, (file, shown)
        for prediction in shown["predictions"]:
            expected[f"{message['project_id']}/{prediction['external_id']}"] = prediction["json_response"]
        house.client.xadd("predictions:inbox", {"payload": json.dumps(message)})
    house.await_that(lambda: house.ledger().delivered >= len(expected), "every example delivered")
    found = {
        f"{item['projectId']}/{item['externalId']}": json.loads(label["jsonResponse"])
        for item in house.admin("state?full=1")["items"]
        for label in item["labels"]
    }
    assert found == expected
    assert house.letters.count() == 0


def test_every_broken_answer_is_refused_by_the_worker_with_its_cause_and_never_sent(house: House) -> None:
    before = house.calls().get("appendManyLabels", {"count": 0})["count"]
    for number, case in enumerate(SENT):
        message = {
            "project_id": house.project(case.json_interface, case.input_type),
            "external_id": f"broken-{number}",
            "asset": {"text": case.text} if case.text else {"url": "https://example.com/x.jpg"},
            "model": {"name": "m", "version": "1"},
            "output": {"json_response": case.json_response},
            "predicted_at": "2026-11-23T10:15:00Z",
        }
        house.client.xadd("predictions:inbox", {"payload": json.dumps(message)})
    house.await_that(lambda: house.letters.count() >= len(SENT), "every broken answer buried")
    causes = {letter.about["external_id"]: letter.cause for letter in house.letters.letters()}
    assert causes == {f"broken-{number}": expected_cause(case) for number, case in enumerate(SENT)}
    assert house.calls().get("appendManyLabels", {"count": 0})["count"] == before


def expected_cause(case: Any) -> str:
    """The contract of messages refuses what is no object before the project is asked."""
    return str(case.cause) if isinstance(case.json_response, dict) else "invalid_message"


def test_kili_refuses_every_broken_answer_too(house: House) -> None:
    accepted = [case.name for case in SENT if not refused_by_kili(house, case)]
    assert accepted == []


def refused_by_kili(house: House, case: Any) -> bool:
    project = house.project(case.json_interface, case.input_type)
    asset = {
        "contentArray": [case.text or "https://example.com/x.jpg"],
        "externalIDArray": ["x"],
        "isHoneypotArray": [False],
        "jsonContentArray": [""],
        "jsonMetadataArray": ["{}"],
    }
    create = (
        "mutation ($d: AppendManyAssetsData!, $w: ProjectWhere!) { data: appendManyAssets(data: $d, where: $w) { id } }"
    )
    asset_id = house.graphql(create, {"d": asset, "w": {"id": project}})[0]["id"]
    label = {"assetID": asset_id, "jsonResponse": json.dumps(case.json_response), "modelName": "m"}
    data = {"labelType": "INFERENCE", "overwrite": True, "labelsData": [label]}
    write = (
        "mutation ($d: AppendManyLabelsData!, $w: AssetWhere!) { data: appendManyLabels(data: $d, where: $w) { id } }"
    )
    answer = httpx.post(
        house.kili.endpoint,
        json={"query": write, "variables": {"d": data, "w": {"idIn": [asset_id]}}},
        headers={"Authorization": f"X-API-Key: {house.kili.api_key}"},
        verify=trusted(),
    ).json()
    return "jsonResponseMalformed" in answer.get("errors", [{"message": ""}])[0]["message"]
