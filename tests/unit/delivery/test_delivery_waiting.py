"""What is a backlog, and that nobody looks for drift meanwhile."""

from __future__ import annotations

from unittest.mock import MagicMock

import fakeredis
import pytest

from worker.delivery.waiting import BACKLOG, BACKLOG_SECONDS, Wait
from worker.environment import clock
from worker.ontology import Interface
from worker.settings.tree import Settings
from worker.spool import Ledger
from worker.wiring import feedback_of

LONG_AGO = BACKLOG_SECONDS + 5.0


@pytest.mark.parametrize(
    ("waiting", "leased", "seconds", "expected"),
    [
        (BACKLOG, 1, LONG_AGO, True),
        (1, BACKLOG, LONG_AGO, True),
        (BACKLOG, 0, LONG_AGO, False),  # a few that wait for their assets are no backlog
        (100 * BACKLOG, 0, 5.0, False),  # many that have just come are none either
        (0, 0, None, False),
    ],
)
def test_a_backlog_is_many_for_long(waiting: int, leased: int, seconds: float | None, expected: bool) -> None:
    oldest = None if seconds is None else int((clock.now() - seconds) * 1000)
    assert Wait("p", waiting, leased, oldest, None).is_backlog is expected


@pytest.mark.parametrize(("waiting", "expected"), [(BACKLOG + 1, True), (3, False)])
def test_the_feedback_of_a_project_knows_of_its_backlog(waiting: int, expected: bool) -> None:
    spool = MagicMock(redis=fakeredis.FakeRedis(), prefix="pw:")
    spool.ledger.return_value = Ledger(received=waiting, waiting=waiting)
    spool.oldest_ms.return_value = int((clock.now() - LONG_AGO) * 1000)
    settings = Settings(redis_url="redis://localhost:6379/0", kili_api_key="key")
    feedback = feedback_of(settings, spool, "p", MagicMock(), Interface.parse({"jobs": {}}, "IMAGE"))
    assert feedback._is_behind() is expected
    spool.ledger.assert_called_once_with("p")
