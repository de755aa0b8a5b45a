"""The state of a sandbox and its time: indexed tables, a late copy for readers, work that is due later, and files.

Times are written and ids are made as Kili does it; addresses of files are signed.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, count
from typing import Literal, Self
from urllib.parse import parse_qs, quote, urlsplit

from worker.sandbox.records import ApiKey, Asset, Issue, Label, Notification, Project, Record, User, Webhook

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MILLISECONDS = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

Clock = Callable[[], float]


def iso(seconds: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC with milliseconds and a Z."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def base36(number: int, width: int) -> str:
    """Write the lowest `width` base-36 digits of a non-negative number."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))


class Mint:
    """Makes ids in the form of cuid v1: c, 8 of time, 4 of counter, 4 of process, 8 of chance."""

    def __init__(self, clock: Clock, seed: int) -> None:
        """Take Unix seconds from `clock`; `seed` fixes the random part."""
        self._clock = clock
        self._random = random.Random(seed)
        self._fingerprint = base36(self._random.getrandbits(30), 4)
        self._counter = 0
        self._stamp = (0, "")

    def __call__(self) -> str:
        """Return a new id."""
        self._counter += 1
        middle = base36(self._counter, 4) + self._fingerprint
        return "c" + self._time() + middle + "".join(self._random.choices(DIGITS, k=8))

    def _time(self) -> str:
        millisecond = int(self._clock() * 1000)
        if millisecond != self._stamp[0]:
            self._stamp = (millisecond, base36(millisecond, 8))
        return self._stamp[1]


