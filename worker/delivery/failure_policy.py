"""What becomes of a failure: whose fault it is, what happens, and until when. The one place where this is decided.

Every part of delivery that meets a failure describes it (:class:`Failure`) and does what :meth:`FailurePolicy.decide`
says. The rules are the table :data:`RULES`. ``docs/architecture.md`` shows it, and a test compares the two.

Nobody is blamed for an outage: what may be the server's fault is an item's only while the server takes others. And
nothing waits for ever: whatever may be an item's fault has a limit per item.

How often a single call is repeated before it counts as failed is decided below this, in :mod:`worker.kili.retry`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import redis

from worker.contract import MessageError
from worker.delivery.failures import (
    ASSET_MISSING,
    ASSET_NOT_SHOWN,
    FAULT,
    NOT_IMPORTED,
    RESULT_UNAVAILABLE,
    UPLOAD_UNAVAILABLE,
    Action,
    Failure,
    FailureDecision,
    Fault,
    Graces,
    Others,
    Rule,
    Stage,
    Trouble,
    Until,
)
from worker.formats import OutputError
from worker.kili import (
    AddressRefused,
    ConnectFailed,
    KiliError,
    LocalFault,
    NotSent,
    RateLimited,
    RefusedItems,
    RefusedKey,
    RefusedProject,
    ServerFault,
    TimedOut,
    TooLarge,
    TransientError,
    Unauthorized,
    Unavailable,
    UnknownOperation,
    UnknownOutcome,
    WorkerFault,
)
from worker.kili.errors import CompressionRefused
from worker.ontology import OntologyError
from worker.projects.results import ResultUnavailable, is_machine_error
from worker.spool import LeaseLost

PROBE_SECONDS = 60.0
"""So far apart a project that fails is probed at the latest."""

ENDPOINT_FROM_PROJECTS = 3
LONGER = 12
REFUSED_LONGER = 60
"""By so much the longest pause is longer for a project that fails while others succeed, and for one that is refused."""

INTERFACE_DOUBT_SECONDS = 15.0
"""Before an item becomes a dead letter for not fitting the interface, that is read again unless it is this young.

