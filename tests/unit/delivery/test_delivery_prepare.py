"""From leased entries to items: what can be sent, what is superseded, and what dies with which words."""

from __future__ import annotations

import json

import pytest
from delivery_doubles import INTERFACE, PROJECT, leased, message
from msgspec.structs import replace

from worker.delivery import prepare as module
from worker.delivery.prepare import cause_of, prepare, refit
from worker.kili import RefusedItems, TooLarge, UnknownOutcome
from worker.ontology import Interface
from worker.spool import Outcome

COLOURS = Interface.parse(INTERFACE, "IMAGE")


def without(name: str) -> Interface:
    changed = json.loads(json.dumps(INTERFACE))
    del changed["jobs"]["COLOUR"]["content"]["categories"][name]
    return Interface.parse(changed, "IMAGE")


def letter_of(settlement: object) -> dict[str, object]:
    return json.loads(settlement.letter)  # type: ignore[attr-defined]


def test_an_entry_becomes_an_item_with_kilis_json_response() -> None:
    prepared = prepare(PROJECT, [leased("a", answer="GREY")], COLOURS)
    [item] = prepared.items
    assert json.loads(item.json_response)["COLOUR"]["categories"][0]["name"] == "GREY"
    assert (item.external_id, item.exists, prepared.settled, prepared.unfit) == ("a", False, [], [])


def test_of_two_answers_of_one_model_only_the_newest_goes() -> None:
    older, newer = leased("a", answer="RED", stamp=1), leased("a", answer="GREY", stamp=2)
    prepared = prepare(PROJECT, [newer, older], COLOURS)
    assert [item.entry for item in prepared.items] == [newer]
    assert [(one.entry, one.outcome) for one in prepared.settled] == [(older, Outcome.SUPERSEDED)]


def test_two_model_versions_of_one_asset_both_go() -> None:
    entries = [leased("a", model={"name": "m", "version": version}) for version in "12"]
    assert len(prepare(PROJECT, entries, COLOURS).items) == 2


def test_an_answer_that_does_not_fit_the_interface_is_unfit_and_names_the_class() -> None:
    prepared = prepare(PROJECT, [leased("a", answer="PINK"), leased("b")], COLOURS)
    assert [item.external_id for item in prepared.items] == ["b"]
    [unfit] = prepared.unfit
    letter = letter_of(unfit)
    assert (letter["cause"], letter["stage"], letter["external_id"]) == ("unknown_class", "prepare", "a")
    assert "PINK" in f"{letter['field']} {letter['problem']}"


def test_a_payload_that_cannot_be_read_dies_and_keeps_what_is_known_of_it() -> None:
    prepared = prepare(PROJECT, [replace(leased("a"), payload=b"{"), leased("b")], COLOURS)
    assert [item.external_id for item in prepared.items] == ["b"]
    [dead] = prepared.settled
    assert (dead.outcome, letter_of(dead)["project_id"], letter_of(dead)["model"]) == (Outcome.DEAD, PROJECT, "m:1")


def test_a_message_that_trips_the_worker_dies_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read = module.read_stored

    def trip(payload: bytes) -> object:
        if b"poison" in payload:
            raise RecursionError("too deep")
        return read(payload)

    monkeypatch.setattr(module, "read_stored", trip)
    prepared = prepare(PROJECT, [leased("poison"), leased("b")], COLOURS)
    assert [item.external_id for item in prepared.items] == ["b"]
    [dead] = prepared.settled
    assert (dead.cause, letter_of(dead)["problem"]) == ("worker_fault", "RecursionError: too deep")


def test_a_changed_interface_shows_who_no_longer_fits() -> None:
    items = prepare(PROJECT, [leased("a"), leased("b", answer="GREY")], COLOURS).items
    unfit = refit(items, without("RED"))
    assert unfit is not None
    assert {place: error.cause for place, error in unfit.items()} == {0: "unknown_class"}


def test_an_interface_in_which_everybody_fits_as_before_explains_nothing() -> None:
    items = prepare(PROJECT, [leased("b", answer="GREY")], COLOURS).items
    assert refit(items, without("RED")) is None


@pytest.mark.parametrize(
    ("error", "slug"),
    [
        (RefusedItems("no", code="AssetAlreadyLocked", operation="appendManyLabels"), "AssetAlreadyLocked"),
        (RefusedItems("no"), "refused_by_kili"),
        (TooLarge("413"), "too_large"),
        (UnknownOutcome("500"), "refused_by_kili"),
    ],
)
def test_a_refusal_of_kili_becomes_a_cause_in_its_own_words(error: RefusedItems, slug: str) -> None:
    error.server_message = "the server's words"
    cause = cause_of(error)
    assert (cause.slug, cause.kind, cause.server_message) == (slug, "refused", "the server's words")


def test_messages_admitted_under_other_limits_are_still_read() -> None:
    deep: object = "x"
    for _ in range(60):
        deep = [deep]
    entry = leased("a")
    body = message("a") | {"metadata": {"notes": "x"}}
    assert prepare(PROJECT, [replace(entry, payload=json.dumps(body).encode())], COLOURS).items
