"""The uploads of a batch: each with up to three signed URLs, its neighbours whatever becomes of it.

A refusal of the content (400, 413, 415, 422, ...) or of a fresh signed URL (403, 404, ...) is the item's fault as soon
as the bucket takes others. What passes (408, 425, 429, 5xx, the network) is tried again, a little later each time; an
item that fails while the bucket takes others, again and again, is at fault. A few that fail alone are given up after
a time of grace. When many fail and none is taken, the bucket is down: definite refusals are given up after that time,
all others wait for its return, and one batch at a time asks.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.delivery.bisect import DeliveryClients, send_each
from worker.delivery.failure_policy import ADDRESSES, CROWD, WITNESS_SECONDS, FailurePolicy
from worker.delivery.failures import UPLOAD_UNAVAILABLE, Action, Failure, Others, Stage, Trouble
from worker.delivery.in_flight import grouped
from worker.delivery.item import Item
from worker.environment import clock
from worker.kili import KiliClient, KiliError, NotSent, RefusedItems, UnknownOutcome
from worker.spool.dead_letters import Cause

logger = logging.getLogger(__name__)

PAUSE = 0.2
FIRST_DELAY = 1.0
LAST_DELAY = 30.0
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Upload:
    """Content on its way to the bucket; a file is read only when its turn has come.

    ``kind`` is its media type, ``file`` what it is called below the asset's folder.
    """

    item: Item
    content: bytes | Path
    kind: str
    file: str = "content"

    def data(self) -> bytes:
        """The content itself. Raises OSError."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(slots=True)
class Uploaded:
    """Addresses by asset id, what dies and why, and what is to be tried later."""

    addresses: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[Item, Cause]] = field(default_factory=list)
    later: list[tuple[Item, PutOff]] = field(default_factory=list)


class Uploader:
    """Uploads for all batches of a process.

    Args:
        clients: ask for URLs, and upload.
        bucket: what is known of it.
        pause: seconds before a new URL is asked for the first time.
    """

    def __init__(self, clients: DeliveryClients, bucket: Bucket, *, pause: float = PAUSE) -> None:
        self.clients = clients
        self.bucket = bucket
        self.pause = pause

    def upload(self, project: str, uploads: Sequence[Upload]) -> Uploaded:
        """Upload all. Raises KiliError when Kili answers no request for URLs, which is no upload's fault."""
        batch = _Batch(self, project)
        for alike in grouped(uploads, key=lambda upload: upload.file):
            batch.run(alike)
        return batch.uploaded


