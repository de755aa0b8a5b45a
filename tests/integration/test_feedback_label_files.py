"""Labels that Kili answers as files: a file that is missing, slow, huge or broken ends no round and is come back to."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from tests.integration.feedback_world import INTERFACE, World, world
from worker.cli.evaluate import evaluate
from worker.environment.embedded_redis import EmbeddedRedis
from worker.feedback.label_files import MOST_CYCLES, FileRules
from worker.feedback.reading import KiliReader
from worker.feedback.records import AssetRecord
from worker.feedback.service import Feedback, summary_of
from worker.feedback.store import FeedbackStore
from worker.kili import NewAsset, RetryPolicy
from worker.monitoring.exporter import SeriesLimits, quality_families
from worker.monitoring.series import plain_text
from worker.monitoring.status import status_lines
from worker.ontology import Interface
from worker.reports.gallery import export_rows

INTERFACE_READ = Interface.parse(INTERFACE)
RULES = FileRules(max_bytes=100_000, file_seconds=60.0, page_seconds=600.0)
BRIEF = FileRules(max_bytes=100_000, file_seconds=1.0, page_seconds=20.0)


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    with world(label_json="url") as found:
        yield found


@pytest.fixture
def place(shared: World) -> World:
    return shared.with_new_project(label_json="url")


def feedback_of(place: World, client: redis.Redis, files: FileRules = RULES, **options: Any) -> Feedback:
    reader = KiliReader(place.access, retry=RetryPolicy(attempts=2, base=0.05), files=files)
    return Feedback(
        reader, client, "t:", place.project, INTERFACE_READ, endpoint=place.sandbox.endpoint, now=time.time, **options
    )


def kept(client: redis.Redis, place: World) -> dict[str, AssetRecord]:
    store = FeedbackStore(client, "t:", place.project)
    return {record.external_id: record for record in store.records()}


def harm(place: World, external_id: str, **action: Any) -> dict[str, Any]:
    return {"operation": "labelFile", "external_id": external_id, "action": action}


def test_labels_are_read_from_their_files_as_well_as_inline(place: World, client: redis.Redis) -> None:
    place.predict("digits:1", range(30))
    place.label(12)
    feedback_of(place, client).collect()
    found = kept(client, place)
    place.admin("config", {"label_json": "inline"})
    feedback_of(place, client).rebuild()
    assert found == kept(client, place)
    assert sum(record.verdicts for record in found.values()) == 12


def test_files_that_cannot_be_read_end_no_round_are_said_and_are_read_when_they_are_back(
    place: World, client: redis.Redis
) -> None:
    place.predict("digits:1", range(40))
    missing, slow, huge, broken, cut, *good = place.label(12)
    place.admin(
        "faults",
        [
            harm(place, missing, kind="status", status=404),
            harm(place, slow, kind="delay", seconds=600),
            harm(place, huge, kind="padded", bytes=200_000),
            harm(place, broken, kind="truncated"),
            harm(place, cut, kind="cut"),
        ],
    )
    feedback = feedback_of(place, client, BRIEF)
    begun = time.monotonic()
    result = feedback.collect()
    assert (result.complete, time.monotonic() - begun < 300) == (True, True)
    found = kept(client, place)
    assert {name for name, record in found.items() if record.verdicts} == set(good)
    summary = summary_of(feedback.report_data())
    assert summary["label_files"]["waiting"] == result.unread == 10
    assert "10 label files are tried again, 0 are unreadable" in "\n".join(status_lines({"P": summary}))

    place.heal()
    assert feedback.collect().unread == 0
    assert sum(record.verdicts for record in kept(client, place).values()) == 12
    assert summary_of(feedback.report_data())["label_files"]["waiting"] == 0


def test_a_file_that_never_comes_is_given_up_after_so_many_rounds_and_costs_no_further_calls(
    place: World, client: redis.Redis
) -> None:
    place.predict("digits:1", range(10))
    gone, *_ = place.label(3)
    place.admin("faults", [harm(place, gone, kind="status", status=404)])
    feedback = feedback_of(place, client)
    rounds = [feedback.collect().unread for _ in range(MOST_CYCLES + 2)]
    assert rounds == [2] * MOST_CYCLES + [0, 0]
    summary = summary_of(feedback.report_data())
    assert (summary["label_files"]["waiting"], summary["label_files"]["unreadable"]) == (0, 2)
    assert 'state="unreadable"} 2.0' in plain_text(quality_families({"P": summary}, SeriesLimits(10)))


def test_an_export_leaves_out_what_cannot_be_read_rather_than_give_an_empty_response(
    place: World, client: redis.Redis
) -> None:
    place.predict("digits:1", range(10))
    names = place.label(4)
    feedback = feedback_of(place, client)
    feedback.collect()
    place.admin("faults", [harm(place, names[0], kind="status", status=404)])
    rows = list(export_rows(feedback.store.records(), place.reader(), place.project))
    assert sorted(row["external_id"] for row in rows) == sorted(names[1:])
    assert all(row["model_response"] and row["human_response"] for row in rows)


def test_evaluate_names_the_assets_whose_labels_cannot_be_read(
    place: World, redis_server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.predict("digits:1", range(10))
    names = place.label(4)
    place.admin("faults", [harm(place, names[0], kind="status", status=404)])
    lines = [
        json.dumps({"external_id": name, "output": {"scores": {"ZERO": 0.9, "ONE": 0.1}}, "asset": {"text": "x"}})
        for name in names
    ]
    said = tmp_path / "said.jsonl"
    said.write_text("\n".join(lines))
    monkeypatch.setenv("KILI_API_KEY", place.sandbox.api_key)
    monkeypatch.setenv("KILI_API_ENDPOINT", place.sandbox.endpoint)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    arguments = [str(said), "--project", place.project, "--model", "m:1", "--no-upload", "--json"]
    result = CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert (found["unread"], found["unlabeled"], found["refused"]) == ([names[0]], [], [])
    assert found["models"][0]["agreement"]["verdicts"] == 3


def test_evaluate_refuses_a_name_that_two_assets_have(
    place: World, redis_server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.kili.append_assets(
        place.project, [NewAsset(f"twin{number}", "twin.png", "https://example.com/twin") for number in range(2)]
    )
    said = tmp_path / "said.jsonl"
    said.write_text(json.dumps({"external_id": "twin.png", "output": {"scores": {"ZERO": 0.9, "ONE": 0.1}}}))
    monkeypatch.setenv("KILI_API_KEY", place.sandbox.api_key)
    monkeypatch.setenv("KILI_API_ENDPOINT", place.sandbox.endpoint)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    result = CliRunner().invoke(evaluate, [str(said), "--project", place.project, "--model", "m:1", "--json"])
    assert "refused: twin.png: 2 assets have this external_id" in result.output
    assert result.exit_code == 1
