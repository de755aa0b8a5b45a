"""``publish --via`` reaches each source's server, and says how far it got when there is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conformance.sources.worlds import Http, Kafka, RabbitMq, Sqs, World, opened
from tests.faults.house import predictions
from worker.cli import main

pytestmark = pytest.mark.timeout(1800)
WORLDS = [Http, Kafka, Sqs, RabbitMq]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.skip(reason=one.absent)] if one.absent else [])
        for one in WORLDS
    ],
)
def test_what_is_published_arrives(kind: type[World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(kind) as world:
        messages = predictions(world.project, 25)
        path = tmp_path / "predictions.jsonl"
        path.write_text("".join(f"{json.dumps(message)}\n" for message in messages))
        world.house.published.count += len(messages)
        for message in messages:
            world.house.published.note(message)
        world.start()
        for name, value in world.house.environment.items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(main, ["publish", str(path), "--via", kind.name, "--chunk", "10", "--quiet"])
        assert (done.exit_code, done.output) == (0, "25 predictions sent\n")
        world.house.await_settled()
        world.house.judge()


@pytest.mark.parametrize(
    ("via", "named"),
    [
        ("http", {"WORKER_SERVE__PORT": "9"}),
        ("kafka", {}),
        ("sqs", {}),
        ("rabbitmq", {"WORKER_RABBITMQ__URL": "amqp://127.0.0.1:9//"}),
    ],
)
def test_a_source_that_is_not_there_is_told(
    via: str, named: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("WORKER_")]:
        monkeypatch.delenv(name)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "predictions.jsonl"
    path.write_text("{}\n")
    done = CliRunner().invoke(main, ["publish", str(path), "--via", via, "--quiet"])
    assert done.exit_code == 1
    assert f"the {via} source took 0 predictions" in done.output