class _Batch:
    """The uploads of one batch."""

    def __init__(self, uploader: Uploader, project: str) -> None:
        self._clients = uploader.clients
        self._bucket = uploader.bucket
        self._pause = uploader.pause
        self._project = project
        self.uploaded = Uploaded()
        self._taken: tuple[int, Upload, str] | None = None
        self._in_a_row: list[KiliError] = []
        self._unanswered: list[tuple[Upload, KiliError]] = []
        """Whose request for a URL has no usable answer, while others' has."""

    def run(self, uploads: Sequence[Upload]) -> None:
        """Try each upload, those that another URL may cure with a few, and judge what failed at the end.

        Who failed before goes last: a few that fail must not keep those behind them.
        """
        failed: list[tuple[Upload, KiliError]] = []
        curable: list[tuple[Upload, KiliError]] = []
        waiting = sorted(uploads, key=lambda upload: self._bucket.tries_of(upload.item.asset_id))
        for attempt in range(ADDRESSES):
            self._in_a_row = []
            found, untried = self._try(waiting)
            curable = [(upload, error) for upload, error in found if self._action(error) is Action.NEW_URL]
            failed += [(upload, error) for upload, error in found if self._action(error) is Action.JUDGE]
            waiting = [*untried, *(upload for upload, _ in curable)]
            if not waiting:
                break
            if attempt == ADDRESSES - 1:
                self._let_rest(untried)
            else:
                clock.wait(self._clients.stop, self._pause * 2**attempt)
        self._judge([*failed, *curable, *self._unanswered])
        self._unanswered = []

    def _try(self, uploads: Sequence[Upload]) -> tuple[list[tuple[Upload, KiliError]], list[Upload]]:
        """Upload each with a URL of its own; what failed and why, and who had no turn since nothing is taken."""
        failed: list[tuple[Upload, KiliError]] = []
        addressed = self._addressed(uploads)
        for place, (upload, url) in enumerate(addressed):
            if self._bucket.closed_for:
                self.uploaded.later.append((upload.item, self._rest()))
                continue
            if len(self._in_a_row) >= CROWD and self._taken is None:
                return failed, [one for one, _ in addressed[place:]]
            error = self._put(upload, url)
            if error is not None:
                self._bucket.failed(upload.item.asset_id)
                failed.append((upload, error))
        return failed, []

    def _let_rest(self, untried: Sequence[Upload]) -> None:
        if untried:
            self._bucket.close(self._in_a_row[-1])
            self.uploaded.later += [(upload.item, self._rest()) for upload in untried]

    def _rest(self) -> PutOff:
        return PutOff(max(FIRST_DELAY, self._bucket.closed_for))

    def _addressed(self, uploads: Sequence[Upload]) -> list[tuple[Upload, str]]:
        """Each upload with its URL; those for which Kili refuses one are dead, those without an answer failed."""
        if not uploads or self._bucket.closed_for:
            self.uploaded.later += [(upload.item, self._rest()) for upload in uploads]
            return []
        urls: dict[str, str] = {}

        def request(part: Sequence[Upload], kili: KiliClient) -> None:
            ids = [upload.item.asset_id for upload in part]
            urls.update(zip(ids, kili.signed_upload_urls(self._project, ids, part[0].file), strict=True))

        sent = send_each(uploads, request, self._clients, sift=self._sift)
        sent.check()
        for upload, problem in sent.refused:
            if isinstance(problem, UnknownOutcome):
                self._bucket.failed(upload.item.asset_id)
                self._unanswered.append((upload, problem))
            else:
                self.uploaded.refused.append((upload.item, _no_url(problem)))
        return [(upload, urls[upload.item.asset_id]) for upload in sent.accepted]

    def _sift(self, _: Sequence[Upload], error: KiliError) -> None:
        """A refusal may mean the project: then this call says so."""
        if isinstance(error, RefusedItems) and error.access:
            self._clients.first.project_interface(self._project)

    def _put(self, upload: Upload, url: str) -> KiliError | None:
        if self._clients.stop.is_set():
            raise NotSent("the worker stops")
        client = self._clients.single_attempt if self._in_a_row else self._clients.first
        try:
            data = upload.data()
            client.upload(url, data, upload.kind)
        except OSError as error:
            if self._clients.failures.decide(Failure(Stage.FILE, error)).action is Action.END_WAVE:
                raise
            self.uploaded.refused.append((upload.item, unreadable_file(error)))
        except KiliError as error:
            if self._action(error) is Action.END_WAVE:
                raise
            self._note_failure(error)
            return error
        else:
            self._in_a_row = []
            if self._taken is None or len(data) < self._taken[0]:
                self._taken = len(data), upload, url
            self._bucket.took(upload.item.asset_id)
            self.uploaded.addresses[upload.item.asset_id] = url
        return None

    def _note_failure(self, error: KiliError) -> None:
        if self._clients.failures.is_certain(error):
            return
        self._in_a_row.append(error)
        may_pass = itertools.takewhile(lambda one: self._action(one) is Action.JUDGE, reversed(self._in_a_row))
        failure = Failure(Stage.BUCKET, Trouble.UPLOADS_FAIL, attempts=len(list(may_pass)))
        if self._clients.failures.decide(failure).action is Action.PAUSE_UPLOADS:
            self._bucket.close(error)

    def _action(self, error: KiliError) -> Action:
        return self._clients.failures.decide(Failure(Stage.ADDRESS, error)).action

    def _judge(self, failed: Sequence[tuple[Upload, KiliError]]) -> None:
        if self._clients.stop.is_set():
            raise NotSent("the worker stops")
        if failed:
            self._try_witness()
        rows = [Failed(one.item.asset_id, error, _tried_for(one)) for one, error in failed]
        for (upload, _), verdict in zip(failed, self._bucket.verdicts(rows), strict=True):
            if isinstance(verdict, Cause):
                self.uploaded.refused.append((upload.item, verdict))
            else:
                self.uploaded.later.append((upload.item, verdict))

    def _try_witness(self) -> None:
        """Upload the smallest that was taken once more: does the bucket still take anything?"""
        if self._taken is None:
            return
        _, upload, url = self._taken
        try:
            self._clients.single_attempt.upload(url, upload.data(), upload.kind)
        except (OSError, KiliError):
            return
        self._bucket.took(upload.item.asset_id)


def _tried_for(upload: Upload) -> float:
    return upload.item.entry.tried_for_ms(UPLOAD_UNAVAILABLE) / 1000


def unreadable_file(error: OSError) -> Cause:
    """Why a file's prediction dies."""
    problem = f"cannot be read: {error.strerror or error}"
    return Cause("asset_unreadable", "asset", "asset.path", problem, "make it readable and replay")


def _no_url(problem: Exception) -> Cause:
    server_message = getattr(problem, "server_message", "")
    fix = "check that the key may upload local data to Kili, or send a url, and replay"
    return Cause("upload_refused", "refused", "asset", str(problem), fix, server_message)