For one that was replayed it is read again in any case: it comes back because the interface was mended.
"""

LOOK_AGAIN_SECONDS = 2.0
LAST_DELAY = 60.0
PLACE_FAILURES = 3
NOT_SHOWN_SECONDS = 60.0
DOUBT_SECONDS = 30.0
SHOWN_SECONDS = 60.0
"""So long Kili may say of an asset that it exists, or that it was imported, without showing it; and an import may be
on its way without a notification."""

SERIES = 3
MOST_SERIES = 8
"""Of an item alone whose calls get no clear answer: rounds of attempts with others taken until it is at fault, and
rounds in all until nobody is. A server that fails every second call fails four in a row of one item in sixteen."""

ADDRESSES = 3
UPLOAD_FAILURES = 6
CROWD = 3
ALONE_TRIES = 4
WITNESS_SECONDS = 60.0
"""Of uploads: signed URLs in one batch; failures that pass, in as many waves, while the bucket takes others; failures
with none taken that are the bucket's; failures alone, of a bucket that took others so long before.
"""


def _doubling(_: Graces, failure: Failure) -> float:
    return float(min(LAST_DELAY, 2 ** min(failure.attempts - 1, 20)))


def _as_long_again(_: Graces, failure: Failure) -> float:
    return min(LAST_DELAY, max(1.0, failure.tried_for))


def _quarter(_: Graces, failure: Failure) -> float:
    return min(30.0, max(1.0, failure.since_step / 4))


def _look_again(_: Graces, __: Failure) -> float:
    return LOOK_AGAIN_SECONDS


def _machine(_: Graces, failure: Failure) -> bool:
    return isinstance(failure.what, OSError) and is_machine_error(failure.what)


def _general(_: Graces, failure: Failure) -> bool:
    return getattr(failure.what, "may_be_items", False)


def _uploading(_: Graces, failure: Failure) -> bool:
    return getattr(failure.what, "operation", None) == "upload"


RESULT_GRACE = Until("`WORKER_INTAKE__RESULT_GRACE_SECONDS` of attempts", lambda g, f: f.tried_for >= g.result)
ASSET_GRACE = Until(
    "`WORKER_DELIVERY__MISSING_ASSET_GRACE_SECONDS` of looks", lambda g, f: f.tried_for >= g.missing_asset
)
SHOW_GRACE = Until(
    f"the same, at least {NOT_SHOWN_SECONDS:g} s", lambda g, f: f.tried_for >= max(NOT_SHOWN_SECONDS, g.missing_asset)
)
FAULT_GRACE = Until("`WORKER_DELIVERY__FAULT_GRACE_SECONDS` of waves", lambda g, f: f.tried_for >= g.fault)
DOUBT = Until(f"{DOUBT_SECONDS:g} s since it was last sent", lambda g, f: f.since_step >= DOUBT_SECONDS, Action.RESEND)
IMPORT_LIMIT = Until("`WORKER_DELIVERY__IMPORT_SECONDS` of looks", lambda g, f: f.tried_for >= g.imports)
UPLOAD_GRACE = Until(
    "`WORKER_DELIVERY__UPLOAD_GRACE_SECONDS` of attempts", lambda g, f: f.tried_for >= g.upload, is_over=True
)
ACCUSED = Until(f"{UPLOAD_FAILURES} failures while others are taken", lambda g, f: f.accused >= UPLOAD_FAILURES)
OTHERS_TAKEN = Until("others are taken after its first failure", lambda g, f: f.others is Others.TAKEN)
FAILED_ALONE = Until("the same, if it was sent alone", lambda g, f: f.since_step >= 2 * g.read_lag)
FAILED_TOGETHER = Until(
    "twice `WORKER_KILI__READ_LAG_SECONDS`, if it was sent with others",
    lambda g, f: f.since_step >= 2 * g.read_lag and f.items > 1,
    Action.SPLIT,
)
NONE_TAKEN = Until("none of them is taken", lambda g, f: f.others is Others.REFUSED, Action.END_WAVE)
ONE_ITEM = Until("one item is left", lambda g, f: f.items == 1)
GUILTY = Until(
    f"one item is left, and {SERIES} rounds of its attempts failed while all others that were asked were taken",
    lambda g, f: f.items == 1 and f.others is Others.TAKEN and f.accused >= SERIES,
)
UNDECIDED = Until(
    f"one item is left, and {MOST_SERIES} rounds of its attempts failed",
    lambda g, f: f.items == 1 and f.others is not Others.UNKNOWN and f.attempts >= MOST_SERIES,
    Action.END_WAVE,
)
ONE_LEFT = Until(
    "one item is left, and any other is taken",
    lambda g, f: f.items == 1 and f.others in (Others.TAKEN, Others.SOME_TAKEN),
    Action.AFTER_OTHERS,
)
SOME_TAKEN = Until("any other is taken", lambda g, f: f.others in (Others.TAKEN, Others.SOME_TAKEN), Action.SPLIT)
BY_OTHERS = (NONE_TAKEN, GUILTY, UNDECIDED, ONE_LEFT, SOME_TAKEN)

FOR_ALL = (ConnectFailed, RateLimited, Unauthorized, RefusedKey)
OF_KILI = (KiliError, TransientError, Unavailable, CompressionRefused)
NOT_TOGETHER = (*FOR_ALL, *OF_KILI, LocalFault, NotSent, RefusedProject, AddressRefused, ServerFault)
ELSEWHERE = (*FOR_ALL, *OF_KILI, LocalFault, NotSent, RefusedProject, UnknownOperation)
UNCLEAR = (UnknownOutcome, TimedOut, WorkerFault)
MAY_PASS = (*ELSEWHERE, *UNCLEAR, ServerFault)

RULES: tuple[Rule, ...] = (
    Rule(Stage.PREPARE, (MessageError, OutputError), Fault.SENDER, Action.DEAD_LETTER),
    Rule(
        Stage.PREPARE,
        (OntologyError,),
        Fault.SENDER,
        Action.READ_INTERFACE,
        (Until(f"it was read again, or within {INTERFACE_DOUBT_SECONDS:g} s before", lambda g, f: f.attempts > 1),),
    ),
    Rule(Stage.PREPARE, (Exception,), Fault.WORKER, Action.DEAD_LETTER),
    Rule(
        Stage.RESULT,
        (ResultUnavailable,),
        Fault.PLACE,
        Action.RETRY,
        (RESULT_GRACE,),
        RESULT_UNAVAILABLE,
        _as_long_again,
    ),
    Rule(
        Stage.RESULT,
        (Trouble.PLACE_FAILS,),
        Fault.PLACE,
        Action.GO_ON,
        (Until(f"{PLACE_FAILURES} in a row in a wave", lambda g, f: f.attempts >= PLACE_FAILURES, Action.RETRY),),
        delay=lambda g, f: 5.0,
    ),
    Rule(
        Stage.FILE,
        (OSError,),
        Fault.WORKER,
        Action.END_WAVE,
        when=_machine,
        when_text="for want of descriptors, memory or the file server",
    ),
    Rule(Stage.FILE, (OSError,), Fault.SENDER, Action.DEAD_LETTER),
    Rule(Stage.ASSET, (Trouble.MISSING,), Fault.SENDER, Action.RETRY, (ASSET_GRACE,), ASSET_MISSING, _look_again),
    Rule(Stage.ASSET, (Trouble.NOT_SHOWN,), Fault.KILI, Action.RETRY, (SHOW_GRACE,), ASSET_NOT_SHOWN, _look_again),
    Rule(Stage.ASSET, (Trouble.AMBIGUOUS,), Fault.PROJECT, Action.DEAD_LETTER),
    Rule(
        Stage.ADDRESS,
        (RefusedItems, AddressRefused),
        Fault.UNCLEAR,
        Action.NEW_URL,
        (Until(f"{ADDRESSES} URLs", lambda g, f: f.attempts >= ADDRESSES, Action.JUDGE),),
    ),
    Rule(Stage.ADDRESS, (LocalFault,), Fault.WORKER, Action.END_WAVE),
    Rule(
        Stage.ADDRESS,
        (TooLarge, *FOR_ALL, *OF_KILI, NotSent, RefusedProject, UnknownOperation, *UNCLEAR, ServerFault),
        Fault.UNCLEAR,
        Action.JUDGE,
    ),
    Rule(
        Stage.BUCKET,
        (Trouble.UPLOADS_FAIL,),
        Fault.BUCKET,
        Action.GO_ON,
        (Until(f"{CROWD} in a row", lambda g, f: f.attempts >= CROWD, Action.PAUSE_UPLOADS),),
    ),
    Rule(Stage.UPLOAD, (TooLarge,), Fault.ITEM, Action.DEAD_LETTER),
    Rule(
        Stage.UPLOAD,
        (RefusedItems,),
        Fault.UNCLEAR,
        Action.RETRY,
        (
            OTHERS_TAKEN,
            Until(f"fewer than {CROWD} fail with none taken between", lambda g, f: not f.is_down),
            UPLOAD_GRACE,
        ),
        UPLOAD_UNAVAILABLE,
        _doubling,
    ),
    Rule(
        Stage.UPLOAD,
        (AddressRefused,),
        Fault.UNCLEAR,
        Action.RETRY,
        (
            OTHERS_TAKEN,
            Until(
                f"{ALONE_TRIES} failures, others were taken less than {WITNESS_SECONDS:g} s before the first",
                lambda g, f: not f.is_down and f.others is Others.TAKEN_BEFORE and f.attempts >= ALONE_TRIES,
            ),
            UPLOAD_GRACE,
        ),
        UPLOAD_UNAVAILABLE,
        _doubling,
    ),
    Rule(
        Stage.UPLOAD,
        MAY_PASS,
        Fault.BUCKET,
        Action.RETRY,
        (ACCUSED,),
        delay=_doubling,
        when=lambda g, f: f.is_down,
        when_text="while the bucket takes nobody",
    ),
    Rule(Stage.UPLOAD, MAY_PASS, Fault.UNCLEAR, Action.RETRY, (ACCUSED, UPLOAD_GRACE), UPLOAD_UNAVAILABLE, _doubling),
    Rule(
        Stage.IMPORT, (Trouble.UNCONFIRMED,), Fault.UNCLEAR, Action.RETRY, (DOUBT, IMPORT_LIMIT), NOT_IMPORTED, _quarter
    ),
    Rule(Stage.IMPORT, (Trouble.IMPORTING,), Fault.KILI, Action.RETRY, (IMPORT_LIMIT,), NOT_IMPORTED, _quarter),
    Rule(
        Stage.IMPORT,
        (Trouble.IMPORTED,),
        Fault.KILI,
        Action.RETRY,
        (Until(f"{SHOWN_SECONDS:g} s of looks", lambda g, f: f.tried_for >= SHOWN_SECONDS),),
        ASSET_NOT_SHOWN,
        lambda g, f: max(1.0, g.read_lag),
    ),
    Rule(
        Stage.IMPORT,
        (Trouble.IMPORT_FAILED,),
        Fault.UNCLEAR,
        Action.RETRY,
        (FAILED_TOGETHER, FAILED_ALONE),
        delay=lambda g, f: g.read_lag,
    ),
    Rule(Stage.DOCUMENT, (RefusedItems, TooLarge, *UNCLEAR, UnknownOperation), Fault.UNCLEAR, Action.APART),
    Rule(Stage.DOCUMENT, (ServerFault,), Fault.UNCLEAR, Action.APART, when=_general, when_text="in general words"),
    Rule(Stage.DOCUMENT, NOT_TOGETHER, Fault.NO_ITEM, Action.END_WAVE),
    Rule(Stage.REQUEST, (RefusedItems, TooLarge), Fault.ITEM, Action.SPLIT, (ONE_ITEM,)),
    Rule(Stage.REQUEST, UNCLEAR, Fault.UNCLEAR, Action.TRY_OTHERS, BY_OTHERS),
    Rule(
        Stage.REQUEST,
        (ServerFault,),
        Fault.UNCLEAR,
        Action.TRY_OTHERS,
        BY_OTHERS,
        when=_general,
        when_text="in general words",
    ),
    Rule(Stage.REQUEST, (*ELSEWHERE, AddressRefused, ServerFault), Fault.NO_ITEM, Action.END_WAVE),
    Rule(Stage.BATCH, (KiliError, LeaseLost, redis.RedisError, OSError, MemoryError), Fault.NO_ITEM, Action.END_WAVE),
    Rule(Stage.BATCH, (Exception,), Fault.UNCLEAR, Action.SUSPECT),
    Rule(Stage.OPEN, (Trouble.NOT_SUSPECTED,), Fault.NOBODY, Action.GIVE_BACK),
    Rule(Stage.OPEN, (Exception,), Fault.UNCLEAR, Action.GIVE_BACK, (FAULT_GRACE,), FAULT, lambda g, f: PROBE_SECONDS),
    Rule(Stage.WAVE, (NotSent,), Fault.NOBODY, Action.GO_ON),
    Rule(Stage.WAVE, (LocalFault, OSError, MemoryError), Fault.WORKER, Action.PAUSE_WORKER),
    Rule(
        Stage.WAVE,
        FOR_ALL,
        Fault.ENDPOINT,
        Action.PAUSE_ENDPOINT,
        when=lambda g, f: not _uploading(g, f),
        when_text="in a call to Kili",
    ),
    Rule(Stage.WAVE, (RefusedProject,), Fault.PROJECT, Action.PAUSE_PROJECT, longest=lambda g, f: REFUSED_LONGER),
    Rule(
        Stage.WAVE,
        (
            *FOR_ALL,
            *OF_KILI,
            UnknownOperation,
            AddressRefused,
            *UNCLEAR,
            ServerFault,
            RefusedItems,
            TooLarge,
            Exception,
        ),
        Fault.KILI,
        Action.PAUSE_PROJECT,
        (
            Until(
                f"{ENDPOINT_FROM_PROJECTS} projects fail and none succeeds",
                lambda g, f: f.projects >= ENDPOINT_FROM_PROJECTS,
                Action.PAUSE_ENDPOINT,
            ),
        ),
        longest=lambda g, f: LONGER if f.others is Others.TAKEN else 1.0,
    ),
)
"""Of the rules for a stage and a class of errors, or its nearest base, the first whose ``when`` holds decides."""


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """The rules with the limits of the settings."""

    graces: Graces = field(default_factory=Graces)

    def decide(self, failure: Failure) -> FailureDecision:
        """What becomes of a failure. Raises LookupError for one that no rule knows."""
        rule = self.rule_of(failure)
        end = next((one for one in rule.limits if one.reached(self.graces, failure)), None)
        return FailureDecision(
            end.then if end else rule.action,
            rule.fault,
            rule.delay(self.graces, failure),
            rule.cause,
            rule.longest(self.graces, failure),
            is_over=end is not None and end.is_over,
        )

    def may_be_items(self, error: BaseException) -> bool:
        """Whether an item of a request may be behind a fault of the server."""
        return self.decide(Failure(Stage.REQUEST, error)).action is Action.TRY_OTHERS

    def is_certain(self, error: BaseException) -> bool:
        """Whether an upload's error convicts it, whatever becomes of others."""
        return self.rule_of(Failure(Stage.UPLOAD, error)).action is Action.DEAD_LETTER

    def rule_of(self, failure: Failure) -> Rule:
        """The first rule for the failure's class, or else for its nearest base. Raises LookupError."""
        what = failure.what
        for kind in (what,) if isinstance(what, Trouble) else type(what).__mro__:
            for rule in RULES:
                if rule.stage is failure.stage and kind in rule.failures and rule.when(self.graces, failure):
                    return rule
        raise LookupError(f"no rule for {what!r} where {failure.stage.text}")


DEFAULT_POLICY = FailurePolicy()
"""For rules that no setting changes."""
