"""What becomes of every kind of failure: the policy as a table of behaviour, and its table in the documentation."""

from __future__ import annotations

import errno
import re

import pytest
import redis
from failure_table import PAGE, error_classes, page

from worker.contract import MessageError
from worker.delivery.failure_policy import RULES, FailurePolicy
from worker.delivery.failures import Action, Failure, Fault, Graces, Others, Rule, Stage, Trouble
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
    Unauthorized,
    Unavailable,
    UnknownOperation,
    UnknownOutcome,
    WorkerFault,
)
from worker.ontology import OntologyError
from worker.projects.results import ResultUnavailable
from worker.settings.tree import environment_names
from worker.spool import LeaseLost

POLICY = FailurePolicy(
    Graces(result=100.0, missing_asset=10.0, fault=1000.0, upload=200.0, imports=300.0, read_lag=3.0)
)
OF_CALLS = (Stage.ADDRESS, Stage.UPLOAD, Stage.DOCUMENT, Stage.REQUEST, Stage.WAVE)
"""Stages at which any error of a call may be met."""


def general() -> ServerFault:
    error = ServerFault("unexpected error")
    error.may_be_items = True
    return error


def uploading() -> ConnectFailed:
    return ConnectFailed("no route", operation="upload")


FEW, MANY = OSError(errno.EMFILE, "too many open files"), PermissionError("no")
MESSAGE = MessageError("absent", "output", "is absent", "send it")
ONTOLOGY = OntologyError("output", "no such class", "mend it", "unknown_class")
R, U = Stage.REQUEST, Stage.UPLOAD

