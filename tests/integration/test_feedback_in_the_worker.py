"""A running worker listens to the humans: it teaches its policy, computes figures, and tells of drift by a webhook."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.awaiting import PATIENCE
from tests.faults.house import COLOURS, House
from worker.monitoring.exporter import prometheus_text
from worker.monitoring.status import text
from worker.review import RedisState, ScoreSource
from worker.sandbox.labelers import Labelers

POLICY = """
version = "test"

[[rules]]
name = "colours"
capacity = { share = 0.5 }
audit = { rate = 0.3 }
"""
COUNT = 2500
BEGIN = datetime.now(UTC) - timedelta(hours=30)


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of webhooks that refuses the first one."""
    heard: list[dict[str, Any]] = []
    refused: list[int] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if refused:
                heard.append(body)
            self.send_response(204 if refused else 503)
            refused.append(1)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", heard
        server.shutdown()


def traffic(project: str, truth: dict[str, str]) -> Iterator[Mapping[str, Any]]:
    """Predictions with confidences that tell the truth, until the model takes RED for BLACK without noticing."""
    dice = random.Random(5)
    for number in range(COUNT):
        external_id = f"{number:05}.jpg"
        truth[external_id] = right = dice.choice(COLOURS)
        confidence = dice.uniform(0.85, 0.999)
        said = right if dice.random() < confidence else dice.choice([name for name in COLOURS if name != right])
        if number >= COUNT // 2 and right == "RED":
            said = "BLACK"
        yield {
            "project_id": project,
            "external_id": external_id,
            "asset": {"url": f"https://assets.example/{external_id}"},
            "model": {"name": "colour", "version": "1"},
            "output": {"scores": {said: confidence, next(name for name in COLOURS if name != said): 1 - confidence}},
            "predicted_at": (BEGIN + timedelta(seconds=20 * number)).isoformat(),
        }


def test_verdicts_reach_policy_status_metrics_and_webhook(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, "utf-8")
    truth: dict[str, str] = {}
    with webhook() as (url, heard):
        settings = {
            "WORKER_REVIEW__POLICY": str(path),
            "WORKER_FEEDBACK__EVERY_SECONDS": "0.5",
            "WORKER_FEEDBACK__FIGURES_SECONDS": "0.5",
            "WORKER_FEEDBACK__BUDGET_SHARE": "1",
            "WORKER_FEEDBACK__DRIFT_RUN_LENGTH": "1000",
            "WORKER_FEEDBACK__SETTLING_SECONDS": "0",
            "WORKER_FEEDBACK__WEBHOOK_URL": url,
        }
        with House(settings) as house:
            project = house.project()
            house.worker()
            house.publish(traffic(project, truth))
            house.await_settled()

            def answer(external_id: str) -> dict[str, Any]:
                return {"COLOUR": {"categories": [{"name": truth[external_id]}]}}

            with Labelers(house.kili.endpoint, house.kili.api_key, project, answer, count=1) as people:
                labeled = people.label(COUNT // 2).labeled
            house.await_that(lambda: training_examples(house, project) > 60, "the policy has learned")
            house.await_that(lambda: heard, "the webhook has taken an alarm", limit=3 * PATIENCE)
            house.await_that(lambda: verdicts(house, project) == len(labeled), "every answer is a verdict")
            house.judge()
            found = house.status()
    alarm = next(one for one in heard if one["model"] == "colour:1")
    assert (alarm["event"], alarm["project"]) == ("drift_alarm", project)
    assert alarm["cases"][0]["link"].endswith(alarm["cases"][0]["asset_id"])
    assert len({one["id"] for one in heard}) == len(heard)
    assert f"agreement      {project} colour:1: " in text(found)
    assert "DRIFT: " in text(found)
    metrics = prometheus_text(found)
    assert f'prediction_worker_agreement_ratio{{model="colour:1",project="{project}"}} 0.' in metrics
    assert (
        f'prediction_worker_drift_alarm{{detector="{alarm["detector"]}",model="colour:1",project="{project}"}} 1.0'
        in metrics
    )


def training_examples(house: House, project: str) -> int:
    """How many verdicts the calibration that decides rests on."""
    source, state = ScoreSource(project, "", "colour:1"), RedisState(house.client, prefix="pw:")
    state.refresh([source], ())
    return state.calibration(source).examples


def verdicts(house: House, project: str) -> int:
    models = house.status()["feedback"].get(project, {"models": {}})["models"]
    return models.get("colour:1", {"verdicts": 0})["verdicts"]
