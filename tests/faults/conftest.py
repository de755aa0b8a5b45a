"""One house for the cases that need no settings of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.house import House

QUICK = {
    "WORKER_KILI__BACKOFF_SECONDS": "0.02",
    "WORKER_KILI__BACKOFF_CAP_SECONDS": "0.2",
    "WORKER_KILI__RETRY_AFTER_CAP_SECONDS": "1",
    "WORKER_KILI__TIMEOUT_SECONDS": "0.75",
    "WORKER_SPOOL__LEASE_SECONDS": "1",
    "WORKER_DELIVERY__CONCURRENCY": "8",
    "WORKER_DELIVERY__LINGER_SECONDS": "0.1",
}


class Keeper:
    """Keeps a house open for the next case, as long as every case ended with the judge's consent."""

    def __init__(self, **settings: str) -> None:
        self._settings = {**QUICK, **settings}
        self._house: House | None = None

    def open(self) -> House:
        """The house, ready for a case, with a worker in it."""
        if self._house is None or not self._house.is_sound:
            self.close()
            self._house = House(self._settings)
        self._house.begin_case()
        self._house.staffed()
        return self._house

    def close(self) -> None:
        """End the house; one whose last case failed shows its logs."""
        if self._house is not None:
            self._house.close(show_logs=not self._house.is_sound)
            self._house = None


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    """The house of the session."""
    keeper = Keeper()
    yield keeper
    keeper.close()


@pytest.fixture
def house(keeper: Keeper) -> Iterator[House]:
    """The session's house, with a running worker; a case that does not end with ``judge`` spoils it for others."""
    house = keeper.open()
    yield house
    if not house.is_sound:
        keeper.close()