BEHAVIOUR = [
    (
        Failure(Stage.PREPARE, MESSAGE),
        Action.DEAD_LETTER,
        Fault.SENDER,
    ),
    (Failure(Stage.PREPARE, OutputError("output", "is absent", "send it")), Action.DEAD_LETTER, Fault.SENDER),
    (Failure(Stage.PREPARE, ONTOLOGY), Action.READ_INTERFACE, Fault.SENDER),
    (Failure(Stage.PREPARE, ONTOLOGY, attempts=2), Action.DEAD_LETTER, Fault.SENDER),
    (Failure(Stage.PREPARE, KeyError("a bug")), Action.DEAD_LETTER, Fault.WORKER),
    (Failure(Stage.RESULT, ResultUnavailable("s3://x", "down"), tried_for=99), Action.RETRY, Fault.PLACE),
    (Failure(Stage.RESULT, ResultUnavailable("s3://x", "down"), tried_for=100), Action.DEAD_LETTER, Fault.PLACE),
    (Failure(Stage.RESULT, Trouble.PLACE_FAILS, attempts=2), Action.GO_ON, Fault.PLACE),
    (Failure(Stage.RESULT, Trouble.PLACE_FAILS, attempts=3), Action.RETRY, Fault.PLACE),
    (Failure(Stage.FILE, FEW), Action.END_WAVE, Fault.WORKER),
    (Failure(Stage.FILE, MANY), Action.DEAD_LETTER, Fault.SENDER),
    (Failure(Stage.ASSET, Trouble.MISSING, tried_for=9.9), Action.RETRY, Fault.SENDER),
    (Failure(Stage.ASSET, Trouble.MISSING, tried_for=10), Action.DEAD_LETTER, Fault.SENDER),
    (Failure(Stage.ASSET, Trouble.NOT_SHOWN, tried_for=59), Action.RETRY, Fault.KILI),
    (Failure(Stage.ASSET, Trouble.NOT_SHOWN, tried_for=60), Action.DEAD_LETTER, Fault.KILI),
    (Failure(Stage.ASSET, Trouble.AMBIGUOUS), Action.DEAD_LETTER, Fault.PROJECT),
    (Failure(Stage.ADDRESS, AddressRefused("403")), Action.NEW_URL, Fault.UNCLEAR),
    (Failure(Stage.ADDRESS, RefusedItems("415"), attempts=3), Action.JUDGE, Fault.UNCLEAR),
    (Failure(Stage.ADDRESS, TooLarge("413")), Action.JUDGE, Fault.UNCLEAR),
    (Failure(Stage.ADDRESS, UnknownOutcome("503")), Action.JUDGE, Fault.UNCLEAR),
    (Failure(Stage.ADDRESS, LocalFault("no socket")), Action.END_WAVE, Fault.WORKER),
    (Failure(Stage.BUCKET, Trouble.UPLOADS_FAIL, attempts=2), Action.GO_ON, Fault.BUCKET),
    (Failure(Stage.BUCKET, Trouble.UPLOADS_FAIL, attempts=3), Action.PAUSE_UPLOADS, Fault.BUCKET),
    (Failure(U, TooLarge("413"), is_down=True), Action.DEAD_LETTER, Fault.ITEM),
    (Failure(U, RefusedItems("415"), is_down=True), Action.RETRY, Fault.UNCLEAR),
    (Failure(U, RefusedItems("415"), is_down=True, tried_for=200), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(U, RefusedItems("415")), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(U, AddressRefused("403")), Action.RETRY, Fault.UNCLEAR),
    (Failure(U, AddressRefused("403"), others=Others.TAKEN, is_down=True), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(U, AddressRefused("403"), others=Others.TAKEN_BEFORE, attempts=3), Action.RETRY, Fault.UNCLEAR),
    (Failure(U, AddressRefused("403"), others=Others.TAKEN_BEFORE, attempts=4), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(U, Unavailable("408"), accused=5, tried_for=199), Action.RETRY, Fault.UNCLEAR),
    (Failure(U, Unavailable("408"), accused=6), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(U, Unavailable("408"), tried_for=200), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(U, Unavailable("408"), tried_for=9999, is_down=True), Action.RETRY, Fault.BUCKET),
    (Failure(Stage.IMPORT, Trouble.UNCONFIRMED, since_step=29), Action.RETRY, Fault.UNCLEAR),
    (Failure(Stage.IMPORT, Trouble.UNCONFIRMED, since_step=30), Action.RESEND, Fault.UNCLEAR),
    (Failure(Stage.IMPORT, Trouble.UNCONFIRMED, since_step=29, tried_for=300), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(Stage.IMPORT, Trouble.IMPORTING, since_step=299, tried_for=299), Action.RETRY, Fault.KILI),
    (Failure(Stage.IMPORT, Trouble.IMPORTING, since_step=300, tried_for=300), Action.DEAD_LETTER, Fault.KILI),
    (Failure(Stage.IMPORT, Trouble.IMPORTED, tried_for=59), Action.RETRY, Fault.KILI),
    (Failure(Stage.IMPORT, Trouble.IMPORTED, tried_for=60), Action.DEAD_LETTER, Fault.KILI),
    (Failure(Stage.IMPORT, Trouble.IMPORT_FAILED, since_step=5, items=2), Action.RETRY, Fault.UNCLEAR),
    (Failure(Stage.IMPORT, Trouble.IMPORT_FAILED, since_step=6, items=2), Action.SPLIT, Fault.UNCLEAR),
    (Failure(Stage.IMPORT, Trouble.IMPORT_FAILED, since_step=6), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(Stage.DOCUMENT, RefusedItems("400")), Action.APART, Fault.UNCLEAR),
    (Failure(Stage.DOCUMENT, UnknownOperation("400")), Action.APART, Fault.UNCLEAR),
    (Failure(Stage.DOCUMENT, general()), Action.APART, Fault.UNCLEAR),
    (Failure(Stage.DOCUMENT, ServerFault("database")), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(Stage.DOCUMENT, RateLimited("429")), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(R, RefusedItems("400"), items=2), Action.SPLIT, Fault.ITEM),
    (Failure(R, TooLarge("413"), items=1), Action.DEAD_LETTER, Fault.ITEM),
    *((Failure(R, error, items=2), Action.TRY_OTHERS, Fault.UNCLEAR) for error in (TimedOut(""), WorkerFault(""))),
    (Failure(R, general(), items=2), Action.TRY_OTHERS, Fault.UNCLEAR),
    (Failure(R, general(), items=2, others=Others.TAKEN), Action.SPLIT, Fault.UNCLEAR),
    (Failure(R, UnknownOutcome("500"), others=Others.TAKEN), Action.AFTER_OTHERS, Fault.UNCLEAR),
    (Failure(R, UnknownOutcome("500"), attempts=5, accused=3, others=Others.TAKEN), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(R, UnknownOutcome("500"), attempts=8, accused=2, others=Others.TAKEN), Action.END_WAVE, Fault.UNCLEAR),
    (
        Failure(R, UnknownOutcome("500"), attempts=5, accused=3, others=Others.SOME_TAKEN),
        Action.AFTER_OTHERS,
        Fault.UNCLEAR,
    ),
    (Failure(R, UnknownOutcome("500"), others=Others.REFUSED), Action.END_WAVE, Fault.UNCLEAR),
    (Failure(R, ServerFault("database")), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(R, RefusedProject("gone")), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(Stage.BATCH, LeaseLost("p")), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(Stage.BATCH, redis.ConnectionError()), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(Stage.BATCH, MemoryError()), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(Stage.BATCH, general()), Action.END_WAVE, Fault.NO_ITEM),
    (Failure(Stage.BATCH, KeyError("a bug")), Action.SUSPECT, Fault.UNCLEAR),
    (Failure(Stage.OPEN, Trouble.NOT_SUSPECTED, tried_for=9999), Action.GIVE_BACK, Fault.NOBODY),
    (Failure(Stage.OPEN, UnknownOutcome("500"), tried_for=999), Action.GIVE_BACK, Fault.UNCLEAR),
    (Failure(Stage.OPEN, UnknownOutcome("500"), tried_for=1000), Action.DEAD_LETTER, Fault.UNCLEAR),
    (Failure(Stage.WAVE, NotSent("stopping")), Action.GO_ON, Fault.NOBODY),
    *(
        (Failure(Stage.WAVE, error), Action.PAUSE_WORKER, Fault.WORKER)
        for error in (LocalFault(""), FEW, MemoryError())
    ),
    *(
        (Failure(Stage.WAVE, kind("no")), Action.PAUSE_ENDPOINT, Fault.ENDPOINT)
        for kind in (ConnectFailed, RefusedKey, Unauthorized, RateLimited)
    ),
    (Failure(Stage.WAVE, uploading()), Action.PAUSE_PROJECT, Fault.KILI),
    (Failure(Stage.WAVE, RefusedProject("gone"), projects=3), Action.PAUSE_PROJECT, Fault.PROJECT),
    (Failure(Stage.WAVE, UnknownOutcome("500"), projects=2), Action.PAUSE_PROJECT, Fault.KILI),
    (Failure(Stage.WAVE, UnknownOutcome("500"), projects=3), Action.PAUSE_ENDPOINT, Fault.KILI),
    (Failure(Stage.WAVE, RuntimeError("a bug")), Action.PAUSE_PROJECT, Fault.KILI),
]


