"""What Kili should show: a link as it is, a text, a file or frames through a signed upload; some after an import.

What Kili imports in the background has a record per asset. It is written before the import is sent, and again with the
notification's id. So whoever takes the prediction next looks for the asset and asks for the notification, and sends
again only what cannot have arrived: when no notification was noted, the worker died in between, and the asset does not
show up for a while. Asset ids are derived, so an import that was sent twice makes no second asset.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import redis

from worker.contract import AssetContent
from worker.delivery.bisect import DeliveryClients
from worker.delivery.failures import Action, Failure, FailureDecision, Stage, Trouble
from worker.delivery.item import Item
from worker.delivery.uploads import PutOff, Upload, Uploader, unreadable_file
from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.kili import KiliError, NewAsset, Notification, UploadType
from worker.projects.results import allowed_path
from worker.spool.dead_letters import Cause

logger = logging.getLogger(__name__)

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


FIRST_DELAY = 1.0
TriedFor = Callable[[str, str], float]
KEPT_SECONDS = 86_400

ASKED = 10
"""So many notifications are asked for in a wave, so that others need not wait; an asset that is there needs none."""


@dataclass(frozen=True, slots=True)
class Import:
    """The import of one asset; times in seconds since the epoch.

    ``since`` is when it was first sent, ``sent`` when last, ``together`` with how many in one call. ``notification`` is
    empty until Kili has answered; ``outcome`` until the notification was seen, at ``ended``, to say how it ended.
    ``alone`` tells that it failed with others and is to be sent without them.
    """

    since: float
    sent: float
    together: int
    notification: str = ""
    outcome: str = ""
    message: str = ""
    ended: float = 0.0
    alone: bool = False


class Imports:
    """The imports in the background of the fleet: what was sent to Kili, and what its notifications say of it.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
        clients: ask for notifications.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        clients: DeliveryClients,
        *,
        clock: Callable[[], float] = clock.now,
    ) -> None:
        self._redis = client
        self._key = f"{prefix}import:"
        self._clients = clients
        self._clock = clock

    def begin(self, asset_ids: Sequence[str]) -> None:
        """Remember that assets are about to be sent in one call."""
        now, known = self._clock(), self._known(asset_ids)
        for asset_id in asset_ids:
            before = known.get(asset_id)
            since = before.since if before else now
            self._write(asset_id, Import(since, now, len(asset_ids)))

    def sent(self, asset_ids: Sequence[str], notification: str) -> None:
        """Kili took them, and will tell by this notification."""
        for asset_id, one in self._known(asset_ids).items():
            self._write(asset_id, replace(one, notification=notification))

    def forget(self, asset_ids: Iterable[str]) -> None:
        """They were not sent, or are done with."""
        keys = [self._key + asset_id for asset_id in asset_ids]
        if keys:
            self._redis.delete(*keys)

    def suspects(self, asset_ids: Sequence[str]) -> set[str]:
        """Those that failed together with others: each is to be sent alone."""
        return {asset_id for asset_id, one in self._known(asset_ids).items() if one.alone}

    def look(self, project: str, asset_ids: Sequence[str], tried_for: TriedFor) -> dict[str, FailureDecision | Cause]:
        """What is to be done with assets that Kili does not show: look again, or dead-letter; absent ones: send.

        ``tried_for`` says how long an asset was looked for in vain, by what was in the way.
        """
        known = self._known(asset_ids)
        open_ = sorted({one.notification for one in known.values() if one.notification and not one.outcome})
        asked = random.sample(open_, min(ASKED, len(open_)))
        news = {notification: self._query(project, notification) for notification in asked}
        found: dict[str, FailureDecision | Cause] = {}
        for asset_id, one in known.items():
            notification = news.get(one.notification)
            step = self._step(asset_id, self._ended(asset_id, one, notification) if notification else one, tried_for)
            if step is not None:
                found[asset_id] = step
        self.forget(asset_id for asset_id, step in found.items() if isinstance(step, Cause))
        return found

    def _step(self, asset_id: str, one: Import, tried_for: TriedFor) -> FailureDecision | Cause | None:
        if one.alone:
            return None
        failure = self._failure(one)
        seconds = tried_for(asset_id, self._clients.failures.rule_of(failure).cause)
        decision = self._clients.failures.decide(replace(failure, tried_for=seconds))
        match decision.action:
            case Action.RETRY:
                return decision
            case Action.DEAD_LETTER:
                return _cause(one, seconds)
            case Action.SPLIT:
                self._write(asset_id, replace(one, alone=True))
        return None

    def _failure(self, one: Import) -> Failure:
        now = self._clock()
        what = Trouble.IMPORTING
        if one.outcome:
            what = Trouble.IMPORTED if one.outcome == "SUCCESS" else Trouble.IMPORT_FAILED
        elif not one.notification:
            what = Trouble.UNCONFIRMED
        since_step = now - (one.ended if one.outcome else one.sent)
        return Failure(Stage.IMPORT, what, items=one.together, since_step=since_step)

    def _ended(self, asset_id: str, one: Import, notification: Notification) -> Import:
        if notification.is_pending:
            return one
        one = replace(one, outcome=notification.status, message=notification.message, ended=self._clock())
        self._write(asset_id, one)
        return one

    def _query(self, project: str, notification: str) -> Notification | None:
        """An answer that does not come is no news: what counts in the end is the asset, and the limit."""
        try:
            return self._clients.single_attempt.notification(project, notification)
        except KiliError as error:
            extra = {"action": "import_not_asked", "project": project}
            logger.warning("an import's notification cannot be read: %s", error, extra=extra)
            return None

    def _known(self, asset_ids: Sequence[str]) -> dict[str, Import]:
        if not asset_ids:
            return {}
        stored: Any = self._redis.mget([self._key + asset_id for asset_id in asset_ids])
        pairs = zip(asset_ids, stored, strict=True)
        return {asset_id: of_stored(Import, text) for asset_id, text in pairs if text is not None}

    def _write(self, asset_id: str, one: Import) -> None:
        kept = int(self._clients.failures.graces.imports) + KEPT_SECONDS
        insist(self._redis, "SET", self._key + asset_id, json.dumps(asdict(one)), "EX", kept)


def _cause(one: Import, seconds: float) -> Cause:
    """Why the prediction of an import dies."""
    if not one.outcome:
        return _timed_out(seconds)
    return _lost() if one.outcome == "SUCCESS" else _failed(one.message)


def _failed(message: str) -> Cause:
    problem = f"could not be imported by Kili: {message or 'its notification gives no reason'}"
    return Cause("import_failed", "refused", "asset", problem, "send content that Kili can read", message)


def _timed_out(seconds: float) -> Cause:
    problem = f"is not imported by Kili for {seconds:.0f} s now"
    fix = "look at Kili's notifications; raise WORKER_DELIVERY__IMPORT_SECONDS, or replay when the asset is there"
    return Cause("import_timed_out", "refused", "asset", problem, fix)


def _lost() -> Cause:
    problem = "was imported, as Kili says, but the project does not show it"
    return Cause("import_lost", "refused", "asset", problem, "replay it; the import begins anew if it is not there")
