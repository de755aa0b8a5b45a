"""What the feedback room reads from Kili: labels by the day of their creation, each with its whole asset."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

import httpx

from worker.kili import CallRecord, KiliAccess, RetryPolicy
from worker.kili.calls import Budget, Caller
from worker.kili.operations import Blame, Operation, Variables

PAGE_SIZE = 100
ASSETS_PER_PAGE = 50
"""Assets with their labels on one page, as Kili's SDK asks for them."""


class Kind(StrEnum):
    """The two kinds of labels that are read."""

    INFERENCE = "inference"
    HUMAN = "human"

    @property
    def types(self) -> tuple[str, ...]:
        """Kili's label types of the kind."""
        return ("INFERENCE",) if self is Kind.INFERENCE else ("DEFAULT", "REVIEW")


_KINDS = {label_type: kind for kind in Kind for label_type in kind.types}

_ASSET = """{ id externalId createdAt content jsonContent jsonMetadata labels {
  id labelType modelName createdAt isHoneypot skipped inferenceMark secondsToLabel
  author { id email } jsonResponse jsonResponseUrl } }"""

LABELS = Operation(
    "query",
    "labels",
    (("where", "LabelWhere!"), ("first", "PageSize!"), ("skip", "Int!")),
    f"{{ id createdAt labelOf {_ASSET} }}",
    Blame.PROJECT,
    holds_items=False,
)
COUNT_LABELS = Operation("query", "countLabels", (("where", "LabelWhere!"),), "", Blame.PROJECT, holds_items=False)
ASSETS = Operation(
    "query",
    "assets",
    (("where", "AssetWhere!"), ("first", "PageSize!"), ("skip", "Int!")),
    _ASSET,
    Blame.PROJECT,
)


@dataclass(frozen=True, slots=True)
class ReadLabel:
    """One label; ``at`` in seconds since the epoch, ``author`` an address or an id.

    ``usable`` is False for what says nothing of the asset: skipped ones, and honeypots, which are set by the project.
    """

    id: str
    label_type: str
    model: str
    at: float
    author: str
    response: dict[str, Any]
    mark: float | None
    seconds: float | None
    usable: bool

    @property
    def kind(self) -> Kind | None:
        """What the feedback room sees in it."""
        return _KINDS.get(self.label_type)


@dataclass(frozen=True, slots=True)
class ReadAsset:
    """An asset with all its labels, oldest first; ``created`` is the day in UTC on which it came to Kili."""

    id: str
    external_id: str
    created: date
    content: str
    json_content: str
    metadata: dict[str, Any]
    labels: tuple[ReadLabel, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A label that a page listed, with its asset."""

    label_id: str
    day: date
    asset: ReadAsset


class Reader:
    """Reads labels and assets through the fleet's call budget.

    Every method raises :class:`~worker.kili.KiliError` after the attempts of the retry policy. Filters use whole days
    in UTC, the only precision Kili documents, and lower bounds alone.
    """

    def __init__(
        self,
        access: KiliAccess,
        *,
        budget: Budget | None = None,
        retry: RetryPolicy = RetryPolicy(),
        http: httpx.Client | None = None,
        stop: threading.Event | None = None,
        observe: Callable[[CallRecord], None] | None = None,
    ) -> None:
        self._caller = Caller(access, budget=budget, retry=retry, http=http, stop=stop, observe=observe)
        self._files = httpx.Client(timeout=access.timeout, follow_redirects=True)

    def rows(self, project: str, kind: Kind, since: date, skip: int) -> tuple[list[Row], bool]:
        """Return one page of labels created since a day, oldest first, and whether there may be more."""
        first = PAGE_SIZE if kind is Kind.INFERENCE else ASSETS_PER_PAGE
        variables = {"where": _where(project, kind, since), "first": first, "skip": skip}
        rows = self._caller.call(LABELS, project, variables, lambda root: [self._row(row) for row in root], items=first)
        return rows, len(rows) == first

    def count(self, project: str, kind: Kind, since: date) -> int:
        """Return how many labels were created since a day."""
        return self._caller.call(COUNT_LABELS, project, {"where": _where(project, kind, since)}, int)

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:
        """Return those of the assets that exist; one call per 50."""
        found: list[ReadAsset] = []
        for start in range(0, len(asset_ids), ASSETS_PER_PAGE):
            chunk = list(asset_ids[start : start + ASSETS_PER_PAGE])
            where = {"project": {"id": project}, "idIn": chunk}
            variables = {"where": where, "first": ASSETS_PER_PAGE, "skip": 0}
            found += self._caller.call(ASSETS, project, variables, self._assets, items=len(chunk), item_ids=chunk)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._caller.close()
        self._files.close()

    def _assets(self, root: Any) -> list[ReadAsset]:
        return [self._asset(row) for row in root]

    def _row(self, row: Variables) -> Row:
        return Row(row["id"], read_time(row["createdAt"]).date(), self._asset(row["labelOf"]))

    def _asset(self, row: Variables) -> ReadAsset:
        labels = sorted((self._label(label) for label in row["labels"] or ()), key=lambda label: (label.at, label.id))
        return ReadAsset(
            id=row["id"],
            external_id=row["externalId"] or "",
            created=read_time(row["createdAt"]).date(),
            content=row["content"] or "",
            json_content=row["jsonContent"] or "",
            metadata=_object(row["jsonMetadata"]),
            labels=tuple(labels),
        )

    def _label(self, row: Variables) -> ReadLabel:
        author = row["author"] or {}
        mark, seconds = row["inferenceMark"], row["secondsToLabel"]
        return ReadLabel(
            id=row["id"],
            label_type=row["labelType"],
            model=row["modelName"] or "",
            at=read_time(row["createdAt"]).timestamp(),
            author=str(author.get("email") or author.get("id") or ""),
            response=self._response(row),
            mark=None if mark is None else float(mark),
            seconds=None if seconds is None else float(seconds),
            usable=not row["skipped"] and not row["isHoneypot"],
        )

    def _response(self, row: Variables) -> dict[str, Any]:
        """The response inline, or from the address that Kili gives for large ones."""
        url = row["jsonResponseUrl"]
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            return _object(self._files.get(url).raise_for_status().text)
        return _object(row["jsonResponse"])


def read_time(text: str) -> datetime:
    """Read a time as Kili writes it.

    Raises:
        ValueError: it is none, or has no offset from UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return moment


def _where(project: str, kind: Kind, since: date) -> Variables:
    return {"project": {"id": project}, "typeIn": list(kind.types), "createdAtGte": since.isoformat()}


def _object(value: Any) -> dict[str, Any]:
    """A JSON object given as text or as itself; anything else reads as {}."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