@pytest.mark.parametrize(("failure", "action", "fault"), BEHAVIOUR, ids=str)
def test_what_becomes_of_a_failure(failure: Failure, action: Action, fault: Fault) -> None:
    decision = POLICY.decide(failure)
    assert (decision.action, decision.fault) == (action, fault)


@pytest.mark.parametrize(
    ("failure", "delay", "cause"),
    [
        (Failure(Stage.RESULT, ResultUnavailable("x", "y"), tried_for=0), 1.0, "result_unavailable"),
        (Failure(Stage.RESULT, ResultUnavailable("x", "y"), tried_for=7), 7.0, "result_unavailable"),
        (Failure(Stage.RESULT, ResultUnavailable("x", "y"), tried_for=99), 60.0, "result_unavailable"),
        (Failure(Stage.RESULT, Trouble.PLACE_FAILS, attempts=3), 5.0, ""),
        (Failure(Stage.ASSET, Trouble.MISSING), 2.0, "asset_missing"),
        (Failure(Stage.ASSET, Trouble.NOT_SHOWN), 2.0, "asset_not_shown"),
        (Failure(U, Unavailable("408"), attempts=3), 4.0, "upload_unavailable"),
        (Failure(U, Unavailable("408"), attempts=3, is_down=True), 4.0, ""),
        (Failure(U, AddressRefused("403"), attempts=50), 60.0, "upload_unavailable"),
        (Failure(Stage.IMPORT, Trouble.IMPORTING, since_step=20), 5.0, "not_imported"),
        (Failure(Stage.IMPORT, Trouble.IMPORTED), 3.0, "asset_not_shown"),
        (Failure(Stage.OPEN, UnknownOutcome("500")), 60.0, "fault"),
        (Failure(Stage.OPEN, Trouble.NOT_SUSPECTED), 0.0, ""),
    ],
    ids=str,
)
def test_how_long_it_waits_and_what_the_time_counts_for(failure: Failure, delay: float, cause: str) -> None:
    decision = POLICY.decide(failure)
    assert (decision.delay, decision.cause) == (delay, cause)


