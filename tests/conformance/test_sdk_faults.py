"""Refusals, faults and switches as the SDK sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from gql.transport.exceptions import TransportServerError

from tests.conformance import kili_sdk
from tests.conformance.sdk_cars import HTTP, Cars, colour, wait_until
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili

UNKNOWN_ID = "cm0abcde0000wxyz01234567"


@pytest.mark.parametrize(
    "response",
    [
        colour("PINK"),
        {"OTHER_JOB": {"categories": [{"name": "RED"}]}},
        {"CLASSIFICATION_JOB": {"categories": [{"name": "RED"}, {"name": "GREY"}]}},
    ],
)
@pytest.mark.parametrize("label_type", ["DEFAULT", "INFERENCE"])
def test_a_response_that_does_not_fit_the_interface_is_refused(
    cars: Cars, response: dict[str, Any], label_type: str
) -> None:
    with pytest.raises(kili_sdk.GraphQLError, match=r"\[jsonResponseMalformed\]"):
        cars.kili.append_labels(asset_id_array=cars.ids[:1], json_response_array=[response], label_type=label_type)


def test_a_label_on_an_unknown_asset_is_refused(cars: Cars) -> None:
    with pytest.raises(kili_sdk.GraphQLError, match=r"\[noAccessRights\]"):
        cars.kili.append_labels(asset_id_array=[UNKNOWN_ID], json_response_array=[colour("RED")])


def test_a_deleted_project_takes_nothing_and_shows_nothing(cars: Cars) -> None:
    cars.kili.delete_project(cars.project_id)
    with pytest.raises(kili_sdk.GraphQLError, match=r"\[noAccessRights\]"):
        cars.label(["RED"])
    with pytest.raises(kili_sdk.GraphQLError, match=r"\[noAccessRights\]"):
        cars.kili.count_assets(cars.project_id)


@pytest.mark.parametrize(("batches", "kept"), [("atomic", []), ("partial", ["a", "c"])])
def test_a_refused_batch_leaves_nothing_or_its_good_items(
    cars: Cars, admin: Callable[..., Any], batches: str, kept: list[str]
) -> None:
    admin("config", {"batches": batches})
    with pytest.raises(kili_sdk.GraphQLError, match="jsonResponseMalformed"):
        cars.label(["RED", "PINK", "GREY"])
    assert cars.find(label_type_in=["DEFAULT"]) == kept


def import_again(cars: Cars) -> None:
    """Send the asset a again, by its id, with another external id that hides it from the SDK's own check."""
    cars.kili.append_many_to_dataset(
        project_id=cars.project_id,
        content_array=["https://example.com/again.jpg"],
        external_id_array=["again"],
        id_array=cars.ids[:1],
    )


def test_a_resent_id_is_upserted(cars: Cars) -> None:
    cars.label(["RED"])
    import_again(cars)
    assert cars.find() == ["again", "b", "c", "d"]
    assert cars.kili.count_labels(cars.project_id) == 1


def test_a_resent_id_is_refused(cars: Cars, admin: Callable[..., Any]) -> None:
    admin("config", {"resent_id": "refuse"})
    with pytest.raises(kili_sdk.GraphQLError, match="Unique constraint"):
        import_again(cars)
    assert cars.find() == ["a", "b", "c", "d"]


def test_the_documented_agreement_is_all_or_nothing_for_one_choice(cars: Cars, admin: Callable[..., Any]) -> None:
    admin("config", {"agreement": "documented"})
    cars.label(["RED", "GREY"], "INFERENCE", model_name="m:1")
    cars.label(["RED", "RED"])
    labels = cars.labels("inferenceMark", type_in=["DEFAULT"])
    assert [label["inferenceMark"] for label in labels] == [1.0, 0.0]


def test_marks_can_come_late(cars: Cars, admin: Callable[..., Any]) -> None:
    admin("config", {"mark_delay": 0.4})
    cars.label(["RED"], "INFERENCE", model_name="m:1")
    cars.label(["RED"])
    assert cars.labels("inferenceMark", type_in=["DEFAULT"]) == [{"inferenceMark": None}]

    def marked() -> bool:
        items = admin("state", project=cars.project_id, full=1)["items"]
        return any(label["inferenceMark"] is not None for label in items[0]["labels"])

    wait_until(marked)
    assert cars.labels("inferenceMark", type_in=["DEFAULT"]) == [{"inferenceMark": 1.0}]


