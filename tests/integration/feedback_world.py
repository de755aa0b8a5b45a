"""A Kili project of handwritten digits with predictions, decisions and answers, as the worker leaves it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.nursery import spawn
from worker.demo.plan import CLASS_NAMES, load_digits
from worker.environment.connections import trusted
from worker.feedback.reading import KiliReader
from worker.kili import AssetUpdate, KiliAccess, KiliClient, NewAsset, NewLabel, RetryPolicy, derived_asset_id
from worker.sandbox.labelers import Labelers
from worker.sandbox.process import SandboxProcess

JOB = "DIGIT"
INTERFACE = {
    "jobs": {
        JOB: {
            "mlTask": "CLASSIFICATION",
            "required": 1,
            "isChild": False,
            "content": {"input": "radio", "categories": {name: {"name": name.title()} for name in CLASS_NAMES}},
        }
    }
}
CREATE = "mutation ($data: CreateProjectData!) { data: createProject(data: $data) { id } }"
LABEL = """mutation ($data: AppendManyLabelsData!, $where: AssetWhere!) {
  data: appendManyLabels(data: $data, where: $where) { id } }"""
DELETE = "mutation ($ids: [ID!]!) { data: deleteLabels(ids: $ids) }"


def says(digit: int, confidence: float | None = None) -> dict[str, Any]:
    """The json_response of one digit."""
    category: dict[str, Any] = {"name": CLASS_NAMES[digit]}
    if confidence is not None:
        category["confidence"] = round(100 * confidence)
    return {JOB: {"categories": [category]}}


@dataclass
class World:
    """One project in a sandbox; ``truth`` has the right digit of every external id."""

    sandbox: SandboxProcess
    project: str
    kili: KiliClient
    truth: dict[str, int] = field(default_factory=dict)

    @property
    def access(self) -> KiliAccess:
        return KiliAccess(self.sandbox.endpoint, self.sandbox.api_key)

    def with_new_project(self, **switches: Any) -> World:
        """The same sandbox without a fault and with these switches, and an empty project for the next case."""
        self.heal()
        self.admin("config", {"mark_delay": 0, "read_lag": 0, **switches})
        data = {"title": "digits", "inputType": "IMAGE", "jsonInterface": json.dumps(INTERFACE)}
        return replace(self, project=self.call(CREATE, data=data)["id"], truth={})

    def reader(self) -> KiliReader:
        return KiliReader(self.access, retry=RetryPolicy(attempts=2, base=0.05))

    def call(self, query: str, **variables: Any) -> Any:
        """Run a GraphQL operation whose root field is called ``data``."""
        headers = {"Authorization": f"X-API-Key: {self.sandbox.api_key}"}
        content = {"query": query, "variables": variables}
        answer = httpx.post(self.sandbox.endpoint, json=content, headers=headers, verify=trusted())
        return answer.raise_for_status().json()["data"]["data"]

    def admin(self, path: str, content: Any = None) -> Any:
        """Use the sandbox's own surface."""
        url = f"{self.sandbox.admin_url}/{path}"
        method = "GET" if content is None else "POST"
        answer = httpx.request(method, url, json=content, verify=trusted())
        return answer.raise_for_status().json()

    def heal(self) -> None:
        """Drop every fault rule."""
        httpx.delete(f"{self.sandbox.admin_url}/faults", verify=trusted()).raise_for_status()

    def predict(
        self,
        model: str,
        images: range,
        *,
        source: str = "network",
        seed: int = 0,
        at: float | None = None,
        step: float = 60.0,
        broken: int | None = None,
    ) -> None:
        """Upload predictions of one packaged model with a review decision each.

        ``broken`` is a digit of which most images are called something else, with unchanged confidence.
        """
        digits, dice = load_digits(), random.Random(seed)
        assets, labels, priorities = [], [], {}
        start = datetime.now(UTC).timestamp() - len(images) * step if at is None else at
        for place, number in enumerate(images):
            scores = digits.models[source][number]
            said = max(range(10), key=scores.__getitem__)
            confidence = scores[said]
            if digits.labels[number] == broken and dice.random() < 0.8:
                said = (said + 1) % 10
            external_id = f"digit-{number}.png"
            asset_id = derived_asset_id(self.project, external_id)
            doubt = min(0.95, max(0.005, 0.9 * (1 - confidence)))
            band = 2 if dice.random() < 0.1 else 1 if doubt > 0.15 else 0
            metadata = {
                "prediction_model": model,
                "prediction_at": datetime.fromtimestamp(start + place * step, UTC).isoformat(),
                "prediction_confidence": confidence,
                "review_band": band,
                "review_error_probability": doubt,
                "review_inclusion_probability": 0.1,
                "review_reason": ("not selected", "doubtful", "audit sample")[band],
                "review_policy": "test/1",
                "scanner": ("front", "back")[number % 2],
            }
            self.truth[external_id] = digits.labels[number]
            url = f"{self.sandbox.base_url}/files/{external_id}"
            assets.append(NewAsset(asset_id, external_id, url, metadata=json.dumps(metadata)))
            labels.append(NewLabel(asset_id, json.dumps(says(said, confidence)), model))
            priorities[asset_id] = band * 10_000 + int(1000 * doubt) if band else 0
        self._upload(assets, labels, priorities)

    def label(self, count: int, *, mistakes: float = 0.0, seed: int = 0, people: int = 1) -> list[str]:
        """Let labelers work off the queue; the external ids in the order in which they were labeled."""
        with Labelers(
            self.sandbox.endpoint,
            self.sandbox.api_key,
            self.project,
            lambda external_id: says(self.truth[external_id]),
            error_rate=mistakes,
            seed=seed,
            count=people,
        ) as labelers:
            return labelers.label(count).labeled

    def answer(self, asset_id: str, digit: int, label_type: str = "DEFAULT") -> None:
        """Write one human label."""
        label = {"assetID": asset_id, "jsonResponse": json.dumps(says(digit))}
        where = {"idIn": [asset_id], "project": {"id": self.project}}
        self.call(LABEL, data={"labelType": label_type, "labelsData": [label]}, where=where)

    def delete_labels(self, *ids: str) -> None:
        """Delete labels for good."""
        self.call(DELETE, ids=list(ids))

    def human_labels(self) -> list[dict[str, Any]]:
        """Every human label: id, asset and response."""
        items = self.admin(f"state?project={self.project}&full=1")["items"]
        return [
            {"id": label["id"], "asset_id": item["id"], "response": json.loads(label["jsonResponse"])}
            for item in items
            for label in item["labels"]
            if label["labelType"] in ("DEFAULT", "REVIEW")
        ]

    def _upload(self, assets: list[NewAsset], labels: list[NewLabel], priorities: dict[str, int]) -> None:
        for start in range(0, len(assets), 100):
            part = assets[start : start + 100]
            known = self.kili.existing_external_ids(self.project, [asset.external_id for asset in part])
            self.kili.append_assets(self.project, [asset for asset in part if asset.external_id not in known])
            self.kili.append_labels(self.project, labels[start : start + 100])
            updates = [
                AssetUpdate(asset.id, priority=priorities[asset.id], metadata=asset.metadata)
                for asset in part
                if asset.external_id in known or priorities[asset.id]
            ]
            self.kili.update_assets(self.project, updates)


@contextmanager
def world(**options: Any) -> Iterator[World]:
    """A fresh sandbox with one empty project."""
    with SandboxProcess(spawn=spawn, **options) as sandbox:
        kili = KiliClient(KiliAccess(sandbox.endpoint, sandbox.api_key))
        try:
            yield World(sandbox, "", kili).with_new_project()
        finally:
            kili.close()
