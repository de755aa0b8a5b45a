"""The cases about mutations once more, with a batch's mutations in one document; and a server that refuses that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.conftest import Keeper
from tests.faults.house import COUNTED, ONE_DOCUMENT, House, predictions
from tests.faults.test_kili_graphql import (
    test_a_crash_between_asset_and_label_is_survived_where_reads_lag_and_sent_ids_are_refused as test_a_crash_midway,
)
from tests.faults.test_kili_graphql import (
    test_an_error_of_the_server_is_sat_out_at_every_step as test_an_error_is_sat_out,
)
from tests.faults.test_kili_graphql import (
    test_an_error_that_names_no_item_condemns_the_culprits_and_delivers_their_neighbours as test_culprits_are_found,
)
from tests.faults.test_kili_graphql import (
    test_every_switch_of_the_unknown_server_is_survived as test_every_switch_is_survived,
)
from worker.monitoring.status import text

__all__ = [
    "test_a_crash_midway",
    "test_an_error_is_sat_out",
    "test_culprits_are_found",
    "test_every_switch_is_survived",
]


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    """A house of this module, with one document a batch."""
    keeper = Keeper(**{ONE_DOCUMENT: "true"})
    yield keeper
    keeper.close_all()


@pytest.mark.guarantee(
    "Kili",
    fault="one document a batch, no fault",
    promise="1 + 10 for 1,000, and the interface once",
)
def test_a_thousand_new_predictions_of_which_a_fifth_is_doubtful_take_13_calls_at_most() -> None:
    with House({**COUNTED, ONE_DOCUMENT: "true"}) as house:
        project = house.project()
        house.forget_calls()
        house.publish(predictions(project, 1000))
        house.worker()
        house.await_settled()
        calls = sum(call["count"] for call in house.calls().values())
        state = house.judge()
    assert state["priorities"] == {"0": 800, "45": 200}
    assert calls <= 13


@pytest.mark.guarantee(
    "Kili",
    fault="one document a batch, refused by the server",
    promise="separate calls by itself, logged once, shown in `status`",
)
def test_a_server_that_refuses_documents_gets_separate_calls_by_itself(house: House) -> None:
    house.switch(mutations="one")
    worker = house.workers[-1]
    project = house.project()
    for start in (0, 60):
        house.publish(predictions(project, 60, start=start))
        house.await_settled()
    house.judge()
    assert worker.log.read_text().count("one_document_refused") == 1
    assert house.calls()["appendManyLabels"]["count"] >= 2
    assert "one document" in text(house.status())
    assert not house.pauses()


@pytest.mark.guarantee(
    "Kili",
    fault="one document a batch: errors of single mutations, culprits, lost answers, every switch",
    promise="what went through stays, the rest is sent again by itself",
)
def test_an_answer_lost_in_the_middle_of_a_document_loses_and_doubles_nothing(house: House) -> None:
    house.switch(resent_id="refuse")
    project = house.project()
    house.harm(
        {"operation": "appendManyLabels", "times": 1, "action": {"kind": "errors", "after": True}},
        {"operation": "appendManyLabels", "times": 1, "action": {"kind": "lost"}},
        {"operation": "updatePropertiesInAssets", "times": 2, "action": {"kind": "truncated"}},
    )
    house.publish(predictions(project, 60))
    house.await_settled()
    house.judge()
    assert house.struck() == [1, 1, 2]
