"""A policy file in a running worker: bands, audit sample and counted predictions, as Kili and the ledger show them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.faults.house import House, prediction

POLICY = """
version = "test"

[[rules]]
name = "colours"
capacity = { share = 0.1 }
audit = { rate = 0.05 }
rest = { action = "upload_share", share = 0.5 }
"""


def test_the_policy_decides_who_is_reviewed_sampled_uploaded_and_only_counted(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, "utf-8")
    with House({"WORKER_REVIEW__POLICY": str(path)}) as house:
        project = house.project()
        scores = [0.35 + 0.64 * (number * 7919 % 1000) / 1000 for number in range(1000)]
        house.worker()
        house.publish(prediction(project, f"a/{number}.jpg", score=score) for number, score in enumerate(scores))
        house.await_settled()
        ledger = house.ledger()
        items = house.admin("state?full=1")["items"]
        assert ledger.received == 1000 == ledger.delivered + ledger.sampled_out
        assert len(items) == ledger.delivered
        assert ledger.sampled_out > 200
        kept = {item["externalId"]: json.loads(item["jsonMetadata"]) for item in items}
        bands = Counter(item["priority"] // 10_000 for item in items)
        assert bands[1] > 0
        assert bands[2] > 0
        assert all(0 < metadata["review_inclusion_probability"] <= 1 for metadata in kept.values())
        assert all(item["priority"] // 10_000 == kept[item["externalId"]]["review_band"] for item in items)
        assert house.letters.count() == 0
