"""The calls the worker makes to Kili, each a method."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import httpx

from worker.kili import operations as ops
from worker.kili.budget import CallRecord
from worker.kili.calls import Budget, Caller, Document, Mutation
from worker.kili.errors import KiliError, RefusedProject, UnknownOperation
from worker.kili.operations import (
    AssetUpdate,
    FoundAsset,
    NewAsset,
    NewLabel,
    Notification,
    ProjectInterface,
    UploadType,
)
from worker.kili.retry import RetryPolicy
from worker.kili.transport import KiliAccess

GEOSPATIAL = "GEOSPATIAL"
"""The input type of projects of maps and scenes."""

_AZURE = re.compile(r"https?://[^/?#@]+\.blob\.core\.windows\.net([:/?#]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a batch's mutations: None for what went through (or was not asked for), else why it did not."""

    assets: KiliError | None = None
    labels: KiliError | None = None
    updates: KiliError | None = None


class KiliClient:
    """A synchronous client of one Kili endpoint; threads may share it, and it survives a fork.

    Every method raises :class:`~worker.kili.errors.KiliError` when Kili did not do what was asked, after the attempts
    of the retry policy; and :class:`redis.RedisError` when the budget cannot be asked, which says nothing about what an
    earlier attempt did. ``stop`` cuts all waiting short. ``observe`` is told of every HTTP exchange.
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

    def guarded(self, check: Callable[[], None]) -> KiliClient:
        """The same client, which calls ``check`` right before each attempt is sent; what that raises ends the call."""
        client = copy(self)
        client._caller = self._caller.guarded(check)
        return client

    def existing_external_ids(self, project_id: str, external_ids: Sequence[str]) -> set[str]:
        """Return which of the external ids the project has; one call per 1,000."""
        found: set[str] = set()
        for chunk in _chunks(_distinct(external_ids), ops.EXTERNAL_IDS_PER_CALL):
            variables = {"projectID": project_id, "externalIDs": chunk}
            found.update(
                self._caller.call(ops.FILTER_EXISTING_ASSETS, project_id, variables, ops.read_strings, items=len(chunk))
            )
        return found

    def find_assets(self, project_id: str, external_ids: Sequence[str]) -> dict[str, list[FoundAsset]]:
        """Return the assets of each external id that has any, the oldest first."""
        rows: dict[str, ops.AssetRow] = {}
        for chunk in _chunks(_distinct(external_ids), ops.EXTERNAL_IDS_PER_CALL):
            for row in self._pages_of(project_id, chunk):
                rows.setdefault(row.asset.id, row)
        found: dict[str, list[FoundAsset]] = {}
        for row in sorted(rows.values(), key=lambda row: row.age):
            found.setdefault(row.asset.external_id, []).append(row.asset)
        return found

    def assets_by_id(self, project_id: str, asset_ids: Sequence[str]) -> dict[str, FoundAsset]:
        """Return those of the assets that exist, by id; one call per 100."""
        found: dict[str, FoundAsset] = {}
        for chunk in _chunks(_distinct(asset_ids), ops.PAGE_SIZE):
            variables = ops.assets_by_id_variables(project_id, chunk)
            rows = self._caller.call(
                ops.ASSETS, project_id, variables, ops.read_asset_rows, items=len(chunk), item_ids=chunk
            )
            found.update({row.asset.id: row.asset for row in rows})
        return found

    def append_assets(self, project_id: str, assets: Sequence[NewAsset]) -> list[str]:
        """Create assets in one call of at most 100; return the ids the server reports, in order.

        Sending an asset again is safe: with the id it already has, it is either replaced by itself or refused.
        """
        ids = [asset.id for asset in assets]
        return self._write(ops.APPEND_MANY_ASSETS, project_id, ops.append_assets_variables(project_id, assets), ids)

    def append_labels(self, project_id: str, labels: Sequence[NewLabel]) -> None:
        """Write INFERENCE labels in one call of at most 100, in place of the same model version's earlier ones."""
        ids = [label.asset_id for label in labels]
        self._write(ops.APPEND_MANY_LABELS, project_id, ops.append_labels_variables(project_id, labels), ids)

    def update_assets(self, project_id: str, updates: Sequence[AssetUpdate]) -> None:
        """Set priorities and metadata in one call of at most 100.

        The assets are addressed by id alone; ``project_id`` is for the errors. Raises :class:`ValueError` for an
        update that changes nothing.
        """
        ids = [update.asset_id for update in updates]
        self._write(ops.UPDATE_PROPERTIES_IN_ASSETS, project_id, ops.update_assets_variables(updates), ids)

    def write_batch(
        self,
        project_id: str,
        *,
        assets: Sequence[NewAsset] = (),
        labels: Sequence[NewLabel] = (),
        updates: Sequence[AssetUpdate] = (),
    ) -> WriteResult:
        """Create assets, write labels and set properties, in this order and in one call of at most 100 items each.

        Each is executed whatever became of the one before. Raises only what concerns the whole call.
        """
        mutations = {
            "assets": Mutation(
                ops.APPEND_MANY_ASSETS, ops.append_assets_variables(project_id, assets), [one.id for one in assets]
            ),
            "labels": Mutation(
                ops.APPEND_MANY_LABELS,
                ops.append_labels_variables(project_id, labels),
                [one.asset_id for one in labels],
            ),
            "updates": Mutation(
                ops.UPDATE_PROPERTIES_IN_ASSETS,
                ops.update_assets_variables(updates),
                [one.asset_id for one in updates],
            ),
        }
        document = Document({alias: mutation for alias, mutation in mutations.items() if mutation.item_ids})
        items = max(len(mutation.item_ids) for mutation in mutations.values())
        return WriteResult(**self._caller.call_together(document, project_id, items=items))

    def project_interface(self, project_id: str) -> ProjectInterface:
        """Return what the project asks of its labelers.

        Raises :class:`~worker.kili.errors.RefusedProject` when the key sees no such project.
        """
        variables = ops.project_variables(project_id)
        found = self._caller.call(ops.PROJECTS, project_id, variables, _interface_of(project_id), items=1)
        return replace(found, labeling_crs=self._labeling_crs(project_id)) if found.input_type == GEOSPATIAL else found

    def _labeling_crs(self, project_id: str) -> str | None:
        """What coordinates are in a project of maps or scenes; a backend that knows no such setting has degrees."""
        variables = ops.project_variables(project_id)
        try:
            return self._caller.call(ops.GEOSPATIAL_SETTINGS, project_id, variables, ops.read_labeling_crs, items=1)
        except UnknownOperation:
            return None

    def import_assets(self, project_id: str, assets: Sequence[NewAsset], upload_type: UploadType) -> str:
        """Have at most 100 assets imported in the background; return the id of the notification that tells how it went.

        Sending an asset again is safe, as it is for :meth:`append_assets`.
        """
        ids = [asset.id for asset in assets]
        variables = ops.import_variables(project_id, assets, upload_type)
        operation = ops.APPEND_MANY_ASSETS_ASYNCHRONOUSLY
        return self._caller.call(operation, project_id, variables, ops.read_id, items=len(ids), item_ids=ids)

    def notification(self, project_id: str, notification_id: str) -> Notification | None:
        """Return what became of an import; None when Kili has no such notification. ``project_id`` is for errors."""
        variables = ops.notification_variables(notification_id)
        return self._caller.call(ops.NOTIFICATIONS, project_id, variables, ops.read_notification, items=1)

    def signed_upload_urls(self, project_id: str, asset_ids: Sequence[str], file: str = "content") -> list[str]:
        """Return a URL to upload a file of each asset to, in order; one call per 30.

        The whole URL, with its ``&id=``, is what the asset refers to once the file is uploaded.
        """
        urls: list[str] = []
        for chunk in _chunks(asset_ids, ops.SIGNED_URLS_PER_CALL):
            variables = ops.signed_urls_variables(project_id, chunk, file)
            urls += self._caller.call(
                ops.SIGNED_URLS, project_id, variables, _exactly(len(chunk)), items=len(chunk), item_ids=chunk
            )
        return urls

    def upload(self, url: str, data: bytes, content_type: str) -> None:
        """Upload content to a signed URL; the API key is not sent there."""
        headers = {"Content-Type": content_type}
        if content_type == "text/plain":
            headers["Content-Type"] = "text/plain; charset=utf-8"
        if _AZURE.match(url):
            headers["x-ms-blob-type"] = "BlockBlob"
        self._caller.upload(url.split("&id=")[0], data, headers)

    def viewer(self) -> dict[str, Any]:
        """Return id and email of the key's user: the cheapest proof that endpoint and key work."""
        return self._caller.call(ops.VIEWER, None, {}, dict)

    def close(self) -> None:
        """Close the connections; the next call would open new ones."""
        self._caller.close()

    def _write(self, operation: ops.Operation, project_id: str, variables: ops.Variables, ids: list[str]) -> list[str]:
        if not ids:
            return []
        return self._caller.call(operation, project_id, variables, ops.read_ids, items=len(ids), item_ids=ids)

    def _pages_of(self, project_id: str, external_ids: Sequence[str]) -> Iterator[ops.AssetRow]:
        skip, more = 0, True
        while more:
            variables = ops.find_assets_variables(project_id, external_ids, skip)
            rows = self._caller.call(ops.ASSETS, project_id, variables, ops.read_asset_rows, items=len(external_ids))
            yield from rows
            skip += ops.PAGE_SIZE
            more = len(rows) == ops.PAGE_SIZE


def _distinct(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def _chunks(entries: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _interface_of(project_id: str) -> Callable[[Any], ProjectInterface]:
    def read(root: Any) -> ProjectInterface:
        found = ops.read_project(root)
        if found is None:
            raise RefusedProject(
                f"projects: the key sees no project {project_id}; check the project id and the key's rights",
                operation=ops.PROJECTS.field,
                status=200,
            )
        return found

    return read


def _exactly(count: int) -> Callable[[Any], list[str]]:
    def read(root: Any) -> list[str]:
        urls = ops.read_strings(root)
        if len(urls) != count:
            raise ValueError(f"{len(urls)} URLs for {count} assets")
        return urls

    return read
