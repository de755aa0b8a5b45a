"""Uploads: whose fault a refusal is, how long it is tried again, and that neighbours go on in any case."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from delivery_doubles import INTERFACE, PROJECT, BucketKili, clients, leased
from msgspec.structs import replace

from worker.delivery.failure_policy import (
    ADDRESSES,
    ALONE_TRIES,
    CROWD,
    UPLOAD_FAILURES,
    FailurePolicy,
)
from worker.delivery.failures import UPLOAD_UNAVAILABLE, Graces
from worker.delivery.item import Item
from worker.delivery.prepare import prepare
from worker.delivery.uploads import Bucket, Failed, PutOff, Upload, Uploaded, Uploader
from worker.kili import (
    AddressRefused,
    ConnectFailed,
    KiliError,
    LocalFault,
    RateLimited,
    RefusedItems,
    RefusedProject,
    TooLarge,
    Unavailable,
    UnknownOutcome,
    derived_asset_id,
)
from worker.ontology import Interface
from worker.spool.dead_letters import Cause
from worker.spool.entries import tried_again

CONTENT = RefusedItems("upload: HTTP 415", server_message="Unsupported Media Type")
ADDRESS = AddressRefused("upload: HTTP 403", server_message="SignatureDoesNotMatch")
PASSING = UnknownOutcome("upload: HTTP 503", server_message="SlowDown")


class Clock:
    """Seconds that pass when told to, and a little with every look."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def uploads(*names: str, tried_for: float = 0.0) -> list[Upload]:
    """Uploads that have been tried in vain for so many seconds."""
    tries = tried_again(b"", UPLOAD_UNAVAILABLE, 0, int(tried_for * 1000)) if tried_for else b""
    items: list[Item] = prepare(PROJECT, [leased(name) for name in names], Interface.parse(INTERFACE, "IMAGE")).items
    for item in items:
        item.entry = replace(item.entry, tries=tries, leased_ms=int(tried_for * 1000))
    return [Upload(item, item.external_id.encode(), "text/plain") for item in items]


def refusing(error: KiliError, *names: str) -> Callable[[str, bytes], KiliError | None]:
    return lambda url, content: error if content.decode() in names else None


def causes(uploaded: Uploaded) -> dict[str, str]:
    return {item.external_id: cause.slug for item, cause in uploaded.refused}


def waiting(uploaded: Uploaded) -> list[str]:
    return sorted(item.external_id for item, _ in uploaded.later)


def uploader(kili: BucketKili, clock: Clock, *, patience: float = 900.0, single_attempt: Any = None) -> Uploader:
    return Uploader(
        clients(kili, single_attempt=single_attempt),
        Bucket(FailurePolicy(Graces(upload=patience)), clock=clock),
        pause=0.0,
    )


@pytest.mark.parametrize("error", [CONTENT, ADDRESS])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_one_that_is_refused_with_every_url_dies_and_its_neighbours_go_on(
    clock: Clock, error: KiliError, place: int
) -> None:
    names = ["a", "b", "c", "d"]
    names.insert(place, "bad")
    kili = BucketKili(answers=refusing(error, "bad"))
    found = uploader(kili, clock).upload(PROJECT, uploads(*names))
    assert causes(found) == {"bad": "upload_refused"}
    assert found.refused[0][1].server_message == error.server_message
    assert len(found.addresses) == 4
    tried = {url for url in kili.uploads if derived_asset_id(PROJECT, "bad") in url}
    assert len(tried) == ADDRESSES


def test_what_our_machine_lacks_is_held_against_nobody(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LocalFault):
        uploader(BucketKili(answers=refusing(LocalFault("PoolTimeout"), "a")), clock).upload(PROJECT, uploads("a"))

    def no_descriptor(upload: Upload) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Upload, "data", no_descriptor)
    with pytest.raises(OSError, match="Too many"):
        uploader(BucketKili(), clock).upload(PROJECT, uploads("a"))


def test_a_url_that_has_expired_is_replaced(clock: Clock) -> None:
    expired = iter([ADDRESS, ADDRESS])
    kili = BucketKili(answers=lambda url, content: next(expired, None))
    found = uploader(kili, clock).upload(PROJECT, uploads("a"))
    assert list(found.addresses.values()) == [kili.uploads[-1]]
    assert len(set(kili.uploads)) == 3


