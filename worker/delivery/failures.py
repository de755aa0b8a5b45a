"""The words for a failure: where it was met, what it was, what is known around it, whose fault it is, what happens.

:mod:`worker.delivery.failure_policy` says which goes with which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum

FAULT = "fault"
RESULT_UNAVAILABLE = "result_unavailable"
ASSET_MISSING = "asset_missing"
ASSET_NOT_SHOWN = "asset_not_shown"
UPLOAD_UNAVAILABLE = "upload_unavailable"
NOT_IMPORTED = "not_imported"
"""Names under which the spool counts how long an item has been tried in vain."""


class Stage(Enum):
    """Where a failure was met, and which function asks what becomes of it."""

    PREPARE = "a message is made ready", "`prepare.py: prepare`"
    RESULT = "a result that lies elsewhere is read", "`prepare.py: AwaitedResults.complete`"
    FILE = "a local file is read", "`content.py: ContentSource`, `uploads.py: Uploader`"
    ASSET = "an asset is looked up", "`assets.py: AssetKeeper.locate`"
    ADDRESS = "one attempt to upload", "`uploads.py: Uploader`"
    BUCKET = "uploads of a batch fail in a row", "`uploads.py: Uploader`"
    UPLOAD = "an upload failed with every URL of its batch", "`uploads.py: Bucket.verdicts`"
    IMPORT = "an import in the background", "`content.py: Imports.look`"
    DOCUMENT = "the steps of a batch in one document", "`steps.py: Steps.deliver`"
    REQUEST = "a request with items, after its attempts", "`bisect.py: send_each`"
    BATCH = "a batch ends with an error", "`wave.py: Wave`"
    OPEN = "items that a failed wave leaves open", "`wave.py: Wave`"
    WAVE = "a wave ended with an error", "`circuit_breaker.py: CircuitBreaker.failed`"

    def __init__(self, text: str, asked_by: str) -> None:
        self.text = text
        self.asked_by = asked_by


class Trouble(StrEnum):
    """A failure that is no exception."""

    PLACE_FAILS = "the place of the results fails"
    MISSING = "no content, and no such asset in Kili"
    NOT_SHOWN = "Kili says that the asset exists, and does not show it"
    AMBIGUOUS = "several assets have the external id"
    UPLOADS_FAIL = "uploads fail that may pass"
    UNCONFIRMED = "the import was sent, its notification is not known"
    IMPORTING = "Kili has not finished"
    IMPORTED = "Kili has finished, the asset is not shown"
    IMPORT_FAILED = "Kili says that it failed"
    NOT_SUSPECTED = "in no call that an item may have made fail"


class Fault(StrEnum):
    """Whose fault a failure is."""

    NOBODY = "nobody's"
    NO_ITEM = "no item's"
    SENDER = "the sender's"
    ITEM = "the item's"
    UNCLEAR = "an item's or the server's"
    PLACE = "the place's"
    BUCKET = "the bucket's"
    KILI = "Kili's, for this project or for all"
    PROJECT = "the project's"
    ENDPOINT = "the endpoint's"
    WORKER = "this worker's or its machine's"


class Action(StrEnum):
    """What happens."""

    GO_ON = "go on"
    RETRY = "the item is put off and tried again"
    RESEND = "send it again"
    NEW_URL = "try a new URL"
    JUDGE = "wait for the end of the batch"
    READ_INTERFACE = "read the interface again"
    TRY_OTHERS = "send a few other items alone"
    AFTER_OTHERS = "send it again after the others"
    APART = "send the steps one by one"
    SPLIT = "send smaller parts"
    DEAD_LETTER = "dead letter"
    SUSPECT = "end the wave; every item of the batch is suspected"
    END_WAVE = "end the wave"
    GIVE_BACK = "the item waits again"
    PAUSE_UPLOADS = "pause uploads for 1 s to 30 s"
    PAUSE_PROJECT = "pause the project"
    PAUSE_ENDPOINT = "pause the endpoint"
    PAUSE_WORKER = "pause this worker"


class Others(Enum):
    """What became of other items meanwhile, as far as is known."""

    UNKNOWN = "unknown"
    TAKEN_BEFORE = "taken shortly before the first failure"
    TAKEN = "taken"
    SOME_TAKEN = "some taken, some not"
    REFUSED = "not taken either"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure and what is known around it; times in seconds.

    ``items`` went in the request that failed. ``attempts`` failed so far, this one included; of these ``accused``
    failed while others were taken. ``tried_for`` is the time since the first attempt failed, as far as attempts were
    made in it (``Leased.tried_for_ms``); ``since_step`` the time since the latest step of an import. ``is_down``
    tells that the other side takes nobody at the moment, ``projects`` how many fail together.
    """

    stage: Stage
    what: BaseException | Trouble
    items: int = 1
    attempts: int = 1
    accused: int = 0
    tried_for: float = 0.0
    since_step: float = 0.0
    others: Others = Others.UNKNOWN
    is_down: bool = False
    projects: int = 1


@dataclass(frozen=True, slots=True)
class Graces:
    """What the settings say of limits, in seconds.

    ``read_lag`` is the time by which Kili's reads may lag behind its writes.
    """

    result: float = 3600.0
    missing_asset: float = 10.0
    fault: float = 86_400.0
    upload: float = 900.0
    imports: float = 3600.0
    read_lag: float = 3.0


Test = Callable[[Graces, Failure], bool]
Number = Callable[[Graces, Failure], float]
Kind = type[BaseException] | Trouble


@dataclass(frozen=True, slots=True)
class Until:
    """When a rule's action ends, and what then follows; ``is_over`` where the time is up and nobody is convicted."""

    text: str
    reached: Test
    then: Action = Action.DEAD_LETTER
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: the ``action`` for these failures at a stage, until the first of the ``limits`` is reached.

    ``cause`` names the time that counts towards a limit per item. ``when`` narrows a row to failures that
    ``when_text`` describes.
    """

    stage: Stage
    failures: tuple[Kind, ...]
    fault: Fault
    action: Action
    limits: tuple[Until, ...] = ()
    cause: str = ""
    delay: Number = lambda p, f: 0.0
    longest: Number = lambda p, f: 1.0
    when: Test = lambda p, f: True
    when_text: str = ""


@dataclass(frozen=True, slots=True)
class FailureDecision:
    """What to do; ``delay`` in seconds. ``longest`` is how much longer than usual the longest pause may be."""

    action: Action
    fault: Fault
    delay: float = 0.0
    cause: str = ""
    longest: float = 1.0
    is_over: bool = False

    @property
    def delay_ms(self) -> int:
        """The delay in milliseconds, at least one where there is any."""
        return max(1, int(self.delay * 1000)) if self.delay else 0
