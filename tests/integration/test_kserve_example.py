"""The example for KServe's inference logger turns logged events into messages that the worker takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from worker.cli.explain import explain_message
from worker.ontology import Interface
from worker.settings.tree import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"


def joined(events: str, *options: str) -> tuple[list[dict[str, Any]], str]:
    command = [sys.executable, str(EXAMPLES / "kserve" / "join_events.py"), "--classes", "cat,dog,bird", *options]
    done = subprocess.run(command, input=events, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_logged_requests_and_responses_become_messages_with_asset_and_answer() -> None:
    messages, counts = joined((EXAMPLES / "kserve" / "events.jsonl").read_text("utf-8"))
    assert [message["external_ids"] for message in messages] == [
        ["animals/0009174a/0", "animals/0009174a/1"],
        ["animals/1b2c3d4e/0"],
    ]
    assert messages[1]["assets"] == [{"url": "https://example.com/animals/3.jpg"}]
    assert "2 joined, 0 requests and 0 responses without the other half, 1 waiting" in counts
    interface = Interface.parse(json.loads((EXAMPLES / "interfaces" / "animal.json").read_text("utf-8")))
    found = [explain_message(Settings(), json.dumps(message).encode(), interface) for message in messages]
    rows = [(row["external_id"], row["json_response"]) for one in found for row in one["predictions"]]
    assert [(name, response["CLASSIFICATION_JOB"]["categories"][0]["name"]) for name, response in rows] == [
        ("animals/0009174a/0", "CAT"),
        ("animals/0009174a/1", "DOG"),
        ("animals/1b2c3d4e/0", "BIRD"),
    ]


def test_what_waits_too_long_is_counted_and_not_sent() -> None:
    messages, counts = joined((EXAMPLES / "kserve" / "events.jsonl").read_text("utf-8"), "--seconds", "1e-9")
    assert messages == []
    assert "0 joined, 2 requests and 2 responses without the other half, 1 waiting" in counts
