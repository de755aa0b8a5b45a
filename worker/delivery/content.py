"""What Kili should show: a link as it is, a text, a file or frames through a signed upload."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.contract import AssetContent
from worker.delivery.bucket import PutOff
from worker.delivery.failures import Action, Failure, Stage
from worker.delivery.item import Item
from worker.delivery.uploads import Upload, Uploader, unreadable_file
from worker.kili import NewAsset, UploadType
from worker.projects.results import allowed_path
from worker.spool.dead_letters import Cause

MAX_FILE_BYTES = 200_000_000
"""Files are read one at a time, and none that a worker's memory could not hold."""

VIDEOS = frozenset({"VIDEO", "VIDEO_LEGACY"})
IN_BUCKET = VIDEOS | {"TEXT"}
"""Input types whose frames or rich text Kili reads from a file; others take jsonContent as it is."""

TEXT = "text/plain; charset=utf-8"

UPLOAD_TYPES: Mapping[str, UploadType] = {
    "IMAGE": "TILED_IMAGE",
    "GEOSPATIAL": "GEO_SATELLITE",
    **dict.fromkeys(VIDEOS, "NATIVE_VIDEO"),
}
"""What Kili imports in the background, by input type: as its own SDK does, video files, and pictures to be tiled."""

TILED_FROM_BYTES = 30 * 1024**2
TILED_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".ntf", ".nitf"})


@dataclass(slots=True)
class Contents:
    """The items of a batch by what became of their contents.

    ``ready`` can be created at once, ``background`` takes Kili a while; ``later`` is to be tried again.
    """

    ready: list[tuple[Item, NewAsset]] = field(default_factory=list)
    background: list[tuple[Item, NewAsset]] = field(default_factory=list)
    dead: list[tuple[Item, Cause]] = field(default_factory=list)
    later: list[tuple[Item, PutOff]] = field(default_factory=list)


class ContentSource:
    """Makes the assets of a batch ready to be created.

    Args:
        uploader: for what goes through the bucket.
        roots: folders below which local files are read.
    """

    def __init__(self, uploader: Uploader, roots: Sequence[Path]) -> None:
        self._uploader = uploader
        self._roots = tuple(roots)

    def contents_of(self, project: str, items: Sequence[Item], input_type: str) -> Contents:
        """Pair each item with its asset; what cannot be had, now or at all, is told apart. Errors of Kili pass."""
        found = Contents()
        assets: dict[str, NewAsset] = {}
        uploads: list[Upload] = []
        for item in items:
            step = self._begin(item, input_type)
            if isinstance(step, Cause):
                found.dead.append((item, step))
            elif isinstance(step, Upload):
                uploads.append(step)
            else:
                assets[item.asset_id] = step
        uploaded = self._uploader.upload(project, uploads)
        for upload in uploads:
            address = uploaded.addresses.get(upload.item.asset_id)
            if address is not None:
                is_json = upload.file == "jsonContent"
                content, json_content = ("", address) if is_json else (address, "")
                assets[upload.item.asset_id] = _asset(upload.item, content, json_content, input_type)
        found.dead += uploaded.refused
        found.later += uploaded.later
        for item in items:
            if item.asset_id in assets:
                slow = is_slow(item.content, input_type)
                (found.background if slow else found.ready).append((item, assets[item.asset_id]))
        return found

    def _begin(self, item: Item, input_type: str) -> NewAsset | Upload | Cause:
        """The asset, or what has to be uploaded for it, or why there is none."""
        asset = item.content
        if asset is None:
            return missing_asset()
        if asset.url is not None:
            return _asset(item, asset.url, "", input_type)
        if asset.json_content is not None:
            return _with_json(item, asset.json_content, input_type)
        if asset.text is not None:
            return Upload(item, asset.text.encode(), TEXT)
        return self._file(item, asset, input_type)

    def _file(self, item: Item, asset: AssetContent, input_type: str) -> Upload | Cause:
        path = asset.path or ""
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        name = "content.tif" if input_type == "GEOSPATIAL" else "content"
        try:
            return Upload(item, _readable(path, self._roots), kind, name)
        except OSError as error:
            if self._uploader.clients.failures.decide(Failure(Stage.FILE, error)).action is Action.END_WAVE:
                raise
            return unreadable_file(error)


def is_slow(asset: AssetContent | None, input_type: str) -> bool:
    """Whether Kili imports such an asset in the background."""
    if asset is None or input_type not in UPLOAD_TYPES:
        return False
    if input_type in VIDEOS:
        return asset.json_content is None
    if asset.path is None:
        return False
    path = Path(asset.path)
    return path.suffix.lower() in TILED_SUFFIXES or _size_of(path) >= TILED_FROM_BYTES


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def missing_asset() -> Cause:
    """A prediction without content whose asset is not in Kili."""
    problem = "is absent, and the project has no asset with this external_id"
    return Cause("asset_missing", "asset", "asset", problem, "send the asset's content, or create the asset and replay")


def _with_json(item: Item, content: Any, input_type: str) -> NewAsset | Upload | Cause:
    if input_type in VIDEOS:
        content = _frames(content)
        if content is None:
            problem = "holds no frames: a list of links, or a map from each index to its link"
            return Cause("frames_unreadable", "asset", "asset.json_content", problem, 'send {"0": "https://…", …}')
    text = json.dumps(content)
    if input_type in IN_BUCKET:
        return Upload(item, text.encode(), TEXT, "jsonContent")
    return _asset(item, "", text, input_type)


def _frames(content: Any) -> dict[str, str] | None:
    """The links of a video's frames by index, from 0 on without a gap; None for anything else."""
    if isinstance(content, list):
        content = {str(index): link for index, link in enumerate(content)}
    if not isinstance(content, Mapping) or not content:
        return None
    links = [content.get(str(index)) for index in range(len(content))]
    frames = {str(index): link for index, link in enumerate(links) if isinstance(link, str) and link}
    return frames if len(frames) == len(content) else None


def _readable(path: str, roots: Sequence[Path]) -> Path:
    found = allowed_path(path, roots)
    if found is None:
        raise PermissionError("it is not below a folder of WORKER_INTAKE__PATH_ROOTS")
    with found.open("rb") as file:
        size = file.seek(0, 2)
    if size > MAX_FILE_BYTES:
        raise OSError(f"{size:,} bytes are more than {MAX_FILE_BYTES:,}")
    return found


def _asset(item: Item, content: str, json_content: str, input_type: str) -> NewAsset:
    metadata = item.metadata_text()
    if input_type in VIDEOS:  # Kili's own SDK gives every video this key
        metadata = json.dumps({"processingParameters": {}, **item.metadata()})
    return NewAsset(item.asset_id, item.external_id, content, json_content, metadata)
