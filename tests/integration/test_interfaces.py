"""Interfaces are read once for the fleet, read anew in doubt, and a change is said once."""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from worker.kili.interfaces import InterfaceCache
from worker.kili.operations import ProjectInterface
from worker.ontology import InterfaceError

pytestmark = pytest.mark.servers("all")


def with_colours(*names: str) -> dict[str, Any]:
    job = {"mlTask": "CLASSIFICATION", "content": {"categories": {name: {} for name in names}, "input": "radio"}}
    return {"jobs": {"COLOUR": job}}


class Kili:
    """Answers with what the project is like now."""

    def __init__(self) -> None:
        self.json_interface: Any = with_colours("RED", "GREY")
        self.input_type = "IMAGE"
        self.labeling_crs: str | None = None
        self.asked = 0

    def __call__(self, project: str) -> ProjectInterface:
        self.asked += 1
        return ProjectInterface(project, self.input_type, self.json_interface, "title", self.labeling_crs)


@pytest.fixture
def kili() -> Kili:
    return Kili()


def cache(client: redis.Redis, kili: Kili, max_age: float = 60.0) -> InterfaceCache:
    return InterfaceCache(client, "pw:", max_age, kili)


def changes(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found: list[Any] = [r for r in caplog.records if getattr(r, "action", "") == "interface_changed"]
    return [(record.levelname, record.getMessage()) for record in found]


def test_a_fleet_asks_once(client: redis.Redis, kili: Kili) -> None:
    assert {cache(client, kili).get("p").fingerprint for _ in range(3)} == {cache(client, kili).get("p").fingerprint}
    assert kili.asked == 1


def test_in_doubt_it_is_read_anew_unless_it_is_young(client: redis.Redis, kili: Kili) -> None:
    known = cache(client, kili)
    known.get("p")
    kili.json_interface = with_colours("RED", "BLUE")
    assert not known.renew("p", since=time.time() - 60)
    assert list(known.get("p").jobs["COLOUR"].categories) == ["RED", "GREY"]
    assert known.renew("p", since=time.time())
    assert list(known.get("p").jobs["COLOUR"].categories) == ["RED", "BLUE"]


def test_what_coordinates_are_is_known_to_the_fleet(client: redis.Redis, kili: Kili) -> None:
    kili.input_type, kili.labeling_crs = "GEOSPATIAL", "PIXEL"
    found = [cache(client, kili).get("p") for _ in range(2)]
    assert [one.in_degrees for one in found] == [False, False]
    assert kili.asked == 1


def test_an_interface_that_an_older_worker_kept_is_read_anew(client: redis.Redis, kili: Kili) -> None:
    kili.input_type, kili.labeling_crs = "GEOSPATIAL", "PIXEL"
    old = {"at": time.time(), "input_type": "GEOSPATIAL", "json_interface": kili.json_interface}
    client.set("pw:interface:p", json.dumps(old))
    assert not cache(client, kili).get("p").in_degrees
    assert kili.asked == 1


def test_several_in_doubt_at_once_ask_once(client: redis.Redis, kili: Kili) -> None:
    known = cache(client, kili)
    known.get("p")
    with ThreadPoolExecutor(8) as pool:
        moment = time.time()
        asked = list(pool.map(lambda _: known.renew("p", since=moment), range(8)))
    assert (asked.count(True), kili.asked) == (1, 2)


def test_a_change_is_said_once_by_the_fleet(client: redis.Redis, kili: Kili, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worker.kili.interfaces")
    fleet = [cache(client, kili) for _ in range(3)]
    for one in fleet:
        one.get("p")
    kili.json_interface = with_colours("RED")
    for one in fleet:
        one.refresh("p")
    assert changes(caplog) == [("WARNING", "the interface of project p has changed: gone: COLOUR.GREY")]


def test_what_is_only_new_is_no_alarm(client: redis.Redis, kili: Kili, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "worker.kili.interfaces")
    known = cache(client, kili)
    known.get("p")
    client.flushall()
    kili.json_interface = with_colours("RED", "GREY", "BLUE")
    known.refresh("p")
    assert changes(caplog) == [("INFO", "the interface of project p has changed: new: COLOUR.BLUE")]


def test_an_interface_that_cannot_be_read_is_not_kept(client: redis.Redis, kili: Kili) -> None:
    known = cache(client, kili)
    good, kili.json_interface = kili.json_interface, {"jobs": {"COLOUR": 3}}
    for _ in range(2):
        with pytest.raises(InterfaceError):
            known.get("p")
    kili.json_interface = good
    assert list(known.get("p").jobs) == ["COLOUR"]
