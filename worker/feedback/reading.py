"""What the feedback reads from Kili: labels by the day of their creation, each with its whole asset."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar

import httpx

from worker.environment.connections import threads
from worker.feedback.label_files import FileRules, LabelFiles, Unread
from worker.kili import CallRecord, KiliAccess, RetryPolicy, UnknownOperation
from worker.kili.calls import Budget, Caller
from worker.kili.operations import Blame, Operation, Variables

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MALFORMED = (AttributeError, KeyError, TypeError, ValueError)

PAGE_SIZE = 100
ASSETS_PER_PAGE = 50
"""Assets with their labels on one page, as Kili's SDK asks for them."""


class LabelKind(StrEnum):
    """The two kinds of labels that are read."""

    INFERENCE = "inference"
    HUMAN = "human"

    @property
    def types(self) -> tuple[str, ...]:
        """Kili's label types of the kind."""
        return ("INFERENCE",) if self is LabelKind.INFERENCE else ("DEFAULT", "REVIEW")


_KINDS = {label_type: kind for kind in LabelKind for label_type in kind.types}

FILE_FIELD = "jsonResponseUrl"
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

    ``usable`` is False for what says nothing of the asset: skipped ones, honeypots, which are set by the project, and
    those whose response could not be read, ``unread`` saying why. ``address`` is that of a response not read yet.
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
    address: str = ""
    unread: Unread | None = None

    @property
    def kind(self) -> LabelKind | None:
        """What the feedback sees in it."""
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
class LabelRow:
    """A label that a page listed, with its asset; None where what was listed cannot be read."""

    label_id: str
    day: date
    asset: ReadAsset | None


class KiliReader:
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
        files: FileRules = FileRules(),
        executor: Callable[[int, str], Executor] = threads,
    ) -> None:
        self._caller = Caller(access, budget=budget, retry=retry, http=http, stop=stop, observe=observe)
        self._files = LabelFiles(access, files, http=http, stop=stop, executor=executor)
        self._may_have_files = True

    def rows(self, project: str, kind: LabelKind, since: date, skip: int) -> tuple[list[LabelRow], bool]:
        """Return one page of labels created since a day, oldest first, and whether there may be more.

        Responses that Kili keeps in files are not read yet: see ``with_files``.
        """
        first = PAGE_SIZE if kind is LabelKind.INFERENCE else ASSETS_PER_PAGE
        variables = {"where": _where(project, kind, since), "first": first, "skip": skip}
        rows = self._query(LABELS, project, variables, lambda root: _rows(root, since), items=first)
        return rows, len(rows) == first

    def with_files(self, assets: Sequence[ReadAsset]) -> list[ReadAsset]:
        """Return the assets with the responses that are in files; a label whose file cannot be read says why."""
        addresses = [label.address for asset in assets for label in asset.labels if label.address]
        found = self._files.fetch(addresses)
        return [_completed(asset, found) for asset in assets] if found else list(assets)

    def count(self, project: str, kind: LabelKind, since: date) -> int:
        """Return how many labels were created since a day."""
        return self._caller.call(COUNT_LABELS, project, {"where": _where(project, kind, since)}, int)

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:
        """Return those of the assets that exist; one call per 50."""
        found: list[ReadAsset] = []
        for start in range(0, len(asset_ids), ASSETS_PER_PAGE):
            chunk = list(asset_ids[start : start + ASSETS_PER_PAGE])
            where = {"project": {"id": project}, "idIn": chunk}
            variables = {"where": where, "first": ASSETS_PER_PAGE, "skip": 0}
            found += self._query(ASSETS, project, variables, _assets, items=len(chunk), item_ids=chunk)
        return self.with_files(found)

    def close(self) -> None:
        """Close the connections."""
        self._caller.close()
        self._files.close()

    def _query(
        self,
        operation: Operation,
        project: str,
        variables: Variables,
        read: Callable[[Any], list[Result]],
        *,
        items: int,
        item_ids: Sequence[str] = (),
    ) -> list[Result]:
        """Make a call; an older server that knows no label files is not asked for them again."""
        asked = operation if self._may_have_files else _without_files(operation)
        try:
            return self._caller.call(asked, project, variables, read, items=items, item_ids=item_ids)
        except UnknownOperation as error:
            if FILE_FIELD not in error.server_message or not self._may_have_files:
                raise
        self._may_have_files = False
        return self._query(operation, project, variables, read, items=items, item_ids=item_ids)


