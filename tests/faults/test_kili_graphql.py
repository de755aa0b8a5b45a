"""Kili answers in GraphQL, and the answer is an error: about the server, about items, or about nobody in particular."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from tests.faults.house import House, predictions

OPERATIONS = ["filterExistingAssets", "appendManyAssets", "appendManyLabels", "updatePropertiesInAssets"]
WRITES = OPERATIONS[1:]
CULPRITS = ["a/0.jpg", "a/35.jpg"]


def errors(message: str | None = None, **options: Any) -> dict[str, Any]:
    return {"kind": "errors", **({"message": message} if message else {}), **options}


FAULTS = {
    "200 with an unexpected error": (errors(), "ServerFault"),
    "200 with an unexpected error after the write": (errors(after=True), "ServerFault"),
    "500 with an internal error": (
        errors("Internal server error", status=500, code="INTERNAL_SERVER_ERROR"),
        "ServerFault",
    ),
    "500 with a database away": (errors("Can't reach database server at db:5432", status=500), "ServerFault"),
    "data beside an error": ({"kind": "partial"}, "ServerFault"),
    "an operation unknown during a deployment": (
        errors('Cannot query field "x" on type "Query".', status=400, code="GRAPHQL_VALIDATION_FAILED"),
        "UnknownOperation",
    ),
    "200 that says unauthorized": (errors("Unauthorized", code="UNAUTHENTICATED"), "Unauthorized"),
    "200 that says too many requests": (errors("Too many requests"), "RateLimited"),
}


@pytest.mark.guarantee(
    "Kili",
    fault="GraphQL errors under 200, 400 and 500, partial data, unknown operations",
    promise="decided by the error, not the status; sat out",
)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_of_the_server_is_sat_out_at_every_step(house: House, fault: str) -> None:
    action, outcome = FAULTS[fault]
    seen = house.outcomes()
    project = house.project()
    house.harm(*({"operation": step, "times": 1, "action": action} for step in OPERATIONS))
    house.publish(predictions(project, 60))
    house.await_settled()
    house.judge()
    assert house.struck() == [1, 1, 1, 1]
    in_one_answer = house.has_one_document and action.get("status", 200) == 200
    least = 2 if in_one_answer else 4
    house.await_that(lambda: (house.outcomes() - seen)[outcome] >= least, f"{least} calls counted: {outcome}")


@pytest.mark.guarantee(
    "Kili",
    fault="an error that names no item",
    promise="bisected; culprits are dead letters, neighbours delivered",
)
@pytest.mark.parametrize("key", ["unexpectedRetrieving", "assetLocked"], ids=["murky", "plain"])
@pytest.mark.parametrize("step", WRITES)
def test_an_error_that_names_no_item_condemns_the_culprits_and_delivers_their_neighbours(
    house: House, step: str, key: str
) -> None:
    project = house.project()
    refuse = {"kind": "refuse", "external_ids": CULPRITS, "key": key, "message": "Something is wrong."}
    house.harm({"operation": step, "action": refuse})
    house.publish(predictions(project, 60))
    house.condemn(len(CULPRITS))
    house.await_settled()
    house.judge()
    letters = [letter.about for letter in house.case_letters()]
    assert sorted(about["external_id"] for about in letters) == CULPRITS
    assert all("Something is wrong." in about["words"] for about in letters)
    house.await_awake()


@pytest.mark.guarantee(
    "Kili",
    fault="an error that names its item",
    promise="no bisection",
)
def test_an_error_that_names_its_item_costs_no_bisection(house: House) -> None:
    project = house.project()
    refuse = {"kind": "refuse", "external_ids": ["a/7.jpg"], "key": "assetLocked", "names_item": True}
    house.harm({"operation": "appendManyLabels", "action": refuse})
    house.publish(predictions(project, 60))
    house.condemn(1)
    house.await_settled()
    house.judge()
    assert house.calls_with("appendManyLabels") <= 4


@pytest.mark.guarantee(
    "Kili",
    fault="a single item behind a general error",
    promise="waits until others clear the server; never condemned alone",
)
def test_a_lone_item_behind_an_error_that_names_nobody_waits_until_others_clear_the_server(house: House) -> None:
    project = house.project()
    house.harm({"operation": "appendManyLabels", "action": {"kind": "refuse", "external_ids": ["a/0.jpg"]}})
    house.publish(predictions(project, 1))
    house.await_that(lambda: f"project:{project}" in house.pauses(), "a pause")
    assert house.ledger().dead == house.published.wrong
    house.publish(predictions(project, 20, start=1))
    house.condemn(1)
    house.await_settled()
    house.judge()
    house.await_awake()


@pytest.mark.guarantee(
    "Kili",
    fault="half of a batch at fault",
    promise="that half",
)
def test_half_of_a_batch_at_fault_is_condemned_and_the_other_half_delivered(house: House) -> None:
    project = house.project()
    house.harm(
        {"operation": "appendManyLabels", "action": {"kind": "refuse", "categories": ["RED", "GREY"], "key": "no"}}
    )
    house.publish(predictions(project, 60))
    house.condemn(30)
    house.await_settled()
    house.judge()


def priorities(house: House, project: str) -> Counter[int]:
    """How many assets of a project have which priority in Kili."""
    text = """query ($where: AssetWhere!, $first: PageSize!, $skip: Int!) {
        data: assets(where: $where, first: $first, skip: $skip) { priority } }"""
    found = house.graphql(text, {"where": {"project": {"id": project}}, "first": 100, "skip": 0})
    return Counter(asset["priority"] for asset in found)


@pytest.mark.guarantee(
    "Kili",
    fault="sent ids upserted or refused, batches atomic or partial, lagging reads",
    promise="the same result under every combination",
)
@pytest.mark.parametrize(
    ("resent_id", "batches", "read_lag"),
    [*itertools.product(["upsert", "refuse"], ["atomic", "partial"], [0, 0.25])],
)
def test_every_switch_of_the_unknown_server_is_survived(
    house: House, resent_id: str, batches: str, read_lag: float
) -> None:
    house.switch(resent_id=resent_id, batches=batches, read_lag=read_lag)
    project = house.project()
    house.harm(
        {"operation": "appendManyAssets", "action": {"kind": "refuse", "external_ids": ["a/11.jpg"], "key": "bad"}},
        {"operation": "appendManyLabels", "action": {"kind": "refuse", "external_ids": ["a/23.jpg"]}},
        *({"operation": step, "times": 1, "action": {"kind": "lost"}} for step in WRITES),
    )
    house.publish(predictions(project, 60))
    house.condemn(2)
    house.await_settled()
    house.judge()
    house.switch(read_lag=0)
    assert priorities(house, project) == {45: 12, 0: 47}
    assets, labels, updates = house.struck()[2:]
    assert (assets, labels) == (1, 1)
    assert updates == 1 or house.has_one_document, (
        "what a document did before its answer was lost needs no call of its own"
    )


@pytest.mark.guarantee(
    "Kili",
    fault="crash between asset and label, ids refused, reads lagging",
    promise="found again after the lag",
)
def test_a_crash_between_asset_and_label_is_survived_where_reads_lag_and_sent_ids_are_refused(house: House) -> None:
    house.switch(resent_id="refuse", batches="partial", read_lag=0.8)
    project = house.project()
    house.harm(
        {"operation": "appendManyAssets", "times": 1, "action": {"kind": "lost"}},
        {"operation": "appendManyAssets", "times": 1, "action": {"kind": "delay", "seconds": 2}},
    )
    house.publish(predictions(project, 60))
    house.await_that(lambda: house.struck() == [1, 1], "assets whose answer is lost")
    house.workers[-1].kill()
    house.heal()
    house.worker()
    house.await_settled()
    house.judge()