def test_what_is_too_large_is_not_tried_again(clock: Clock) -> None:
    kili = BucketKili(answers=refusing(TooLarge("upload: HTTP 413"), "a"))
    assert causes(uploader(kili, clock).upload(PROJECT, uploads("a"))) == {"a": "upload_refused"}
    assert len(kili.uploads) == 1


@pytest.mark.parametrize("error", [PASSING, ConnectFailed("no route"), RateLimited("429"), Unavailable("408")])
def test_what_passes_is_put_off_a_little_longer_each_time_and_its_neighbours_go_on(
    clock: Clock, error: KiliError
) -> None:
    kili = BucketKili(answers=refusing(error, "bad"))
    tool = uploader(kili, clock)
    delays = []
    for name in ("a", "b", "c"):
        found = tool.upload(PROJECT, uploads(name, "bad"))
        assert waiting(found) == ["bad"]
        delays.append(found.later[0][1].seconds)
    assert delays == [1.0, 2.0, 4.0]


def test_what_fails_again_and_again_while_others_are_taken_dies(clock: Clock) -> None:
    kili = BucketKili(answers=refusing(PASSING, "bad"))
    tool = uploader(kili, clock)
    found = [tool.upload(PROJECT, uploads(f"n{wave}", "bad")) for wave in range(UPLOAD_FAILURES + 1)]
    assert [causes(one) for one in found[:-2]] == [{}] * (UPLOAD_FAILURES - 1)
    assert {"bad": "upload_refused"} in [causes(one) for one in found[-2:]]


def test_one_fault_after_a_long_outage_buries_nobody(clock: Clock) -> None:
    kili = BucketKili(answers=lambda url, content: PASSING)
    tool = uploader(kili, clock)
    names = ["a", "b", "c", "d"]
    for _ in range(20):
        found = tool.upload(PROJECT, uploads(*names))
        assert {wait.cause for _, wait in found.later} == {""}, "an outage does not use up anybody's patience"
        clock.now += 600
    kili.answers = refusing(PASSING, "a")
    found = tool.upload(PROJECT, uploads(*names))
    assert (causes(found), waiting(found), len(found.addresses)) == ({}, ["a"], 3)


def test_a_bucket_that_is_down_is_asked_by_a_few_and_then_rests(clock: Clock) -> None:
    kili = BucketKili(answers=lambda url, content: PASSING)
    tool = uploader(kili, clock)
    names = [f"n{number}" for number in range(50)]
    assert len(tool.upload(PROJECT, uploads(*names)).later) == 50
    assert len(kili.uploads) == CROWD
    asked = len(kili.calls)
    assert len(tool.upload(PROJECT, uploads(*names)).later) == 50
    assert (len(kili.uploads), len(kili.calls)) == (CROWD, asked)


@pytest.mark.parametrize("error", [CONTENT, ADDRESS])
def test_a_bucket_that_refuses_everybody_is_at_fault_for_as_long_as_the_patience_lasts(
    clock: Clock, error: KiliError
) -> None:
    kili = BucketKili(answers=lambda url, content: error)
    tool = uploader(kili, clock, patience=100.0)
    names = ["a", "b", "c"]
    for tried_for in (0.0, 50.0):
        assert waiting(tool.upload(PROJECT, uploads(*names, tried_for=tried_for))) == names
        clock.now += 60
    assert causes(tool.upload(PROJECT, uploads(*names, tried_for=100.0))) == dict.fromkeys(names, "upload_unavailable")


@pytest.mark.parametrize("error", [ADDRESS, PASSING])
def test_one_that_fails_alone_dies_when_the_patience_ends(clock: Clock, error: KiliError) -> None:
    tool = uploader(BucketKili(answers=lambda url, content: error), clock, patience=100.0)
    for _ in range(ALONE_TRIES + UPLOAD_FAILURES):
        assert waiting(tool.upload(PROJECT, uploads("a"))) == ["a"]
    found = tool.upload(PROJECT, uploads("a", tried_for=101.0))
    assert causes(found) == {"a": "upload_unavailable"}
    assert "for 101 s" in found.refused[0][1].problem


def test_after_others_were_taken_a_url_refused_alone_need_not_wait_for_the_end_of_patience(clock: Clock) -> None:
    kili = BucketKili()
    tool = uploader(kili, clock)
    tool.upload(PROJECT, uploads("a"))
    kili.answers = refusing(ADDRESS, "bad")
    found = [tool.upload(PROJECT, uploads("bad")) for _ in range(ALONE_TRIES)]
    assert [waiting(one) for one in found[:-1]] == [["bad"]] * (ALONE_TRIES - 1)
    assert causes(found[-1]) == {"bad": "upload_refused"}