def test_a_project_that_is_refused_or_fails_while_others_succeed_is_probed_less_often() -> None:
    failed = UnknownOutcome("500")
    found = [
        POLICY.decide(failure).longest
        for failure in (
            Failure(Stage.WAVE, failed, others=Others.REFUSED),
            Failure(Stage.WAVE, failed, others=Others.TAKEN),
            Failure(Stage.WAVE, RefusedProject("gone")),
        )
    ]
    assert found == [1.0, 12.0, 60.0]


@pytest.mark.parametrize("kind", list(error_classes()))
@pytest.mark.parametrize("stage", OF_CALLS)
def test_every_class_of_errors_is_named_wherever_a_call_may_fail(stage: Stage, kind: type[KiliError]) -> None:
    """A new class is in no row: decide there what becomes of it, whatever its base class is."""
    assert [rule for rule in RULES if rule.stage is stage and kind in rule.failures]
    POLICY.decide(Failure(stage, kind("")))


@pytest.mark.parametrize("trouble", Trouble)
def test_every_other_failure_has_one_row(trouble: Trouble) -> None:
    assert len([rule for rule in RULES if trouble in rule.failures]) == 1


@pytest.mark.parametrize("stage", Stage)
def test_the_behaviour_of_every_row_is_told_above(stage: Stage) -> None:
    told = [POLICY.rule_of(failure) for failure, _, _ in BEHAVIOUR if failure.stage is stage]
    assert [rule for rule in RULES if rule.stage is stage and rule not in told] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.stage.name} {rule.fault.name}")
def test_nothing_that_may_be_an_items_fault_is_tried_again_for_ever(rule: Rule) -> None:
    waits = (Action.RETRY, Action.GIVE_BACK)
    if rule.action in waits and rule.fault in (Fault.ITEM, Fault.UNCLEAR, Fault.SENDER, Fault.KILI):
        assert Action.DEAD_LETTER in [end.then for end in rule.limits]


def test_the_documentation_shows_the_rules() -> None:
    assert PAGE.read_text() == page(), "run tests/unit/delivery/failure_table.py"


def test_the_settings_that_the_rules_name_exist() -> None:
    named = {name for rule in RULES for end in rule.limits for name in re.findall(r"`(WORKER_\w+)`", end.text)}
    assert named
    assert named <= environment_names()