@dataclass(slots=True)
class _Failing:
    """An upload that fails: since when and last (monotonic), in how many waves, and in how many of others' turns."""

    since: float
    last: float
    tries: int = 0
    accusations: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed upload; ``tried_for`` is how long it has been tried in vain, in seconds."""

    asset_id: str
    error: KiliError
    tried_for: float


@dataclass(frozen=True, slots=True)
class PutOff:
    """To be tried again after so many seconds; ``cause`` is empty when the upload itself is not in the way."""

    seconds: float
    cause: str = ""


class Bucket:
    """What one process knows of Kili's bucket; threads share it.

    Args:
        failures: decides what becomes of an upload that failed.
        clock: monotonic seconds.
    """

    def __init__(self, failures: FailurePolicy, *, clock: Callable[[], float] = clock.monotonic) -> None:
        self._failures = failures
        self._clock = clock
        self._failing: OrderedDict[str, _Failing] = OrderedDict()
        self._taken_at = float("-inf")
        self._closed_until = float("-inf")
        self._closed_for = 0.0
        self._guard = threading.Lock()

    @property
    def closed_for(self) -> float:
        """Seconds for which nothing is to be tried; 0 when the bucket may be asked."""
        return max(0.0, self._closed_until - self._clock())

    def tries_of(self, asset_id: str) -> int:
        """In how many waves an upload has failed."""
        known = self._failing.get(asset_id)
        return known.tries if known else 0

    def took(self, asset_id: str) -> None:
        """It took an upload."""
        with self._guard:
            self._taken_at = self._clock()
            self._failing.pop(asset_id, None)
            if self._closed_for:
                self._closed_for = 0.0
                for one in self._failing.values():  # it was not their fault so far
                    one.last = self._taken_at
                    one.tries = one.accusations = 0
                logger.info("the bucket takes uploads again", extra={"action": "bucket_resumed"})

    def failed(self, asset_id: str) -> None:
        """An upload failed; ``verdicts`` are asked for when its batch has had its turn."""
        with self._guard:
            now = self._clock()
            self._failing.setdefault(asset_id, _Failing(now, now))
            while len(self._failing) > REMEMBERED:
                self._failing.popitem(last=False)

    def close(self, error: KiliError) -> None:
        """It takes nobody: ask again after a while, and after longer each time."""
        with self._guard:
            if self._closed_until > self._clock():
                return
            if not self._closed_for:
                server_message = "the bucket takes no uploads, they are put off: %s"
                logger.warning(server_message, str(error)[:300], extra={"action": "bucket_closed"})
            self._closed_for = min(LAST_DELAY, max(FIRST_DELAY, 2 * self._closed_for))
            self._closed_until = self._clock() + self._closed_for

    def verdicts(self, failed: Sequence[Failed]) -> list[Cause | PutOff]:
        """What becomes of each failed upload of a batch."""
        with self._guard:
            is_down = self._is_down()
            return [self._verdict(one, is_down=is_down) for one in failed]

    def _verdict(self, failed: Failed, *, is_down: bool) -> Cause | PutOff:
        now, error = self._clock(), failed.error
        known = self._failing.setdefault(failed.asset_id, _Failing(now, now))
        known.tries += 1
        known.accusations += self._taken_at > known.last
        known.last = now
        failure = Failure(
            Stage.UPLOAD,
            error,
            attempts=known.tries,
            accused=known.accusations,
            tried_for=failed.tried_for,
            others=self._others(known),
            is_down=is_down,
        )
        decision = self._failures.decide(failure)
        if decision.action is Action.RETRY:
            return PutOff(decision.delay, decision.cause)
        del self._failing[failed.asset_id]
        return _unavailable(error, failed.tried_for) if decision.is_over else _refused(error)

    def _others(self, known: _Failing) -> Others:
        if self._taken_at > known.since:
            return Others.TAKEN
        return Others.TAKEN_BEFORE if known.since - self._taken_at < WITNESS_SECONDS else Others.UNKNOWN

    def _is_down(self) -> bool:
        return sum(one.since > self._taken_at for one in self._failing.values()) >= CROWD


def _refused(error: KiliError) -> Cause:
    fix = "send content that the bucket takes, or mend what it names, and replay"
    return Cause("upload_refused", "refused", "asset", str(error), fix, error.server_message)


def _unavailable(error: KiliError, seconds: float) -> Cause:
    problem = f"cannot be uploaded for {seconds:.0f} s now: {error}"
    return Cause(
        UPLOAD_UNAVAILABLE, "refused", "asset", problem, "replay it when the bucket takes it", error.server_message
    )