def test_reads_can_lag_behind_writes(sandbox: SandboxProcess, cars: Cars, admin: Callable[..., Any]) -> None:
    admin("config", {"read_lag": 60})
    new = Cars(sandbox, cars.kili, cars.project_id, ["e"])
    assert new.find() == ["a", "b", "c", "d"]
    new.label(["RED"])
    admin("config", {"read_lag": 0})
    assert new.find() == ["a", "b", "c", "d", "e"]
    assert new.find(label_type_in=["DEFAULT"]) == ["e"]


def fail(admin: Callable[..., Any], operation: str, times: int = 1, **action: Any) -> None:
    admin("faults", {"operation": operation, "times": times, "action": action})


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "status", "status": 429, "body": "Too Many Requests", "headers": {"Retry-After": "0"}},
        {"kind": "status", "status": 401, "body": "Unauthorized"},
        {"kind": "status", "status": 521, "body": "Web server is down"},
        {"kind": "status", "status": 503, "body": "no healthy upstream"},
    ],
)
def test_the_sdk_repeats_a_mutation_that_cannot_have_run(
    cars: Cars, admin: Callable[..., Any], action: dict[str, Any]
) -> None:
    fail(admin, "appendManyLabels", **action)
    assert len(cars.label(["RED"])) == 1
    assert cars.kili.count_labels(cars.project_id) == 1


@pytest.mark.parametrize(
    ("action", "labels"),
    [
        ({"kind": "status", "status": 502, "body": "Bad Gateway"}, 0),
        ({"kind": "status", "status": 504, "body": "Gateway Timeout", "after": True}, 1),
        ({"kind": "html", "status": 500, "after": True}, 1),
        ({"kind": "reset"}, 0),
        ({"kind": "lost"}, 1),
        ({"kind": "cut"}, 1),
    ],
)
def test_the_sdk_does_not_know_how_such_a_mutation_ended(
    cars: Cars, admin: Callable[..., Any], action: dict[str, Any], labels: int
) -> None:
    fail(admin, "appendManyLabels", **action)
    with pytest.raises(kili_sdk.MutationOutcomeUnknownError):
        cars.label(["RED"])
    assert cars.kili.count_labels(cars.project_id) == labels


@pytest.mark.parametrize("status", [200, 400, 500])
def test_graphql_errors_are_taken_as_such_whatever_the_status(
    cars: Cars, admin: Callable[..., Any], status: int
) -> None:
    fail(admin, "countLabels", kind="errors", status=status, message="[someKey] words of the server")
    with pytest.raises(kili_sdk.GraphQLError, match="words of the server"):
        cars.kili.count_labels(cars.project_id)


def test_data_next_to_an_error_is_an_error(cars: Cars, admin: Callable[..., Any]) -> None:
    fail(admin, "countLabels", kind="partial", message="[someKey] half of it")
    with pytest.raises(kili_sdk.GraphQLError, match="half of it"):
        cars.kili.count_labels(cars.project_id)


def test_large_bodies_are_refused(cars: Cars, admin: Callable[..., Any]) -> None:
    fail(admin, "appendManyLabels", times=10, kind="too_large", bytes=600)
    assert len(cars.label(["RED"])) == 1
    with pytest.raises(TransportServerError, match="413"):
        cars.label(["RED"] * 4)


@pytest.mark.parametrize("refused", [{"external_ids": ["b"]}, {"categories": ["GREY"]}])
def test_a_single_item_spoils_its_batch(cars: Cars, admin: Callable[..., Any], refused: dict[str, list[str]]) -> None:
    fail(admin, "appendManyLabels", times=10, kind="refuse", **refused)
    with pytest.raises(kili_sdk.GraphQLError, match="refused"):
        cars.label(["RED", "GREY", "RED"])
    assert cars.kili.count_labels(cars.project_id) == 0


def test_calls_above_the_limit_are_refused_before_they_count(
    sandbox: SandboxProcess, cars: Cars, admin: Callable[..., Any]
) -> None:
    admin("keys", {"key": "eager", "expiry": 1e8})
    admin("reset", {})
    admin("config", {"calls_per_minute": 3})
    ask = {"headers": {"Authorization": "X-API-Key: eager"}, "json": {"query": "{ viewer { id } }"}}
    answers = [HTTP.post(sandbox.endpoint, **ask) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    calls = admin("calls")
    assert (calls["total"], calls["refused_429"], calls["peak_per_minute"]) == (3, 2, 3)


def test_the_sdk_opens_a_connection_per_call(kili: Kili, cars: Cars, admin: Callable[..., Any]) -> None:
    admin("reset", {})
    kili.count_assets(cars.project_id)
    kili.count_assets(cars.project_id)
    assert admin("calls")["connections"] == 2