class Tables:
    """Rows by id; replacing a row keeps its place."""

    def __init__(self) -> None:
        """Start empty."""
        self.users: dict[str, User] = {}
        self.api_keys: dict[str, ApiKey] = {}
        self.notifications: dict[str, Notification] = {}
        self.projects: dict[str, Project] = {}
        self.assets: dict[str, Asset] = {}
        self.labels: dict[str, Label] = {}
        self.issues: dict[str, Issue] = {}
        self.webhooks: dict[str, Webhook] = {}
        self._assets_of_project: dict[str, dict[str, Asset]] = {}
        self._urgent_of_project: dict[str, dict[str, Asset]] = {}
        self._labels_of_project: dict[str, dict[str, Label]] = {}
        self._labels_of_day: dict[str, dict[str, dict[str, Label]]] = {}
        self._labels_of_asset: dict[str, dict[str, Label]] = {}
        self._ids_by_external: dict[tuple[str, str], list[str]] = {}

    def assets_of(self, project_id: str) -> dict[str, Asset]:
        """Return the assets of a project by id."""
        return self._assets_of_project.get(project_id, {})

    def urgent_of(self, project_id: str) -> Iterable[Asset]:
        """Return the assets of a project that have a priority and are not done."""
        return self._urgent_of_project.get(project_id, {}).values()

    def labels_of(self, project_id: str) -> dict[str, Label]:
        """Return the labels of a project by id."""
        return self._labels_of_project.get(project_id, {})

    def labels_since(self, project_id: str, day: str) -> Iterable[Label]:
        """Return the labels of a project that came on a day (2026-11-01, UTC) or later, oldest first."""
        days = self._labels_of_day.get(project_id, {})
        return chain.from_iterable(labels.values() for known, labels in days.items() if known >= day)

    def labels_on(self, asset_id: str) -> Iterable[Label]:
        """Return the labels of an asset, oldest first."""
        return self._labels_of_asset.get(asset_id, {}).values()

    def issues_on(self, asset_id: str) -> list[Issue]:
        """Return the issues and questions about an asset, oldest first."""
        return [issue for issue in self.issues.values() if issue.asset_id == asset_id]

    def assets_called(self, project_id: str, external_id: str) -> list[Asset]:
        """Return the assets of a project with exactly this external id."""
        return [self.assets[key] for key in self._ids_by_external.get((project_id, external_id), ())]

    def put(self, record: Record) -> None:
        """Insert a row or replace the one with its id."""
        match record:
            case Asset():
                self._put_asset(record)
            case Label():
                self._put_label(record)
            case Project():
                self.projects[record.id] = record
            case User():
                self.users[record.id] = record
            case ApiKey():
                self.api_keys[record.id] = record
            case Notification():
                self.notifications[record.id] = record
            case Issue():
                self.issues[record.id] = record
            case Webhook():
                self.webhooks[record.id] = record

    def drop(self, record: Record) -> None:
        """Remove a row and all that belongs to it."""
        match record:
            case Asset():
                self._drop_asset(record.id)
            case Label():
                self._drop_label(record.id)
            case Project():
                self._drop_project(record.id)
            case Webhook():
                self.webhooks.pop(record.id, None)
            case _:
                raise TypeError(f"{type(record).__name__} rows are never dropped")

    def copy(self) -> Self:
        """Return an independent copy that shares the rows."""
        twin = type(self)()
        for record in self._all():
            twin.put(record)
        return twin

    def _all(self) -> Iterator[Record]:
        return chain(
            self.users.values(),
            self.api_keys.values(),
            self.notifications.values(),
            self.projects.values(),
            self.assets.values(),
            self.labels.values(),
            self.issues.values(),
            self.webhooks.values(),
        )

    def _put_asset(self, asset: Asset) -> None:
        known = self.assets.get(asset.id)
        if known is not None and known.external_id != asset.external_id:
            self._forget_external(known)
            known = None
        if known is None:
            self._ids_by_external.setdefault((asset.project_id, asset.external_id), []).append(asset.id)
        self.assets[asset.id] = asset
        self._assets_of_project.setdefault(asset.project_id, {})[asset.id] = asset
        if asset.priority > 0 and asset.step_status != "DONE":
            self._urgent_of_project.setdefault(asset.project_id, {})[asset.id] = asset
        else:
            self._urgent_of_project.get(asset.project_id, {}).pop(asset.id, None)

    def _drop_asset(self, asset_id: str) -> None:
        asset = self.assets.pop(asset_id, None)
        if asset is None:
            return
        for label in list(self.labels_on(asset_id)):
            self._drop_label(label.id)
        self._labels_of_asset.pop(asset_id, None)
        for issue in self.issues_on(asset_id):
            del self.issues[issue.id]
        self._forget_external(asset)
        del self._assets_of_project[asset.project_id][asset_id]
        self._urgent_of_project.get(asset.project_id, {}).pop(asset_id, None)

    def _forget_external(self, asset: Asset) -> None:
        key = (asset.project_id, asset.external_id)
        self._ids_by_external[key].remove(asset.id)
        if not self._ids_by_external[key]:
            del self._ids_by_external[key]

    def _put_label(self, label: Label) -> None:
        self.labels[label.id] = label
        self._labels_of_asset.setdefault(label.asset_id, {})[label.id] = label
        self._labels_of_project.setdefault(label.project_id, {})[label.id] = label
        days = self._labels_of_day.setdefault(label.project_id, {})
        days.setdefault(_day(label), {})[label.id] = label

    def _drop_label(self, label_id: str) -> None:
        label = self.labels.pop(label_id, None)
        if label is None:
            return
        del self._labels_of_asset[label.asset_id][label_id]
        del self._labels_of_project[label.project_id][label_id]
        del self._labels_of_day[label.project_id][_day(label)][label_id]

    def _drop_project(self, project_id: str) -> None:
        if self.projects.pop(project_id, None) is None:
            return
        for asset_id in list(self.assets_of(project_id)):
            self._drop_asset(asset_id)
        self._assets_of_project.pop(project_id, None)
        self._urgent_of_project.pop(project_id, None)
        self._labels_of_project.pop(project_id, None)
        self._labels_of_day.pop(project_id, None)


def _day(label: Label) -> str:
    return label.created_at[: len("2026-11-01")]


Change = tuple[float, Literal["put", "drop"], Record]