def _without_files(operation: Operation) -> Operation:
    return replace(operation, selection=operation.selection.replace(FILE_FIELD, ""))


def _rows(root: list[Variables], since: date) -> list[LabelRow]:
    """One row for each that was listed; raises what is wrong when none can be read."""
    rows, problem = [], None
    for row in root:
        try:
            rows.append(LabelRow(row["id"], read_time(row["createdAt"]).date(), _asset(row["labelOf"])))
        except MALFORMED as error:
            problem = error
            rows.append(LabelRow("", rows[-1].day if rows else since, None))
    _log_malformed("label", sum(row.asset is None for row in rows), len(rows), problem)
    return rows


def _assets(root: list[Variables]) -> list[ReadAsset]:
    assets, problem = [], None
    for row in root:
        try:
            assets.append(_asset(row))
        except MALFORMED as error:
            problem = error
    _log_malformed("asset", len(root) - len(assets), len(root), problem)
    return assets


def _log_malformed(what: str, count: int, listed: int, problem: Exception | None) -> None:
    """One that cannot be read does not keep the others; when none can, the answer is at fault."""
    if problem is None:
        return
    if count == listed:
        raise problem
    extra = {"action": "rows_unreadable", "rows": count}
    logger.warning("%d of %d rows of %ss cannot be read: %r", count, listed, what, problem, extra=extra)


def _asset(row: Variables) -> ReadAsset:
    labels = sorted((_label(label) for label in row["labels"] or ()), key=lambda label: (label.at, label.id))
    return ReadAsset(
        id=row["id"],
        external_id=row["externalId"] or "",
        created=read_time(row["createdAt"]).date(),
        content=row["content"] or "",
        json_content=row["jsonContent"] or "",
        metadata=_object(row["jsonMetadata"]),
        labels=tuple(labels),
    )


def _label(row: Variables) -> ReadLabel:
    author = row["author"] or {}
    mark, seconds = row["inferenceMark"], row["secondsToLabel"]
    url = str(row.get(FILE_FIELD) or "")
    in_file = url.startswith(("http://", "https://"))
    return ReadLabel(
        id=row["id"],
        label_type=row["labelType"],
        model=row["modelName"] or "",
        at=read_time(row["createdAt"]).timestamp(),
        author=str(author.get("email") or author.get("id") or ""),
        response={} if in_file else _object(row["jsonResponse"]),
        mark=None if mark is None else float(mark),
        seconds=None if seconds is None else float(seconds),
        usable=not row["skipped"] and not row["isHoneypot"],
        address=url if in_file else "",
    )


def _completed(asset: ReadAsset, found: Mapping[str, Mapping[str, Any] | Unread]) -> ReadAsset:
    return replace(asset, labels=tuple(_with_file(label, found) for label in asset.labels))


def _with_file(label: ReadLabel, found: Mapping[str, Mapping[str, Any] | Unread]) -> ReadLabel:
    if not label.address:
        return label
    response = found[label.address]
    if isinstance(response, Unread):
        return replace(label, address="", unread=response, usable=False)
    return replace(label, address="", response=dict(response))


def read_time(text: str) -> datetime:
    """Read a time as Kili writes it.

    Raises:
        ValueError: it is none, or has no offset from UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return moment


def _where(project: str, kind: LabelKind, since: date) -> Variables:
    return {"project": {"id": project}, "typeIn": list(kind.types), "createdAtGte": since.isoformat()}


def _object(value: Any) -> dict[str, Any]:
    """A JSON object given as text or as itself; anything else reads as {}."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
