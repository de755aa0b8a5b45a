"""What Kili should show: a link as it is, a text or a local file through a signed upload."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.deadletters import Cause
from worker.delivery.item import Item
from worker.kili import KiliClient, NewAsset, RefusedItems
from worker.messages import AssetContent
from worker.paths import allowed_path

MAX_FILE_BYTES = 200_000_000
"""Files are read one at a time, and none that a worker's memory could not hold."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An asset whose content cannot be had."""

    item: Item
    cause: Cause


class ContentSource:
    """Makes the assets of a batch ready to be created.

    Args:
        kili: for signed uploads.
        roots: folders below which local files are read.
    """

    def __init__(self, kili: KiliClient, roots: Sequence[Path]) -> None:
        self._kili = kili
        self._roots = tuple(roots)

    def assets_for(self, project: str, items: Sequence[Item]) -> tuple[list[tuple[Item, NewAsset]], list[Unreadable]]:
        """Pair each item with its asset; what cannot be read is told apart. Errors of Kili pass through."""
        ready: dict[str, tuple[str, str]] = {}
        uploads: list[_Upload] = []
        unreadable: list[Unreadable] = []
        for item in items:
            asset = item.content
            if asset is None:
                unreadable.append(Unreadable(item, missing_asset()))
            elif asset.url is not None:
                ready[item.asset_id] = (asset.url, "")
            elif asset.json_content is not None:
                ready[item.asset_id] = ("", json.dumps(asset.json_content, ensure_ascii=False))
            else:
                self._read(item, asset, uploads, unreadable)
        ready |= self._uploaded(project, uploads, unreadable)
        pairs = [(item, _asset(item, *ready[item.asset_id])) for item in items if item.asset_id in ready]
        return pairs, unreadable

    def _read(self, item: Item, asset: AssetContent, uploads: list[_Upload], unreadable: list[Unreadable]) -> None:
        if asset.text is not None:
            uploads.append(_Upload(item, asset.text.encode(), "text/plain; charset=utf-8"))
            return
        path = asset.path or ""
        try:
            found = _readable(path, self._roots)
            uploads.append(_Upload(item, found, mimetypes.guess_type(path)[0] or "application/octet-stream"))
        except OSError as error:
            unreadable.append(Unreadable(item, _unreadable_file(error)))

    def _uploaded(
        self, project: str, uploads: Sequence[_Upload], unreadable: list[Unreadable]
    ) -> dict[str, tuple[str, str]]:
        if not uploads:
            return {}
        urls = self._kili.signed_upload_urls(project, [upload.item.asset_id for upload in uploads])
        ready = {}
        for url, upload in zip(urls, uploads, strict=True):
            try:
                self._kili.upload(url, upload.data(), upload.kind)
                ready[upload.item.asset_id] = (url, "")
            except OSError as error:
                unreadable.append(Unreadable(upload.item, _unreadable_file(error)))
            except RefusedItems as refusal:
                fix = "send content that the bucket takes"
                cause = Cause("upload_refused", "refused", "asset", str(refusal), fix, refusal.words)
                unreadable.append(Unreadable(upload.item, cause))
        return ready


@dataclass(frozen=True, slots=True)
class _Upload:
    """Content on its way to the bucket; a file is read only when its turn has come."""

    item: Item
    content: bytes | Path
    kind: str

    def data(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def _unreadable_file(error: OSError) -> Cause:
    problem = f"cannot be read: {error.strerror or error}"
    return Cause("asset_unreadable", "asset", "asset.path", problem, "make it readable and replay")


def _readable(path: str, roots: Sequence[Path]) -> Path:
    found = allowed_path(path, roots)
    if found is None:
        raise PermissionError("it is not below a folder of WORKER_INTAKE__PATH_ROOTS")
    with found.open("rb") as file:
        size = file.seek(0, 2)
    if size > MAX_FILE_BYTES:
        raise OSError(f"{size:,} bytes are more than {MAX_FILE_BYTES:,}")
    return found


def missing_asset() -> Cause:
    """A prediction without content whose asset is not in Kili."""
    problem = "is absent, and the project has no asset with this external_id"
    return Cause("asset_missing", "asset", "asset", problem, "send the asset's content, or create the asset and replay")


def _asset(item: Item, content: str, json_content: str) -> NewAsset:
    return NewAsset(item.asset_id, item.external_id, content, json_content, item.metadata_text())