def test_one_for_which_kili_gives_no_url_dies_alone(clock: Clock) -> None:
    bad = derived_asset_id(PROJECT, "bad")

    def rule(step: str, ids: Sequence[str]) -> KiliError | None:
        return RefusedItems("bad path") if step == "signed_upload_urls" and bad in ids else None

    found = uploader(BucketKili(rule=rule), clock).upload(PROJECT, uploads("a", "bad", "b"))
    assert causes(found) == {"bad": "upload_refused"}
    assert len(found.addresses) == 2


def test_one_whose_url_gets_no_usable_answer_is_put_off_and_dies_only_after_many_waves(clock: Clock) -> None:
    bad = derived_asset_id(PROJECT, "bad")

    def rule(step: str, ids: Sequence[str]) -> KiliError | None:
        return UnknownOutcome("the answer was cut") if step == "signed_upload_urls" and bad in ids else None

    tool = uploader(BucketKili(rule=rule), clock)
    found = []
    for _ in range(UPLOAD_FAILURES + 2):
        found.append(tool.upload(PROJECT, uploads("a", "bad", "b")))
        clock.now += 5.0
    assert waiting(found[0]) == ["bad"]
    assert len(found[0].addresses) == 2
    dead = [number for number, one in enumerate(found) if causes(one)]
    assert dead[0] >= UPLOAD_FAILURES - 1
    assert causes(found[dead[0]]) == {"bad": "upload_refused"}


def test_urls_refused_for_want_of_rights_are_the_projects_fault_only_if_it_says_so(clock: Clock) -> None:
    gone: set[str] = {"project_interface"}

    def rule(step: str, ids: Sequence[str]) -> KiliError | None:
        if step == "signed_upload_urls":
            return RefusedItems("no access", access=True)
        return RefusedProject("gone") if step in gone else None

    with pytest.raises(RefusedProject):
        uploader(BucketKili(rule=rule), clock).upload(PROJECT, uploads("a"))
    gone.clear()
    assert causes(uploader(BucketKili(rule=rule), clock).upload(PROJECT, uploads("a"))) == {"a": "upload_refused"}


def test_kili_that_gives_nobody_a_url_fails_as_a_whole(clock: Clock) -> None:
    kili = BucketKili(rule=lambda step, ids: UnknownOutcome("503"))
    with pytest.raises(UnknownOutcome):
        uploader(kili, clock).upload(PROJECT, uploads("a", "b"))


def test_a_verdict_is_a_cause_or_a_wait(clock: Clock) -> None:
    bucket = Bucket(FailurePolicy(Graces(upload=10.0)), clock=clock)
    [wait, cause] = bucket.verdicts([Failed("x", PASSING, 0.0), Failed("y", TooLarge("413"), 0.0)])
    assert wait == PutOff(1.0, "upload_unavailable")
    assert isinstance(cause, Cause)


@pytest.mark.parametrize("error", [CONTENT, ADDRESS, PASSING])
def test_some_that_fail_in_a_row_do_not_keep_those_behind_them(clock: Clock, error: KiliError) -> None:
    bad, good = [f"bad{number}" for number in range(CROWD)], [f"good{number}" for number in range(20)]
    tool = uploader(BucketKili(answers=refusing(error, *bad)), clock)
    waiting_now, taken, dead = [*bad, *good], 0, set[str]()
    for _ in range(3):
        found = tool.upload(PROJECT, uploads(*waiting_now))
        taken, dead, waiting_now = taken + len(found.addresses), dead | set(causes(found)), waiting(found)
        clock.now += 60
    assert taken == len(good)
    assert dead <= set(bad)
    assert sorted({*dead, *waiting_now}) == bad


def test_a_bucket_that_refuses_every_url_is_asked_by_a_few_and_then_rests(clock: Clock) -> None:
    kili = BucketKili(answers=lambda url, content: ADDRESS)
    tool = uploader(kili, clock)
    names = [f"n{number}" for number in range(50)]
    assert len(tool.upload(PROJECT, uploads(*names)).later) == 50
    assert len(kili.uploads) == ADDRESSES * CROWD
    assert kili.counts["signed_upload_urls"] == ADDRESSES
