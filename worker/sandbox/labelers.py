"""Simulated labelers: they take assets in the queue's order and submit answers over HTTP, as people would."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import cycle
from types import TracebackType
from typing import Any, Self

import httpx

from worker.sandbox.responses.reading import Job, read_interface

JsonResponse = dict[str, Any]
#: Knows the right answer to an asset by its external id; None for an asset nobody can answer.
Truth = Callable[[str], JsonResponse | None]

ROLE = """
mutation ($where: ProjectWhere!, $data: AppendToRolesData!) {
  appendToRoles(where: $where, data: $data) { jsonInterface roles { user { id email } } }
}"""
SUBMIT = """
mutation ($where: AssetWhere!, $data: AppendManyLabelsData!) {
  appendManyLabels(where: $where, data: $data) { id }
}"""
SKIP = """
mutation ($where: AssetWhere!) {
  skipAsset(reason: "cannot be answered", where: $where) { id }
}"""


class LabelingError(RuntimeError):
    """The sandbox did not take what a labeler sent; the message is the server's."""


@dataclass(slots=True)
class LabelingReport:
    """What the labelers did, in the order in which they did it."""

    labeled: list[str] = field(default_factory=list)
    mistaken: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


class Labelers:
    """People working off the queue of one project."""

    def __init__(
        self,
        endpoint: str,
        api_key: str,
        project_id: str,
        truth: Truth,
        *,
        error_rate: float = 0.0,
        seed: int = 0,
        count: int = 1,
    ) -> None:
        """Hire `people` labelers for a project; each answer is wrong with probability `error_rate` (0 to 1)."""
        self._endpoint = endpoint
        self._admin_url = f"{endpoint.partition('/api/')[0]}/sandbox"
        self._project_id = project_id
        self._truth = truth
        self._error_rate = error_rate
        self._random = random.Random(seed)
        self._client = httpx.Client(headers={"Authorization": f"X-API-Key: {api_key}"}, timeout=30)
        self._jobs: Mapping[str, Job] = {}
        self._labelers = cycle([self._hire(number + 1) for number in range(count)])

    def __enter__(self) -> Self:
        """Return the labelers."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def label(self, n: int, *, at_a_time: int = 20) -> LabelingReport:
        """Work off at most `n` assets, the queue looked at afresh every `at_a_time` of them.

        Raises LabelingError when the server refuses an answer.
        """
        report = LabelingReport()
        done = 0
        while done < n and (head := self._queue(min(at_a_time, n - done))):
            self._work_off(head, report)
            done += len(head)
        return report

    def _work_off(self, head: list[dict[str, Any]], report: LabelingReport) -> None:
        answers = []
        for asset in head:
            right = self._truth(asset["externalId"])
            if right is None:
                self._skip(asset, report)
            else:
                answers.append(self._answer(asset, right, report))
        if answers:
            where = {"project": {"id": self._project_id}, "idIn": [answer["assetID"] for answer in answers]}
            self._call(SUBMIT, {"where": where, "data": {"labelType": "DEFAULT", "labelsData": answers}})

    def _answer(self, asset: dict[str, Any], right: JsonResponse, report: LabelingReport) -> dict[str, Any]:
        given = right
        if self._random.random() < self._error_rate:
            given = mistake(right, self._jobs, self._random)
        report.labeled.append(asset["externalId"])
        if given != right:
            report.mistaken.append(asset["externalId"])
        return {
            "assetID": asset["id"],
            "authorID": next(self._labelers),
            "jsonResponse": json.dumps(given),
            "secondsToLabel": round(self._random.lognormvariate(1.5, 0.5), 1),
        }

    def _skip(self, asset: dict[str, Any], report: LabelingReport) -> None:
        self._call(SKIP, {"where": {"id": asset["id"], "project": {"id": self._project_id}}})
        report.skipped.append(asset["externalId"])

    def _hire(self, number: int) -> str:
        email = f"labeler-{number}@sandbox.example"
        data = {"role": "LABELER", "userEmail": email}
        project = self._call(ROLE, {"where": {"id": self._project_id}, "data": data})["appendToRoles"]
        self._jobs = read_interface(project["jsonInterface"]).jobs
        ids = {role["user"]["email"]: str(role["user"]["id"]) for role in project["roles"]}
        return ids[email]

    def _queue(self, first: int) -> list[dict[str, Any]]:
        answer = self._client.get(f"{self._admin_url}/queue", params={"project": self._project_id, "first": first})
        if answer.status_code != httpx.codes.OK:
            raise LabelingError(answer.text)
        queue: list[dict[str, Any]] = answer.json()
        return queue

    def _call(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.post(self._endpoint, json={"query": query, "variables": variables})
        if answer.status_code != httpx.codes.OK or "errors" in answer.json():
            raise LabelingError(answer.text)
        data: dict[str, Any] = answer.json()["data"]
        return data


def mistake(right: JsonResponse, jobs: Mapping[str, Job], dice: random.Random) -> JsonResponse:
    """Return an answer with one job wrong: another category, an object less, or a typing error.

    The answer comes back as it is when it offers no way to be wrong.
    """
    wrong = deepcopy(right)
    names = [name for name in wrong if name in jobs]
    dice.shuffle(names)
    for name in names:
        if _spoil(wrong[name], jobs[name], dice):
            break
    return wrong


def _spoil(payload: dict[str, Any], job: Job, dice: random.Random) -> bool:
    if payload.get("annotations"):
        annotation = dice.choice(payload["annotations"])
        if not _swap_category(annotation, job, dice):
            payload["annotations"].remove(annotation)
        return True
    if "text" in payload:
        payload["text"] += "x"
        return True
    return _swap_category(payload, job, dice)


def _swap_category(holder: dict[str, Any], job: Job, dice: random.Random) -> bool:
    chosen = {category["name"] for category in holder.get("categories") or ()}
    others = sorted(job.categories.keys() - chosen)
    if not chosen or not others:
        return False
    holder["categories"] = [{"name": dice.choice(others)}]
    holder.pop("children", None)
    return True