class Store:
    """Holds every row; mutations see all of it, queries what it was `read_lag` seconds ago."""

    def __init__(self, *, seed: int = 0, clock: Clock = time.time) -> None:
        """Start empty and without lag; `clock` tells Unix seconds."""
        self.tables = Tables()
        self.new_id = Mint(clock, seed)
        self._clock = clock
        self._sequence = count(1)
        self._now = clock()
        self._now_text = iso(self._now)
        self._replica: Tables | None = None
        self._changes: deque[Change] = deque()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._read_lag = 0.0

    def now(self) -> str:
        """Return the present moment as Kili writes it."""
        return self._now_text

    def next_sequence(self) -> int:
        """Return a number larger than any before it."""
        return next(self._sequence)

    def put(self, record: Record) -> None:
        """Insert or replace a row."""
        self.tables.put(record)
        self._log("put", record)

    def drop(self, record: Record) -> None:
        """Remove a row and all that belongs to it."""
        self.tables.drop(record)
        self._log("drop", record)

    def reader(self) -> Tables:
        """Return the copy that queries may see now."""
        return self.tables if self._replica is None else self._replica

    def set_read_lag(self, seconds: float) -> None:
        """Let readers see the state of `seconds` ago from now on."""
        if seconds and self._replica is None:
            self._replica = self.tables.copy()
        elif not seconds:
            self._replica = None
            self._changes.clear()
        self._read_lag = seconds

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action at the first call that comes `seconds` from now or later; at once for 0."""
        if seconds <= 0:
            action()
        else:
            heapq.heappush(self._agenda, (self._now + seconds, self.next_sequence(), action))

    def settle(self) -> None:
        """Bring the state up to the present: run what is due, each action at its own moment."""
        present = self._clock()
        while self._agenda and self._agenda[0][0] <= present:
            due, _, action = heapq.heappop(self._agenda)
            self._move_to(due)
            action()
        self._move_to(present)
        self._catch_up()

    def _catch_up(self) -> None:
        while self._replica is not None and self._changes and self._changes[0][0] <= self._now - self._read_lag:
            _, change, record = self._changes.popleft()
            getattr(self._replica, change)(record)

    def _move_to(self, moment: float) -> None:
        self._now = moment
        self._now_text = iso(moment)

    def _log(self, change: Literal["put", "drop"], record: Record) -> None:
        if self._replica is not None:
            self._changes.append((self._now, change, record))


def label_path(label_id: str) -> str:
    """Return the path of a label's file."""
    return f"labels/{label_id}/jsonResponse"


def label_url(base_url: str, buckets: Buckets, label_id: str) -> str:
    """Return the signed address of a label's file."""
    path = label_path(label_id)
    return f"{base_url}/{path}?signature={buckets.signature(path)}"


class Buckets:
    """Keeps uploaded contents by path; an address is only good with its signature."""

    def __init__(self, mint: Mint, seed: int) -> None:
        """Take file ids from `mint`; `seed` fixes the signatures."""
        self._mint = mint
        self._secret = f"bucket-{seed}".encode()
        self._contents: dict[str, tuple[bytes, str]] = {}
        self._paths: dict[str, str] = {}

    def signed_url(self, base_url: str, path: str) -> str:
        """Return an address for a path, with a file id at its end that is not part of the signature."""
        file_id = self._mint()
        self._paths[file_id] = path
        return f"{base_url}/bucket/{quote(path)}?signature={self.signature(path)}&id={file_id}"

    def may_access(self, path: str, signature: str) -> bool:
        """Tell whether a signature belongs to a path."""
        return hmac.compare_digest(signature, self.signature(path))

    def write(self, path: str, content: bytes, media_type: str) -> None:
        """Keep a content with its media type."""
        self._contents[path] = (content, media_type)

    def read(self, path: str) -> tuple[bytes, str] | None:
        """Return content and media type, or None."""
        return self._contents.get(path)

    def read_id(self, file_id: str) -> tuple[bytes, str] | None:
        """Return content and media type by file id, or None."""
        return self.read(self._paths.get(file_id, ""))

    def read_url(self, url: str) -> tuple[bytes, str] | None:
        """Return content and media type by an address of ours, or None."""
        file_ids = parse_qs(urlsplit(url).query).get("id", [""])
        return self.read_id(file_ids[0])

    def holds(self, url: str) -> bool:
        """Tell whether the content that an address of ours names has been uploaded."""
        return self.read_url(url) is not None

    def signature(self, path: str) -> str:
        """Return what makes an address of a path good."""
        return hmac.new(self._secret, path.encode(), hashlib.sha256).hexdigest()[:32]
