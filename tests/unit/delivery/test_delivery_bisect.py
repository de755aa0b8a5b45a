"""Bisection: the culprits alone are condemned, in few calls, and never for a fault of the server."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from delivery_doubles import clients
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.bisect import Sent, send_each
from worker.delivery.failure_policy import SERIES
from worker.kili import ConnectFailed, KiliError, NotSent, RefusedItems, ServerFault, TimedOut, TooLarge, UnknownOutcome


def murky() -> ServerFault:
    fault = ServerFault("[unexpectedRetrieving] something", server_message="something")
    fault.may_be_items = True
    return fault


class Server:
    """Takes everything but parts that hold a culprit; ``patient`` and ``single_attempt`` tell the clients apart."""

    def __init__(
        self, culprits: Sequence[int] = (), error: Callable[[], KiliError] = lambda: RefusedItems("no")
    ) -> None:
        self.culprits = set(culprits)
        self.error = error
        self.calls: list[tuple[str, list[int]]] = []
        self.dies_after: int | None = None

    def send(self, part: Sequence[int], client: Any) -> None:
        self.calls.append((client, list(part)))
        if self.dies_after is not None and len(self.calls) > self.dies_after:
            raise UnknownOutcome("503")
        if self.culprits & set(part):
            raise self.error()

    def run(self, items: Sequence[int], *, probing: bool = False, **hooks: Any) -> Sent[int]:
        return send_each(
            items, self.send, clients("patient", single_attempt="single_attempt", probing=probing), **hooks
        )


def condemned(sent: Sent[int]) -> list[int]:
    return [item for item, _ in sent.refused]


def test_what_is_not_refused_goes_in_one_call() -> None:
    server = Server()
    assert server.run(range(100)).accepted == [*range(100)]
    assert len(server.calls) == 1


def test_nothing_is_sent_for_nothing() -> None:
    server = Server()
    assert server.run([]) == Sent()
    assert server.calls == []


@given(st.sets(st.integers(0, 39)), st.sampled_from([RefusedItems, TooLarge]))
def test_refused_items_are_found_whoever_they_are(culprits: set[int], kind: type[KiliError]) -> None:
    sent = Server([*culprits], lambda: kind("no")).run(range(40))
    assert condemned(sent) == sorted(culprits)
    assert sent.accepted == [item for item in range(40) if item not in culprits]
    assert sent.failure is None


@given(st.sets(st.integers(0, 39), max_size=38))
def test_culprits_behind_murky_faults_are_found_while_the_server_takes_others(culprits: set[int]) -> None:
    server = Server([*culprits], murky)
    sent = server.run(range(40))
    if sent.failure is None:
        assert condemned(sent) == sorted(culprits)
    else:
        assert condemned(sent) == []


def test_one_culprit_among_a_hundred_costs_a_bisection() -> None:
    server = Server([37])
    server.run(range(100))
    assert len(server.calls) <= 15


def test_named_items_are_isolated_at_once() -> None:
    server = Server([3, 70], lambda: RefusedItems("no", item_indexes=(3, 70)))
    sent = server.run(range(100))
    assert condemned(sent) == [3, 70]
    assert [len(part) for _, part in server.calls] == [100, 98, 1, 1]


def test_a_name_outside_of_the_part_is_ignored() -> None:
    assert condemned(Server([5], lambda: RefusedItems("no", item_indexes=(99,))).run(range(10))) == [5]


@pytest.mark.parametrize("fault", [murky, lambda: UnknownOutcome("500"), lambda: TimedOut("504")])
def test_a_server_that_takes_nothing_is_at_fault_itself_and_is_asked_little(fault: Callable[[], KiliError]) -> None:
    server = Server(range(100), fault)
    sent = server.run(range(100))
    assert (sent.accepted, sent.refused) == ([], [])
    assert isinstance(sent.failure, UnknownOutcome)
    assert len(server.calls) <= 3


def test_a_lone_item_is_never_condemned_for_a_fault_of_the_server() -> None:
    sent = Server([1], murky).run([1])
    assert sent.refused == []
    assert isinstance(sent.failure, ServerFault)


def test_a_server_that_answers_every_second_call_condemns_nobody() -> None:
    dice = random.Random(1)
    random.seed(1)

    def send(_: Sequence[int], client: Any) -> None:
        if all(dice.random() < 0.5 for _ in range(4 if client == "patient" else 1)):
            raise UnknownOutcome("500")

    for _ in range(500):
        waiting = [*range(20)]
        while waiting:
            sent = send_each(
                waiting, send, clients("patient", single_attempt="single_attempt", probing=dice.random() < 0.5)
            )
            assert sent.refused == []
            waiting = [item for item in waiting if item not in sent.accepted]


def test_several_culprits_are_condemned_each_after_rounds_in_which_others_were_taken() -> None:
    server = Server([3, 4, 11], murky)
    assert condemned(server.run(range(16))) == [3, 4, 11]
    alone = [part for client, part in server.calls if part == [4] and client == "patient"]
    assert len(alone) == SERIES


def test_a_server_that_dies_in_the_middle_condemns_nobody() -> None:
    server = Server([37], murky)
    server.dies_after = 4
    sent = server.run(range(100))
    assert sent.refused == []
    assert sent.failure is not None
    assert 37 not in sent.accepted


def test_an_infrastructure_fault_is_laid_to_nobody() -> None:
    server = Server([3], lambda: ServerFault("database away"))
    sent = server.run(range(10))
    assert isinstance(sent.failure, ServerFault)
    assert len(server.calls) == 1


def test_an_error_about_the_connection_ends_the_sending_and_keeps_what_went_through() -> None:
    server = Server([3])
    parts = []

    def send(part: Sequence[int], client: Any) -> None:
        parts.append(part)
        if len(parts) == 3:
            raise ConnectFailed("gone")
        server.send(part, client)

    sent = send_each(range(8), send, clients("patient"))
    assert isinstance(sent.failure, ConnectFailed)
    assert set(sent.accepted).isdisjoint({3})
    with pytest.raises(ConnectFailed):
        sent.check()


def test_larger_parts_are_sent_once_and_a_single_item_gets_all_the_patience() -> None:
    server = Server([5], murky)
    server.run(range(16))
    first, *rest = [(client, part) for client, part in server.calls if 5 in part]
    assert first[0] == "patient"
    assert {client for client, part in rest if len(part) > 1} == {"single_attempt"}
    assert rest[-1] == ("patient", [5])


def test_a_probe_begins_with_a_single_attempt() -> None:
    server = Server(range(4), murky)
    server.run(range(4), probing=True)
    assert {client for client, _ in server.calls} == {"single_attempt"}


def test_a_worker_that_stops_leaves_the_rest_unsent() -> None:
    server = Server([3])
    given = clients("patient")

    def send(part: Sequence[int], client: Any) -> None:
        given.stop.set()
        server.send(part, client)

    sent = send_each(range(8), send, given)
    assert isinstance(sent.failure, NotSent)
    assert len(server.calls) == 1


def test_parts_that_are_known_not_to_fit_are_split_without_a_call() -> None:
    server = Server()
    sent = server.run(range(8), fits=lambda part: len(part) <= 2)
    assert sent.accepted == [*range(8)]
    assert [len(part) for _, part in server.calls] == [2, 2, 2, 2]


def test_a_single_item_is_sent_even_if_it_does_not_fit() -> None:
    assert Server().run([1], fits=lambda part: False).accepted == [1]


def test_what_the_sift_knows_is_not_bisected() -> None:
    server = Server([2, 5])

    def sift(part: Sequence[int], error: KiliError) -> dict[int, Exception | None] | None:
        told: dict[int, Exception | None] = {place: ValueError("told") for place, one in enumerate(part) if one == 2}
        told |= {place: None for place, one in enumerate(part) if one == 5}
        return told or None

    sent = server.run(range(8), sift=sift)
    assert condemned(sent) == [2]
    assert 5 in sent.accepted
    assert [len(part) for _, part in server.calls] == [8, 6]


def test_a_sift_that_mends_has_the_part_sent_again_whole() -> None:
    server = Server([1])

    def sift(part: Sequence[int], error: KiliError) -> dict[int, Exception | None]:
        server.culprits = set()
        return {}

    assert server.run(range(8), sift=sift).accepted == [*range(8)]
    assert [len(part) for _, part in server.calls] == [8, 8]
